//! The specs in the CDI directories, and the precedence among their devices.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::spec::Spec;
use super::{MAX_SPEC, check, parse};
use crate::host::allowance::{Allowance, Unusable};
use crate::rootfs::{FileId, Root, is_not_there};

/// The maximum size of all specs together.
const MAX_SPECS: u64 = 8 << 20;
/// The maximum number of devices and edits of all specs together; those for eight GPUs have 2,000.
const MAX_PARTS: usize = 1 << 16;

/// A file in one of the directories.
#[derive(Debug)]
pub struct SpecFile {
    /// The path.
    pub path: PathBuf,
    /// The permission bits; `None` if the path has no file.
    pub mode: Option<u32>,
    /// The spec, or why it cannot be used.
    pub spec: Result<Spec, Unusable>,
}

/// Reads all specs in directories below `root`, lowest precedence first: later directories take precedence. Skips missing
/// directories.
#[must_use]
pub fn read_all(root: &Root, directories: &[PathBuf]) -> Vec<SpecFile> {
    let mut seen: Vec<FileId> = Vec::new();
    let mut reader = Reader::new(root);
    let mut files = Vec::new();
    for path in directories {
        let names = root.directory(path).and_then(|directory| {
            let id = directory.id()?;
            // Both names may lead to one directory.
            if seen.contains(&id) {
                return Ok(Vec::new());
            }
            seen.push(id);
            directory.entries()
        });
        match names {
            Ok(mut names) => {
                names.retain(|entry| is_spec_name(&entry.name));
                names.sort_by(|a, b| a.name.cmp(&b.name));
                let paths = names.iter().map(|entry| path.join(&entry.name));
                files.extend(paths.map(|path| reader.read(path)));
            }
            Err(err) if is_not_there(&err) => {}
            Err(err) => files.push(SpecFile {
                path: path.clone(),
                mode: None,
                spec: Err(err.into()),
            }),
        }
    }
    files
}

/// Reads the specs in these files below `root`, whatever their names are.
#[must_use]
pub fn read_files(root: &Root, paths: &[PathBuf]) -> Vec<SpecFile> {
    let mut reader = Reader::new(root);
    paths.iter().map(|path| reader.read(path.clone())).collect()
}

/// Whether the CNCF's Go library reads a file of this name; for it, `.json` alone has an extension.
fn is_spec_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".yaml") || name.ends_with(b".json")
}

/// Reads specs within bounds.
struct Reader<'r> {
    root: &'r Root,
    bytes: Allowance,
    parts: usize,
}

impl<'r> Reader<'r> {
    fn new(root: &'r Root) -> Self {
        Self {
            root,
            bytes: Allowance::new(MAX_SPECS),
            parts: MAX_PARTS,
        }
    }

    fn read(&mut self, path: PathBuf) -> SpecFile {
        let stat = self.root.stat(&path);
        SpecFile {
            spec: self.spec(&path),
            mode: stat.map(|it| it.mode.bits()).ok(),
            path,
        }
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

/// The devices of all specs, and the files that define each.
pub struct Registry<'f> {
    /// The files by qualified name, lowest precedence first.
    devices: BTreeMap<String, Vec<&'f SpecFile>>,
}

impl<'f> Registry<'f> {
    /// Collects the devices of files in the order of [`read_all`]. Unusable files have none.
    #[must_use]
    pub fn of(files: &'f [SpecFile]) -> Self {
        let mut devices: BTreeMap<String, Vec<&SpecFile>> = BTreeMap::new();
        for file in files {
            for name in file.spec.iter().flat_map(Spec::qualified_names) {
                devices.entry(name).or_default().push(file);
            }
        }
        Self { devices }
    }

    /// Returns the qualified names of the devices that engines resolve, and the file that each comes from.
    pub fn devices(&self) -> impl Iterator<Item = (&str, &'f SpecFile)> {
        let winners = self.devices.iter();
        winners.filter_map(|(name, files)| Some((name.as_str(), winner(files)?)))
    }

    /// Returns the devices that several files define, grouped by set of files.
    #[must_use]
    pub fn shared(&self) -> Vec<Shared<'_>> {
        let mut sets: BTreeMap<Vec<&Path>, Shared<'_>> = BTreeMap::new();
        for (name, files) in self.devices.iter().filter(|(_, files)| files.len() > 1) {
            let paths = files.iter().map(|file| file.path.as_path()).collect();
            let names = Vec::new();
            let set = sets.entry(paths).or_insert(Shared { files, names });
            set.names.push(name);
        }
        sets.into_values().collect()
    }
}

/// Devices that the same files define.
pub struct Shared<'r> {
    /// The files, lowest precedence first.
    pub files: &'r [&'r SpecFile],
    /// The qualified names of the devices.
    pub names: Vec<&'r str>,
}

impl Shared<'_> {
    /// Returns the file that engines take the devices from; `None` if the devices conflict.
    #[must_use]
    pub fn winner(&self) -> Option<&SpecFile> {
        winner(self.files)
    }
}

/// Returns the file that takes precedence; `None` for a conflict: two files in one directory, even if a third one is in another.
fn winner<'f>(files: &[&'f SpecFile]) -> Option<&'f SpecFile> {
    let mut directories = BTreeSet::new();
    let mut parents = files.iter().map(|file| file.path.parent());
    let are_alone = parents.all(|parent| directories.insert(parent));
    are_alone.then(|| files.last().copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, devices: &[&str]) -> SpecFile {
        let device = |name: &&str| super::super::Device {
            name: (*name).to_owned(),
            ..Default::default()
        };
        let spec = Spec {
            kind: "v/c".to_owned(),
            devices: devices.iter().map(device).collect(),
            ..Spec::default()
        };
        SpecFile {
            path: path.into(),
            mode: None,
            spec: Ok(spec),
        }
    }

    /// The rules of the CNCF's Go library.
    #[test]
    fn a_later_directory_counts_and_two_files_in_one_take_a_device_away() {
        let files = [
            file("/a/1.yaml", &["one", "two", "three"]),
            file("/a/2.yaml", &["two", "three"]),
            file("/b/1.yaml", &["one", "three", "four"]),
        ];
        let registry = Registry::of(&files);
        let path = |file: &SpecFile| file.path.display().to_string();
        let devices: Vec<_> = registry
            .devices()
            .map(|(name, it)| (name, path(it)))
            .collect();
        assert_eq!(
            devices,
            [
                ("v/c=four", "/b/1.yaml".to_owned()),
                ("v/c=one", "/b/1.yaml".to_owned()),
            ]
        );
        let shared = registry.shared();
        let shared: Vec<_> = shared
            .iter()
            .map(|it| (it.files.len(), &it.names[..]))
            .collect();
        let expected: [(_, &[&str]); 3] =
            [(2, &["v/c=two"]), (3, &["v/c=three"]), (2, &["v/c=one"])];
        assert_eq!(shared, expected);
    }
}
