//! CDI specs: the files in which container engines look devices up.
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

/// Where engines look; a later directory has precedence.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Largest spec that is read; one for eight GPUs has 100 KiB.
pub const MAX_SPEC: u64 = 1 << 20;

/// Reads the text of a spec: JSON if the file at `path` is named so, else YAML. Refuses what engines refuse; the error says what.
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
