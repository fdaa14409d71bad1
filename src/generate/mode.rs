//! Modes: which devices a spec is for.

use anyhow::anyhow;

use super::hooks::DISABLE_DEVICE_NODE_MODIFICATION;
use super::part::Part;
use super::{Failure, Notes, Parts, Source};
use super::{csv, imex, libcuda_directories, links, nodes, select, wsl};
use crate::driver::files::Files;
use crate::driver::platform::Kind;

/// The devices that a spec is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// What the host has.
    Auto,
    /// The GPUs of the kernel module; the name is the toolkit's.
    Nvml,
    /// Every node of the driver, for programs that manage GPUs.
    Management,
    /// `GPUDirect` Storage.
    Gds,
    /// `GDRCopy`.
    Gdrcopy,
    /// Mellanox network adapters.
    Mofed,
    /// Switches between GPUs: `NVSwitch`.
    Nvswitch,
    /// Channels for memory that nodes share.
    Imex,
    /// Jetson, by its lists of files.
    Csv,
    /// Windows' GPUs in WSL.
    Wsl,
    /// The rights to divide GPUs, and to watch their parts.
    MigCaps,
}

/// All modes, by name.
pub const MODES: [(&str, Mode); 11] = [
    ("auto", Mode::Auto),
    ("csv", Mode::Csv),
    ("gdrcopy", Mode::Gdrcopy),
    ("gds", Mode::Gds),
    ("imex", Mode::Imex),
    ("management", Mode::Management),
    ("mig-caps", Mode::MigCaps),
    ("mofed", Mode::Mofed),
    ("nvml", Mode::Nvml),
    ("nvswitch", Mode::Nvswitch),
    ("wsl", Mode::Wsl),
];

/// Where Jetson's lists of files are, and what is left out of them.
pub struct Csv {
    /// The texts of the lists; none for those that the host has in the usual place.
    pub lists: Option<Vec<String>>,
    /// Patterns of links that are not made.
    pub ignored: Vec<String>,
}

/// What the options' mode gives.
pub(super) fn parts(source: &Source<'_>, notes: &mut Notes) -> Result<Parts, Failure> {
    Ok(match source.options.mode {
        Mode::Auto | Mode::Nvml | Mode::Csv | Mode::Wsl => return of_gpus(source, notes),
        Mode::Management => management(source, notes)?,
        Mode::Gds => nodes::gds(source),
        Mode::Gdrcopy => nodes::gdrcopy(source),
        Mode::Mofed => nodes::mofed(source),
        Mode::Nvswitch => nodes::nvswitch(source),
        Mode::MigCaps => nodes::mig_capabilities(source, notes),
        Mode::Imex => imex::parts(source, notes)?,
    })
}

fn of_gpus(source: &Source<'_>, notes: &mut Notes) -> Result<Parts, Failure> {
    let mode = match (source.options.mode, source.driver.platform.kind) {
        (Mode::Auto, Kind::Wsl) => Mode::Wsl,
        (Mode::Auto, Kind::Jetson) if has_integrated_gpu(source) => Mode::Csv,
        (Mode::Auto, _) => Mode::Nvml,
        (mode, _) => mode,
    };
    match mode {
        Mode::Wsl => Ok(wsl::parts(source)?),
        Mode::Csv => Ok(csv::parts(source, notes)?),
        _ => nvml(source, notes),
    }
}

/// Thor's is driven by the module of other GPUs.
fn has_integrated_gpu(source: &Source<'_>) -> bool {
    let mut models = source
        .driver
        .gpus
        .iter()
        .filter_map(|it| it.model.as_deref());
    source.driver.is_integrated() || models.any(|it| it.contains("NVIDIA Thor"))
}

/// Why there are no devices.
pub(super) fn nothing(source: &Source<'_>) -> anyhow::Error {
    let nodes = match source.options.mode {
        Mode::Auto | Mode::Nvml => return select::nothing(source),
        Mode::Csv => return anyhow!("the csv lists name no device that is there"),
        Mode::Management => "nvidia*",
        Mode::Gds => "nvidia-fs*",
        Mode::Gdrcopy => "gdrdrv",
        Mode::Mofed => "infiniband/uverbs*",
        Mode::Nvswitch => "nvidia-nvswitch*",
        Mode::Imex => "nvidia-caps-imex-channels/channel*",
        Mode::MigCaps => "nvidia-caps/nvidia-cap1",
        Mode::Wsl => "dxg",
    };
    let pattern = source.driver.dev_root.join("dev").join(nodes);
    anyhow!(
        "there is no {}: this host has no such device, or its module is not loaded",
        pattern.display()
    )
}

fn nvml(source: &Source<'_>, notes: &mut Notes) -> Result<Parts, Failure> {
    if source.driver.kernel.is_none() {
        return Err(Failure::NotLoaded(anyhow!(
            "the NVIDIA kernel module is not loaded: run 'modprobe nvidia', and read 'dmesg | grep -i nvrm' if that fails"
        )));
    }
    let version = source.version()?;
    let files = source.files(version, notes);
    let mut common = Part::default();
    for node in nodes::control(source, notes) {
        common.node(&node, source.options.adds_groups);
    }
    common.files(files.xorg.iter().chain(&files.configs));
    common.files(files.graphics.iter().map(|it| &it.file));
    common.work.links = links::of(&files, version);
    common.work.writes_profile = true;
    common.work.fixes_params = true;
    driver(&mut common, source, &files, version);
    let devices = select::devices(source, notes)?;
    Ok(Parts { common, devices })
}

fn management(source: &Source<'_>, notes: &mut Notes) -> Result<Parts, Failure> {
    let found = nodes::management(source, notes);
    if found.is_empty() {
        return Err(Failure::NoDevices(nothing(source)));
    }
    let version = source.version()?;
    let mut files = source.files(version, notes);
    files.graphics.clear();
    files.xorg.clear();
    let mut common = Part::default();
    common.work.links = vec![links::of_libraries(&files.libraries)];
    // It manages devices, and may have to make nodes.
    let enabled = &source.options.hooks.enabled;
    common.work.fixes_params = enabled
        .iter()
        .any(|it| it == DISABLE_DEVICE_NODE_MODIFICATION);
    driver(&mut common, source, &files, version);
    let mut part = Part::default();
    for node in &found {
        part.node(node, source.options.adds_groups);
    }
    part.work.device_directories = nodes::directories(&found);
    Ok(Parts {
        common,
        devices: vec![nodes::all(part)],
    })
}

/// What every container with a GPU gets of the driver.
fn driver(common: &mut Part, source: &Source<'_>, files: &Files, version: &str) {
    common
        .edits
        .env
        .push(libcuda_directories(&files.directories));
    common.files(files.libraries.iter().map(|it| &it.file));
    common.files(files.firmware.iter().chain(&files.programs));
    if source.options.ipc {
        common.sockets(&files.ipc);
    }
    common.work.compat = vec![format!("--host-driver-version={version}")];
    common.work.folders = links::folders(files.graphics.iter().chain(&files.libraries));
}
