//! CDI specs: the files in which container engines look devices up.
//!
//! Format: the Container Device Interface specification of the CNCF, versions 0.1.0 to 1.1.0.

mod simplify;
mod spec;
mod validate;
mod write;
mod yaml;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::host::allowance::{Allowance, Unusable};
use crate::rootfs::{FileId, Root};

pub use simplify::simplify;
pub use validate::{check, is_device_name, is_kind_part, minimum_version};
pub use write::{Format, to_text};

pub use spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// Where engines look; a later directory has precedence.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Largest spec that is read; one for eight GPUs has 100 KiB.
const MAX_SPEC: u64 = 1 << 20;
/// Most bytes of all specs together.
const MAX_SPECS: u64 = 8 << 20;
/// Most devices and edits of all specs together; for eight GPUs there are 2,000.
const MAX_PARTS: usize = 1 << 16;

/// A file in one of the directories.
#[derive(Debug)]
pub struct SpecFile {
    /// Its path.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// What it says, or why that is of no use.
    pub spec: Result<Spec, Unusable>,
}

/// All specs below `root`, lowest precedence first.
#[must_use]
pub fn read_all(root: &Root) -> Vec<SpecFile> {
    let mut seen: Vec<FileId> = Vec::new();
    let mut reader = Reader {
        root,
        bytes: Allowance::new(MAX_SPECS),
        parts: MAX_PARTS,
    };
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
        match directory.entries() {
            Ok(mut names) => {
                names.retain(|entry| is_spec_name(&entry.name));
                names.sort_by(|a, b| a.name.cmp(&b.name));
                files.extend(
                    names
                        .iter()
                        .map(|entry| reader.read(path.join(&entry.name))),
                );
            }
            Err(err) => files.push(reader.unusable(path, err.into())),
        }
    }
    files
}

fn is_spec_name(name: &OsStr) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "json")
}

/// Reads specs, and no more than a host needs.
struct Reader<'r> {
    root: &'r Root,
    bytes: Allowance,
    parts: usize,
}

impl Reader<'_> {
    fn read(&mut self, path: PathBuf) -> SpecFile {
        SpecFile {
            spec: self.spec(&path),
            mode: self.mode(&path),
            path,
        }
    }

    fn unusable(&self, path: &Path, reason: Unusable) -> SpecFile {
        SpecFile {
            spec: Err(reason),
            mode: self.mode(path),
            path: path.to_owned(),
        }
    }

    fn mode(&self, path: &Path) -> u32 {
        let stat = self.root.stat(path);
        stat.map_or(0, |stat| stat.mode.bits())
    }

    fn spec(&mut self, path: &Path) -> Result<Spec, Unusable> {
        let bytes = self.bytes.read(self.root, path, MAX_SPEC)?;
        let spec = parse(path, &bytes)?;
        self.parts = self.parts.checked_sub(spec.parts()).ok_or_else(|| {
            let reason = format!("all specs together have more than {MAX_PARTS} devices and edits");
            Unusable::LeftOut(reason)
        })?;
        check(&spec)?;
        Ok(spec)
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Spec, String> {
    let value = if path.extension() == Some(OsStr::new("json")) {
        serde_json::from_slice(bytes).map_err(|err| err.to_string())?
    } else {
        let text = str::from_utf8(bytes).map_err(|err| err.to_string())?;
        yaml::parse(text)?
    };
    // One source for both, since each costs the program a reader of its own.
    serde_json::from_value(value).map_err(|err| err.to_string())
}
