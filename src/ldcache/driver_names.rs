//! The unversioned names that NVIDIA's installer gives the driver's libraries besides their SONAMEs.
//!
//! `create-symlinks` creates them as links; where that is impossible, the cache has entries for them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use memchr::memmem;

use super::order::compare_names;
use crate::cuda::is_driver_version;

/// The prefixes of libraries that every driver contains; the version follows.
const WITNESSES: [&str; 2] = ["libcuda.so.", "libnvidia-ml.so."];

/// The target of a name's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PointsTo {
    /// The SONAME, for programs that are linked with the driver.
    Soname,
    /// The library's file.
    File,
}

/// The name, the library's SONAME, and the target of the name's link.
const NAMES: [(&str, &str, PointsTo); 12] = [
    ("libcuda.so", "libcuda.so.1", PointsTo::Soname),
    ("libnvcuvid.so", "libnvcuvid.so.1", PointsTo::Soname),
    (
        "libnvidia-allocator.so",
        "libnvidia-allocator.so.1",
        PointsTo::Soname,
    ),
    ("libnvidia-cfg.so", "libnvidia-cfg.so.1", PointsTo::Soname),
    (
        "libnvidia-encode.so",
        "libnvidia-encode.so.1",
        PointsTo::Soname,
    ),
    ("libnvidia-fbc.so", "libnvidia-fbc.so.1", PointsTo::Soname),
    ("libnvidia-ml.so", "libnvidia-ml.so.1", PointsTo::Soname),
    ("libnvidia-nvvm.so", "libnvidia-nvvm.so.4", PointsTo::Soname),
    (
        "libnvidia-opticalflow.so",
        "libnvidia-opticalflow.so.1",
        PointsTo::Soname,
    ),
    (
        "libnvidia-ptxjitcompiler.so",
        "libnvidia-ptxjitcompiler.so.1",
        PointsTo::Soname,
    ),
    (
        "libvdpau_nvidia.so",
        "libvdpau_nvidia.so.1",
        PointsTo::Soname,
    ),
    // By this name Mesa's GLX finds a driver of any vendor.
    ("libGLX_indirect.so.0", "libGLX_nvidia.so.0", PointsTo::File),
];

/// Returns the names of the library with this SONAME.
pub fn of(soname: &OsStr) -> impl Iterator<Item = (&'static str, PointsTo)> {
    let is_its = move |(_, it, _): &&(_, &str, _)| soname == *it;
    NAMES
        .iter()
        .filter(is_its)
        .map(|(name, _, points_to)| (*name, *points_to))
}

/// Returns the SONAME of the library with this name.
#[must_use]
pub fn soname_of(name: &OsStr) -> Option<&'static str> {
    let entry = NAMES.iter().find(|(it, _, _)| name == *it);
    entry.map(|(_, soname, _)| *soname)
}

/// Whether the name can belong to a library that every driver contains.
#[must_use]
pub fn is_witness(name: &OsStr) -> bool {
    witness_suffix(name).is_some()
}

/// Returns the driver's version from the file names of a directory; the newest one if there are several.
pub fn driver_version<'f>(files: impl IntoIterator<Item = &'f OsStr>) -> Option<&'f OsStr> {
    let versions = files.into_iter().filter_map(witness_suffix);
    versions
        .filter(|version| is_driver_version(version))
        .max_by(|a, b| compare_names(a, b, false))
        .map(OsStr::from_bytes)
}

/// Returns the version at the end of a library's file name, the driver's or another one.
#[must_use]
pub fn version_of(file: &OsStr) -> Option<&OsStr> {
    const BEFORE: &[u8] = b".so.";
    let start = memmem::rfind(file.as_bytes(), BEFORE)? + BEFORE.len();
    let version = file.as_bytes().get(start..)?;
    is_driver_version(version).then(|| OsStr::from_bytes(version))
}

fn witness_suffix(name: &OsStr) -> Option<&[u8]> {
    let mut starts = WITNESSES.iter().map(|start| start.as_bytes());
    starts.find_map(|start| name.as_bytes().strip_prefix(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_names() {
        for (files, version) in [
            ("libc.so.6.1 libcuda.so.575.57.08", Some("575.57.08")),
            ("libnvidia-ml.so.550.9 libcuda.so.550.10", Some("550.10")),
            ("libnvidia-ml.so.1.1", Some("1.1")),
            ("libcuda.so libcuda.so.1 libcuda.so.1. libcuda.so.5.x", None),
            ("libc.so.6.1", None),
        ] {
            let found = driver_version(files.split(' ').map(OsStr::new));
            assert_eq!(found, version.map(OsStr::new), "{files}");
        }
    }
}
