//! Directories with driver libraries below a root: in a container, wherever the runtime mounted them, or on the host.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::ldcache::{self, SearchPath, driver_names, is_failure};
use crate::rootfs::{Directory, FileId, Kind, Root};

/// The usual places of driver libraries besides the loader's own directories: those of Kubernetes device plugins, distributions,
/// WSL, Jetson, and CDI specs that keep the host's paths.
const USUAL_PLACES: [&str; 13] = [
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/tegra",
    "/usr/lib/wsl/lib",
    "/opt/nvidia/lib64",
    "/run/opengl-driver/lib",
    "/usr/local/glibc/usr/lib",
    "/home/kubernetes/bin/nvidia/lib64",
    "/var/lib/nvidia/lib64",
];

/// The subdirectory in which distributions keep one driver, or several in subdirectories.
const VENDOR: &str = "nvidia";
/// The maximum number of drivers to read from such a directory.
const MAX_DRIVERS: usize = 16;

/// The last component of the directories of CUDA's compatibility packages, `/usr/local/cuda-X.Y/compat`: their libcuda is not
/// part of a driver.
const COMPAT: &str = "compat";

/// A directory with libraries of a driver.
pub(crate) struct DriverDirectory {
    /// The path in the container.
    pub(crate) path: PathBuf,
    /// The open directory.
    pub(crate) directory: Directory,
    /// The driver's version, from the suffix of the libraries' names; the newest one if there are several.
    pub(crate) version: OsString,
}

impl DriverDirectory {
    /// Returns the regular files that belong to the driver: `lib*.so.VERSION`.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = OsString> {
        let suffix = [b".so.", self.version.as_bytes()].concat();
        let entries = self.directory.entries().inspect_err(|err| {
            let path = self.path.display();
            log::warn!("{path}: cannot list its libraries: {err}");
        });
        entries
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.kind == Kind::File)
            .map(|entry| entry.name)
            .filter(move |name| {
                name.as_bytes().starts_with(b"lib") && name.as_bytes().ends_with(&suffix)
            })
    }
}

/// Finds the directories with driver libraries: `places`, those of the search path and of the cache, and the usual ones.
pub(crate) fn find(
    root: &Root,
    places: &[PathBuf],
    search_path: &SearchPath<'_>,
) -> Vec<DriverDirectory> {
    let cached = ldcache::cached_directories(root, driver_names::is_witness);
    let searched = search_path.directories().map(Path::to_owned);
    let mut seen: Vec<FileId> = Vec::new();
    let mut found = Vec::new();
    let usual = USUAL_PLACES
        .iter()
        .flat_map(|place| with_vendors(root, Path::new(place)));
    let named = places.iter().cloned();
    for path in named.chain(searched).chain(cached).chain(usual) {
        if path.ends_with(COMPAT) {
            continue;
        }
        match open_driver_directory(root, &path, &mut seen) {
            Ok(None) => {}
            Ok(Some((directory, version))) => found.push(DriverDirectory {
                path,
                directory,
                version,
            }),
            Err(err) if is_failure(&err) || err.kind() == io::ErrorKind::FileTooLarge => {
                log::warn!("{}: not searched: {err}", path.display());
            }
            Err(err) => log::debug!("{}: skipped: {err}", path.display()),
        }
    }
    found
}

/// Returns a usual place, the vendor's subdirectory and that one's subdirectories: `nvidia/current`, `nvidia/tesla-470`, …
fn with_vendors(root: &Root, place: &Path) -> Vec<PathBuf> {
    let vendor = place.join(VENDOR);
    let entries = root.directory(&vendor).and_then(|it| it.entries());
    let mut names: Vec<_> = entries
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| matches!(entry.kind, Kind::Directory | Kind::Link))
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names.truncate(MAX_DRIVERS);
    let drivers = names.iter().map(|name| vendor.join(name));
    [place.to_owned(), vendor.clone()]
        .into_iter()
        .chain(drivers)
        .collect()
}

/// Opens a directory unless it was seen before or has no driver libraries; returns it with the driver's version.
fn open_driver_directory(
    root: &Root,
    path: &Path,
    seen: &mut Vec<FileId>,
) -> io::Result<Option<(Directory, OsString)>> {
    let directory = root.directory(path)?;
    let id = directory.id()?;
    if seen.contains(&id) {
        return Ok(None);
    }
    seen.push(id);
    Ok(driver_version(&directory)?.map(|version| (directory, version)))
}

fn driver_version(directory: &Directory) -> io::Result<Option<OsString>> {
    let entries = directory.entries()?;
    let files = entries.iter().filter(|entry| entry.kind == Kind::File);
    let version = driver_names::driver_version(files.map(|file| file.name.as_os_str()));
    Ok(version.map(OsStr::to_owned))
}
