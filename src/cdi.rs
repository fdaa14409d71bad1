//! CDI specs: the files in which container engines look devices up.
//!
//! Format: the Container Device Interface specification of the CNCF, versions 0.1.0 to 1.1.0.

mod spec;
mod yaml;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::rootfs::{FileId, Root};

pub use spec::{ContainerEdits, Device, DeviceNode, Hook, Mount, Spec};

/// Where engines look; a later directory has precedence.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Largest spec that is read; one for eight GPUs has 100 KiB.
const MAX_SPEC: u64 = 4 << 20;

/// A file in one of the directories.
#[derive(Debug)]
pub struct SpecFile {
    /// Its path.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// What it says, or why engines do not take it.
    pub spec: Result<Spec, String>,
}

/// All specs below `root`, lowest precedence first.
#[must_use]
pub fn read_all(root: &Root) -> Vec<SpecFile> {
    let mut seen: Vec<FileId> = Vec::new();
    let mut files = Vec::new();
    for path in DIRECTORIES.map(Path::new) {
        let Ok(directory) = root.directory(path) else {
            continue;
        };
        // One directory may have both names.
        let Ok(id) = directory.id() else { continue };
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        let mut names: Vec<_> = directory.entries().unwrap_or_default();
        names.retain(|entry| is_spec_name(&entry.name));
        names.sort_by(|a, b| a.name.cmp(&b.name));
        files.extend(names.iter().map(|entry| read(root, path.join(&entry.name))));
    }
    files
}

fn is_spec_name(name: &OsStr) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "json")
}

fn read(root: &Root, path: PathBuf) -> SpecFile {
    let spec = root
        .read(&path, MAX_SPEC)
        .map_err(|err| err.to_string())
        .and_then(|bytes| parse(&path, &bytes));
    let mode = root.stat(&path).map_or(0, |stat| stat.st_mode & 0o7777);
    SpecFile { path, mode, spec }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Spec, String> {
    let value = if path.extension() == Some(OsStr::new("json")) {
        serde_json::from_slice(bytes).map_err(|err| err.to_string())?
    } else {
        let text = str::from_utf8(bytes).map_err(|err| err.to_string())?;
        yaml::parse(text)?
    };
    let spec: Spec = serde_json::from_value(value).map_err(|err| err.to_string())?;
    spec.check()?;
    Ok(spec)
}
