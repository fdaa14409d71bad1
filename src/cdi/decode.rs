//! Decodes a spec from a document's values, as strictly as the CNCF's Go library: unknown fields are errors.
//!
//! As in that library, `null` counts as absent, and a number or a bool is accepted for a string. Written by hand: the code that
//! serde derives for these types has 35 KiB.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec};

/// Decodes a spec. The error names the place of the fault.
pub(super) fn spec(value: Value) -> Result<Spec, String> {
    object(value, |it| {
        Ok(Spec {
            cdi_version: it.text("cdiVersion")?,
            kind: it.text("kind")?,
            annotations: it.annotations()?,
            devices: it.list("devices", device)?,
            container_edits: it.edits()?,
        })
    })
}

fn device(value: Value) -> Result<Device, String> {
    object(value, |it| {
        Ok(Device {
            name: it.text("name")?,
            annotations: it.annotations()?,
            container_edits: it.edits()?,
        })
    })
}

fn edits(value: Value) -> Result<ContainerEdits, String> {
    object(value, |it| {
        Ok(ContainerEdits {
            env: it.list("env", text)?,
            device_nodes: it.list("deviceNodes", device_node)?,
            net_devices: it.list("netDevices", net_device)?,
            hooks: it.list("hooks", hook)?,
            mounts: it.list("mounts", mount)?,
            intel_rdt: it.some("intelRdt", intel_rdt)?,
            additional_gids: it.list("additionalGids", number)?,
        })
    })
}

fn device_node(value: Value) -> Result<DeviceNode, String> {
    object(value, |it| {
        Ok(DeviceNode {
            path: it.text("path")?,
            host_path: Some(it.text("hostPath")?).filter(|path| !path.is_empty()),
            kind: it.text("type")?,
            major: it.some("major", number)?.unwrap_or_default(),
            minor: it.some("minor", number)?.unwrap_or_default(),
            file_mode: it.some("fileMode", number)?,
            permissions: it.text("permissions")?,
            uid: it.some("uid", number)?,
            gid: it.some("gid", number)?,
        })
    })
}

fn net_device(value: Value) -> Result<NetDevice, String> {
    object(value, |it| {
        Ok(NetDevice {
            host_interface_name: it.text("hostInterfaceName")?,
            name: it.text("name")?,
        })
    })
}

fn hook(value: Value) -> Result<Hook, String> {
    object(value, |it| {
        Ok(Hook {
            hook_name: it.text("hookName")?,
            path: it.text("path")?,
            args: it.list("args", text)?,
            env: it.list("env", text)?,
            timeout: it.some("timeout", number)?,
        })
    })
}

fn mount(value: Value) -> Result<Mount, String> {
    object(value, |it| {
        Ok(Mount {
            host_path: it.text("hostPath")?,
            container_path: it.text("containerPath")?,
            options: it.list("options", text)?,
            kind: it.text("type")?,
        })
    })
}

fn intel_rdt(value: Value) -> Result<IntelRdt, String> {
    object(value, |it| {
        Ok(IntelRdt {
            clos_id: it.text("closID")?,
            l3_cache_schema: it.text("l3CacheSchema")?,
            mem_bw_schema: it.text("memBwSchema")?,
            schemata: it.list("schemata", text)?,
            enable_monitoring: it.flag("enableMonitoring")?,
            enable_cmt: it.flag("enableCMT")?,
            enable_mbm: it.flag("enableMBM")?,
        })
    })
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err("it is not a string".to_owned()),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "all readers of values have one form"
)]
fn number<T: TryFrom<i64>>(value: Value) -> Result<T, String> {
    let number = value.as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "it is not a number in the valid range".to_owned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "all readers of values have one form"
)]
fn flag(value: Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "it is neither true nor false".to_owned())
}

/// Reads an object. Fails for members that `read` does not consume.
fn object<T>(
    value: Value,
    read: impl FnOnce(&mut Members) -> Result<T, String>,
) -> Result<T, String> {
    let mut members = Members::of(value)?;
    let object = read(&mut members)?;
    members.end()?;
    Ok(object)
}

/// The members of an object that are not consumed yet.
struct Members(Map<String, Value>);

impl Members {
    fn of(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self(Map::new())),
            Value::Object(members) => Ok(Self(members)),
            _ => Err("it is not an object".to_owned()),
        }
    }

    fn end(&self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("unknown field '{name}'")),
            None => Ok(()),
        }
    }

    /// Returns the value of a member, if it exists and is not `null`.
    fn some<T>(
        &mut self,
        name: &str,
        read: fn(Value) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.0.remove(name).filter(|value| !value.is_null());
        let value = value.map(|value| read(value).map_err(|err| in_member(name, &err)));
        value.transpose()
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        Ok(self.some(name, text)?.unwrap_or_default())
    }

    fn flag(&mut self, name: &str) -> Result<bool, String> {
        Ok(self.some(name, flag)?.unwrap_or_default())
    }

    fn list<T>(
        &mut self,
        name: &str,
        read: fn(Value) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let items = self.some(name, items)?.unwrap_or_default();
        let mut list = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            list.push(read(item).map_err(|err| in_item(name, i, &err))?);
        }
        Ok(list)
    }

    fn annotations(&mut self) -> Result<BTreeMap<String, String>, String> {
        let mut pairs = BTreeMap::new();
        if let Some(Members(members)) = self.some("annotations", Members::of)? {
            for (name, value) in members {
                let value =
                    text(value).map_err(|err| in_member("annotations", &in_member(&name, &err)))?;
                pairs.insert(name, value);
            }
        }
        Ok(pairs)
    }

    fn edits(&mut self) -> Result<ContainerEdits, String> {
        Ok(self.some("containerEdits", edits)?.unwrap_or_default())
    }
}

fn in_member(name: &str, err: &str) -> String {
    format!("{name}: {err}")
}

fn in_item(name: &str, index: usize, err: &str) -> String {
    format!("{name}[{index}]: {err}")
}

fn items(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err("it is not a list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_taken_as_go_takes_them() {
        let value = json!({
            "kind": null,
            "annotations": {"a": 1, "b": null},
            "devices": [{"name": 0, "containerEdits": {"env": [true], "hooks": null, "intelRdt": {}}}],
            "containerEdits": {"deviceNodes": [{"path": "/a", "hostPath": "", "minor": 1, "gid": 0}]},
        });
        let spec = spec(value).unwrap();
        assert_eq!(spec.annotations["a"], "1");
        assert_eq!(spec.annotations["b"], "");
        let [device] = &spec.devices[..] else {
            panic!()
        };
        assert_eq!(device.name, "0");
        assert_eq!(device.container_edits.env, ["true"]);
        assert_eq!(device.container_edits.intel_rdt, Some(IntelRdt::default()));
        let [node] = &spec.container_edits.device_nodes[..] else {
            panic!()
        };
        assert_eq!(
            (node.major, node.minor, node.gid, node.uid),
            (0, 1, Some(0), None)
        );
        assert_eq!(node.host_path, None);
    }

    #[test]
    fn errors_tell_the_place() {
        let in_edits = |edits: Value| json!({"devices": [{}, {"containerEdits": edits}]});
        for (value, message) in [
            (json!([]), "it is not an object"),
            (json!({"cdiversion": "1.0.0"}), "unknown field 'cdiversion'"),
            (json!({"kind": {}}), "kind: it is not a string"),
            (
                json!({"annotations": {"a": []}}),
                "annotations: a: it is not a string",
            ),
            (json!({"devices": {}}), "devices: it is not a list"),
            (
                in_edits(json!({"mounts": [{"x": 1}]})),
                "devices[1]: containerEdits: mounts[0]: unknown field 'x'",
            ),
            (
                in_edits(json!({"deviceNodes": [{"major": "195"}]})),
                "devices[1]: containerEdits: deviceNodes[0]: major: it is not a number in the valid range",
            ),
            (
                in_edits(json!({"additionalGids": [1, -1]})),
                "devices[1]: containerEdits: additionalGids[1]: it is not a number in the valid range",
            ),
            (
                in_edits(json!({"intelRdt": {"enableMBM": 1}})),
                "devices[1]: containerEdits: intelRdt: enableMBM: it is neither true nor false",
            ),
        ] {
            assert_eq!(spec(value).unwrap_err(), message);
        }
    }
}
