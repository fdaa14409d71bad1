//! The output of `nvidia-smi -L`: NVML's order of GPUs and the UUIDs of MIG devices, which nothing else reports.
//!
//! Format: `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-…)`, and below it for each MIG device `  MIG 1g.5gb     Device  0: (UUID:
//! MIG-…)`.

use super::gpu::is_uuid;

/// The listed GPUs.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct List(Vec<ListedGpu>);

/// A GPU, and its MIG devices.
#[derive(PartialEq, Eq, Debug)]
pub struct ListedGpu {
    /// The index.
    pub index: u32,
    /// The UUID.
    pub uuid: String,
    /// The UUIDs of its MIG devices.
    mig: Vec<String>,
    /// Whether the indices of the devices run from 0 without a gap, and their UUIDs are unique.
    is_whole: bool,
}

impl ListedGpu {
    /// Returns the UUIDs of its MIG devices by index, if exactly `count` of them are listed completely.
    #[must_use]
    pub fn mig_uuids(&self, count: usize) -> Option<&[String]> {
        (self.is_whole && self.mig.len() == count).then_some(&self.mig)
    }
}

impl List {
    /// Parses the list. Lines in another format, such as warnings, are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut gpus = Vec::<ListedGpu>::new();
        for line in text.lines() {
            let line = line.trim();
            if let Some((index, uuid)) = gpu(line) {
                gpus.push(ListedGpu {
                    index,
                    uuid: uuid.to_owned(),
                    mig: Vec::new(),
                    is_whole: true,
                });
            } else if let Some((index, uuid)) = mig(line)
                && let Some(gpu) = gpus.last_mut()
            {
                let uuid = uuid.to_owned();
                gpu.is_whole &= usize::try_from(index).ok() == Some(gpu.mig.len());
                gpu.is_whole &= !gpu.mig.contains(&uuid);
                gpu.mig.push(uuid);
            }
        }
        Self(gpus)
    }

    /// Whether no GPU is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the GPU with this UUID; `None` if another one has the same index or UUID.
    #[must_use]
    pub fn find(&self, uuid: &str) -> Option<&ListedGpu> {
        let found = self.0.iter().find(|it| it.uuid == uuid)?;
        let is_same = |it: &&ListedGpu| it.uuid == found.uuid || it.index == found.index;
        (self.0.iter().filter(is_same).count() == 1).then_some(found)
    }
}

fn gpu(line: &str) -> Option<(u32, &str)> {
    let (index, rest) = line.strip_prefix("GPU ")?.split_once(": ")?;
    // The name may contain parentheses.
    let (_, rest) = rest.rsplit_once("(UUID: ")?;
    Some((index.parse().ok()?, uuid(rest, "GPU-")?))
}

fn mig(line: &str) -> Option<(u32, &str)> {
    let (_, rest) = line.strip_prefix("MIG ")?.split_once("Device ")?;
    let (index, rest) = rest.split_once(": (UUID: ")?;
    Some((index.trim().parse().ok()?, uuid(rest, "MIG-")?))
}

/// Parses a UUID. Drivers before 470 give MIG devices names with slashes, which contain no new information.
fn uuid<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    text.strip_suffix(')').filter(|it| is_uuid(it, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_one_uuid() {
        let line = "MIG 1g Device 0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)";
        let gpu = "GPU 0: A (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)";
        let second = line.replace("Device 0", "Device 1");
        let list = List::parse(&format!("{gpu}\n{line}\n{second}\n"));
        assert_eq!(list.0[0].mig_uuids(2), None);
    }

    #[test]
    fn what_is_printed_is_read() {
        let text = "warning: infoROM is corrupted\n\
            GPU 0: NVIDIA A100 (SXM4) (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)\n\
            \x20 MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)\n\
            \x20 MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)\n\
            \x20 MIG 3g.20gb     Device  3: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9bec)\n\
            GPU 1: NVIDIA A100 (UUID: GPU-????????-????-????-????-????????????)\n\
            GPU 12: NVIDIA A100 (UUID: GPU-6d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)\n\
            \x20 MIG 1g.5gb      Device  0: (UUID: MIG-GPU-6d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/1/0)\n";
        let list = List::parse(text);
        let of = |index, uuid: &str, is_whole, mig: &[&str]| ListedGpu {
            is_whole,
            index,
            uuid: uuid.to_owned(),
            mig: mig.iter().map(|&it| it.to_owned()).collect(),
        };
        assert_eq!(
            list.0,
            [
                of(
                    0,
                    "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77",
                    false,
                    &[
                        "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
                        "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
                        "MIG-cba663e8-9bed-5b25-b243-5985ef7c9bec"
                    ]
                ),
                of(12, "GPU-6d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", true, &[])
            ]
        );
        assert_eq!(list.0[0].mig_uuids(3), None, "one is missing");
        assert!(List::parse("").is_empty() && List::parse("GPU x\nMIG\nGPU : (UUID: )").is_empty());
    }
}
