//! Reads CDI specs with the CNCF's reader in Rust, and prints the qualified names of their devices. Specs in JSON are also checked
//! against the CNCF's schema.
//!     cdi-reader SCHEMAS FILE...
//! Fails at the first spec that is not taken.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::read;
use std::path::{Path, PathBuf};

use container_device_interface::spec::read_spec;
use jsonschema::{Resource, Validator};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let schema = schema(&arguments.next().ok_or("no directory of schemas")?)?;
    let mut names = BTreeSet::new();
    for path in arguments {
        let spec = read_spec(&path, 0).map_err(|err| format!("{}: {err:#}", path.display()))?;
        let devices = spec.devices.values();
        names.extend(devices.map(|device| device.get_qualified_name()));
        if path.extension().is_some_and(|it| it == "json") {
            let document = json(&path)?;
            let why = |err| format!("{}: not what the schema says: {err}", path.display());
            schema.validate(&document).map_err(why)?;
        }
    }
    for name in names {
        println!("{name}");
    }
    Ok(())
}

/// The schema of CDI, with its definitions beside it.
fn schema(directory: &Path) -> Result<Validator, Box<dyn Error>> {
    let definitions = Resource::from_contents(json(&directory.join("defs.json"))?)?;
    let options = jsonschema::options().with_resource("json-schema:///defs.json", definitions);
    Ok(options.build(&json(&directory.join("schema.json"))?)?)
}

fn json(path: &Path) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_slice(&read(path)?)?)
}
