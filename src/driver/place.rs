//! The directories of a driver's libraries, in search order.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::name::{can_be_told, driver_version, is_driver_name};
use super::tree::Tree;
use super::windows;
use crate::ldcache::order::compare_names;
use crate::ldcache::{SearchPath, cached_directories};
use crate::rootfs::{Entry, Kind, is_not_there};

/// Library directories of distributions. Their subdirectory `nvidia` and that one's subdirectories count as well: Debian has
/// `nvidia/current` and `nvidia/tesla-470`, Bottlerocket `nvidia/tesla`.
pub const USUAL_LIBRARY_DIRECTORIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];
/// The directory of distributions that keep /lib64 separate from /usr.
const LIB64: &str = "/lib64";
const NVIDIA: &str = "nvidia";
/// The maximum number of directories below one of these.
const MAX_BELOW: usize = 64;

/// Directories of a single platform.
const OTHERS: [&str; 11] = [
    // NixOS, with links to the store
    "/run/opengl-driver/lib",
    // Talos, in different releases of its extensions
    "/usr/local/glibc/usr/lib",
    "/usr/local/glibc/usr/lib64",
    "/usr/local/glibc/lib",
    "/usr/local/lib",
    // Google's installers
    "/home/kubernetes/bin/nvidia/lib64",
    "/var/lib/nvidia/lib64",
    // Jetson
    "/usr/lib/aarch64-linux-gnu/tegra",
    "/usr/lib/aarch64-linux-gnu/tegra-egl",
    WSL,
    "/opt/nvidia/lib64",
];
/// The directory of WSL with the libraries that load those of the Windows driver.
const WSL: &str = "/usr/lib/wsl/lib";

/// The last component of the directories of CUDA's compatibility packages: their libcuda is not part of a driver.
const COMPAT: &str = "compat";
const LIBCUDA: &str = "libcuda.so.";

/// A directory with libraries of a driver.
#[derive(Debug)]
pub struct DriverDirectory {
    /// The path in the driver's root, without links.
    pub path: PathBuf,
    /// The directory that was searched: the same one, or one with links to its files.
    pub place: PathBuf,
    /// The driver's version, if a file name contains it.
    pub version: Option<String>,
    /// Whether it contains libcuda.
    pub has_libcuda: bool,
}

/// The directories of the driver's libraries on a host.
#[derive(Default, Debug)]
pub struct Libraries {
    /// The directories, each of them once, whether they are in the loader's cache or not.
    pub directories: Vec<DriverDirectory>,
    /// The driver's dangling links in them.
    pub dangling: Vec<PathBuf>,
}

/// Searches all places, or only the requested ones. In a directory with files of several drivers, those of the `wanted` version
/// count.
pub(super) fn find(tree: &Tree, wanted: Option<&str>, asked: &[PathBuf]) -> Libraries {
    let mut found = Libraries::default();
    let mut seen = BTreeSet::new();
    let places = match asked {
        [] => places(tree),
        asked => asked.iter().map(|path| tree.inside(path)).collect(),
    };
    let mut listed = BTreeSet::new();
    for place in places {
        // /lib and /usr/lib are often one directory.
        if let Some(folder) = tree.noted(&place, tree.folder(&place))
            && listed.insert(folder.path.clone())
        {
            found.add(tree, &place, wanted, &mut seen);
        }
    }
    let windows = windows::packages(tree).into_iter().next();
    if let Some((path, version)) = windows {
        for directory in &mut found.directories {
            if directory.path == Path::new(WSL) {
                directory.version.clone_from(&version);
            }
        }
        found.directories.push(DriverDirectory {
            place: path.clone(),
            path,
            version,
            has_libcuda: true,
        });
    }
    // Sort the relevant ones first.
    found.directories.sort_by_key(|it| {
        let is_wanted = wanted.is_none() || it.version.as_deref() == wanted;
        (!is_wanted, !it.has_libcuda)
    });
    found
}

fn places(tree: &Tree) -> Vec<PathBuf> {
    let cached = cached_directories(&tree.root, |name| is_driver_name(Path::new(name)));
    let searched = SearchPath::of(&tree.root);
    let searched = searched.directories().map(Path::to_owned);
    let usual = USUAL_LIBRARY_DIRECTORIES.iter().chain([&LIB64]);
    let usual = usual.flat_map(|path| below(tree, Path::new(path)));
    let others = OTHERS.iter().map(PathBuf::from);
    let mut places = Vec::new();
    for place in cached
        .into_iter()
        .chain(searched)
        .chain(usual)
        .chain(others)
    {
        if !place.ends_with(COMPAT) && !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Returns a library directory and its subdirectories for drivers.
fn below(tree: &Tree, path: &Path) -> Vec<PathBuf> {
    let nvidia = path.join(NVIDIA);
    let entries = tree.entries(&nvidia);
    let is_directory = |entry: &&Entry| matches!(entry.kind, Kind::Directory | Kind::Link);
    let directories = entries.iter().filter(is_directory);
    let mut inner: Vec<_> = directories.map(|it| nvidia.join(&it.name)).collect();
    inner.sort();
    inner.truncate(MAX_BELOW);
    [vec![path.to_owned(), nvidia], inner].concat()
}

impl Libraries {
    /// Whether there are libraries of this version.
    #[must_use]
    pub fn has_version(&self, version: &str) -> bool {
        let mut versions = self.directories.iter().map(|it| it.version.as_deref());
        versions.any(|it| it == Some(version))
    }

    /// Returns the version of the driver, from the directory of libcuda.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let mut directories = self.directories.iter().filter(|it| it.has_libcuda);
        directories.find_map(|it| it.version.as_deref())
    }

    fn add(
        &mut self,
        tree: &Tree,
        place: &Path,
        wanted: Option<&str>,
        seen: &mut BTreeSet<PathBuf>,
    ) {
        let entries = tree.entries(place);
        let names = entries.iter().map(|entry| Path::new(&entry.name));
        let names = names.filter(|name| is_driver_name(name));
        let (mut behind, mut dangling) = (BTreeSet::new(), Vec::new());
        for path in names.map(|name| place.join(name)) {
            match tree.find(&path) {
                Err(err) if is_not_there(&err) => dangling.push(path),
                found => behind.extend(
                    tree.noted(&path, found)
                        .and_then(|found| found.path.parent().map(Path::to_owned)),
                ),
            }
        }
        for path in &behind {
            if path.ends_with(COMPAT) || !seen.insert(path.clone()) {
                continue;
            }
            if let Some((version, has_libcuda)) = inspect(tree, path, wanted) {
                if !can_be_told(path) {
                    let reason = "left out: a spec cannot name such a directory";
                    tree.note(path, io::Error::other(reason));
                    continue;
                }
                self.directories.push(DriverDirectory {
                    place: place.to_owned(),
                    path: path.clone(),
                    version,
                    has_libcuda,
                });
            }
        }
        if self.directories.iter().any(|it| behind.contains(&it.path)) {
            self.dangling.append(&mut dangling);
        }
    }
}

/// Returns the version of the driver whose files are in a directory, and whether libcuda is among them; `None` if there is no
/// driver's file.
fn inspect(tree: &Tree, path: &Path, wanted: Option<&str>) -> Option<(Option<String>, bool)> {
    let entries = tree.entries(path);
    let files = entries.iter().filter(|entry| entry.kind == Kind::File);
    let names: Vec<_> = files.map(|entry| entry.name.as_os_str()).collect();
    let versions = names.iter().filter(|name| is_driver_name(Path::new(name)));
    let versions: BTreeSet<_> = versions.filter_map(|name| driver_version(name)).collect();
    let has_libcuda = names
        .iter()
        .any(|name| name.to_string_lossy().starts_with(LIBCUDA));
    let newest = versions
        .iter()
        .max_by(|a, b| compare_names(a.as_bytes(), b.as_bytes(), false));
    let version = versions
        .iter()
        .find(|version| wanted == Some(version))
        .or(newest);
    (has_libcuda || version.is_some()).then(|| (version.cloned(), has_libcuda))
}
