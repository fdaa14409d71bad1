//! What a spec says. Format: SPEC.md of the Container Device Interface, version 1.1.0.

use std::collections::BTreeMap;

/// The devices of one vendor and class, and what a container gets with each.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Version of the format.
    pub cdi_version: String,
    /// `vendor/class`
    pub kind: String,
    /// Notes for programs.
    pub annotations: BTreeMap<String, String>,
    /// The devices.
    pub devices: Vec<Device>,
    /// What a container gets with any of them.
    pub container_edits: ContainerEdits,
}

/// A device that containers can ask for.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its name; with the spec's kind before it, `vendor/class=name`, it is qualified.
    pub name: String,
    /// Notes for programs.
    pub annotations: BTreeMap<String, String>,
    /// What a container gets with it.
    pub container_edits: ContainerEdits,
}

/// What a container gets.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct ContainerEdits {
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Device nodes.
    pub device_nodes: Vec<DeviceNode>,
    /// Network interfaces.
    pub net_devices: Vec<NetDevice>,
    /// OCI hooks.
    pub hooks: Vec<Hook>,
    /// Bind mounts.
    pub mounts: Vec<Mount>,
    /// Limits of caches and memory bandwidth.
    pub intel_rdt: Option<IntelRdt>,
    /// More groups of the process.
    pub additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct DeviceNode {
    /// Its path in the container.
    pub path: String,
    /// Its path on the host, if that is another one.
    pub host_path: Option<String>,
    /// `b`, `c`, `u` or `p`; empty if the host's node tells.
    pub kind: String,
    /// Its major number; 0 if the host's node tells.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// Its mode.
    pub file_mode: Option<u32>,
    /// What the container may do with it: some of `r`, `w` and `m`.
    pub permissions: String,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

/// A network interface that is moved into the container.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct NetDevice {
    /// Its name on the host.
    pub host_interface_name: String,
    /// Its name in the container.
    pub name: String,
}

/// A bind mount.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// What is mounted.
    pub host_path: String,
    /// Where to.
    pub container_path: String,
    /// Options of mount(8).
    pub options: Vec<String>,
    /// The type of the file system.
    pub kind: String,
}

/// An OCI hook.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// When it is called.
    pub hook_name: String,
    /// The program.
    pub path: String,
    /// Its arguments, its own name first.
    pub args: Vec<String>,
    /// Its variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Seconds after which it is ended.
    pub timeout: Option<i64>,
}

/// A class of service of Intel's Resource Director Technology.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct IntelRdt {
    /// The class.
    pub clos_id: String,
    /// The schema of L3 caches.
    pub l3_cache_schema: String,
    /// The schema of memory bandwidth.
    pub mem_bw_schema: String,
    /// Any schemata.
    pub schemata: Vec<String>,
    /// Whether the class is watched.
    pub enable_monitoring: bool,
    /// Whether the use of caches is watched.
    pub enable_cmt: bool,
    /// Whether the use of memory bandwidth is watched.
    pub enable_mbm: bool,
}

impl Spec {
    /// The qualified names of the devices.
    pub fn qualified_names(&self) -> impl Iterator<Item = String> {
        let name = |device: &Device| format!("{}={}", self.kind, device.name);
        self.devices.iter().map(name)
    }

    /// How many devices and edits there are.
    pub(super) fn parts(&self) -> usize {
        let of = |it: &ContainerEdits| {
            [
                it.env.len(),
                it.device_nodes.len(),
                it.net_devices.len(),
                it.hooks.len(),
                it.mounts.len(),
            ]
        };
        self.devices.len() + self.edits().flat_map(of).sum::<usize>()
    }

    /// All edits, the common ones first.
    pub fn edits(&self) -> impl Iterator<Item = &ContainerEdits> {
        let of_devices = self.devices.iter().map(|device| &device.container_edits);
        std::iter::once(&self.container_edits).chain(of_devices)
    }

    /// The same, to be changed.
    pub fn edits_mut(&mut self) -> impl Iterator<Item = &mut ContainerEdits> {
        let devices = self.devices.iter_mut();
        let of_devices = devices.map(|device| &mut device.container_edits);
        std::iter::once(&mut self.container_edits).chain(of_devices)
    }
}

impl Hook {
    /// Whether it is the hook `apply`, which this program has and the toolkit has not.
    #[must_use]
    pub fn calls_apply(&self) -> bool {
        let mut words = self.args.iter().skip(1).map(String::as_str);
        let first = words.find(|word| *word != "hook");
        first == Some("apply")
    }
}

impl DeviceNode {
    /// Its path on the host.
    #[must_use]
    pub fn on_host(&self) -> &str {
        self.host_path.as_deref().unwrap_or(&self.path)
    }
}
