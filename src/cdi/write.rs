//! Writes specs byte for byte as the CNCF's Go library does, so that an equal spec of another program compares equal.
//!
//! Only the order of annotations may differ, and multi-line strings are written on one line.

mod json;
mod scalar;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use super::spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// The format of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// YAML in block style.
    Yaml,
    /// JSON on one line.
    Json,
}

/// Returns the text of a file with `spec`.
#[must_use]
pub fn to_text(spec: &Spec, format: Format) -> String {
    let tree = document(spec, format);
    match format {
        Format::Yaml => yaml::print(&tree),
        Format::Json => json::print(&tree),
    }
}

/// A value of a document, as both printers take it.
enum Node<'s> {
    Text(&'s str),
    /// A number or a bool.
    Bare(String),
    List(Vec<Self>),
    Members(Vec<Member<'s>>),
}

type Member<'s> = (&'s str, Node<'s>);

impl Node<'_> {
    /// Whether it is an empty list or object.
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(_) | Self::Bare(_) => false,
            Self::List(items) => items.is_empty(),
            Self::Members(members) => members.is_empty(),
        }
    }
}

/// An object under construction. Empty members are omitted unless the format requires them.
#[derive(Default)]
struct Object<'s>(Vec<Member<'s>>);

impl<'s> Object<'s> {
    fn with(mut self, name: &'s str, value: Node<'s>) -> Self {
        self.0.push((name, value));
        self
    }

    fn text(self, name: &'s str, text: &'s str) -> Self {
        self.with(name, Node::Text(text))
    }

    fn optional(self, name: &'s str, text: &'s str) -> Self {
        if text.is_empty() {
            return self;
        }
        self.text(name, text)
    }

    fn number(self, name: &'s str, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.with(name, Node::Bare(number.to_string())),
            None => self,
        }
    }

    /// Adds a device number; 0 counts as absent.
    fn count(self, name: &'s str, number: u64) -> Self {
        if number == 0 {
            return self;
        }
        self.with(name, Node::Bare(number.to_string()))
    }

    fn flag(self, name: &'s str, is_on: bool) -> Self {
        if is_on {
            return self.with(name, Node::Bare("true".to_owned()));
        }
        self
    }

    fn list<T>(self, name: &'s str, items: &'s [T], node: fn(&'s T) -> Node<'s>) -> Self {
        if items.is_empty() {
            return self;
        }
        self.with(name, Node::List(items.iter().map(node).collect()))
    }

    fn texts(self, name: &'s str, items: &'s [String]) -> Self {
        self.list(name, items, |item| Node::Text(item))
    }

    fn annotations(self, pairs: &'s BTreeMap<String, String>) -> Self {
        if pairs.is_empty() {
            return self;
        }
        let pairs = pairs.iter();
        let members = pairs.map(|(key, value)| (key.as_str(), Node::Text(value)));
        self.with("annotations", Node::Members(members.collect()))
    }

    fn end(self) -> Node<'s> {
        Node::Members(self.0)
    }
}

fn document(spec: &Spec, format: Format) -> Node<'_> {
    let devices = spec.devices.iter().map(device).collect();
    let document = Object::default()
        .text("cdiVersion", &spec.cdi_version)
        .text("kind", &spec.kind)
        .annotations(&spec.annotations)
        .with("devices", Node::List(devices));
    let common = edits(&spec.container_edits);
    // Go's JSON encoder does not omit an empty struct.
    if format == Format::Yaml && common.is_empty() {
        return document.end();
    }
    document.with("containerEdits", common).end()
}

fn device(device: &Device) -> Node<'_> {
    Object::default()
        .text("name", &device.name)
        .annotations(&device.annotations)
        .with("containerEdits", edits(&device.container_edits))
        .end()
}

fn edits(edits: &ContainerEdits) -> Node<'_> {
    let mut object = Object::default()
        .texts("env", &edits.env)
        .list("deviceNodes", &edits.device_nodes, device_node)
        .list("netDevices", &edits.net_devices, net_device)
        .list("hooks", &edits.hooks, hook)
        .list("mounts", &edits.mounts, mount);
    if let Some(rdt) = &edits.intel_rdt {
        object = object.with("intelRdt", intel_rdt(rdt));
    }
    let gid = |gid: &u32| Node::Bare(gid.to_string());
    object
        .list("additionalGids", &edits.additional_gids, gid)
        .end()
}

fn device_node(node: &DeviceNode) -> Node<'_> {
    Object::default()
        .text("path", &node.path)
        .optional("hostPath", node.host_path.as_deref().unwrap_or_default())
        .optional("type", &node.kind)
        .count("major", node.major)
        .count("minor", node.minor)
        .number("fileMode", node.file_mode.map(Into::into))
        .optional("permissions", &node.permissions)
        .number("uid", node.uid.map(Into::into))
        .number("gid", node.gid.map(Into::into))
        .end()
}

fn net_device(device: &NetDevice) -> Node<'_> {
    Object::default()
        .text("hostInterfaceName", &device.host_interface_name)
        .text("name", &device.name)
        .end()
}

fn hook(hook: &Hook) -> Node<'_> {
    Object::default()
        .text("hookName", &hook.hook_name)
        .text("path", &hook.path)
        .texts("args", &hook.args)
        .texts("env", &hook.env)
        .number("timeout", hook.timeout)
        .end()
}

fn mount(mount: &Mount) -> Node<'_> {
    Object::default()
        .text("hostPath", &mount.host_path)
        .text("containerPath", &mount.container_path)
        .texts("options", &mount.options)
        .optional("type", &mount.kind)
        .end()
}

fn intel_rdt(rdt: &IntelRdt) -> Node<'_> {
    Object::default()
        .optional("closID", &rdt.clos_id)
        .optional("l3CacheSchema", &rdt.l3_cache_schema)
        .optional("memBwSchema", &rdt.mem_bw_schema)
        .texts("schemata", &rdt.schemata)
        .flag("enableMonitoring", rdt.enable_monitoring)
        .flag("enableCMT", rdt.enable_cmt)
        .flag("enableMBM", rdt.enable_mbm)
        .end()
}
