//! Selects the GPUs and MIG instances of a spec.

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::gpu::{Indexed, indexed};
use super::names::{Id, Naming, pci};
use super::nodes;
use super::part::Part;
use super::{ALL, Device, Notes, Source};

/// The identifier of a device without a GPU.
const NONE: &str = "none";
/// The variable of such a device, which must have an edit.
const EMPTY: &str = "NVCT_EMPTY_DEVICE=";

/// Returns the requested devices. Fails for a missing, repeated, or unusable one.
pub(super) fn devices(source: &Source<'_>, notes: &mut Notes) -> Result<Vec<Device>> {
    let naming = Naming(&source.options.strategies);
    let ids = &source.options.ids;
    let special = ids.iter().find(|it| [ALL, NONE].contains(&it.as_str()));
    match special.map(String::as_str) {
        Some(NONE) => return Ok(vec![none()]),
        Some(_) => return Ok(all(source, &naming, notes)),
        None => {}
    }
    let gpus = indexed(source, notes);
    let mut seen = Vec::new();
    let mut devices = Vec::new();
    for text in ids {
        let id = Id::parse(text)?;
        let found = find(&gpus, source, &id);
        let (gpu, position) = found.with_context(|| missing(text, &id, source))?;
        ensure!(
            !seen.contains(&(gpu.index, position)),
            "device {text} is asked for twice"
        );
        seen.push((gpu.index, position));
        let device = match position {
            Some(position) => gpu.instance(position, source, &naming, notes),
            None => gpu.whole(source, &naming, notes),
        };
        let Some(device) = device else {
            // The error replaces the last note, which is about this device.
            let (_, reason) = notes.0.pop().unzip();
            bail!("device {text} is unusable: {}", reason.unwrap_or_default());
        };
        devices.push(device);
    }
    Ok(devices)
}

/// Returns all GPUs; for those with MIG their instances.
fn all(source: &Source<'_>, naming: &Naming<'_>, notes: &mut Notes) -> Vec<Device> {
    let mut devices = Vec::new();
    for gpu in indexed(source, notes) {
        let count = gpu.instances(source).len();
        if count == 0 {
            devices.extend(gpu.whole(source, naming, notes));
            continue;
        }
        if !source.list.is_empty() && gpu.mig_uuid(source, 0).is_none() {
            notes.warn(format!(
                "GPU {}: the list of nvidia-smi does not have the {count} MIG devices of the kernel module: they are not \
                 named by UUID",
                gpu.gpu.bus_id
            ));
        }
        devices.extend((0..count).filter_map(|it| gpu.instance(it, source, naming, notes)));
    }
    devices
}

/// Returns the GPU, and the position of an instance on it.
fn find<'i, 'd>(
    gpus: &'i [Indexed<'d>],
    source: &Source<'d>,
    id: &Id,
) -> Option<(&'i Indexed<'d>, Option<usize>)> {
    let whole = |is_meant: &dyn Fn(&Indexed<'_>) -> bool| {
        let gpu = gpus.iter().find(|it| is_meant(it))?;
        Some((gpu, None))
    };
    match id {
        Id::Gpu(index) => whole(&|it| it.index == *index),
        Id::GpuUuid(uuid) => whole(&|it| it.gpu.uuid.as_ref() == Some(uuid)),
        Id::Pci(name) => whole(&|it| pci(it.gpu) == *name),
        Id::Instance(index, position) => {
            let gpu = gpus.iter().find(|it| it.index == *index)?;
            (*position < gpu.instances(source).len()).then_some((gpu, Some(*position)))
        }
        Id::GpuInstance(uuid, gi, ci) => {
            let gpu = gpus.iter().find(|it| it.gpu.uuid.as_ref() == Some(uuid))?;
            let instances = gpu.instances(source);
            let mut instances = instances.iter();
            let position =
                instances.position(|it| (it.gpu_instance, it.compute_instance) == (*gi, *ci))?;
            Some((gpu, Some(position)))
        }
        Id::MigUuid(uuid) => gpus.iter().find_map(|gpu| {
            let count = gpu.instances(source).len();
            let position = (0..count).find(|it| gpu.mig_uuid(source, *it) == Some(uuid))?;
            Some((gpu, Some(position)))
        }),
    }
}

fn missing(text: &str, id: &Id, source: &Source<'_>) -> String {
    let remedy = match id {
        Id::MigUuid(_) if source.list.is_empty() => {
            ": the UUIDs of MIG devices are known from --nvidia-smi-list only"
        }
        _ => "",
    };
    format!("device {text} does not exist{remedy}")
}

fn none() -> Device {
    let mut part = Part::default();
    part.edits.env.push(EMPTY.to_owned());
    Device {
        names: vec![NONE.to_owned()],
        ..nodes::all(part)
    }
}

/// Returns the error for a host without any usable GPU.
pub(super) fn nothing(source: &Source<'_>) -> anyhow::Error {
    let excluded = source.driver.gpus.iter().filter(|it| it.excluded).count();
    match source.driver.gpus.len() {
        0 => anyhow!(
            "the kernel module is loaded, but it drives no GPU: read 'dmesg | grep -i nvrm'"
        ),
        _ if excluded > 0 => anyhow!("all GPUs are excluded, or left out for the reasons above"),
        _ => anyhow!("all GPUs are left out for the reasons above"),
    }
}
