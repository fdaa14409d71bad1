//! The NVIDIA driver of a host: kernel modules, GPUs, device nodes, libraries.
//!
//! Everything is read below a root, from `/proc`, `/sys`, `/dev` and the names of files: no library of the driver is loaded. The
//! driver's root may differ from the host's, and so may the root whose `/dev` has the nodes; `/proc` and `/sys` are always the
//! host's. Files that cannot be read are recorded as problems.

pub mod dev;
pub mod device;
pub(crate) mod directories;
pub mod files;
pub mod gpu;
pub mod kernel;
pub mod library;
pub mod mig;
pub mod name;
pub mod node;
pub mod place;
pub mod platform;
pub mod root;
pub mod smi;
pub mod state;
mod tree;
mod windows;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::rootfs::Root;
use device::{DriverNode, Majors};
use gpu::Gpu;
use kernel::{KernelModule, Module};
use library::Cached;
use mig::MigInstance;
use place::Libraries;
use platform::{Kind, Platform};
use root::{Asked, OPERATOR};
use tree::{Problems, Tree};

pub use tree::Problem;

/// The driver of a host.
pub struct Driver {
    /// The kind of host.
    pub platform: Platform,
    /// The driver's root directory, as a path on the host.
    pub root: PathBuf,
    /// The directory whose `dev` has the nodes.
    pub dev_root: PathBuf,
    /// The kernel module, if it is loaded.
    pub kernel: Option<KernelModule>,
    /// The loaded modules of the driver.
    pub modules: Vec<Module>,
    /// The GPUs that the kernel module drives, sorted by PCI address.
    pub gpus: Vec<Gpu>,
    /// The MIG instances.
    pub mig: Vec<MigInstance>,
    /// The major numbers of the driver's devices.
    pub majors: Majors,
    /// The device nodes in /dev.
    pub nodes: Vec<DriverNode>,
    /// The libraries, with paths in the driver's root.
    pub libraries: Libraries,
    /// The files and directories that could not be read.
    pub problems: Vec<Problem>,
    host: Tree,
    tree: Tree,
}

impl Driver {
    /// Reads the driver of the host with this root. Fails if a requested root cannot be opened.
    pub fn read(host: &Root, asked: Asked<'_>) -> Result<Self> {
        let problems = Problems::default();
        let own = Tree::open(host, Path::new("/"), &problems)?;
        let kernel = kernel::read(&own);
        let majors = Majors::read(&own);
        let version = kernel.as_ref().map(|it| it.version.as_str());
        let (tree, libraries) = root::find(host, asked, version, &problems)?;
        let dev = root::find_dev(host, &tree, asked, &problems)?;
        let mut platform = Platform::read(&own);
        if tree.path() == Path::new(OPERATOR) {
            platform.kind = Kind::GpuOperator;
        }
        Ok(Self {
            platform,
            root: tree.path().to_owned(),
            dev_root: dev.path().to_owned(),
            kernel,
            modules: kernel::modules(&own),
            gpus: gpu::read(&own),
            mig: mig::read(&own),
            nodes: device::nodes(&dev, &majors),
            majors,
            libraries,
            problems: problems.take(),
            host: own,
            tree,
        })
    }

    /// Returns the libraries that the host's loader finds, which a spec does not need. Adds unreadable files to the problems.
    pub fn cached(&mut self) -> Cached {
        let mut cached = Cached::read(&self.tree);
        let links = self.libraries.dangling.iter().cloned();
        cached.dangling.extend(links);
        cached.dangling.sort();
        cached.dangling.dedup();
        self.problems.extend(self.tree.problems());
        cached
    }

    /// Returns the number of NVIDIA display devices on the PCI bus, with or without a driver. Separate, since a host may have
    /// hundreds of PCI devices and a spec does not need the number. Adds unreadable files to the problems.
    pub fn count_on_pci(&mut self) -> usize {
        let count = gpu::count_on_pci(&self.host);
        self.problems.extend(self.host.problems());
        count
    }

    /// Returns the driver's version: the kernel module's, or the libraries' on WSL and Jetson, which lack that module.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let has_other_module = matches!(self.platform.kind, Kind::Wsl | Kind::Jetson);
        let of_libraries = || self.libraries.version().filter(|_| has_other_module);
        let of_kernel = self.kernel.as_ref().map(|it| it.version.as_str());
        of_kernel.or_else(of_libraries)
    }

    /// Whether the GPU is part of the chip and driven by nvgpu.
    #[must_use]
    pub fn is_integrated(&self) -> bool {
        self.platform.kind == Kind::Jetson && self.gpus.is_empty()
    }

    /// Converts a path in the driver's root to a path on the host.
    #[must_use]
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
