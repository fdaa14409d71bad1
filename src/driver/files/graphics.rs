//! Graphics files: libraries with versions of their own, modules of the X server, configurations.

use std::path::{Path, PathBuf};

use super::libraries::{self, Library};
use super::{DriverFile, Places};
use crate::driver::place::USUAL_LIBRARY_DIRECTORIES;
use crate::rootfs::Kind;

/// EGL platform libraries, each of which has a version of its own.
const LIBRARIES: [&str; 5] = [
    "libnvidia-egl-gbm.so.",
    "libnvidia-egl-wayland.so.",
    "libnvidia-egl-wayland2.so.",
    "libnvidia-egl-xcb.so.",
    "libnvidia-egl-xlib.so.",
];
/// The directories of X server modules below a library directory; then the directories that contain them elsewhere.
const XORG_BELOW: [&str; 5] = [
    "nvidia/xorg",
    "xorg/modules/drivers",
    "xorg/modules/extensions",
    "xorg/modules/updates/drivers",
    "xorg/modules/updates/extensions",
];
const XORG: [&str; 6] = [
    "/usr/lib/xorg",
    "/usr/lib64/xorg",
    "/usr/X11R6/lib",
    "/usr/X11R6/lib64",
    "/usr/lib/nvidia",
    "/usr/lib64/nvidia",
];
/// Subdirectories of those: Debian's `nvidia/current` contains both modules.
const XORG_MODULES: [&str; 6] = [
    "modules/drivers",
    "modules/extensions",
    "modules/updates/drivers",
    "modules/updates/extensions",
    "current",
    "xorg",
];
/// Configurations, and their parent directory in containers.
const CONFIGS: [(&str, &str); 17] = [
    ("glvnd/egl_vendor.d/10_nvidia.json", "/usr/share"),
    (
        "egl/egl_external_platform.d/15_nvidia_gbm.json",
        "/usr/share",
    ),
    (
        "egl/egl_external_platform.d/10_nvidia_wayland.json",
        "/usr/share",
    ),
    (
        "egl/egl_external_platform.d/09_nvidia_wayland2.json",
        "/usr/share",
    ),
    (
        "egl/egl_external_platform.d/20_nvidia_xcb.json",
        "/usr/share",
    ),
    (
        "egl/egl_external_platform.d/20_nvidia_xlib.json",
        "/usr/share",
    ),
    ("nvidia/nvoptix.bin", "/usr/share"),
    ("X11/xorg.conf.d/10-nvidia.conf", "/usr/share"),
    ("X11/xorg.conf.d/nvidia-drm-outputclass.conf", "/usr/share"),
    ("OpenCL/vendors/nvidia.icd", "/etc"),
    ("vulkan/icd.d/nvidia_icd.json", "/etc"),
    ("vulkan/icd.d/nvidia_icd.x86_64.json", "/etc"),
    ("vulkan/icd.d/nvidia_icd.aarch64.json", "/etc"),
    ("vulkan/icd.d/nvidia_layers.json", "/etc"),
    ("vulkan/implicit_layer.d/nvidia_layers.json", "/etc"),
    ("vulkansc/icd.d/nvidia_icd_vksc.json", "/etc"),
    ("vulkansc/icd.d/nvidia_icd.json", "/etc"),
];

/// Returns each library from the first directory that has it.
pub(super) fn libraries(places: &Places<'_>) -> Vec<Library> {
    let usual = USUAL_LIBRARY_DIRECTORIES.map(PathBuf::from);
    let mut found = Vec::new();
    for start in LIBRARIES {
        let is_meant = |name: &str| {
            let version = name.strip_prefix(start);
            version.is_some_and(|version| version.contains('.'))
        };
        let before = found.len();
        for directory in places.all_directories.iter().chain(&usual) {
            libraries::add(places, directory, is_meant, |_| true, &mut found);
            if found.len() > before {
                break;
            }
        }
    }
    found
}

/// Returns the X server's driver and its GLX module.
pub(super) fn xorg(places: &Places<'_>) -> Vec<DriverFile> {
    let below = places.directories.iter();
    let below = below.flat_map(|it| XORG_BELOW.map(|below| it.join(below)));
    let usual = XORG.iter();
    let usual = usual.flat_map(|it| XORG_MODULES.map(|modules| Path::new(it).join(modules)));
    let directories: Vec<_> = below.chain(usual).collect();
    let glx = format!("libglxserver_nvidia.so.{}", places.version);
    let find = |name: &str| {
        let mut files = directories.iter().map(|it| it.join(name));
        files.find_map(|path| {
            let found = places.find(&path)?;
            let inside = found.path.clone();
            places.existing(&found, inside, Kind::File)
        })
    };
    ["nvidia_drv.so", &glx]
        .into_iter()
        .filter_map(find)
        .collect()
}

/// Returns the configurations.
pub(super) fn configs(places: &Places<'_>) -> Vec<DriverFile> {
    let mut directories = places.config_paths.clone();
    if directories.is_empty() {
        for prefix in places.prefixes() {
            directories.extend(["etc", "share", "usr/share"].map(|it| prefix.join(it)));
            // Google's installer puts vulkan/icd.d there.
            directories.push(prefix);
        }
        directories.extend(["/etc", "/usr/local/share", "/usr/share"].map(PathBuf::from));
    }
    let config = |(name, inside): &(&str, &str)| {
        let mut paths = directories.iter().map(|it| it.join(name));
        paths.find_map(|path| places.file(&path, Path::new(inside).join(name)))
    };
    // Debian keeps the data of OptiX beside the libraries.
    CONFIGS
        .iter()
        .filter_map(config)
        .chain(optix(places))
        .collect()
}

/// Returns the data of `OptiX` in a library directory, unless it is at the usual path.
fn optix(places: &Places<'_>) -> Option<DriverFile> {
    let inside = Path::new("/usr/share/nvidia/nvoptix.bin");
    if places.tree.find(inside).is_ok() {
        return None;
    }
    let mut directories = places.directories.iter();
    directories.find_map(|it| places.file(&it.join("nvoptix.bin"), inside))
}
