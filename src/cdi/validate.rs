//! The rules by which engines reject specs: those of the CNCF's Go library.

use std::collections::BTreeSet;

use super::spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// The versions of the format, oldest first.
const VERSIONS: [&str; 10] = [
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0",
];
const STAGES: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];
const DEVICE_TYPES: [&str; 5] = ["", "b", "c", "u", "p"];
/// The maximum length of a vendor, which is a domain name.
pub const MAX_VENDOR: usize = 253;
/// The maximum length of a class and of an annotation's name.
pub const MAX_CLASS: usize = 63;
/// The maximum length of a class of service, which is a directory name.
const MAX_CLOS_ID: usize = 4095;

/// Checks a spec as engines do, which ignore a file that fails. The error names the faulty part.
pub fn check(spec: &Spec) -> Result<(), String> {
    let version = spec.cdi_version.trim_start_matches('v');
    if position(version).is_none() {
        return Err(format!("cdiVersion '{}' is not known", spec.cdi_version));
    }
    let is_kind = |(vendor, class): (&str, &str)| is_kind_part(vendor) && is_kind_part(class);
    if !spec.kind.split_once('/').is_some_and(is_kind) {
        return Err(format!("kind '{}' is not VENDOR/CLASS", spec.kind));
    }
    let minimum = minimum_version(spec);
    if position(version) < position(minimum) {
        return Err(format!(
            "cdiVersion is {version}, but the spec needs {minimum}"
        ));
    }
    check_edits(&spec.container_edits).map_err(|err| format!("containerEdits: {err}"))?;
    if spec.devices.is_empty() {
        return Err("it has no devices".to_owned());
    }
    let mut names = BTreeSet::new();
    for device in &spec.devices {
        let name = &device.name;
        if !is_device_name(name) {
            return Err(format!("'{name}' is not a valid device name"));
        }
        if !names.insert(name) {
            return Err(format!("device '{name}' occurs twice"));
        }
        check_device(device).map_err(|err| format!("device '{name}': {err}"))?;
    }
    Ok(())
}

/// Returns the oldest version of the format that supports everything in the spec.
#[must_use]
pub fn minimum_version(spec: &Spec) -> &'static str {
    let edits = || spec.edits();
    let rdt = || edits().filter_map(|it| it.intel_rdt.as_ref());
    let has_annotations = |device: &Device| !device.annotations.is_empty();
    let starts_with_digit = |device: &Device| device.name.starts_with(|c: char| c.is_ascii_digit());
    let class = spec.kind.split_once('/').map_or("", |(_, class)| class);
    let rules = [
        (
            "1.1.0",
            edits().any(|it| !it.net_devices.is_empty())
                || rdt().any(|it| !it.schemata.is_empty() || it.enable_monitoring),
        ),
        (
            "0.7.0",
            rdt().next().is_some() || edits().any(|it| !it.additional_gids.is_empty()),
        ),
        (
            "0.6.0",
            !spec.annotations.is_empty()
                || class.contains('.')
                || spec.devices.iter().any(has_annotations),
        ),
        (
            "0.5.0",
            spec.devices.iter().any(starts_with_digit)
                || edits().any(|it| it.device_nodes.iter().any(has_host_path)),
        ),
        (
            "0.4.0",
            edits().any(|it| it.mounts.iter().any(|mount| !mount.kind.is_empty())),
        ),
    ];
    let needed = rules.iter().find(|(_, is_needed)| *is_needed);
    needed.map_or("0.3.0", |(version, _)| version)
}

/// Raises the version to the oldest one that supports everything in the spec, if it is too old.
pub fn raise_version(spec: &mut Spec) {
    let minimum = minimum_version(spec);
    if position(spec.cdi_version.trim_start_matches('v')) < position(minimum) {
        minimum.clone_into(&mut spec.cdi_version);
    }
}

/// Returns the index of a version; `None` if it is unknown.
fn position(version: &str) -> Option<usize> {
    VERSIONS.iter().position(|it| *it == version)
}

fn has_host_path(node: &DeviceNode) -> bool {
    node.host_path.is_some()
}

fn check_device(device: &Device) -> Result<(), String> {
    let edits = &device.container_edits;
    let is_empty = edits.env.is_empty()
        && edits.device_nodes.is_empty()
        && edits.net_devices.is_empty()
        && edits.hooks.is_empty()
        && edits.mounts.is_empty()
        && edits.intel_rdt.is_none()
        && edits.additional_gids.is_empty();
    if is_empty {
        return Err("it has no edits".to_owned());
    }
    check_edits(edits)
}

fn check_edits(edits: &ContainerEdits) -> Result<(), String> {
    check_env(&edits.env)?;
    edits.device_nodes.iter().try_for_each(check_node)?;
    check_net_devices(&edits.net_devices)?;
    edits.hooks.iter().try_for_each(check_hook)?;
    edits.mounts.iter().try_for_each(check_mount)?;
    edits.intel_rdt.as_ref().map_or(Ok(()), check_rdt)
}

fn check_env(env: &[String]) -> Result<(), String> {
    let is_variable = |entry: &&String| entry.find('=').is_some_and(|equal| equal > 0);
    match env.iter().find(|entry| !is_variable(entry)) {
        None => Ok(()),
        Some(entry) => Err(format!("env '{entry}' is not NAME=VALUE")),
    }
}

fn check_node(node: &DeviceNode) -> Result<(), String> {
    let path = &node.path;
    if path.is_empty() {
        return Err("a device node has no path".to_owned());
    }
    if !DEVICE_TYPES.contains(&node.kind.as_str()) {
        return Err(format!(
            "device node {path}: type '{}' is not known",
            node.kind
        ));
    }
    if !node.permissions.chars().all(|c| "rwm".contains(c)) {
        let permissions = &node.permissions;
        return Err(format!(
            "device node {path}: permissions '{permissions}' are not a combination of r, w and m"
        ));
    }
    Ok(())
}

fn check_net_devices(devices: &[NetDevice]) -> Result<(), String> {
    let (mut on_host, mut inside) = (BTreeSet::new(), BTreeSet::new());
    for device in devices {
        let (host, name) = (&device.host_interface_name, &device.name);
        if host.is_empty() || name.is_empty() {
            return Err("a network device has no name".to_owned());
        }
        if !on_host.insert(host) || !inside.insert(name) {
            return Err(format!("network device '{host}' ('{name}') occurs twice"));
        }
    }
    Ok(())
}

fn check_hook(hook: &Hook) -> Result<(), String> {
    let name = &hook.hook_name;
    if !STAGES.contains(&name.as_str()) {
        return Err(format!(
            "hook {}: hookName '{name}' is not known",
            hook.path
        ));
    }
    if hook.path.is_empty() {
        return Err(format!("a {name} hook has no path"));
    }
    check_env(&hook.env).map_err(|err| format!("hook {}: {err}", hook.path))
}

fn check_mount(mount: &Mount) -> Result<(), String> {
    if mount.host_path.is_empty() || mount.container_path.is_empty() {
        let named = format!("{}{}", mount.host_path, mount.container_path);
        return Err(format!(
            "mount {named}: hostPath or containerPath is missing"
        ));
    }
    Ok(())
}

fn check_rdt(rdt: &IntelRdt) -> Result<(), String> {
    let id = &rdt.clos_id;
    let is_odd = id.len() > MAX_CLOS_ID
        || matches!(id.as_str(), "." | "..")
        || id != "/" && id.contains(['/', '\n']);
    if is_odd {
        return Err("intelRdt: closID is not a valid directory name".to_owned());
    }
    Ok(())
}

/// Whether the text is a valid vendor or class.
#[must_use]
pub fn is_kind_part(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(text, "_-.")
}

/// Whether the text is a valid device name.
#[must_use]
pub fn is_device_name(text: &str) -> bool {
    is_name(text, "_-.:")
}

/// Whether the text is a valid annotation key: a name, or a domain, a slash and a name.
#[must_use]
pub fn is_annotation_key(text: &str) -> bool {
    let (domain, name) = text
        .split_once('/')
        .map_or((None, text), |(domain, name)| (Some(domain), name));
    let is_label = |label: &str| {
        let is_lower = |c: char| !c.is_ascii_uppercase();
        is_name(label, "-") && label.chars().all(is_lower)
    };
    let is_domain = |it: &str| it.len() <= MAX_VENDOR && it.split('.').all(is_label);
    name.len() <= MAX_CLASS && is_name(name, "_-.") && domain.is_none_or(is_domain)
}

fn is_name(text: &str, between: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|c| is_end(c) || between.contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::cdi::decode;

    use super::*;

    /// Returns the fault of a spec of this version with one device that has these edits, and other members.
    fn error(version: &str, edits: &Value, others: &Value) -> String {
        let mut spec = json!({
            "cdiVersion": version,
            "kind": "vendor.com/gpu",
            "devices": [{"name": "x", "containerEdits": edits}],
        });
        for (name, value) in others.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        let spec = match decode::spec(spec) {
            Ok(spec) => spec,
            Err(err) => return err,
        };
        check(&spec).err().unwrap_or_default()
    }

    #[test]
    fn keys_of_annotations() {
        let long = "x".repeat(MAX_CLASS);
        for (key, is_key) in [
            ("a", true),
            ("A_b.c-d", true),
            ("vendor.com/x", true),
            (long.as_str(), true),
            (&format!("{long}x"), false),
            ("", false),
            ("bad key!", false),
            ("-a", false),
            ("/a", false),
            ("a/b/c", false),
            ("Vendor.com/a", false),
            ("a..b/c", false),
            (&format!("{}a/b", "a.".repeat(127)), false),
        ] {
            assert_eq!(is_annotation_key(key), is_key, "{key}");
        }
    }

    #[test]
    fn edits_are_judged_as_engines_do() {
        let env = json!({"env": ["A=b"]});
        assert_eq!(error("0.3.0", &env, &json!({"containerEdits": null})), "");
        for (edits, message) in [
            (json!({}), "it has no edits"),
            (json!({"env": ["=x"]}), "env '=x' is not NAME=VALUE"),
            (
                json!({"deviceNodes": [{"path": ""}]}),
                "a device node has no path",
            ),
            (
                json!({"deviceNodes": [{"path": "/d", "type": "x"}]}),
                "type 'x' is not known",
            ),
            (
                json!({"deviceNodes": [{"path": "/d", "permissions": "rx"}]}),
                "permissions 'rx'",
            ),
            (
                json!({"hooks": [{"hookName": "start", "path": "/h"}]}),
                "hookName 'start' is not known",
            ),
            (
                json!({"hooks": [{"hookName": "prestart", "path": ""}]}),
                "a prestart hook has no path",
            ),
            (
                json!({"hooks": [{"hookName": "prestart", "path": "/h", "env": ["x"]}]}),
                "hook /h: env 'x'",
            ),
            (
                json!({"mounts": [{"hostPath": "/a"}]}),
                "mount /a: hostPath or containerPath",
            ),
            (
                json!({"intelRdt": {"closID": "a/b"}}),
                "closID is not a valid",
            ),
            (
                json!({"netDevices": [{"hostInterfaceName": "eth0", "name": ""}]}),
                "has no name",
            ),
            (json!({"unknown": 1}), "unknown field 'unknown'"),
        ] {
            let error = error("1.1.0", &edits, &json!({}));
            assert!(error.contains(message), "{edits}: {error}");
        }
    }

    #[test]
    fn the_version_must_have_what_the_spec_says() {
        let env = json!({"env": ["A=b"]});
        for (needed, edits, others) in [
            (
                "0.4.0",
                json!({"mounts": [{"hostPath": "/a", "containerPath": "/a", "type": "bind"}]}),
                json!({}),
            ),
            (
                "0.5.0",
                json!({"deviceNodes": [{"path": "/a", "hostPath": "/b"}]}),
                json!({}),
            ),
            (
                "0.5.0",
                env.clone(),
                json!({"devices": [{"name": "0", "containerEdits": env}]}),
            ),
            ("0.6.0", env.clone(), json!({"annotations": {"a": "b"}})),
            ("0.6.0", env.clone(), json!({"kind": "vendor.com/gpu.x"})),
            ("0.7.0", json!({"additionalGids": [7]}), json!({})),
            ("0.7.0", json!({"intelRdt": {"closID": "x"}}), json!({})),
            (
                "1.1.0",
                json!({"intelRdt": {"enableMonitoring": true}}),
                json!({}),
            ),
            (
                "1.1.0",
                json!({"netDevices": [{"hostInterfaceName": "a", "name": "b"}]}),
                json!({}),
            ),
        ] {
            assert_eq!(error(needed, &edits, &others), "", "{edits} {others}");
            let at = VERSIONS.iter().position(|it| *it == needed).unwrap();
            let older = VERSIONS[at - 1];
            let expected = format!("cdiVersion is {older}, but the spec needs {needed}");
            assert_eq!(error(older, &edits, &others), expected, "{edits} {others}");
        }
    }
}
