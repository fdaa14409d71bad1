//! Parts of GPUs: instances of MIG.
//!
//! Format: `/proc/driver/nvidia/capabilities/gpuM/mig/giI/ciC/access`, M being the minor number of the GPU's node, with lines such
//! as `DeviceFileMinor: 13`.

use super::tree::Tree;

const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";

/// A compute instance in a GPU instance.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MigInstance {
    /// Minor number of the GPU's node.
    pub gpu: u32,
    /// Number of the GPU instance.
    pub gpu_instance: u32,
    /// Number of the compute instance in it.
    pub compute_instance: u32,
    /// Minor numbers of the nodes in `/dev/nvidia-caps` that give access to the two.
    pub capabilities: [Option<u32>; 2],
}

/// All of them, by GPU and number.
pub(super) fn read(host: &Tree<'_>) -> Vec<MigInstance> {
    let mut instances = Vec::new();
    for gpu in host.numbered(CAPABILITIES, "gpu") {
        let mig = format!("{CAPABILITIES}/gpu{gpu}/mig");
        for gpu_instance in host.numbered(&mig, "gi") {
            let outer = format!("{mig}/gi{gpu_instance}");
            for compute_instance in host.numbered(&outer, "ci") {
                let inner = format!("{outer}/ci{compute_instance}");
                instances.push(MigInstance {
                    gpu,
                    gpu_instance,
                    compute_instance,
                    capabilities: [outer.clone(), inner].map(|path| minor(host, &path)),
                });
            }
        }
    }
    instances
}

fn minor(host: &Tree<'_>, capability: &str) -> Option<u32> {
    let text = host.text(format!("{capability}/access"))?;
    let mut lines = text.lines();
    let minor = lines.find_map(|line| line.strip_prefix("DeviceFileMinor:"))?;
    minor.trim().parse().ok()
}
