//! How specs are written: byte for byte as the CNCF's Go library writes them, so that a spec that another program wrote compares equal.
//!
//! Annotations alone may stand in another order, and texts of several lines are written on one.

mod json;
mod scalar;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use super::spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// What a spec is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A document of lines.
    Yaml,
    /// All on one line.
    Json,
}

/// The text of a file that says what `spec` does.
#[must_use]
pub fn to_text(spec: &Spec, format: Format) -> String {
    let tree = document(spec, format);
    match format {
        Format::Yaml => yaml::print(&tree),
        Format::Json => json::print(&tree),
    }
}

/// A value of a document. Both printers know no others.
enum Node<'s> {
    Text(&'s str),
    /// A number or a truth value.
    Bare(String),
    List(Vec<Self>),
    Members(Vec<Member<'s>>),
}

type Member<'s> = (&'s str, Node<'s>);

/// An object without the members that say nothing.
fn object<'s, const N: usize>(members: [(&'s str, Option<Node<'s>>); N]) -> Node<'s> {
    let said = |(name, value): (&'s str, Option<Node<'s>>)| Some((name, value?));
    Node::Members(members.into_iter().filter_map(said).collect())
}

/// A text, empty or not.
#[expect(clippy::unnecessary_wraps, reason = "a member of an object")]
fn text(text: &str) -> Option<Node<'_>> {
    Some(Node::Text(text))
}

fn optional(text: &str) -> Option<Node<'_>> {
    (!text.is_empty()).then_some(Node::Text(text))
}

/// A number or a truth value, if it is another than that of a spec that does not name it.
fn bare<T: ToString + Default + PartialEq>(value: &T) -> Option<Node<'static>> {
    (*value != T::default()).then(|| Node::Bare(value.to_string()))
}

fn number<T: ToString>(value: Option<T>) -> Option<Node<'static>> {
    Some(Node::Bare(value?.to_string()))
}

fn list<'s, T>(items: &'s [T], node: impl Fn(&'s T) -> Node<'s>) -> Option<Node<'s>> {
    (!items.is_empty()).then(|| Node::List(items.iter().map(node).collect()))
}

fn texts(items: &[String]) -> Option<Node<'_>> {
    list(items, |item| Node::Text(item))
}

fn annotations(pairs: &BTreeMap<String, String>) -> Option<Node<'_>> {
    let pairs = pairs.iter();
    let members = pairs.map(|(key, value)| (key.as_str(), Node::Text(value)));
    (members.len() > 0).then(|| Node::Members(members.collect()))
}

fn document(spec: &Spec, format: Format) -> Node<'_> {
    let devices = spec.devices.iter().map(device).collect();
    // Go's writer of JSON knows no empty object.
    let has_common = format == Format::Json || spec.container_edits != ContainerEdits::default();
    object([
        ("cdiVersion", text(&spec.cdi_version)),
        ("kind", text(&spec.kind)),
        ("annotations", annotations(&spec.annotations)),
        ("devices", Some(Node::List(devices))),
        (
            "containerEdits",
            has_common.then(|| edits(&spec.container_edits)),
        ),
    ])
}

fn device(device: &Device) -> Node<'_> {
    object([
        ("name", text(&device.name)),
        ("annotations", annotations(&device.annotations)),
        ("containerEdits", Some(edits(&device.container_edits))),
    ])
}

fn edits(edits: &ContainerEdits) -> Node<'_> {
    object([
        ("env", texts(&edits.env)),
        ("deviceNodes", list(&edits.device_nodes, device_node)),
        ("netDevices", list(&edits.net_devices, net_device)),
        ("hooks", list(&edits.hooks, hook)),
        ("mounts", list(&edits.mounts, mount)),
        ("intelRdt", edits.intel_rdt.as_ref().map(intel_rdt)),
        (
            "additionalGids",
            list(&edits.additional_gids, |gid| Node::Bare(gid.to_string())),
        ),
    ])
}

fn device_node(node: &DeviceNode) -> Node<'_> {
    object([
        ("path", text(&node.path)),
        ("hostPath", node.host_path.as_deref().and_then(text)),
        ("type", optional(&node.kind)),
        ("major", bare(&node.major)),
        ("minor", bare(&node.minor)),
        ("fileMode", number(node.file_mode)),
        ("permissions", optional(&node.permissions)),
        ("uid", number(node.uid)),
        ("gid", number(node.gid)),
    ])
}

fn net_device(device: &NetDevice) -> Node<'_> {
    object([
        ("hostInterfaceName", text(&device.host_interface_name)),
        ("name", text(&device.name)),
    ])
}

fn hook(hook: &Hook) -> Node<'_> {
    object([
        ("hookName", text(&hook.hook_name)),
        ("path", text(&hook.path)),
        ("args", texts(&hook.args)),
        ("env", texts(&hook.env)),
        ("timeout", number(hook.timeout)),
    ])
}

fn mount(mount: &Mount) -> Node<'_> {
    object([
        ("hostPath", text(&mount.host_path)),
        ("containerPath", text(&mount.container_path)),
        ("options", texts(&mount.options)),
        ("type", optional(&mount.kind)),
    ])
}

fn intel_rdt(rdt: &IntelRdt) -> Node<'_> {
    object([
        ("closID", optional(&rdt.clos_id)),
        ("l3CacheSchema", optional(&rdt.l3_cache_schema)),
        ("memBwSchema", optional(&rdt.mem_bw_schema)),
        ("schemata", texts(&rdt.schemata)),
        ("enableMonitoring", bare(&rdt.enable_monitoring)),
        ("enableCMT", bare(&rdt.enable_cmt)),
        ("enableMBM", bare(&rdt.enable_mbm)),
    ])
}
