//! The state of a host that `info` and `doctor` report, read once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cdi::{self, SpecFile};
use crate::driver::Driver;
use crate::driver::library::Cached;
use crate::driver::root::Asked;
use crate::engine::setup::{self, Setup};
use crate::hooks_dir::{self, HookFile};
use crate::rootfs::{Kind, Root};

/// The directories where this program and its links are installed.
const PROGRAM_DIRECTORIES: [&str; 4] = [
    "/usr/bin",
    "/usr/local/bin",
    "/usr/libexec",
    "/usr/local/libexec",
];

/// The state of a host.
pub struct Inventory {
    /// The root directory.
    pub root: Root,
    /// The NVIDIA driver.
    pub driver: Driver,
    /// The driver's libraries that the loader finds.
    pub cached: Cached,
    /// The number of NVIDIA display devices on the PCI bus, with or without a driver.
    pub pci_devices: usize,
    /// Container engines.
    pub engines: Vec<Setup>,
    /// CDI specs, in ascending order of precedence.
    pub specs: Vec<SpecFile>,
    /// OCI hooks in the hooks.d directories.
    pub hooks: Vec<HookFile>,
    /// `nvidia-ctk`, its hooks, and its other names.
    pub programs: Vec<Program>,
}

/// An installed name of this program or of the toolkit.
pub struct Program {
    /// The path.
    pub path: PathBuf,
    /// The target, if the path is a link.
    pub target: Option<PathBuf>,
    /// Whether the path leads to a regular file.
    pub exists: bool,
}

impl Inventory {
    /// Reads the host whose root directory is `root`, with the driver at the given or detected place. Fails if the root directory
    /// or the driver cannot be read.
    pub fn read(root: &Path, driver: Asked<'_>) -> Result<Self> {
        let root = Root::open(root)
            .with_context(|| format!("cannot open the root directory {}", root.display()))?;
        let mut engines = setup::read_all(&root);
        let specs = cdi::read_all(&root, &cdi::DIRECTORIES.map(PathBuf::from));
        if !specs.is_empty() {
            setup::search_programs(&root, &mut engines);
        }
        let mut driver = Driver::read(&root, driver)?;
        Ok(Self {
            cached: driver.cached(),
            pci_devices: driver.count_on_pci(),
            driver,
            engines,
            specs,
            hooks: hooks_dir::read_all(&root),
            programs: programs(&root),
            root,
        })
    }

    /// Reads only what a check of `specs` needs: the driver. Fails if the driver cannot be read.
    pub fn of_specs(root: Root, specs: Vec<SpecFile>, driver: Asked<'_>) -> Result<Self> {
        Ok(Self {
            driver: Driver::read(&root, driver)?,
            cached: Cached::default(),
            pci_devices: 0,
            engines: Vec::new(),
            specs,
            hooks: Vec::new(),
            programs: Vec::new(),
            root,
        })
    }
}

fn programs(root: &Root) -> Vec<Program> {
    let mut programs = Vec::new();
    for folder in PROGRAM_DIRECTORIES.map(Path::new) {
        let Ok(directory) = root.directory(folder) else {
            continue;
        };
        let mut entries = directory.entries().unwrap_or_default();
        entries.retain(|entry| is_ours(&entry.name.to_string_lossy()));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        programs.extend(entries.iter().map(|entry| {
            let path = folder.join(&entry.name);
            Program {
                target: directory.read_link(&entry.name).ok(),
                exists: root.stat(&path).is_ok_and(|there| there.kind == Kind::File),
                path,
            }
        }));
    }
    programs
}

fn is_ours(name: &str) -> bool {
    ["nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime"]
        .iter()
        .any(|ours| {
            name.strip_prefix(ours)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        })
}
