//! Reads CDI specs with the CNCF's reader in Rust, and prints the qualified names of their devices.
//!     cdi-reader FILE...
//! Fails at the first spec that this reader does not take.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

use container_device_interface::spec::read_spec;

fn main() -> Result<(), Box<dyn Error>> {
    let mut names = BTreeSet::new();
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        let spec = read_spec(&path, 0).map_err(|err| format!("{}: {err:#}", path.display()))?;
        let devices = spec.devices.values();
        names.extend(devices.map(|device| device.get_qualified_name()));
    }
    for name in names {
        println!("{name}");
    }
    Ok(())
}
