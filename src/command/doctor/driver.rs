//! Kernel module, libraries, device nodes.

use std::path::{Path, PathBuf};

use super::{Finding, few};
use crate::driver::Driver;
use crate::driver::name::driver_version;
use crate::driver::platform::{DXG, Kind};
use crate::inventory::Inventory;

/// Libraries of which every driver has one, with its version in the file name.
const WITNESSES: [&str; 2] = ["libcuda.so", "libnvidia-ml.so"];
const LIBCUDA: &str = "libcuda.so";
/// The module that drives Jetson's GPUs.
const NVGPU: &str = "nvgpu";
/// Nodes of a Jetson's GPU, in older and in newer releases.
const INTEGRATED: [&str; 2] = ["nvhost-ctrl-gpu", "nvgpu/igpu0/ctrl"];
/// The node for the memory of a Jetson's GPU.
const INTEGRATED_MEMORY: &str = "nvmap";

pub(super) fn all_is_read(host: &Inventory) -> Vec<Finding> {
    let problems = &host.driver.problems;
    if problems.is_empty() {
        return Vec::new();
    }
    let problems = problems
        .iter()
        .map(|it| format!("{}: {}", it.path.display(), it.error));
    vec![Finding::warning(
        "driver-unreadable",
        few(problems),
        "this user may not read it, or it is broken: its content is unknown",
        "run this as root",
    )]
}

pub(super) fn is_loaded(host: &Inventory) -> Vec<Finding> {
    if has_driver(&host.driver) {
        return Vec::new();
    }
    vec![match host.pci_devices {
        0 => Finding::warning(
            "driver-not-loaded",
            "the NVIDIA kernel module is not loaded, and the PCI bus shows no NVIDIA GPU"
                .to_owned(),
            "this host has no GPU, or the GPU is not passed through to it",
            "nothing, if no GPU is expected here",
        ),
        count => Finding::error(
            "driver-not-loaded",
            format!("the PCI bus shows NVIDIA GPUs ({count}), but the kernel module is not loaded"),
            "the driver is not installed, was not built for the running kernel, or another driver has the GPU",
            "install the driver, run 'modprobe nvidia', and read 'dmesg | grep -i nvrm'",
        ),
    }]
}

/// Whether the driver runs.
pub(super) fn has_driver(driver: &Driver) -> bool {
    match driver.platform.kind {
        // Windows has the driver.
        Kind::Wsl => true,
        Kind::Jetson => driver.kernel.is_some() || has_integrated_gpu(driver),
        _ => driver.kernel.is_some(),
    }
}

fn has_integrated_gpu(driver: &Driver) -> bool {
    driver.modules.iter().any(|it| it.name == NVGPU) || INTEGRATED.iter().any(|it| has(driver, it))
}

fn has(driver: &Driver, name: impl AsRef<Path>) -> bool {
    driver.nodes.iter().any(|it| it.name == name.as_ref())
}

/// Each version of the libraries that are in use, with an example.
fn library_versions(host: &Inventory) -> Vec<(String, PathBuf)> {
    let driver = &host.driver;
    let cached = WITNESSES.iter().flat_map(|name| host.cached.named(name));
    let mut versions: Vec<_> = cached
        .filter_map(|it| Some((driver_version(it.path.file_name()?)?, it.path.clone())))
        .collect();
    if versions.is_empty() {
        let directories = driver.libraries.directories.iter();
        versions.extend(directories.filter_map(|it| Some((it.version.clone()?, it.path.clone()))));
        let loaded = driver.kernel.as_ref().map(|it| &it.version);
        if versions.iter().any(|(version, _)| loaded == Some(version)) {
            return Vec::new();
        }
    }
    versions.sort_unstable();
    versions.dedup_by(|(a, _), (b, _)| a == b);
    versions
}

pub(super) fn versions_agree(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    let Some(kernel) = &driver.kernel else {
        return Vec::new();
    };
    // On a Jetson this module drives the display, and another one the GPU.
    if driver.is_integrated() {
        return Vec::new();
    }
    library_versions(host)
        .into_iter()
        .filter(|(version, _)| *version != kernel.version)
        .map(|(version, path)| {
            Finding::error(
                "driver-version-mismatch",
                format!(
                    "the kernel module is {}, the libraries are {version} ({})",
                    kernel.version,
                    driver.on_host(&path).display()
                ),
                "the driver was updated, and the old kernel module is still loaded",
                "reboot, or stop everything that uses the GPUs and reload the nvidia modules",
            )
        })
        .collect()
}

pub(super) fn libraries_are_found(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    if host.cached.named(LIBCUDA).next().is_some() {
        return Vec::new();
    }
    let directories = driver.libraries.directories.iter();
    let folders = directories.filter(|it| it.has_libcuda);
    let folders = few(folders.map(|it| driver.on_host(&it.path).display().to_string()));
    if !folders.is_empty() {
        if !driver.platform.has_libraries_in_cache() {
            return Vec::new();
        }
        return vec![Finding::warning(
            "ldcache-lacks-libcuda",
            format!(
                "/etc/ld.so.cache has no {LIBCUDA}, but there are driver libraries in {folders}"
            ),
            "ldconfig was not run since the driver was installed, or does not search there",
            "add the directory to a file in /etc/ld.so.conf.d and run ldconfig",
        )];
    }
    if is_named_by_a_spec(host) {
        return Vec::new();
    }
    libcuda_missing(driver).into_iter().collect()
}

/// Whether a CDI spec mounts a libcuda that exists.
fn is_named_by_a_spec(host: &Inventory) -> bool {
    let specs = host.specs.iter().filter_map(|file| file.spec.as_ref().ok());
    let mounts = specs.flat_map(|spec| spec.edits().flat_map(|edits| &edits.mounts));
    let mut paths = mounts.map(|mount| Path::new(&mount.host_path));
    paths.any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(LIBCUDA) && host.root.stat(path).is_ok()
    })
}

fn libcuda_missing(driver: &Driver) -> Option<Finding> {
    let nowhere = format!("no {LIBCUDA} is in the cache or in a usual directory");
    let (what, cause, fix) = match (driver.platform.kind, &driver.kernel) {
        (Kind::Wsl, _) => (
            format!("this is WSL, but {nowhere}"),
            "Windows has no NVIDIA driver, or one without support for WSL",
            "install NVIDIA's driver on Windows, and run 'wsl --shutdown' there; install none here",
        ),
        (Kind::Jetson, _) => (
            format!("this is a Jetson, but {nowhere}"),
            "the package nvidia-l4t-cuda is not installed",
            "install nvidia-l4t-cuda",
        ),
        (_, Some(kernel)) => (
            format!(
                "the kernel module {} is loaded, but {nowhere}",
                kernel.version
            ),
            "only the kernel part of the driver is installed, or its libraries are in an unknown directory",
            "install the driver's libraries; for a driver in a container give its root with --driver-root",
        ),
        (_, None) => return None,
    };
    Some(Finding::warning("libcuda-missing", what, cause, fix))
}

pub(super) fn links_lead_somewhere(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    let dangling = host.cached.dangling.iter();
    let dangling = few(dangling.map(|it| driver.on_host(it).display().to_string()));
    if dangling.is_empty() {
        return Vec::new();
    }
    vec![Finding::warning(
        "library-link-dangling",
        format!("links that lead nowhere: {dangling}"),
        "files of another driver were removed by hand, or its removal was incomplete",
        "remove the links and run ldconfig, or install the driver again",
    )]
}

pub(super) fn nodes_are_there(host: &Inventory) -> Vec<Finding> {
    let driver = &host.driver;
    let missing = missing_nodes(driver);
    if missing.is_empty() {
        return Vec::new();
    }
    let (cause, fix) = why_nodes_are_missing(driver);
    let dev = driver.dev_root.join("dev");
    vec![Finding::error(
        "device-node-missing",
        format!(
            "missing device nodes: {}",
            few(missing.iter().map(|it| dev.join(it).display().to_string()))
        ),
        cause,
        fix,
    )]
}

/// Why nodes that the driver needs are missing, and the fix.
pub(super) fn why_nodes_are_missing(driver: &Driver) -> (&'static str, &'static str) {
    match driver.platform.kind {
        Kind::Wsl => (
            "Windows has no GPU that WSL may use, or WSL is too old",
            "install NVIDIA's driver on Windows, run 'wsl --update' and 'wsl --shutdown' there",
        ),
        Kind::Jetson => (
            "the module of the GPU is not loaded",
            "run 'modprobe nvgpu', and read 'dmesg | grep -i nvgpu'",
        ),
        _ if driver.kernel.is_none() => (
            "the kernel module is not loaded",
            "install the driver and run 'modprobe nvidia'",
        ),
        _ => (
            "nothing has used the GPUs since the host was started, and no service creates the nodes",
            "run 'nvidia-ctk system create-device-nodes --control-devices' at each start, or nvidia-modprobe, nvidia-smi or nvidia-persistenced, which also create the nodes of GPUs",
        ),
    }
}

/// Whether the device node at `path` is missing although the driver needs it, or comes with the driver's module, which is not loaded.
pub(super) fn awaits_node(driver: &Driver, path: &Path) -> bool {
    let Ok(name) = path.strip_prefix(driver.dev_root.join("dev")) else {
        return false;
    };
    let is_nvidias = name.to_string_lossy().starts_with("nvidia");
    is_nvidias && !has_driver(driver)
        || missing_nodes(driver).iter().any(|it| name == Path::new(it))
}

/// The names below /dev of the missing nodes that the driver needs.
fn missing_nodes(driver: &Driver) -> Vec<String> {
    let mut needed: Vec<String> = Vec::new();
    if driver.platform.kind == Kind::Wsl {
        needed.extend(
            Path::new(DXG)
                .strip_prefix("/dev")
                .map(|it| it.display().to_string()),
        );
    } else if driver.is_integrated() {
        if !INTEGRATED.iter().any(|it| has(driver, it)) {
            needed.push(INTEGRATED[0].to_owned());
        }
        needed.push(INTEGRATED_MEMORY.to_owned());
    } else if driver.kernel.is_some() {
        needed.extend(["nvidiactl", "nvidia-uvm"].map(str::to_owned));
        let gpus = driver.gpus.iter().filter(|gpu| !gpu.excluded);
        needed.extend(gpus.filter_map(|gpu| Some(format!("nvidia{}", gpu.minor?))));
        let capabilities = driver.mig.iter().flat_map(|it| it.capabilities).flatten();
        needed.extend(capabilities.map(|minor| format!("nvidia-caps/nvidia-cap{minor}")));
    }
    needed.retain(|name| !has(driver, name));
    needed.dedup();
    needed
}

pub(super) fn nodes_are_right(host: &Inventory) -> Vec<Finding> {
    let wrong = host.driver.nodes.iter().filter(|node| !node.is_right());
    let wrong: Vec<_> = wrong.map(|node| node.path.display()).collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    vec![Finding::error(
        "device-node-wrong",
        format!("not the device of that name: {}", few(wrong)),
        "the node was created by hand or by an image, or is older than the loaded module",
        "remove it and run 'nvidia-ctk system create-device-nodes --control-devices' or nvidia-modprobe",
    )]
}
