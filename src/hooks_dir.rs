//! Directories of OCI hooks for podman and CRI-O. Format: oci-hooks(5).

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

/// Where engines look; a file in a later directory takes the place of one with the same name in an earlier.
pub const DIRECTORIES: [&str; 2] = [
    "/usr/share/containers/oci/hooks.d",
    "/etc/containers/oci/hooks.d",
];
/// Largest file that is read, and most bytes of all of them together.
const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: u64 = 8 << 20;
/// The version of the format.
const VERSION: &str = "1.0.0";

/// A file in one of the directories.
#[derive(Debug)]
pub struct HookFile {
    /// Its path.
    pub path: PathBuf,
    /// The program that it calls, or why it is of no use: if engines do not take it, they start no container at all.
    pub program: Result<PathBuf, Unusable>,
    /// What is wrong with the program, if so: engines take the file.
    pub fault: Option<Fault>,
}

impl HookFile {
    /// What is wrong with it, if so.
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

/// Why a hook's program cannot be called.
#[derive(Debug)]
pub enum Fault {
    /// It is not there: engines leave the hook out.
    Missing(String),
    /// It cannot be run: a container for which it is called does not start.
    Unusable(String),
}

/// All files that count below `root`.
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
            // A link that dangles: engines pass over it.
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

/// Refuses a program of which engines cannot know whether it is there.
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
