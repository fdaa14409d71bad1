//! Device nodes and the cgroup rules that allow access to them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Tree, json};

use super::config::{Config, last_of_each};
use super::same::{same, without};
use crate::cdi::spec::{ContainerEdits, DeviceNode};
use crate::document::json::scan::Value;
use crate::rootfs::Root;

const DEVICES: &[&str] = &["linux", "devices"];
const RULES: &[&str] = &["linux", "resources", "devices"];
/// The remedy for a spec that does not match the host.
const REMEDY: &str = "'nvidia-ctk cdi generate' regenerates NVIDIA's specs";

/// A device node with all properties that the container needs.
struct Node<'e> {
    edit: &'e DeviceNode,
    /// `b`, `c` or `p`.
    kind: &'static str,
    major: u64,
    minor: u64,
    mode: Option<u32>,
}

/// Adds nodes and their rules. Fails for a node that the host lacks, or that is another type of file there.
pub(super) fn add(
    config: &mut Config<'_, '_>,
    edits: &[&ContainerEdits],
    host: &Root,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let nodes = edits.iter().flat_map(|it| &it.device_nodes);
    let wanted = last_of_each(nodes, |it| it.path.as_str());
    let nodes = wanted.iter().map(|node| Node::find(node, host, warnings));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    add_nodes(config, &nodes)?;
    add_rules(config, &nodes)
}

/// Adds nodes; each replaces the one with its path.
fn add_nodes(config: &mut Config<'_, '_>, nodes: &[Node<'_>]) -> Result<()> {
    let user = |name| {
        let id = config.at(&["process", "user", name]);
        id.and_then(Value::number)
            .and_then(|it| u32::try_from(it).ok())
            .filter(|it| *it > 0)
    };
    let user = (user("uid"), user("gid"));
    config.merge(
        DEVICES,
        nodes,
        |item, node| {
            let path = item.member("path").and_then(Value::text);
            path.is_some_and(|it| it == node.edit.path)
        },
        |item, node| node.is(item),
        |node| node.tree(user),
    )
}

/// Adds rules; an existing one does not count if a later rule denies it.
fn add_rules(config: &mut Config<'_, '_>, nodes: &[Node<'_>]) -> Result<()> {
    let list = config.list(RULES)?;
    let is_denial = |it: &Value<'_>| it.member("allow").is_none_or(|it| it.raw() != b"true");
    let last_denial = list.items().iter().rposition(is_denial);
    let after = last_denial.and_then(|it| list.items().get(it));
    let start = after.map_or(0, |it| it.range().end);
    let serves = |rule: Value<'_>, wanted: &Tree| {
        let access = rule
            .member("access")
            .and_then(Value::text)
            .unwrap_or_default();
        let needed = wanted
            .get("access")
            .and_then(Tree::as_str)
            .unwrap_or_default();
        let is_same = |name| same(rule.member(name), wanted.get(name));
        rule.range().start >= start
            && ["type", "major", "minor"].into_iter().all(is_same)
            && needed.chars().all(|letter| access.contains(letter))
    };
    let rules = nodes.iter().filter_map(Node::rule);
    config.append(RULES, rules, |_| true, serves)
}

impl<'e> Node<'e> {
    /// Looks up a node on the host, whose number takes precedence: it may change when a module is reloaded.
    fn find(edit: &'e DeviceNode, host: &Root, warnings: &mut Vec<String>) -> Result<Self> {
        let path = edit.on_host();
        let of_spec = match edit.kind.as_str() {
            "" => None,
            "b" => Some("b"),
            "p" => Some("p"),
            _ => Some("c"), // `u` is an unbuffered character device
        };
        let found = match host.stat(Path::new(path)) {
            Ok(found) => found,
            Err(err) => {
                return match of_spec {
                    Some(kind) if edit.major != 0 || kind == "p" => Ok(Self {
                        edit,
                        kind,
                        major: edit.major,
                        minor: edit.minor,
                        mode: edit.file_mode,
                    }),
                    _ => Err(err).with_context(|| {
                        format!(
                            "cannot find the device node {path} of the CDI spec on the host; {REMEDY}"
                        )
                    }),
                };
            }
        };
        let Some((kind, major, minor)) = found.node else {
            bail!("{path} of the CDI spec is not a device node on the host; {REMEDY}");
        };
        ensure!(
            of_spec.is_none_or(|it| it == kind),
            "{path} is a device of type {kind} on the host, and of type {} in the CDI spec; {REMEDY}",
            edit.kind
        );
        if edit.major != 0 && (edit.major, edit.minor) != (major, minor) {
            warnings.push(format!(
                "{path} is {major}:{minor} on the host, and {}:{} in the CDI spec: the container gets the host's; {REMEDY}",
                edit.major, edit.minor
            ));
        }
        Ok(Self {
            edit,
            kind,
            major,
            minor,
            mode: edit.file_mode.or(Some(found.mode.bits())),
        })
    }

    /// Whether an existing device is this one and does not contradict the spec.
    fn is(&self, there: Value<'_>) -> bool {
        let wanted = self.with(self.edit.file_mode, (self.edit.uid, self.edit.gid));
        let mut members = wanted.as_object().into_iter().flatten();
        members.all(|(name, value)| same(there.member(name), Some(value)))
    }

    /// Returns the device for a container whose process has these IDs.
    fn tree(&self, (uid, gid): (Option<u32>, Option<u32>)) -> Tree {
        self.with(self.mode, (self.edit.uid.or(uid), self.edit.gid.or(gid)))
    }

    fn with(&self, mode: Option<u32>, (uid, gid): (Option<u32>, Option<u32>)) -> Tree {
        let is_device = self.kind != "p";
        let tree = json!({
            "path": self.edit.path,
            "type": self.kind,
            "major": is_device.then_some(self.major),
            "minor": is_device.then_some(self.minor),
            "fileMode": mode,
            "uid": uid,
            "gid": gid,
        });
        without(Tree::is_null, tree)
    }

    /// Returns the rule that allows access to the node. FIFOs need none.
    fn rule(&self) -> Option<Tree> {
        let access = match self.edit.permissions.as_str() {
            "" => "rwm",
            some => some,
        };
        (self.kind != "p").then(|| {
            json!({
                "allow": true,
                "type": self.kind,
                "major": self.major,
                "minor": self.minor,
                "access": access,
            })
        })
    }
}
