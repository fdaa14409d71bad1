//! Container edits in an OCI `config.json`: what engines do with them, in a text that stays as it is everywhere else.
//!
//! Formats: SPEC.md of the Container Device Interface, version 1.1.0, and config.md of the OCI runtime specification, version 1.3.0.
//! An engine may have resolved the same devices before: what is there already is not added again, so that twice is once.

mod config;
mod device;
mod mount;
mod same;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value as Tree, json};

use super::spec::{ContainerEdits, Hook, IntelRdt};
use crate::document::json::scan::Value;
use crate::rootfs::Root;
use config::Config;
use same::{is_blank, same, without};

/// The lists of hooks.
const HOOKS: [[&str; 2]; 6] = [
    ["hooks", "prestart"],
    ["hooks", "createRuntime"],
    ["hooks", "createContainer"],
    ["hooks", "startContainer"],
    ["hooks", "poststart"],
    ["hooks", "poststop"],
];
/// The programs of NVIDIA's toolkit that inject at prestart what edits say as well.
const NVIDIA_HOOKS: [&str; 2] = ["nvidia-container-runtime-hook", "nvidia-container-toolkit"];

/// The text of a `config.json` with these edits and without NVIDIA's prestart hook; none if nothing changes. Device nodes are
/// looked at below `host`; for each whose number is another one than the spec says, a line comes to `warnings`, and the host is
/// right. Refuses what is not a JSON object, what has something else where an object or an array belongs, and device nodes that
/// the host does not have.
pub fn apply(
    config: &[u8],
    edits: &[&ContainerEdits],
    host: &Root,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<u8>>> {
    let net_devices: Vec<_> = edits
        .iter()
        .flat_map(|it| &it.net_devices)
        .map(|it| {
            let path = ["linux", "netDevices", it.host_interface_name.as_str()];
            (path, json!({"name": it.name}))
        })
        .collect();
    let mut config = Config::read(config)?;
    set_env(&mut config, edits)?;
    add_gids(&mut config, edits)?;
    device::add(&mut config, edits, host, warnings)?;
    for (path, value) in &net_devices {
        config.set(path, value);
    }
    if let Some(rdt) = edits
        .iter()
        .filter_map(|it| it.intel_rdt.as_ref())
        .next_back()
    {
        config.set(&["linux", "intelRdt"], &intel_rdt(rdt));
    }
    mount::add(&mut config, edits)?;
    add_hooks(&mut config, edits)?;
    config.finish()
}

/// The text of a `config.json` without NVIDIA's prestart hook; none if it is not there. Refuses what [`apply`] refuses.
pub fn remove_nvidia_hook(config: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut config = Config::read(config)?;
    add_hooks(&mut config, &[])?;
    config.finish()
}

/// Variables take the place of those of their names; each is there once then.
fn set_env(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    const PATH: &[&str] = &["process", "env"];
    let mut wanted: Vec<&str> = Vec::new();
    for variable in edits.iter().flat_map(|it| &it.env) {
        match wanted.iter_mut().find(|it| name(it) == name(variable)) {
            Some(earlier) => *earlier = variable,
            None => wanted.push(variable),
        }
    }
    config.merge(
        PATH,
        &wanted,
        |item, wanted| item.text().is_some_and(|it| name(&it) == name(wanted)),
        |item, wanted| item.text().is_some_and(|it| it == *wanted),
        |wanted| Tree::from(*wanted),
    )
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

fn add_gids(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    let gids = edits.iter().flat_map(|it| &it.additional_gids);
    let gids = gids.filter(|it| **it != 0).map(|it| Tree::from(*it));
    config.append(
        &["process", "user", "additionalGids"],
        gids,
        |_, _| true,
        same_item,
    )
}

fn add_hooks(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    let mut wanted: BTreeMap<&str, Vec<Tree>> = BTreeMap::new();
    for hook in edits.iter().flat_map(|it| &it.hooks) {
        wanted
            .entry(&hook.hook_name)
            .or_default()
            .push(tree_of_hook(hook));
    }
    for path in &HOOKS {
        let [_, name] = path;
        let stays = |_, item: Value<'_>| *name != "prestart" || !is_of_nvidia(item);
        config.append(
            path,
            wanted.remove(name).unwrap_or_default(),
            stays,
            same_item,
        )?;
    }
    Ok(())
}

fn is_of_nvidia(hook: Value<'_>) -> bool {
    let path = hook.member("path").and_then(Value::text);
    path.is_some_and(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        NVIDIA_HOOKS.contains(&name)
    })
}

fn same_item(item: Value<'_>, wanted: &Tree) -> bool {
    same(Some(item), Some(wanted))
}

fn tree_of_hook(hook: &Hook) -> Tree {
    let tree = json!({
        "path": hook.path,
        "args": hook.args,
        "env": hook.env,
        "timeout": hook.timeout,
    });
    without(is_blank, tree)
}

fn intel_rdt(rdt: &IntelRdt) -> Tree {
    let tree = json!({
        "closID": rdt.clos_id,
        "l3CacheSchema": rdt.l3_cache_schema,
        "memBwSchema": rdt.mem_bw_schema,
        "schemata": rdt.schemata,
        "enableMonitoring": rdt.enable_monitoring,
        "enableCMT": rdt.enable_cmt,
        "enableMBM": rdt.enable_mbm,
    });
    without(is_blank, tree)
}

#[cfg(test)]
mod tests;
