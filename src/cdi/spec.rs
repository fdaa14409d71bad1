//! What a spec says, as far as it is of use on a host.

use serde::Deserialize;

/// The versions that engines know.
const VERSIONS: [&str; 10] = [
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0",
];

/// The devices of one vendor and class, and what a container gets with each.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Version of the format.
    pub cdi_version: String,
    /// `vendor/class`
    pub kind: String,
    /// The devices.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// What a container gets with any of them.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// A device that containers can ask for.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its name; with the spec's kind before it, `vendor/class=name`, it is qualified.
    pub name: String,
    /// What a container gets with it.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// What a container gets.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEdits {
    /// Device nodes.
    #[serde(default)]
    pub device_nodes: Vec<DeviceNode>,
    /// Bind mounts.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// OCI hooks.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

/// A device node.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// Its path in the container.
    pub path: String,
    /// Its path on the host, if that is another one.
    pub host_path: Option<String>,
    /// Its major number; 0 if the host's node tells.
    #[serde(default)]
    pub major: u64,
    /// Its minor number.
    #[serde(default)]
    pub minor: u64,
}

/// A bind mount.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// What is mounted.
    pub host_path: String,
}

/// An OCI hook.
#[derive(Deserialize, Debug)]
pub struct Hook {
    /// The program.
    pub path: String,
}

impl Spec {
    /// Refuses what engines refuse.
    pub(super) fn check(&self) -> Result<(), String> {
        let version = self.cdi_version.trim_start_matches('v');
        if !VERSIONS.contains(&version) {
            return Err(format!("cdiVersion '{}' is not known", self.cdi_version));
        }
        let is_kind = |(vendor, class): (&str, &str)| is_kind_part(vendor) && is_kind_part(class);
        if !self.kind.split_once('/').is_some_and(is_kind) {
            return Err(format!("kind '{}' is not VENDOR/CLASS", self.kind));
        }
        if self.devices.is_empty() {
            return Err("it has no devices".to_owned());
        }
        let mut names: Vec<_> = self.devices.iter().map(|device| &device.name).collect();
        if let Some(name) = names.iter().find(|name| !is_device_name(name)) {
            return Err(format!("'{name}' cannot be the name of a device"));
        }
        names.sort_unstable();
        let twice = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(a),
            _ => None,
        });
        twice.map_or(Ok(()), |name| {
            Err(format!("device '{name}' is there twice"))
        })
    }

    /// The qualified names of the devices.
    pub fn qualified_names(&self) -> impl Iterator<Item = String> {
        let name = |device: &Device| format!("{}={}", self.kind, device.name);
        self.devices.iter().map(name)
    }

    /// How many devices and edits there are.
    pub(super) fn parts(&self) -> usize {
        let of = |it: &ContainerEdits| it.device_nodes.len() + it.mounts.len() + it.hooks.len();
        self.devices.len() + self.edits().map(of).sum::<usize>()
    }

    /// All edits, the common ones first.
    pub fn edits(&self) -> impl Iterator<Item = &ContainerEdits> {
        let of_devices = self.devices.iter().map(|device| &device.container_edits);
        std::iter::once(&self.container_edits).chain(of_devices)
    }
}

impl DeviceNode {
    /// Its path on the host.
    #[must_use]
    pub fn on_host(&self) -> &str {
        self.host_path.as_deref().unwrap_or(&self.path)
    }
}

fn is_kind_part(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(text, "_-.")
}

fn is_device_name(text: &str) -> bool {
    is_name(text, "_-.:")
}

fn is_name(text: &str, between: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|c| is_end(c) || between.contains(c))
}
