//! Removes redundant edits from specs and sorts them.

use super::spec::{ContainerEdits, Spec};

/// Removes repeated edits and those edits of a device that all devices share, then sorts, as NVIDIA's generator does.
///
/// Variables and hooks keep their order, which matters. A device that would lose all edits keeps them, since engines reject a
/// device without edits; its groups are not compared.
pub fn simplify(spec: &mut Spec) {
    let common = &mut spec.container_edits;
    deduplicate(common);
    sort(common);
    for device in &mut spec.devices {
        let edits = &mut device.container_edits;
        deduplicate(edits);
        strip(edits, common);
        sort(edits);
    }
    spec.devices.sort_by_cached_key(|it| (0, it.name.clone()));
}

fn deduplicate(edits: &mut ContainerEdits) {
    keep_first(&mut edits.env);
    keep_first(&mut edits.device_nodes);
    keep_first(&mut edits.hooks);
    keep_first(&mut edits.mounts);
    let mut groups = Vec::new();
    for group in edits.additional_gids.drain(..) {
        if let Err(place) = groups.binary_search(&group) {
            groups.insert(place, group);
        }
    }
    edits.additional_gids = groups;
}

fn keep_first<T: PartialEq>(items: &mut Vec<T>) {
    let mut kept = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

fn strip(edits: &mut ContainerEdits, common: &ContainerEdits) {
    let mut rest = edits.clone();
    rest.env.retain(|it| !common.env.contains(it));
    rest.device_nodes
        .retain(|it| !common.device_nodes.contains(it));
    rest.hooks.retain(|it| !common.hooks.contains(it));
    rest.mounts.retain(|it| !common.mounts.contains(it));
    let is_empty = rest.env.is_empty()
        && rest.device_nodes.is_empty()
        && rest.hooks.is_empty()
        && rest.mounts.is_empty();
    if !is_empty {
        *edits = rest;
    }
}

/// Sorts edits so that a mount comes before those below it. All lists have keys of one type, which makes the program smaller.
fn sort(edits: &mut ContainerEdits) {
    let depth = |path: &str| path.matches('/').count();
    edits
        .device_nodes
        .sort_by_cached_key(|it| (depth(&it.path), it.path.clone()));
    edits
        .mounts
        .sort_by_cached_key(|it| (depth(&it.container_path), it.container_path.clone()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cdi::decode;

    use super::*;

    #[test]
    fn what_is_there_twice_is_left_out_and_the_rest_sorted() {
        let node = |path: &str| json!({"path": path});
        let mount = |path: &str| json!({"hostPath": "/x", "containerPath": path});
        let mut spec = decode::spec(json!({
            "devices": [
                {"name": "all", "containerEdits": {
                    "deviceNodes": [node("/dev/dri/a"), node("/dev/b"), node("/dev/a"), node("/dev/b")],
                    "env": ["B=1", "A=1", "B=1"],
                    "additionalGids": [7, 3, 7],
                }},
                {"name": "0", "containerEdits": {"env": ["A=1"], "additionalGids": [7]}},
            ],
            "containerEdits": {
                "env": ["A=1"],
                "deviceNodes": [node("/dev/a")],
                "mounts": [mount("/a/b"), mount("/c"), mount("/a/b"), mount("/a/a")],
                "additionalGids": [7],
            },
        }))
        .unwrap();
        let expected: Spec = decode::spec(json!({
            "devices": [
                {"name": "0", "containerEdits": {"env": ["A=1"], "additionalGids": [7]}},
                {"name": "all", "containerEdits": {
                    "deviceNodes": [node("/dev/b"), node("/dev/dri/a")],
                    "env": ["B=1"],
                    "additionalGids": [3, 7],
                }},
            ],
            "containerEdits": {
                "env": ["A=1"],
                "deviceNodes": [node("/dev/a")],
                "mounts": [mount("/c"), mount("/a/a"), mount("/a/b")],
                "additionalGids": [7],
            },
        }))
        .unwrap();
        simplify(&mut spec);
        assert_eq!(spec, expected);
        simplify(&mut spec);
        assert_eq!(spec, expected);
    }
}
