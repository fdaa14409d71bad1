//! The CDI spec as a data structure. Format: SPEC.md of the Container Device Interface, version 1.1.0.

use std::collections::BTreeMap;

/// The devices of one vendor and class, and their edits.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// The version of the format.
    pub cdi_version: String,
    /// `vendor/class`
    pub kind: String,
    /// Annotations, for other programs.
    pub annotations: BTreeMap<String, String>,
    /// The devices.
    pub devices: Vec<Device>,
    /// The edits for every container that gets one of the devices.
    pub container_edits: ContainerEdits,
}

/// A device that containers can request.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The name; `vendor/class=name` is the qualified name.
    pub name: String,
    /// Annotations, for other programs.
    pub annotations: BTreeMap<String, String>,
    /// The edits for a container that gets the device.
    pub container_edits: ContainerEdits,
}

/// Edits of a container's configuration.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct ContainerEdits {
    /// Environment variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Device nodes.
    pub device_nodes: Vec<DeviceNode>,
    /// Network interfaces.
    pub net_devices: Vec<NetDevice>,
    /// OCI hooks.
    pub hooks: Vec<Hook>,
    /// Bind mounts.
    pub mounts: Vec<Mount>,
    /// Limits on caches and memory bandwidth.
    pub intel_rdt: Option<IntelRdt>,
    /// Additional groups of the process.
    pub additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct DeviceNode {
    /// The path in the container.
    pub path: String,
    /// The path on the host, if it differs.
    pub host_path: Option<String>,
    /// `b`, `c`, `u` or `p`; empty to take the type of the host's node.
    pub kind: String,
    /// The major number; 0 to take the number of the host's node.
    pub major: u64,
    /// The minor number.
    pub minor: u64,
    /// The mode.
    pub file_mode: Option<u32>,
    /// The allowed access: some of `r`, `w` and `m`.
    pub permissions: String,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// A network interface to move into the container.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct NetDevice {
    /// The name on the host.
    pub host_interface_name: String,
    /// The name in the container.
    pub name: String,
}

/// A bind mount.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// The source.
    pub host_path: String,
    /// The destination.
    pub container_path: String,
    /// Options, as for mount(8).
    pub options: Vec<String>,
    /// The type of the file system.
    pub kind: String,
}

/// An OCI hook.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// The stage.
    pub hook_name: String,
    /// The program.
    pub path: String,
    /// The arguments, beginning with the program's own name.
    pub args: Vec<String>,
    /// The environment, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The timeout in seconds.
    pub timeout: Option<i64>,
}

/// A class of service of Intel's Resource Director Technology.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct IntelRdt {
    /// The name of the class.
    pub clos_id: String,
    /// The schema of L3 caches.
    pub l3_cache_schema: String,
    /// The schema of memory bandwidth.
    pub mem_bw_schema: String,
    /// Schemata of any kind.
    pub schemata: Vec<String>,
    /// Whether the class is monitored.
    pub enable_monitoring: bool,
    /// Whether cache use is monitored.
    pub enable_cmt: bool,
    /// Whether memory bandwidth is monitored.
    pub enable_mbm: bool,
}

impl Spec {
    /// Returns the qualified names of the devices.
    pub fn qualified_names(&self) -> impl Iterator<Item = String> {
        let name = |device: &Device| format!("{}={}", self.kind, device.name);
        self.devices.iter().map(name)
    }

    /// Returns the number of devices and edits.
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

    /// Returns all edits, the common ones first.
    pub fn edits(&self) -> impl Iterator<Item = &ContainerEdits> {
        let of_devices = self.devices.iter().map(|device| &device.container_edits);
        std::iter::once(&self.container_edits).chain(of_devices)
    }

    /// Returns all edits for modification.
    pub fn edits_mut(&mut self) -> impl Iterator<Item = &mut ContainerEdits> {
        let devices = self.devices.iter_mut();
        let of_devices = devices.map(|device| &mut device.container_edits);
        std::iter::once(&mut self.container_edits).chain(of_devices)
    }
}

impl Hook {
    /// Whether this is the hook `apply`, which only this program has.
    #[must_use]
    pub fn calls_apply(&self) -> bool {
        let mut words = self.args.iter().skip(1).map(String::as_str);
        let first = words.find(|word| *word != "hook");
        first == Some("apply")
    }
}

impl DeviceNode {
    /// Returns the path on the host.
    #[must_use]
    pub fn on_host(&self) -> &str {
        self.host_path.as_deref().unwrap_or(&self.path)
    }
}
