//! The hooks.d directories of podman and CRI-O. Format: oci-hooks(5).

mod document;
pub mod nvidia_runtime_hook;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::host::allowance::{Allowance, Unusable};
use crate::host::program::is_program;
use crate::rootfs::Root;

/// The directories that engines read; a file overrides one of the same name in an earlier directory.
pub const DIRECTORIES: [&str; 2] = [
    "/usr/share/containers/oci/hooks.d",
    "/etc/containers/oci/hooks.d",
];
/// The maximum size of one file, and of all files together.
const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: u64 = 8 << 20;
/// The version of the format.
const VERSION: &str = "1.0.0";

/// A file in one of the directories.
#[derive(Debug)]
pub struct HookFile {
    /// The path.
    pub path: PathBuf,
    /// The program that it runs, or why engines reject the file; with a rejected file they start no container.
    pub program: Result<PathBuf, Unusable>,
    /// The program's fault, if it has one; engines accept the file nevertheless.
    pub fault: Option<Fault>,
}

impl HookFile {
    /// Returns the reason for which the file or its program does not work, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let refusal = self.program.as_ref().err().map(Unusable::to_string);
        refusal.or_else(|| self.fault.as_ref().map(Fault::to_string))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(reason) | Self::Unusable(reason)) = self;
        f.write_str(reason)
    }
}

/// Why a hook's program cannot run.
#[derive(Debug)]
pub enum Fault {
    /// The program does not exist: engines leave the hook out.
    Missing(String),
    /// The program is not executable: containers that need the hook do not start.
    Unusable(String),
}

/// Reads all files below `root` that take effect.
#[must_use]
pub fn read_all(root: &Root) -> Vec<HookFile> {
    let mut paths: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    let mut files = Vec::new();
    for directory in DIRECTORIES.map(Path::new) {
        let entries = match root.directory(directory).map(|it| it.entries()) {
            Ok(Ok(entries)) => entries,
            Ok(Err(err)) => {
                files.push(HookFile {
                    path: directory.to_owned(),
                    program: Err(err.into()),
                    fault: None,
                });
                continue;
            }
            Err(_) => continue,
        };
        for entry in entries {
            if Path::new(&entry.name).extension() == Some(OsStr::new("json")) {
                let path = directory.join(&entry.name);
                paths.insert(entry.name, path);
            }
        }
    }
    let mut bytes = Allowance::new(MAX_FILES);
    files.extend(paths.into_values().filter_map(|path| {
        let bytes = match bytes.read(root, &path, MAX_FILE) {
            // Engines ignore a dangling link.
            Err(err) if err.kind() == ErrorKind::NotFound => return None,
            bytes => bytes,
        };
        let read = bytes.map_err(Unusable::from).and_then(|bytes| {
            let program = document::program(&bytes)?;
            let fault = fault(root, &program)?;
            Ok((program, fault))
        });
        let (program, fault) = match read {
            Ok((program, fault)) => (Ok(program), fault),
            Err(err) => (Err(err), None),
        };
        Some(HookFile {
            path,
            program,
            fault,
        })
    }));
    files
}

/// Returns the program's fault. Fails if engines could not find out whether the program exists.
fn fault(root: &Root, program: &Path) -> Result<Option<Fault>, String> {
    if !program.is_absolute() {
        let reason = "the path is not absolute".to_owned();
        return Ok(Some(Fault::Missing(reason)));
    }
    match root.stat(program) {
        Ok(_) => Ok(is_program(root, program).err().map(Fault::Unusable)),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(Some(Fault::Missing(err.to_string()))),
        Err(err) => Err(format!("{}: {err}", program.display())),
    }
}
