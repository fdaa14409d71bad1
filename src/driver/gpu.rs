//! The GPUs.

use std::path::Path;

use super::tree::Tree;

pub(super) const GPUS: &str = "/proc/driver/nvidia/gpus";
const PCI_DEVICES: &str = "/sys/bus/pci/devices";
const NVIDIA_VENDOR: &str = "0x10de";
/// The first byte of the PCI class of display controllers.
const DISPLAY_CLASS: &str = "0x03";

/// A GPU, as the kernel module describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gpu {
    /// The PCI address.
    pub bus_id: String,
    /// The product name.
    pub model: Option<String>,
    /// The UUID, which the module knows once the GPU is initialised.
    pub uuid: Option<String>,
    /// The minor number of the device node.
    pub minor: Option<u32>,
    /// The version of the firmware that runs on it.
    pub firmware: Option<String>,
    /// Whether the driver is configured to ignore it.
    pub excluded: bool,
    /// The names of its nodes in /dev/dri.
    pub drm: Vec<String>,
    /// Whether its memory is coherent with the host's.
    pub is_coherent: bool,
}

impl Gpu {
    /// Returns the parts of the PCI address, for sorting; `None` if it is not one.
    fn address(&self) -> Option<[u64; 4]> {
        let mut texts = self.bus_id.split([':', '.']);
        let mut parts = [0; 4];
        for part in &mut parts {
            let digits = texts.next().filter(|it| !it.starts_with('+'))?;
            *part = u64::from_str_radix(digits, 16).ok()?;
        }
        texts.next().is_none().then_some(parts)
    }
}

/// Returns all GPUs, including those without a readable description, so that indices do not shift.
pub(super) fn read(host: &Tree) -> Vec<Gpu> {
    let names = host.names(GPUS, |_| true);
    let gpus = names.into_iter().map(|bus_id| {
        let path = format!("{GPUS}/{bus_id}/information");
        let drm = drm(host, &bus_id);
        // The kernel module creates it for GPUs whose memory is a NUMA node of the host.
        let is_coherent = host.stat(format!("{GPUS}/{bus_id}/numa_status")).is_some();
        Gpu {
            drm,
            is_coherent,
            ..parse(bus_id, &host.text(path).unwrap_or_default())
        }
    });
    let mut gpus: Vec<_> = gpus.filter(|it| it.address().is_some()).collect();
    gpus.sort_by_key(Gpu::address);
    gpus
}

fn drm(host: &Tree, bus_id: &str) -> Vec<String> {
    host.names(format!("{PCI_DEVICES}/{bus_id}/drm"), |name| {
        name.starts_with("card") || name.starts_with("renderD")
    })
}

fn parse(bus_id: String, text: &str) -> Gpu {
    let mut gpu = Gpu {
        bus_id,
        ..Gpu::default()
    };
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    for (name, value) in lines {
        let value = value.trim();
        // Values that the module does not know yet contain question marks.
        let known = (!value.contains("??") && value != "N/A").then(|| value.to_owned());
        match name.trim() {
            "Model" => gpu.model = known,
            "GPU UUID" => gpu.uuid = known.filter(|it| is_uuid(it, "GPU-")),
            "Device Minor" => gpu.minor = value.parse().ok(),
            "GPU Firmware" => gpu.firmware = known,
            "GPU Excluded" | "Blacklisted" => gpu.excluded = value == "Yes",
            _ => {}
        }
    }
    gpu
}

/// Whether the text is a UUID with this prefix. Checked strictly, since UUIDs become part of device names.
pub(super) fn is_uuid(text: &str, start: &str) -> bool {
    let Some(rest) = text.strip_prefix(start) else {
        return false;
    };
    let groups = rest.split('-').map(|group| {
        let is_hex = group.bytes().all(|it| it.is_ascii_hexdigit());
        is_hex.then_some(group.len())
    });
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

pub(super) fn count_on_pci(host: &Tree) -> usize {
    let starts_with =
        |path: &Path, start: &str| host.text(path).is_some_and(|text| text.starts_with(start));
    host.entries(PCI_DEVICES)
        .iter()
        .map(|entry| Path::new(PCI_DEVICES).join(&entry.name))
        .filter(|device| {
            starts_with(&device.join("vendor"), NVIDIA_VENDOR)
                && starts_with(&device.join("class"), DISPLAY_CLASS)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_sorted_by_the_numbers_of_their_addresses() {
        let address = |bus_id: &str| parse(bus_id.into(), "").address();
        let mut ids = [
            "10000:01:00.0",
            "0000:41:00.0",
            "0000:0f:00.0",
            "0000:07:00.1",
            "0000:07:00.0",
        ];
        ids.sort_by_key(|id| address(id));
        assert_eq!(
            ids,
            [
                "0000:07:00.0",
                "0000:07:00.1",
                "0000:0f:00.0",
                "0000:41:00.0",
                "10000:01:00.0",
            ]
        );
        for odd in ["", "odd", "0:1:2", "0:1:2.3.4", "0:+1:2.3", "0:1:2. 3"] {
            assert_eq!(address(odd), None, "{odd}");
        }
    }

    #[test]
    fn uuids_have_five_groups() {
        let uuid = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77";
        assert!(is_uuid(uuid, "GPU-") && !is_uuid(uuid, "MIG-"));
        for text in [
            "GPU-",
            "GPU-5d5ba0d6-d33d-2b2c-525d-9e3d8d2b8a7-",
            "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a7g",
            "GPU-5d5ba0d6d33d-2b2c-524d-9e3d8d2b8a777",
            "GPU-????????-????-????-????-????????????",
        ] {
            assert!(!is_uuid(text, "GPU-"), "{text}");
        }
    }

    #[test]
    fn information() {
        let text = "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 77\n\
            GPU UUID: \t GPU-eaf23aa1-4d3d-596c-da66-b86b0e5db584\nVideo BIOS: \t 94.02.26.40.81\n\
            Bus Location: \t 0000:01:00.0\nDevice Minor: \t 5\nGPU Firmware: \t 590.48.01\nGPU Excluded:\t No\n";
        assert_eq!(
            parse("0000:01:00.0".into(), text),
            Gpu {
                bus_id: "0000:01:00.0".into(),
                model: Some("NVIDIA GeForce RTX 3090".into()),
                uuid: Some("GPU-eaf23aa1-4d3d-596c-da66-b86b0e5db584".into()),
                minor: Some(5),
                firmware: Some("590.48.01".into()),
                excluded: false,
                drm: Vec::new(),
                is_coherent: false,
            }
        );
        assert_eq!(
            parse("a".into(), "GPU UUID: GPU-a b\n").uuid,
            None,
            "no name can have it"
        );
        let text = "Model: \t Tesla K80\nGPU UUID: \t GPU-????????-????-????-????-????????????\n\
            GPU Firmware: \t N/A\nBlacklisted:\t Yes\nDevice Minor: \t x\n\nbroken\n";
        let gpu = parse("a".into(), text);
        assert_eq!((gpu.uuid, gpu.minor, gpu.firmware), (None, None, None));
        assert!(gpu.excluded);
    }
}
