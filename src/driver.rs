//! What a host knows of the NVIDIA driver: kernel modules, GPUs, device nodes, libraries.
//!
//! Everything is read below one root, by `/proc`, `/sys`, `/dev` and `ld.so.cache`: no library of the driver is loaded.

pub mod device;
pub(crate) mod directories;
pub mod gpu;
pub mod kernel;
pub mod library;

use std::path::Path;

use crate::rootfs::Root;
use device::{DriverNode, Majors};
use gpu::Gpu;
use kernel::{KernelModule, Module};
use library::Libraries;

/// Largest file of /proc and /sys that is read.
const MAX_PSEUDO_FILE: u64 = 1 << 20;

/// The driver of a host.
#[derive(Debug)]
pub struct Driver {
    /// The kernel module, if it is loaded.
    pub kernel: Option<KernelModule>,
    /// It and its companions.
    pub modules: Vec<Module>,
    /// The GPUs that the kernel module drives, by PCI address.
    pub gpus: Vec<Gpu>,
    /// How many NVIDIA display devices there are on the PCI bus, driven or not.
    pub pci_devices: usize,
    /// Major numbers of the driver's devices.
    pub majors: Majors,
    /// The device nodes in /dev.
    pub nodes: Vec<DriverNode>,
    /// The libraries.
    pub libraries: Libraries,
}

impl Driver {
    /// Reads all of it below `root`. What cannot be read is not there.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        let majors = Majors::read(root);
        Self {
            kernel: kernel::read(root),
            modules: kernel::modules(root),
            gpus: gpu::read(root),
            pci_devices: gpu::count_on_pci(root),
            nodes: device::nodes(root, &majors),
            majors,
            libraries: Libraries::read(root),
        }
    }
}

fn read_text(root: &Root, path: impl AsRef<Path>) -> Option<String> {
    let bytes = root.read(path.as_ref(), MAX_PSEUDO_FILE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
