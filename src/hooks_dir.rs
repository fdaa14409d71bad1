//! Directories of OCI hooks for podman and CRI-O. Format: oci-hooks(5), version 1.0.0.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::rootfs::{Kind, Root};

/// Where engines look; a file in a later directory takes the place of one with the same name in an earlier.
pub const DIRECTORIES: [&str; 2] = [
    "/usr/share/containers/oci/hooks.d",
    "/etc/containers/oci/hooks.d",
];
/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;
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
    /// The program that it calls, or why engines do not take it: then they start no container at all.
    pub program: Result<PathBuf, String>,
}

#[derive(Deserialize)]
struct Document {
    version: String,
    hook: Hook,
    stages: Vec<String>,
}

#[derive(Deserialize)]
struct Hook {
    path: PathBuf,
}

/// All files that count below `root`.
#[must_use]
pub fn read_all(root: &Root) -> Vec<HookFile> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in DIRECTORIES.map(Path::new) {
        let entries = root.directory(directory).and_then(|it| it.entries());
        for entry in entries.unwrap_or_default() {
            if Path::new(&entry.name)
                .extension()
                .is_some_and(|it| it == "json")
            {
                paths.retain(|path| path.file_name() != Some(&entry.name));
                paths.push(directory.join(entry.name));
            }
        }
    }
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    paths
        .into_iter()
        .map(|path| HookFile {
            program: read(root, &path),
            path,
        })
        .collect()
}

fn read(root: &Root, path: &Path) -> Result<PathBuf, String> {
    let bytes = root.read(path, MAX_FILE).map_err(|err| err.to_string())?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|err| err.to_string())?;
    if document.version != VERSION {
        return Err(format!("version '{}' is not {VERSION}", document.version));
    }
    let is_unknown = |stage: &&String| !STAGES.contains(&stage.as_str());
    if let Some(stage) = document.stages.iter().find(is_unknown) {
        return Err(format!("stage '{stage}' is not known"));
    }
    let program = document.hook.path;
    if !program.is_absolute() {
        return Err(format!(
            "the hook's path '{}' is not absolute",
            program.display()
        ));
    }
    is_program(root, &program).map_err(|reason| format!("{}: {reason}", program.display()))?;
    Ok(program)
}

/// Refuses what cannot be executed.
pub fn is_program(root: &Root, path: &Path) -> Result<(), String> {
    let stat = root.stat(path).map_err(|err| err.to_string())?;
    match Kind::of(&stat) {
        Kind::File if stat.st_mode & 0o111 != 0 => Ok(()),
        Kind::File => Err("nobody may execute it".to_owned()),
        _ => Err("it is no file".to_owned()),
    }
}
