//! The names of devices.

use anyhow::{Result, anyhow};

use super::Notes;
use crate::driver::gpu::Gpu;
use crate::driver::mig::MigInstance;

/// The names of one device, without repetitions.
pub(super) type Names = Vec<String>;

/// A naming strategy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// `0`; for MIG devices `0:1`.
    Index,
    /// `gpu0`; for MIG devices `mig0:1`.
    TypeIndex,
    /// `GPU-…`; for MIG devices `MIG-…`.
    Uuid,
    /// `pci-0000-01-00.0`, stable across reboots; for MIG devices followed by `:GI:CI`.
    Pci,
}

/// All strategies, by name.
pub const STRATEGIES: [(&str, Strategy); 4] = [
    ("index", Strategy::Index),
    ("type-index", Strategy::TypeIndex),
    ("uuid", Strategy::Uuid),
    ("pci", Strategy::Pci),
];

/// The strategies in use.
pub(super) struct Naming<'n>(pub(super) &'n [Strategy]);

/// A value of `--device-id`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Id {
    /// The GPU with this index.
    Gpu(u32),
    /// The instance with the second index on the GPU with the first.
    Instance(u32, usize),
    /// The UUID of a GPU.
    GpuUuid(String),
    /// The UUID of a MIG device.
    MigUuid(String),
    /// A MIG device by its GPU's UUID, its GPU instance and its compute instance.
    GpuInstance(String, u32, u32),
    /// The PCI address of a GPU.
    Pci(String),
}

impl Naming<'_> {
    pub(super) fn of_gpu(&self, index: u32, gpu: &Gpu, notes: &mut Notes) -> Names {
        let mut names = Names::new();
        for strategy in self.0 {
            let name = match strategy {
                Strategy::Index => index.to_string(),
                Strategy::TypeIndex => format!("gpu{index}"),
                Strategy::Pci => pci(gpu),
                Strategy::Uuid => gpu.uuid.clone().unwrap_or_else(|| {
                    let address = &gpu.bus_id;
                    let instead = pci(gpu);
                    notes.warn(format!(
                        "GPU {address} has no UUID until a program uses it, so its name is {instead}; --init-devices uses it"
                    ));
                    instead
                }),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    pub(super) fn of_instance(
        &self,
        (index, gpu): (u32, &Gpu),
        position: usize,
        instance: &MigInstance,
        uuid: Option<&str>,
    ) -> Names {
        let (gi, ci) = (instance.gpu_instance, instance.compute_instance);
        let mut names = Names::new();
        for strategy in self.0 {
            let name = match (strategy, uuid, &gpu.uuid) {
                (Strategy::Index, ..) => format!("{index}:{position}"),
                (Strategy::TypeIndex, ..) => format!("mig{index}:{position}"),
                (Strategy::Uuid, Some(uuid), _) => uuid.to_owned(),
                (Strategy::Uuid, None, Some(uuid)) => format!("MIG-{uuid}:{gi}:{ci}"),
                (Strategy::Uuid, None, None) | (Strategy::Pci, ..) => {
                    format!("{}:{gi}:{ci}", pci(gpu))
                }
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Returns the name by PCI address, without colons, which separate the parts of MIG names.
pub(super) fn pci(gpu: &Gpu) -> String {
    format!("pci-{}", gpu.bus_id.replace(':', "-"))
}

impl Id {
    /// Parses the value. Fails if it has no valid form.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let id = || {
            if let Some(rest) = text.strip_prefix("MIG-GPU-") {
                let (uuid, rest) = rest.split_once(['/', ':'])?;
                let (gi, ci) = rest.split_once(['/', ':'])?;
                let uuid = format!("GPU-{uuid}");
                return Some(Self::GpuInstance(uuid, gi.parse().ok()?, ci.parse().ok()?));
            }
            if text.starts_with("MIG-") {
                return Some(Self::MigUuid(text.to_owned()));
            }
            if text.starts_with("GPU-") {
                return Some(Self::GpuUuid(text.to_owned()));
            }
            if text.starts_with("pci-") {
                return Some(Self::Pci(text.to_owned()));
            }
            match text.split_once(':') {
                Some((gpu, instance)) => {
                    Some(Self::Instance(gpu.parse().ok()?, instance.parse().ok()?))
                }
                None => Some(Self::Gpu(text.parse().ok()?)),
            }
        };
        id().ok_or_else(|| {
            anyhow!(
                "device \"{text}\" is neither an index (0, 0:1), a UUID (GPU-..., MIG-...) nor a PCI name (pci-0000-01-00.0)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_devices() {
        for (text, id) in [
            ("3", Id::Gpu(3)),
            ("0:1", Id::Instance(0, 1)),
            ("GPU-a", Id::GpuUuid("GPU-a".into())),
            ("MIG-a", Id::MigUuid("MIG-a".into())),
            ("MIG-GPU-a/1/0", Id::GpuInstance("GPU-a".into(), 1, 0)),
            ("MIG-GPU-a:1:0", Id::GpuInstance("GPU-a".into(), 1, 0)),
            ("pci-0000-01-00.0", Id::Pci("pci-0000-01-00.0".into())),
        ] {
            assert_eq!(Id::parse(text).unwrap(), id);
        }
        for text in ["", "foo", "-1", "0:", ":0", "MIG-GPU-a/1", "4294967296"] {
            assert!(Id::parse(text).is_err(), "{text}");
        }
    }
}
