//! Files other than libraries and graphics: programs, firmware, sockets of daemons.

use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;

use super::{DriverFile, Places};
use crate::glob;
use crate::rootfs::Kind;

const PROGRAMS: [&str; 8] = [
    "nvidia-smi",
    "nvidia-debugdump",
    "nvidia-persistenced",
    "nvidia-cuda-mps-control",
    "nvidia-cuda-mps-server",
    "nvidia-imex",
    "nvidia-imex-ctl",
    "nvidia-xconfig",
];
/// The directories of programs on distributions; the last one is that of NixOS.
const PROGRAM_DIRECTORIES: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/bin",
    "/run/current-system/sw/bin",
];
/// The directories of programs in containers: every image has them in PATH.
const STANDARD: [&str; 2] = ["/usr/bin", "/usr/sbin"];
const EXECUTABLE: Mode = Mode::from_bits_truncate(0o111);

/// The kernel parameter for a firmware directory that precedes the usual ones.
const FIRMWARE_PATH: &str = "/sys/module/firmware_class/parameters/path";
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";
const FIRMWARE: &str = "/lib/firmware";
const GSP: &str = "gsp*.bin";

pub(in crate::driver) const SOCKETS: [&str; 2] = [
    "/run/nvidia-persistenced/socket",
    "/run/nvidia-fabricmanager/socket",
];
/// The directory of the Multi-Process Service's pipes.
pub(in crate::driver) const MPS: &str = "/tmp/nvidia-mps";
const ROOT: u32 = 0;

/// Returns the programs, each of them once.
pub(super) fn programs(places: &Places<'_>) -> Vec<DriverFile> {
    let mut directories = Vec::new();
    for prefix in places.prefixes() {
        if prefix != Path::new("/") {
            directories.extend(["bin", "sbin", "usr/bin", "usr/sbin"].map(|it| prefix.join(it)));
        }
    }
    directories.extend(PROGRAM_DIRECTORIES.map(PathBuf::from));
    let find = |name: &str| directories.iter().find_map(|it| program(places, it, name));
    PROGRAMS.into_iter().filter_map(find).collect()
}

fn program(places: &Places<'_>, directory: &Path, name: &str) -> Option<DriverFile> {
    let path = directory.join(name);
    let found = places.find(&path)?;
    if !found.metadata.mode.intersects(EXECUTABLE) {
        return None;
    }
    let standard = STANDARD.iter().find(|it| directory == Path::new(it));
    let inside = Path::new(standard.unwrap_or(&STANDARD[0])).join(name);
    places.existing(&found, inside, Kind::File)
}

/// Returns the firmware of the GPU System Processor.
pub(super) fn firmware(places: &Places<'_>) -> Vec<DriverFile> {
    let text = |path| places.host.text(path).map(|text| text.trim().to_owned());
    let mut directories = Vec::new();
    if let Some(path) = text(FIRMWARE_PATH).filter(|it| !it.is_empty()) {
        directories.push(places.tree.inside(Path::new(&path)));
    }
    let release = text(KERNEL_RELEASE).unwrap_or_default();
    let usual = ["updates", &release, ""].into_iter();
    directories.push(Path::new(FIRMWARE).join("updates").join(&release));
    directories.extend(usual.map(|it| Path::new(FIRMWARE).join(it)));
    let below = Path::new("nvidia").join(places.version);
    let mut found = Vec::<DriverFile>::new();
    for directory in directories.iter().map(|it| it.join(&below)) {
        let is_meant = |name: &str| glob::matches(GSP.as_ref(), name.as_ref());
        for name in places.tree.names(&directory, is_meant) {
            let inside = Path::new(FIRMWARE).join(&below).join(&name);
            // The kernel uses the first one.
            if !found.iter().any(|it| it.inside == inside) {
                found.extend(places.file(&directory.join(name), inside));
            }
        }
    }
    found
}

/// Returns the sockets and directories of daemons.
pub(super) fn ipc(places: &Places<'_>) -> Vec<DriverFile> {
    let sockets = SOCKETS.iter().filter_map(|path| {
        let path = Path::new(path);
        let in_root = places.find(path);
        let in_root = in_root.and_then(|found| places.existing(&found, path, Kind::Other));
        in_root.or_else(|| {
            // The host's daemon, for a driver with another root.
            let found = places.host.noted(path, places.host.find(path))?;
            (found.metadata.kind == Kind::Other).then(|| DriverFile {
                on_host: found.path,
                inside: path.into(),
            })
        })
    });
    sockets.chain(mps(places)).collect()
}

/// Returns the directory of the Multi-Process Service, unless a user other than root owns it.
fn mps(places: &Places<'_>) -> Option<DriverFile> {
    let path = Path::new(MPS);
    let folder = places.host.folder(path.parent()?).ok()?;
    let found = folder.directory.stat(path.file_name()?).ok()?;
    (found.kind == Kind::Directory && found.owner == ROOT).then(|| DriverFile {
        on_host: path.into(),
        inside: path.into(),
    })
}
