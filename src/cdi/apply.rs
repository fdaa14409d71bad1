//! Applies container edits to an OCI `config.json` as engines do; all other bytes of the text stay.
//!
//! Formats: SPEC.md of the Container Device Interface, version 1.1.0, and config.md of the OCI runtime specification, version
//! 1.3.0. An engine may have injected the same devices before: existing entries are not added again, so that applying twice has
//! the effect of once.

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
use config::{Config, last_of_each};
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
/// The toolkit's programs that do at prestart what edits do.
const NVIDIA_HOOKS: [&str; 2] = ["nvidia-container-runtime-hook", "nvidia-container-toolkit"];

/// Returns the text of a `config.json` with these edits and without NVIDIA's prestart hook; `None` if nothing changes. Looks up
/// device nodes below `host`; if a number differs from the spec's, uses the host's and adds a line to `warnings`. Fails if the
/// text is not a JSON object, has something else in place of an object or an array, or if the host lacks a device node.
pub fn apply(
    config: &[u8],
    edits: &[&ContainerEdits],
    host: &Root,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<u8>>> {
    let net_devices = edits.iter().flat_map(|it| &it.net_devices);
    let net_devices: BTreeMap<_, _> = net_devices
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

/// Returns the text of a `config.json` without NVIDIA's prestart hook; `None` if it has none. Fails if the text is not a JSON
/// object, or has something else in place of an object or an array.
pub fn remove_nvidia_hook(config: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut config = Config::read(config)?;
    add_hooks(&mut config, &[])?;
    config.finish()
}

/// Sets variables; each replaces all earlier ones of its name.
fn set_env(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    const PATH: &[&str] = &["process", "env"];
    let variables = edits.iter().flat_map(|it| &it.env);
    let wanted = last_of_each(variables, |it| name(it));
    config.merge(
        PATH,
        &wanted,
        |item, wanted| item.text().is_some_and(|it| name(&it) == name(wanted)),
        |item, wanted| item.text().is_some_and(|it| it == **wanted),
        |wanted| Tree::from(wanted.as_str()),
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
        |_| true,
        same_item,
    )
}

fn add_hooks(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    let mut wanted: BTreeMap<&str, Vec<Tree>> = BTreeMap::new();
    for hook in edits.iter().flat_map(|it| &it.hooks) {
        if hook.hook_name != "prestart" || !is_of_nvidia(&hook.path) {
            let of_name = wanted.entry(&hook.hook_name).or_default();
            of_name.push(tree_of_hook(hook));
        }
    }
    for path in &HOOKS {
        let [_, name] = path;
        let stays = |item: Value<'_>| {
            let path = item.member("path").and_then(Value::text);
            *name != "prestart" || !path.is_some_and(|it| is_of_nvidia(&it))
        };
        let wanted = wanted.remove(name).unwrap_or_default();
        config.append(path, wanted, stays, same_item)?;
    }
    Ok(())
}

fn is_of_nvidia(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    NVIDIA_HOOKS.contains(&name)
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
