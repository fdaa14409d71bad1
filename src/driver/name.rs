//! Names of the driver's files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cuda::is_driver_version;

/// The prefixes of the driver's libraries.
const NAMES: [&str; 10] = [
    "libcuda.so",
    "libcudadebugger.so",
    "libnvidia-",
    "libnvcuvid.so",
    "libnvoptix.so",
    "libGLX_nvidia.so",
    "libEGL_nvidia.so",
    "libGLESv1_CM_nvidia.so",
    "libGLESv2_nvidia.so",
    "libvdpau_nvidia.so",
];

/// Whether the file has the name of a driver library.
pub(super) fn is_driver_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    NAMES.iter().any(|start| name.starts_with(start.as_bytes()))
}

/// Whether a spec and its hooks can name the directory: colons separate directories in lists, and `#` begins a comment in
/// `ld.so.conf`.
#[must_use]
pub fn can_be_told(directory: &Path) -> bool {
    let is_plain = |text: &str| !text.contains(|c: char| c.is_control() || ":#".contains(c));
    directory.to_str().is_some_and(is_plain)
}

/// Returns the driver's version at the end of a file name. Versions that begin with 1 are the library's own: `libcuda.so.1.1` on
/// Jetson and WSL.
#[must_use]
pub fn driver_version(name: &OsStr) -> Option<String> {
    version(name).filter(|version| !version.starts_with("1."))
}

/// Returns the version at the end of a file name.
#[must_use]
pub fn version(name: &OsStr) -> Option<String> {
    let (_, version) = name.to_str()?.split_once(".so.")?;
    is_driver_version(version.as_bytes()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_drivers() {
        for (name, own, driver) in [
            ("libcuda.so.575.57.08", Some("575.57.08"), Some("575.57.08")),
            ("libnvidia-glcore.so.32.7.4", Some("32.7.4"), Some("32.7.4")),
            ("libcuda.so.1.1", Some("1.1"), None),
            ("libnvidia-egl-gbm.so.1.1.2", Some("1.1.2"), None),
            ("libcuda.so.1", None, None),
            ("libcuda.so", None, None),
        ] {
            let name = OsStr::new(name);
            assert_eq!(version(name).as_deref(), own, "{name:?}");
            assert_eq!(driver_version(name).as_deref(), driver, "{name:?}");
        }
    }
}
