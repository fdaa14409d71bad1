//! Kernel module, libraries, device nodes.

use std::path::Path;

use super::{Finding, few};
use crate::driver::Driver;
use crate::inventory::Inventory;

/// Libraries of which every driver has one, and whose file names tell its version.
const WITNESSES: [&str; 2] = ["libcuda.so", "libnvidia-ml.so"];
const LIBCUDA: &str = "libcuda.so";

pub(super) fn is_loaded(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    // On WSL the driver is that of Windows.
    if driver.kernel.is_some() || host.root.stat(Path::new("/dev/dxg")).is_ok() {
        return Vec::new();
    }
    vec![match driver.pci_devices {
        0 => Finding::warning(
            "driver-not-loaded",
            "the NVIDIA kernel module is not loaded, and the PCI bus shows no NVIDIA GPU"
                .to_owned(),
            "this host has no GPU, or one that is not given to it",
            "none is needed if no GPU is expected here",
        ),
        count => Finding::error(
            "driver-not-loaded",
            format!("the PCI bus shows NVIDIA GPUs ({count}), but the kernel module is not loaded"),
            "the driver is not installed, was not built for the running kernel, or another driver has the GPU",
            "install the driver, run 'modprobe nvidia', and read 'dmesg | grep -i nvrm'",
        ),
    }]
}

/// Each version of the libraries, with an example.
fn library_versions(driver: &Driver) -> Vec<(&str, &Path)> {
    let libraries = &driver.libraries;
    let cached = WITNESSES.iter().flat_map(|name| libraries.named(name));
    let mut versions: Vec<_> = cached
        .filter_map(|library| Some((library.version.as_deref()?, library.path.as_path())))
        .collect();
    if versions.is_empty() {
        let directories = libraries.directories.iter();
        versions.extend(directories.map(|(path, version)| (version.as_str(), path.as_path())));
    }
    versions.sort_unstable();
    versions.dedup_by_key(|(version, _)| *version);
    versions
}

pub(super) fn versions_agree(host: &Inventory) -> Vec<Finding> {
    let Some(kernel) = &host.driver.kernel else {
        return Vec::new();
    };
    library_versions(&host.driver)
        .into_iter()
        // Jetson's libraries and kernel module count differently.
        .filter(|(_, path)| path.iter().all(|part| part != "tegra"))
        .filter(|(version, _)| *version != kernel.version)
        .map(|(version, path)| {
            Finding::error(
                "driver-version-mismatch",
                format!(
                    "the kernel module is {}, the libraries are {version} ({})",
                    kernel.version,
                    path.display()
                ),
                "the driver was updated, and the old kernel module is still loaded",
                "reboot, or stop all that uses the GPUs and load the nvidia modules anew",
            )
        })
        .collect()
}

pub(super) fn libraries_are_found(host: &Inventory) -> Vec<Finding> {
    let libraries = &host.driver.libraries;
    if libraries.named(LIBCUDA).next().is_some() {
        return Vec::new();
    }
    let folders = few(libraries.directories.iter().map(|(path, _)| path.display()));
    if !folders.is_empty() {
        return vec![Finding::warning(
            "ldcache-lacks-libcuda",
            format!(
                "/etc/ld.so.cache has no {LIBCUDA}, but there are driver libraries in {folders}"
            ),
            "ldconfig was not run since the driver was installed, or does not search there",
            "write the directory to a file in /etc/ld.so.conf.d and run ldconfig",
        )];
    }
    match &host.driver.kernel {
        Some(kernel) => vec![Finding::warning(
            "libcuda-missing",
            format!(
                "the kernel module {} is loaded, but no {LIBCUDA} is in the cache or a usual place",
                kernel.version
            ),
            "only the driver's kernel part is installed, or its libraries lie elsewhere, as on NixOS",
            "install the driver's libraries; for a driver in a container give its root with --root",
        )],
        None => Vec::new(),
    }
}

pub(super) fn links_lead_somewhere(host: &Inventory) -> Vec<Finding> {
    let dangling = &host.driver.libraries.dangling;
    if dangling.is_empty() {
        return Vec::new();
    }
    vec![Finding::warning(
        "library-link-dangling",
        format!(
            "no file is behind {}",
            few(dangling.iter().map(|it| it.display()))
        ),
        "files of another driver were removed by hand, or its removal was not complete",
        "remove the links and run ldconfig, or install the driver again",
    )]
}

pub(super) fn nodes_are_there(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    if driver.kernel.is_none() {
        return Vec::new();
    }
    let gpus = driver.gpus.iter().filter(|gpu| !gpu.excluded);
    let names = gpus.filter_map(|gpu| Some(format!("/dev/nvidia{}", gpu.minor?)));
    let control = ["/dev/nvidiactl", "/dev/nvidia-uvm"].map(str::to_owned);
    let is_missing = |path: &String| !driver.nodes.iter().any(|node| node.path == Path::new(path));
    let missing: Vec<_> = control
        .into_iter()
        .chain(names)
        .filter(is_missing)
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Finding::error(
        "device-node-missing",
        format!("there is no {}", few(missing)),
        "nothing has used the GPUs since the host was started, and no service makes the nodes",
        "run 'nvidia-modprobe -c0 -u' (or nvidia-smi) at each start, or nvidia-persistenced",
    )]
}

pub(super) fn nodes_are_right(host: &Inventory) -> Vec<Finding> {
    let wrong = host.driver.nodes.iter().filter(|node| !node.is_right());
    let wrong: Vec<_> = wrong.map(|node| node.path.display()).collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    vec![Finding::error(
        "device-node-wrong",
        format!("not the device that its name says: {}", few(wrong)),
        "the node was made by hand or by an image, or is older than the loaded module",
        "remove it and run 'nvidia-modprobe -c0 -u'",
    )]
}
