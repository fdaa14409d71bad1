//! What changes when a spec has to be written anew: read often, so with few calls.

use std::path::{Path, PathBuf};

use super::Driver;
use crate::rootfs::{FileVersion, Root};

const GPUS: &str = "/proc/driver/nvidia/gpus";
const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";
const DEVICES: &str = "/proc/devices";
const VERSIONS: [&str; 2] = ["/proc/driver/nvidia/version", "/sys/module/nvidia/version"];
/// Directories of nodes.
const NODES: [&str; 5] = [
    "dev",
    "dev/dri",
    "dev/dri/by-path",
    "dev/nvidia-caps",
    "dev/nvidia-caps-imex-channels",
];
const MAX_FILE: u64 = 1 << 20;

/// What is known of the driver from the last look.
#[derive(Default)]
pub struct Known {
    dev_root: PathBuf,
    libraries: Vec<PathBuf>,
    /// Whether the driver has still to learn UUIDs. Until driver 580 reading them wakes GPUs that are asleep.
    lacks_uuids: bool,
}

/// All of it at one time.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// GPUs, and their parts.
    pub devices: Vec<String>,
    /// What the kernel says of the driver.
    texts: Vec<Vec<u8>>,
    /// The names of nodes.
    nodes: Vec<String>,
    /// The directories with libraries.
    libraries: Vec<Option<FileVersion>>,
}

impl Known {
    /// What is known now.
    #[must_use]
    pub fn of(driver: &Driver) -> Self {
        let libraries = driver.libraries.directories.iter();
        Self {
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
    /// Looks at the host with this root. What cannot be read counts as missing.
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
        let mut files = vec![PathBuf::from(DEVICES)];
        files.extend(VERSIONS.map(PathBuf::from));
        if known.lacks_uuids {
            let information = gpus
                .iter()
                .map(|it| Path::new(GPUS).join(it).join("information"));
            files.extend(information);
        }
        let texts = files
            .iter()
            .map(|it| host.read(it, MAX_FILE).unwrap_or_default());
        let nodes = NODES.iter().flat_map(|it| {
            let directory = known.dev_root.join(it);
            let start = if *it == "dev" { "nvidia" } else { "" };
            names(host, &directory, start)
        });
        let libraries = known.libraries.iter();
        Self {
            devices,
            texts: texts.collect(),
            nodes: nodes.collect(),
            libraries: libraries
                .map(|it| Some(host.stat(it).ok()?.version()))
                .collect(),
        }
    }
}

/// The names in a directory that begin so, sorted.
fn names(host: &Root, directory: &Path, start: &str) -> Vec<String> {
    let entries = host.directory(directory).and_then(|it| it.entries());
    let names = entries.unwrap_or_default().into_iter();
    let mut names: Vec<_> = names.filter_map(|it| it.name.into_string().ok()).collect();
    names.retain(|name| name.starts_with(start));
    names.sort_unstable();
    names
}
