//! The kernel modules.

use std::path::Path;

use super::tree::Tree;
use crate::cuda::is_driver_version;
use crate::rootfs::Root;

pub(super) const VERSION: &str = "/proc/driver/nvidia/version";
const MAX_VERSION: u64 = 64 << 10;

/// The driver's modules, the one that drives the GPUs first; on Jetson that is the last one.
const MODULES: [&str; 7] = [
    "nvidia",
    "nvidia_uvm",
    "nvidia_modeset",
    "nvidia_drm",
    "nvidia_fs",
    "nvidia_peermem",
    "nvgpu",
];

/// The module that drives the GPUs.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelModule {
    /// The driver's version.
    pub version: String,
    /// Whether it is the open-source module.
    pub open: bool,
}

/// A loaded module.
#[derive(Debug)]
pub struct Module {
    /// The name.
    pub name: &'static str,
    /// The version, if it has one.
    pub version: Option<String>,
}

/// Returns the version of the loaded driver.
#[must_use]
pub fn version(host: &Root) -> Option<String> {
    let bytes = host.read(Path::new(VERSION), MAX_VERSION).ok()?;
    Some(parse_version(&String::from_utf8_lossy(&bytes))?.version)
}

pub(super) fn read(host: &Tree) -> Option<KernelModule> {
    parse_version(&host.text(VERSION)?)
}

/// Parses `NVRM version: NVIDIA UNIX x86_64 Kernel Module  384.81  Wed …` or, for the open module,
/// `… Open Kernel Module for x86_64  565.57.01  Release …`.
fn parse_version(text: &str) -> Option<KernelModule> {
    let line = text
        .lines()
        .find(|line| line.starts_with("NVRM version:"))?;
    let (before, after) = line.split_once("Kernel Module")?;
    let version = after
        .split_whitespace()
        .find(|word| is_driver_version(word.as_bytes()))?;
    Some(KernelModule {
        version: version.to_owned(),
        open: before.trim_end().ends_with("Open"),
    })
}

pub(super) fn modules(host: &Tree) -> Vec<Module> {
    let module = |name: &'static str| {
        let folder = format!("/sys/module/{name}");
        host.stat(&folder)?;
        let version = host
            .text(folder + "/version")
            .map(|text| text.trim().to_owned());
        Some(Module { name, version })
    };
    MODULES.into_iter().filter_map(module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_flavours() {
        for (text, version, open) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  384.81  Wed Aug 17 22:24:07 PDT 2016\nGCC version:  gcc version 4.8.5\n",
                "384.81",
                false,
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs-builder@U16-A24-9-2)  Thu\n",
                "565.57.01",
                true,
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  35.3.1  Release Build  (b@m)  Sun Mar 19\n",
                "35.3.1",
                true,
            ),
        ] {
            let version = version.to_owned();
            assert_eq!(parse_version(text), Some(KernelModule { version, open }));
        }
        for text in [
            "",
            "NVRM version: x",
            "NVRM version: Kernel Module none",
            "GCC version: 4.8",
        ] {
            assert_eq!(parse_version(text), None, "{text}");
        }
    }
}
