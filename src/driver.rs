//! What a host knows of the NVIDIA driver: kernel modules, GPUs, device nodes, libraries.
//!
//! Everything is read below a root, by `/proc`, `/sys`, `/dev` and the names of files: no library of the driver is loaded. The
//! driver's own root may be another one than the host's, and so may the one whose `/dev` has the nodes; `/proc` and `/sys` are
//! always the host's. What cannot be read is told beside what can.

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
use library::Libraries;
use mig::MigInstance;
use platform::{Kind, Platform};
use root::{Asked, OPERATOR};
use tree::{Problems, Tree};

pub use tree::Problem;

/// The driver of a host.
#[derive(Debug)]
pub struct Driver {
    /// What kind of host it is.
    pub platform: Platform,
    /// The root directory of the driver, as the host sees it.
    pub root: PathBuf,
    /// The directory whose `dev` has the nodes.
    pub dev_root: PathBuf,
    /// The kernel module, if it is loaded.
    pub kernel: Option<KernelModule>,
    /// It and its companions.
    pub modules: Vec<Module>,
    /// The GPUs that the kernel module drives, by PCI address.
    pub gpus: Vec<Gpu>,
    /// The parts of GPUs that are divided.
    pub mig: Vec<MigInstance>,
    /// How many NVIDIA display devices there are on the PCI bus, driven or not.
    pub pci_devices: usize,
    /// Major numbers of the driver's devices.
    pub majors: Majors,
    /// The device nodes in /dev.
    pub nodes: Vec<DriverNode>,
    /// The libraries, with paths as the driver's root has them.
    pub libraries: Libraries,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl Driver {
    /// Reads all of it on the host with this root. Fails if one of the roots that were asked for cannot be opened.
    pub fn read(host: &Root, asked: Asked<'_>) -> Result<Self> {
        let problems = Problems::default();
        let tree = Tree::open(host, Path::new("/"), &problems)?;
        let kernel = kernel::read(&tree);
        let majors = Majors::read(&tree);
        let version = kernel.as_ref().map(|it| it.version.as_str());
        let (root, libraries) = root::find(host, asked, version, &problems)?;
        let dev = root::find_dev(host, &root, asked, &problems)?;
        let mut platform = Platform::read(&tree);
        if root.path() == Path::new(OPERATOR) {
            platform.kind = Kind::GpuOperator;
        }
        Ok(Self {
            platform,
            root: root.path().to_owned(),
            dev_root: dev.path().to_owned(),
            kernel,
            modules: kernel::modules(&tree),
            gpus: gpu::read(&tree),
            mig: mig::read(&tree),
            pci_devices: gpu::count_on_pci(&tree),
            nodes: device::nodes(&dev, &majors),
            majors,
            libraries,
            problems: problems.into_inner(),
        })
    }

    /// The driver's version: the kernel module's, or where the GPUs have no such module, as on WSL, the libraries'.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let has_other_module = matches!(self.platform.kind, Kind::Wsl | Kind::Jetson);
        let of_libraries = || self.libraries.version().filter(|_| has_other_module);
        let of_kernel = self.kernel.as_ref().map(|it| it.version.as_str());
        of_kernel.or_else(of_libraries)
    }

    /// Whether the GPU is a part of the chip, driven by nvgpu.
    #[must_use]
    pub fn is_integrated(&self) -> bool {
        self.platform.kind == Kind::Jetson && self.gpus.is_empty()
    }

    /// The path on the host of what is at `path` in the driver's root.
    #[must_use]
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
