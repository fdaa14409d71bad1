//! Directories of OCI hooks for podman and CRI-O. Format: oci-hooks(5), version 1.0.0.

pub mod nvidia_runtime_hook;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Hook;
use serde::Deserialize;

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
const VERSION: &str = "1.0.0";
const STAGES: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A file in one of the directories.
#[derive(Debug)]
pub struct HookFile {
    /// Its path.
    pub path: PathBuf,
    /// The program that it calls, or why it is of no use: if engines do not take it, they start no container at all.
    pub program: Result<PathBuf, Unusable>,
}

#[derive(Deserialize)]
struct Document {
    version: String,
    hook: Hook,
    stages: Vec<String>,
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
    files.extend(paths.into_values().map(|path| HookFile {
        program: read(root, &path, &mut bytes),
        path,
    }));
    files
}

fn read(root: &Root, path: &Path, bytes: &mut Allowance) -> Result<PathBuf, Unusable> {
    let bytes = bytes.read(root, path, MAX_FILE)?;
    Ok(program(root, &bytes)?)
}

fn program(root: &Root, bytes: &[u8]) -> Result<PathBuf, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|err| err.to_string())?;
    if document.version != VERSION {
        return Err(format!("version '{}' is not {VERSION}", document.version));
    }
    let is_unknown = |stage: &&String| !STAGES.contains(&stage.as_str());
    if let Some(stage) = document.stages.iter().find(is_unknown) {
        return Err(format!("stage '{stage}' is not known"));
    }
    let program = document.hook.path();
    if !program.is_absolute() {
        return Err(format!(
            "the hook's path '{}' is not absolute",
            program.display()
        ));
    }
    is_program(root, program).map_err(|reason| format!("{}: {reason}", program.display()))?;
    Ok(program.clone())
}
