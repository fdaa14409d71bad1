//! CDI specs: the files in which container engines look up devices.
//!
//! Format: the Container Device Interface specification of the CNCF, versions 0.1.0 to 1.1.0.

mod apply;
mod decode;
mod json;
mod registry;
mod simplify;
mod spec;
mod validate;
mod write;
mod yaml;

use std::ffi::OsStr;
use std::path::Path;

pub use apply::{apply, remove_nvidia_hook};
pub use registry::{Registry, Shared, SpecFile, read_all, read_files};
pub use simplify::simplify;
pub use validate::{
    MAX_CLASS, MAX_VENDOR, check, is_annotation_key, is_device_name, is_kind_part, minimum_version,
    raise_version,
};
pub use write::{Format, to_text};

pub use spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// The directories that engines read, in ascending order of precedence.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// The maximum size of a spec; one for eight GPUs has 100 KiB.
pub const MAX_SPEC: u64 = 1 << 20;

/// Parses a spec: JSON if `path` ends with `.json`, else YAML. Fails with the reason for a spec that engines reject.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Spec, String> {
    let spec = parse(path, bytes)?;
    check(&spec)?;
    Ok(spec)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Spec, String> {
    let value = if path.extension() == Some(OsStr::new("json")) {
        json::parse(bytes)?
    } else {
        let text = str::from_utf8(bytes).map_err(|err| err.to_string())?;
        yaml::parse(text)?
    };
    decode::spec(value)
}
