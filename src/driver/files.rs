//! The driver's files for containers: their paths on the host and in the container.
//!
//! Paths are resolved in the driver's root, so that no link leaves it; only the sockets of daemons may be the host's. In
//! containers, configurations and programs have standard paths, wherever the host keeps them, and libraries keep their paths.

mod graphics;
mod libraries;
mod system;

use std::path::{Path, PathBuf};

use super::Driver;
use super::root::Asked;
use super::tree::{Found, Problem, Tree};
use crate::rootfs::Kind;

pub use libraries::Library;
pub(super) use system::{MPS, SOCKETS};

/// A file, directory or socket of the host that containers get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriverFile {
    /// The path on the host, without links below the driver's root.
    pub on_host: PathBuf,
    /// The path in the container.
    pub inside: PathBuf,
}

/// All files of the driver for containers.
#[derive(Default, Debug)]
pub struct Files {
    /// The directories with the libraries of this driver, as paths in the driver's root.
    pub directories: Vec<PathBuf>,
    /// The driver's libraries.
    pub libraries: Vec<Library>,
    /// Graphics libraries with versions of their own.
    pub graphics: Vec<Library>,
    /// Modules of the X server.
    pub xorg: Vec<DriverFile>,
    /// Configurations of graphics libraries.
    pub configs: Vec<DriverFile>,
    /// Programs.
    pub programs: Vec<DriverFile>,
    /// Firmware.
    pub firmware: Vec<DriverFile>,
    /// Sockets and directories of the driver's daemons.
    pub ipc: Vec<DriverFile>,
}

/// The places to search.
pub(super) struct Places<'t> {
    host: &'t Tree,
    tree: &'t Tree,
    version: &'t str,
    /// The directories of this driver, without links.
    directories: Vec<PathBuf>,
    /// These directories, and those with links to their files.
    all_directories: Vec<PathBuf>,
    config_paths: Vec<PathBuf>,
}

impl Driver {
    /// Finds the files of the driver of this version; with `explicit` also the libraries of glvnd and others that are not part of
    /// the driver. Also returns what could not be read.
    #[must_use]
    pub fn files(&self, asked: Asked<'_>, version: &str, explicit: bool) -> (Files, Vec<Problem>) {
        let tree = &self.tree;
        let of_version = self.libraries.directories.iter();
        let of_version = of_version.filter(|it| it.version.as_deref() == Some(version));
        let directories: Vec<_> = of_version.clone().map(|it| it.path.clone()).collect();
        let mut all_directories = directories.clone();
        for place in of_version.map(|it| &it.place) {
            if !all_directories.contains(place) {
                all_directories.push(place.clone());
            }
        }
        let places = Places {
            host: &self.host,
            tree,
            version,
            directories,
            all_directories,
            config_paths: asked
                .config_paths
                .iter()
                .map(|it| tree.inside(it))
                .collect(),
        };
        let libraries = libraries::of_driver(&places, explicit);
        let has_libraries = |directory: &PathBuf| {
            let mut directories = libraries.iter().map(Library::directory);
            directories.any(|it| it == directory)
        };
        let files = Files {
            graphics: graphics::libraries(&places),
            xorg: graphics::xorg(&places),
            configs: graphics::configs(&places),
            programs: system::programs(&places),
            firmware: system::firmware(&places),
            ipc: system::ipc(&places),
            // Directories of 32-bit libraries only are left out.
            directories: places
                .directories
                .into_iter()
                .filter(has_libraries)
                .collect(),
            libraries,
        };
        (files, tree.problems())
    }
}

impl Places<'_> {
    /// Returns the prefixes P such that the driver's library directories are `P/lib`, `P/usr/lib64` or the like; `/` for the
    /// usual ones.
    fn prefixes(&self) -> Vec<PathBuf> {
        let mut prefixes = Vec::new();
        for prefix in self.all_directories.iter().filter_map(|it| prefix(it)) {
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        prefixes
    }

    /// Returns the regular file at `path` of the driver's root, with the given path in the container.
    fn file(&self, path: &Path, inside: impl Into<PathBuf>) -> Option<DriverFile> {
        self.existing(&self.find(path)?, inside, Kind::File)
    }

    fn library(&self, found: &Found) -> Option<Library> {
        let folder = self.tree.folder(found.path.parent()?).ok()?;
        Library::read(&folder.directory, self.tree.path(), &found.path)
    }

    fn find(&self, path: &Path) -> Option<Found> {
        self.tree.noted(path, self.tree.find(path))
    }

    fn existing(
        &self,
        found: &Found,
        inside: impl Into<PathBuf>,
        kind: Kind,
    ) -> Option<DriverFile> {
        // A spec can only contain UTF-8.
        found.path.to_str()?;
        (found.metadata.kind == kind).then(|| DriverFile {
            on_host: self.tree.on_host(&found.path),
            inside: inside.into(),
        })
    }
}

fn prefix(directory: &Path) -> Option<PathBuf> {
    let mut ancestors = directory.ancestors();
    let libraries = ancestors.find(|it| it.ends_with("lib") || it.ends_with("lib64"))?;
    let prefix = libraries.parent()?;
    let prefix = if prefix.ends_with("usr") {
        prefix.parent()?
    } else {
        prefix
    };
    Some(prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_library_directories() {
        for (directory, expected) in [
            ("/usr/lib/x86_64-linux-gnu/nvidia/current", Some("/")),
            ("/usr/lib64", Some("/")),
            ("/lib64", Some("/")),
            ("/nix/store/x-nvidia/lib", Some("/nix/store/x-nvidia")),
            ("/usr/local/glibc/usr/lib", Some("/usr/local/glibc")),
            ("/var/lib/nvidia/lib64", Some("/var/lib/nvidia")),
            ("/opt/driver", None),
        ] {
            let found = prefix(Path::new(directory));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{directory}");
        }
    }
}
