//! The state of the driver on which a spec depends. It is polled, so reading it takes few calls.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Driver;
use super::device::PROC_DEVICES;
use super::files::{MPS, SOCKETS};
use super::gpu::GPUS;
use super::kernel::VERSION;
use super::node::CAPABILITIES;
use crate::rootfs::{Directory, FileVersion, Kind, Root};

/// The kernel's descriptions of the driver. Jetson has no version file below /proc.
const TEXTS: [&str; 3] = [PROC_DEVICES, VERSION, "/sys/module/nvidia/version"];
/// The directories of nodes.
const NODES: [&str; 6] = [
    DEV,
    "dev/dri",
    "dev/dri/by-path",
    "dev/infiniband",
    "dev/nvidia-caps",
    "dev/nvidia-caps-imex-channels",
];
const DEV: &str = "dev";
/// The prefixes of nodes in /dev itself.
const NAMES: [&str; 3] = ["nvidia", "gdrdrv", "dxg"];
/// Every installation of libraries ends by writing the cache, wherever they are.
const CACHE: &str = "etc/ld.so.cache";
const MAX_FILE: u64 = 1 << 20;

/// The driver's places and gaps from the last complete read.
#[derive(Default)]
pub struct Known {
    root: PathBuf,
    dev_root: PathBuf,
    libraries: Vec<PathBuf>,
    /// Whether the driver does not know all UUIDs yet. Before driver 580 reading them wakes suspended GPUs.
    lacks_uuids: bool,
}

/// A snapshot of the state.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// GPUs and MIG instances.
    pub devices: Vec<String>,
    /// The kernel's descriptions of the driver.
    texts: Vec<Vec<u8>>,
    /// The nodes.
    nodes: Vec<NodeState>,
    /// The directories with libraries, and the loader's cache.
    libraries: Vec<Option<FileVersion>>,
    /// The sockets of daemons, on the host and in the driver root: kind and owner.
    daemons: Vec<Option<(Kind, u32)>>,
}

/// The name, number, mode and group of a node.
type NodeState = (String, Option<(u64, u64)>, u32, u32);

impl Known {
    /// Extracts the places and gaps of `driver`.
    #[must_use]
    pub fn of(driver: &Driver) -> Self {
        let libraries = driver.libraries.directories.iter();
        Self {
            root: driver.root.clone(),
            dev_root: driver.dev_root.clone(),
            libraries: libraries.map(|it| driver.on_host(&it.path)).collect(),
            lacks_uuids: driver
                .gpus
                .iter()
                .any(|it| it.uuid.is_none() && !it.excluded),
        }
    }
}

impl State {
    /// Reads the host with this root. Unreadable files count as missing.
    #[must_use]
    pub fn read(host: &Root, known: &Known) -> Self {
        let gpus = names(host, Path::new(GPUS), "");
        let mut devices = gpus.clone();
        for gpu in names(host, Path::new(CAPABILITIES), "gpu") {
            let mig = Path::new(CAPABILITIES).join(&gpu).join("mig");
            for gpu_instance in names(host, &mig, "gi") {
                let instances = names(host, &mig.join(&gpu_instance), "ci").into_iter();
                devices.extend(instances.map(|it| format!("{gpu}/{gpu_instance}/{it}")));
            }
        }
        let mut files = TEXTS.map(PathBuf::from).to_vec();
        if known.lacks_uuids {
            let information = gpus
                .iter()
                .map(|it| Path::new(GPUS).join(it).join("information"));
            files.extend(information);
        }
        let texts = files
            .iter()
            .map(|it| host.read(it, MAX_FILE).unwrap_or_default());
        let nodes = NODES.iter().flat_map(|it| nodes(host, &known.dev_root, it));
        let cache = known.root.join(CACHE);
        let libraries = known.libraries.iter().chain([&cache]);
        let daemons = SOCKETS
            .iter()
            .chain([&MPS])
            .map(|it| it.trim_start_matches('/'));
        let daemons = daemons.flat_map(|it| [PathBuf::from(it), known.root.join(it)]);
        Self {
            devices,
            texts: texts.collect(),
            nodes: nodes.collect(),
            libraries: libraries
                .map(|it| Some(host.stat(it).ok()?.version()))
                .collect(),
            daemons: daemons
                .map(|it| host.stat(&it).ok().map(|it| (it.kind, it.owner)))
                .collect(),
        }
    }
}

fn nodes(host: &Root, dev_root: &Path, directory: &str) -> Vec<NodeState> {
    let path = dev_root.join(directory);
    let Ok(opened) = host.directory(&path) else {
        return Vec::new();
    };
    let mut names = sorted(&opened);
    if directory == DEV {
        names.retain(|name| NAMES.iter().any(|it| name.starts_with(it)));
    }
    let node = |name: String| {
        let found = opened.stat(OsStr::new(&name)).ok()?;
        Some((name, found.device_number, found.mode.bits(), found.group))
    };
    names.into_iter().filter_map(node).collect()
}

/// Returns the names in a directory that begin with `start`, sorted.
fn names(host: &Root, directory: &Path, start: &str) -> Vec<String> {
    let mut names = host
        .directory(directory)
        .map_or_else(|_| Vec::new(), |it| sorted(&it));
    names.retain(|name| name.starts_with(start));
    names
}

fn sorted(directory: &Directory) -> Vec<String> {
    let entries = directory.entries().unwrap_or_default().into_iter();
    let mut names: Vec<_> = entries
        .filter_map(|it| it.name.into_string().ok())
        .collect();
    names.sort_unstable();
    names
}
