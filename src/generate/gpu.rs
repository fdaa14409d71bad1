//! GPUs and MIG instances as devices.

use std::path::PathBuf;

use super::hooks::Link;
use super::names::Naming;
use super::part::Part;
use super::{Device, Notes, Source};
use crate::driver::dev::Node;
use crate::driver::gpu::Gpu;
use crate::driver::mig::MigInstance;
use crate::driver::smi::ListedGpu;

const DRI: &str = "/dev/dri";
const NO_NUMBER: &str = "the kernel module does not report the number of its node";
const CAPABILITIES: &str = "/dev/nvidia-caps";

/// A GPU that containers can get, with its index.
#[derive(Clone, Copy)]
pub(super) struct Indexed<'d> {
    pub(super) index: u32,
    pub(super) gpu: &'d Gpu,
    listed: Option<&'d ListedGpu>,
}

/// Returns the GPUs in the order of `nvidia-smi -L`, if given, else by PCI address.
pub(super) fn indexed<'d>(source: &Source<'d>, notes: &mut Notes) -> Vec<Indexed<'d>> {
    let gpus = source.driver.gpus.iter().filter(|it| !it.excluded);
    let by_address = (0..).zip(gpus).map(|(index, gpu)| Indexed {
        index,
        gpu,
        listed: None,
    });
    let by_address: Vec<_> = by_address.collect();
    if source.list.is_empty() {
        return by_address;
    }
    let listed = by_address.iter().map(|it| {
        let listed = source.list.find(it.gpu.uuid.as_deref()?)?;
        Some(Indexed {
            index: listed.index,
            gpu: it.gpu,
            listed: Some(listed),
        })
    });
    let Some(mut listed) = listed.collect::<Option<Vec<_>>>() else {
        notes.warn("the list of nvidia-smi does not contain all GPUs of the kernel module: GPUs are numbered by PCI address");
        return by_address;
    };
    listed.sort_by_key(|it| it.index);
    listed
}

impl<'d> Indexed<'d> {
    /// Returns its MIG instances.
    pub(super) fn instances(&self, source: &Source<'d>) -> Vec<&'d MigInstance> {
        let all = source.driver.mig.iter();
        all.filter(|it| Some(it.gpu) == self.gpu.minor).collect()
    }

    /// Returns the whole GPU; `None`, with a note, if a container could not use it.
    pub(super) fn whole(
        &self,
        source: &Source<'_>,
        naming: &Naming,
        notes: &mut Notes,
    ) -> Option<Device> {
        let node = self.node(source, notes)?;
        let drm = drm(source, self.gpu);
        let mut part = Part::default();
        for node in [&node].into_iter().chain(&drm) {
            part.node(node, source.options.adds_groups);
        }
        part.work.device_links = by_path_links(source, self.gpu, &drm);
        if !drm.is_empty() {
            part.work.device_directories.push(DRI.into());
        }
        Some(Device {
            names: naming.of_gpu(self.index, self.gpu, notes),
            part,
            is_coherent: Some(self.gpu.is_coherent),
        })
    }

    /// Returns an instance; `position` is its index on this GPU.
    pub(super) fn instance(
        &self,
        position: usize,
        source: &Source<'_>,
        naming: &Naming,
        notes: &mut Notes,
    ) -> Option<Device> {
        let instances = self.instances(source);
        let instance = instances.get(position)?;
        let mut part = Part::default();
        part.node(&self.node(source, notes)?, source.options.adds_groups);
        for minor in instance.capabilities {
            part.node(
                &capability(source, instance, minor, notes)?,
                source.options.adds_groups,
            );
        }
        part.work.device_directories.push(CAPABILITIES.into());
        Some(Device {
            names: naming.of_instance(
                (self.index, self.gpu),
                position,
                instance,
                self.mig_uuid(source, position),
            ),
            part,
            is_coherent: None,
        })
    }

    /// Returns the UUID of an instance, if it is certain: a wrong one could be another tenant's.
    pub(super) fn mig_uuid(&self, source: &Source<'_>, position: usize) -> Option<&'d str> {
        let listed = self.listed?;
        let count = self.instances(source).len();
        listed.mig_uuids(count)?.get(position).map(String::as_str)
    }

    fn node(&self, source: &Source<'_>, notes: &mut Notes) -> Option<Node> {
        let left_out = |why| notes.error(format!("GPU {} is left out: {why}", self.gpu.bus_id));
        let node = match self.gpu.minor {
            None => Err(NO_NUMBER.to_owned()),
            Some(minor) => match self.duplicate(source) {
                Some(other) => Err(format!("GPU {} has the same node", other.bus_id)),
                None => existing(source, &format!("nvidia{minor}")),
            },
        };
        node.map_err(left_out).ok()
    }

    /// Returns another GPU that has the same node according to the kernel module.
    fn duplicate(&self, source: &Source<'d>) -> Option<&'d Gpu> {
        let mut others = source.driver.gpus.iter().filter(|it| !it.excluded);
        others.find(|it| it.minor == self.gpu.minor && it.bus_id != self.gpu.bus_id)
    }
}

/// Returns the DRM nodes of the GPU.
fn drm(source: &Source<'_>, gpu: &Gpu) -> Vec<Node> {
    gpu.drm
        .iter()
        .filter_map(|name| source.dev.node(format!("dri/{name}")))
        .collect()
}

/// Returns the links in /dev/dri/by-path that lead to these nodes.
fn by_path_links(source: &Source<'_>, gpu: &Gpu, drm: &[Node]) -> Vec<Link> {
    let links = ["card", "render"].into_iter().filter_map(|kind| {
        let name = format!("dri/by-path/pci-{}-{kind}", gpu.bus_id);
        let target = source.dev.link(&name)?;
        let is_ours = |node: &Node| target.file_name() == node.inside.file_name();
        let path = PathBuf::from("/dev").join(name);
        drm.iter()
            .any(is_ours)
            .then(|| Link::new(target.to_string_lossy(), path))
    });
    links.collect()
}

fn capability(
    source: &Source<'_>,
    instance: &MigInstance,
    minor: Option<u32>,
    notes: &mut Notes,
) -> Option<Node> {
    let node = match minor {
        Some(minor) => existing(source, &format!("nvidia-caps/nvidia-cap{minor}")),
        None => Err(NO_NUMBER.to_owned()),
    };
    let left_out = |why| {
        notes.error(format!(
            "MIG instance {}:{} of /dev/nvidia{} is left out: {why}",
            instance.gpu_instance, instance.compute_instance, instance.gpu
        ));
    };
    node.map_err(left_out).ok()
}

fn existing(source: &Source<'_>, name: &str) -> Result<Node, String> {
    let node = source.node(name);
    node.map_err(|why| format!("{why}; --create-devices creates missing nodes"))
}
