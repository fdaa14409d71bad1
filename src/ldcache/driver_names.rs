//! The names without a version under which NVIDIA's installer makes the driver's libraries known beside their SONAMEs.
//!
//! `create-symlinks` makes links of them; where no link can be made, the cache has entries of these names.

use std::ffi::OsStr;

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

/// Whether it is one of these names.
#[must_use]
pub fn is_known(name: &OsStr) -> bool {
    NAMES.iter().any(|(it, _, _)| name == *it)
}
