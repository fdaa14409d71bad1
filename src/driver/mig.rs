//! MIG instances of GPUs.
//!
//! Format: `/proc/driver/nvidia/capabilities/gpuM/mig/giI/ciC/access`, where M is the minor number of the GPU's node, with lines
//! such as `DeviceFileMinor: 13`. `/proc/driver/nvidia-caps/mig-minors` has the same numbers, as lines `gpuM/giI/ciC/access 13`.

use std::io;
use std::path::Path;

use super::node::{CAPABILITIES, MIG_MINORS, field};
use super::tree::Tree;

/// A compute instance in a GPU instance.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MigInstance {
    /// The minor number of the GPU's node.
    pub gpu: u32,
    /// The number of the GPU instance.
    pub gpu_instance: u32,
    /// The number of the compute instance in it.
    pub compute_instance: u32,
    /// The minor numbers of the nodes in `/dev/nvidia-caps` that grant access to the GPU instance and the compute instance.
    pub capabilities: [Option<u32>; 2],
}

/// Returns all instances, sorted by GPU and number.
pub(super) fn read(host: &Tree) -> Vec<MigInstance> {
    let mut instances = Vec::new();
    let mut minors = None;
    for gpu in host.numbered(CAPABILITIES, "gpu") {
        let mig = format!("{CAPABILITIES}/gpu{gpu}/mig");
        for gpu_instance in host.numbered(&mig, "gi") {
            let outer = format!("gi{gpu_instance}");
            for compute_instance in host.numbered(format!("{mig}/{outer}"), "ci") {
                let minors =
                    minors.get_or_insert_with(|| host.text(MIG_MINORS).unwrap_or_default());
                let inner = format!("{outer}/ci{compute_instance}");
                instances.push(MigInstance {
                    gpu,
                    gpu_instance,
                    compute_instance,
                    capabilities: [&outer, &inner].map(|it| minor(host, minors, gpu, it)),
                });
            }
        }
    }
    instances
}

/// Returns the minor number of a capability: from its own file, else from the list of all capabilities.
fn minor(host: &Tree, minors: &str, gpu: u32, capability: &str) -> Option<u32> {
    let path = format!("{CAPABILITIES}/gpu{gpu}/mig/{capability}/access");
    let text = host.text(&path).unwrap_or_default();
    let own = field(&text, "DeviceFileMinor");
    let listed = listed(minors, &format!("gpu{gpu}/{capability}/access"));
    if let (Some(own), Some(listed)) = (own, listed)
        && own != listed
    {
        let error = io::Error::other(format!(
            "its number is {own} here, but {listed} in {MIG_MINORS}"
        ));
        host.note(Path::new(&path), error);
    }
    own.or(listed)
}

fn listed(minors: &str, capability: &str) -> Option<u32> {
    let mut lines = minors.lines().filter_map(|line| line.split_once(' '));
    let (_, minor) = lines.find(|(name, _)| *name == capability)?;
    minor.trim().parse().ok()
}
