//! The names without a version under which NVIDIA's installer makes the driver's libraries known beside their SONAMEs.
//!
//! `create-symlinks` makes links of them; where no link can be made, the cache has entries of these names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How the name of the library begins of which every driver has one; its version follows.
const LIBCUDA: &[u8] = b"libcuda.so.";

/// Where the link of a name points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leads {
    /// To the SONAME, for programs that are linked with the driver.
    ToSoname,
    /// To the library's file.
    ToFile,
}

/// The name, the SONAME of the library, and what the name's link points to.
const NAMES: [(&str, &str, Leads); 12] = [
    ("libcuda.so", "libcuda.so.1", Leads::ToSoname),
    ("libnvcuvid.so", "libnvcuvid.so.1", Leads::ToSoname),
    (
        "libnvidia-allocator.so",
        "libnvidia-allocator.so.1",
        Leads::ToSoname,
    ),
    ("libnvidia-cfg.so", "libnvidia-cfg.so.1", Leads::ToSoname),
    (
        "libnvidia-encode.so",
        "libnvidia-encode.so.1",
        Leads::ToSoname,
    ),
    ("libnvidia-fbc.so", "libnvidia-fbc.so.1", Leads::ToSoname),
    ("libnvidia-ml.so", "libnvidia-ml.so.1", Leads::ToSoname),
    ("libnvidia-nvvm.so", "libnvidia-nvvm.so.4", Leads::ToSoname),
    (
        "libnvidia-opticalflow.so",
        "libnvidia-opticalflow.so.1",
        Leads::ToSoname,
    ),
    (
        "libnvidia-ptxjitcompiler.so",
        "libnvidia-ptxjitcompiler.so.1",
        Leads::ToSoname,
    ),
    (
        "libvdpau_nvidia.so",
        "libvdpau_nvidia.so.1",
        Leads::ToSoname,
    ),
    // Behind this one Mesa's GLX looks for a driver of any vendor.
    ("libGLX_indirect.so.0", "libGLX_nvidia.so.0", Leads::ToFile),
];

/// The names of the library with this SONAME.
pub fn of(soname: &OsStr) -> impl Iterator<Item = (&'static str, Leads)> {
    let is_its = move |(_, it, _): &&(_, &str, _)| soname == *it;
    NAMES
        .iter()
        .filter(is_its)
        .map(|(name, _, leads)| (*name, *leads))
}

/// The SONAME of the library that has this name.
#[must_use]
pub fn soname_of(name: &OsStr) -> Option<&'static str> {
    let entry = NAMES.iter().find(|(it, _, _)| name == *it);
    entry.map(|(_, soname, _)| *soname)
}

/// The version of the driver whose libraries lie in a directory with these files, as the name of libcuda's has it.
pub fn driver_version<'f>(files: impl IntoIterator<Item = &'f OsStr>) -> Option<&'f [u8]> {
    let names = files.into_iter().map(OsStr::as_bytes);
    let mut versions = names.filter_map(|name| name.strip_prefix(LIBCUDA));
    versions.find(|version| version.contains(&b'.'))
}
