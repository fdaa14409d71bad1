//! Modes: the kinds of devices in a spec.

use anyhow::anyhow;

use super::hooks::DISABLE_DEVICE_NODE_MODIFICATION;
use super::part::Part;
use super::{Failure, Notes, Parts, Source};
use super::{csv, imex, libcuda_directories, links, nodes, select, wsl};
use crate::driver::files::Files;
use crate::driver::platform::Kind;

/// The kind of devices in a spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The kind that suits the host.
    Auto,
    /// The GPUs of the kernel module; the name is the toolkit's.
    Nvml,
    /// All nodes of the driver, for programs that manage GPUs.
    Management,
    /// `GPUDirect` Storage.
    Gds,
    /// `GDRCopy`.
    Gdrcopy,
    /// Mellanox network adapters.
    Mofed,
    /// Switches between GPUs: `NVSwitch`.
    Nvswitch,
    /// Channels for memory that nodes of a cluster share.
    Imex,
    /// Jetson, by its CSV files.
    Csv,
    /// The Windows GPUs in WSL.
    Wsl,
    /// Permissions to configure and to monitor MIG.
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

/// The CSV files of Jetson, and what to leave out of them.
pub struct Csv {
    /// The contents of the files; `None` for the host's own.
    pub lists: Option<Vec<String>>,
    /// Patterns of links to leave out.
    pub ignored: Vec<String>,
}

/// Returns the parts of the selected mode.
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

/// Whether the GPU is integrated. Thor's is, although the module for discrete GPUs drives it.
fn has_integrated_gpu(source: &Source<'_>) -> bool {
    let mut models = source
        .driver
        .gpus
        .iter()
        .filter_map(|it| it.model.as_deref());
    source.driver.is_integrated() || models.any(|it| it.contains("NVIDIA Thor"))
}

/// Returns an error that explains why there are no devices.
pub(super) fn nothing(source: &Source<'_>) -> anyhow::Error {
    let nodes = match source.options.mode {
        Mode::Auto | Mode::Nvml => return select::nothing(source),
        Mode::Csv => return anyhow!("the CSV files name no existing device"),
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
    // A management program may have to create nodes.
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

/// Adds the driver's files for every container with a GPU.
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
