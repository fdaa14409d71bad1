//! Random edits of random documents match a simple implementation on trees.

use std::path::Path;

use serde_json::{Map, Value as Tree, json};

use super::{edits, host};
use crate::cdi::apply;
use crate::document::json::scan::Value;

struct Random(u64);

impl Random {
    /// A number below `limit`: splitmix64.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % limit as u64).unwrap()
    }

    /// Some of the values, in any order, with repetitions.
    fn some(&mut self, from: &Tree) -> Vec<Tree> {
        let from = from.as_array().unwrap();
        let count = self.below(6);
        (0..count)
            .map(|_| from[self.below(from.len())].clone())
            .collect()
    }

    /// Some of the members.
    fn members<const N: usize>(&mut self, members: [(&str, Tree); N]) -> Tree {
        let there = members.into_iter().filter(|_| self.below(5) > 0);
        let there: Map<_, _> = there
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        there.into()
    }

    fn config(&mut self) -> Tree {
        let env = self.some(&json!(["A=1", "A=2", "A", "B=1", "C=\u{e9}<&>", "=x"]));
        let gids = self.some(&json!([0, 1, 2, 3]));
        let devices = self.some(&json!([
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 4},
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        ]));
        let rules = self.some(&json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"},
        ]));
        let mounts = self.some(&json!([
            {"destination": "/proc", "source": "proc"},
            {"destination": "/a", "source": "/s", "options": ["ro"]},
            {"destination": "/a", "source": "/t"},
            {"destination": "/a/b", "source": "/s"},
            {"destination": "/a/b/c", "source": "/s"},
            {"destination": "/", "source": "/s"},
        ]));
        let hooks = json!([{"path": "/h"}, {"path": "/bin/nvidia-container-toolkit"}, {"path": "/h", "args": ["h"], "env": []}]);
        let user = self.members([("uid", 7.into()), ("additionalGids", gids.into())]);
        let process = self.members([("args", json!(["sh"])), ("env", env.into()), ("user", user)]);
        let resources = self.members([("pids", json!({"limit": 7})), ("devices", rules.into())]);
        let linux = self.members([
            ("resources", resources),
            ("devices", devices.into()),
            ("namespaces", json!([{}])),
        ]);
        let (before, after) = (self.some(&hooks), self.some(&hooks));
        let hooks = self.members([
            ("prestart", before.into()),
            ("createContainer", after.into()),
        ]);
        self.members([
            ("process", process),
            ("linux", linux),
            ("mounts", mounts.into()),
            ("hooks", hooks),
            ("x", json!([1.5])),
        ])
    }

    fn edits(&mut self) -> Tree {
        let env = self.some(&json!(["A=1", "A=3", "B=1", "D=4"]));
        let gids = self.some(&json!([0, 2, 4]));
        let nodes = self.some(&json!([
            {"path": "/dev/null"},
            {"path": "/dev/null", "permissions": "r"},
            {"path": "/dev/zero", "uid": 3, "fileMode": 384},
        ]));
        let mounts = self.some(&json!([
            {"containerPath": "/a", "hostPath": "/s", "options": ["ro"]},
            {"containerPath": "/a/b", "hostPath": "/o"},
            {"containerPath": "/a/d", "hostPath": "/o"},
            {"containerPath": "/a/b/c/d", "hostPath": "/o"},
        ]));
        let hooks = self.some(&json!([
            {"hookName": "createContainer", "path": "/h", "args": ["h"]},
            {"hookName": "createContainer", "path": "/i"},
            {"hookName": "prestart", "path": "/h"},
        ]));
        json!({"env": env, "additionalGids": gids, "deviceNodes": nodes, "mounts": mounts, "hooks": hooks, "intelRdt": {"closID": "c"}})
    }
}

#[test]
fn a_simple_program_does_the_same() {
    let mut random = Random(1);
    for _ in 0..500 {
        let (config, wanted) = (random.config(), random.edits());
        let text = match random.below(3) {
            0 => config.to_string(),
            1 => serde_json::to_string_pretty(&config).unwrap(),
            _ => config.to_string().replace(',', " ,  ").replace(':', " : "),
        };
        let ours = edits(&wanted);
        let run = |text: &[u8]| apply(text, &[&ours], &host(), &mut Vec::new()).unwrap();
        let result = run(text.as_bytes()).unwrap();
        assert_eq!(run(&result), None, "{text} {wanted}");
        let found: Tree = serde_json::from_slice(&result).unwrap();
        let context = format!("{text} {wanted} {found}");
        assert_eq!(found["process"]["env"], env(&config, &wanted), "{context}");
        assert_eq!(
            found["process"]["user"]["additionalGids"],
            gids(&config, &wanted),
            "{context}"
        );
        for name in ["prestart", "createContainer"] {
            assert_eq!(
                found["hooks"][name],
                hooks(&config, &wanted, name),
                "{context}"
            );
        }
        assert_devices(&found, &wanted, &context);
        assert_mounts(&config, &found, &wanted, &context);
        assert_untouched(&text, &result, &context);
    }
}

fn list(tree: &Tree) -> Vec<Tree> {
    tree.as_array().cloned().unwrap_or_default()
}

/// Empty lists are not created.
fn made(list: Vec<Tree>, before: &Tree) -> Tree {
    if list.is_empty() && before.is_null() {
        Tree::Null
    } else {
        list.into()
    }
}

fn name(variable: &Tree) -> String {
    variable
        .as_str()
        .unwrap()
        .split('=')
        .next()
        .unwrap()
        .to_owned()
}

fn env(config: &Tree, wanted: &Tree) -> Tree {
    let before = &config["process"]["env"];
    let mut env: Vec<Tree> = Vec::new();
    for variable in list(before) {
        let is_ours = list(&wanted["env"])
            .iter()
            .any(|it| name(it) == name(&variable));
        if !is_ours || !env.iter().any(|it| name(it) == name(&variable)) {
            env.push(variable);
        }
    }
    for variable in list(&wanted["env"]) {
        match env.iter_mut().find(|it| name(it) == name(&variable)) {
            Some(there) => *there = variable,
            None => env.push(variable),
        }
    }
    made(env, before)
}

fn gids(config: &Tree, wanted: &Tree) -> Tree {
    let before = &config["process"]["user"]["additionalGids"];
    let mut gids = list(before);
    for gid in list(&wanted["additionalGids"]) {
        if gid != 0 && !gids.contains(&gid) {
            gids.push(gid);
        }
    }
    made(gids, before)
}

fn hooks(config: &Tree, wanted: &Tree, name: &str) -> Tree {
    let before = &config["hooks"][name];
    let mut hooks = list(before);
    if name == "prestart" {
        hooks.retain(|it| it["path"] == "/h");
    }
    for hook in list(&wanted["hooks"])
        .iter()
        .filter(|it| it["hookName"] == name)
    {
        let is_it =
            |it: &Tree| it["path"] == hook["path"] && list(&it["args"]) == list(&hook["args"]);
        if !hooks.iter().any(is_it) {
            let mut hook = hook.clone();
            hook.as_object_mut().unwrap().remove("hookName");
            hooks.push(hook);
        }
    }
    made(hooks, before)
}

fn assert_devices(found: &Tree, wanted: &Tree, context: &str) {
    let devices = list(&found["linux"]["devices"]);
    let rules = list(&found["linux"]["resources"]["devices"]);
    let denied = rules.iter().rposition(|it| it["allow"] == false);
    for node in list(&wanted["deviceNodes"]) {
        let there: Vec<_> = devices
            .iter()
            .filter(|it| it["path"] == node["path"])
            .collect();
        let minor = if node["path"] == "/dev/null" { 3 } else { 5 };
        assert_eq!(there.len(), 1, "{context}");
        assert_eq!(
            (&there[0]["major"], &there[0]["minor"]),
            (&json!(1), &json!(minor)),
            "{context}"
        );
        let allows =
            |it: &Tree| it["minor"] == minor && it["access"].as_str().unwrap().contains('r');
        let allowed = rules.iter().rposition(allows);
        assert!(allowed.is_some_and(|it| Some(it) > denied), "{context}");
    }
}

fn assert_mounts(config: &Tree, found: &Tree, wanted: &Tree, context: &str) {
    let ours = list(&wanted["mounts"]);
    let is_ours = |it: &Tree| {
        ours.iter()
            .any(|mount| mount["containerPath"] == it["destination"])
    };
    let (before, after) = (list(&config["mounts"]), list(&found["mounts"]));
    let of_engine = |all: &[Tree]| {
        all.iter()
            .filter(|it| !is_ours(it))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of_engine(&before), of_engine(&after), "{context}");
    let path = |it: &Tree| Path::new(it["destination"].as_str().unwrap()).to_owned();
    for (index, mount) in after.iter().enumerate().filter(|(_, it)| is_ours(it)) {
        let last = ours
            .iter()
            .rfind(|it| it["containerPath"] == mount["destination"])
            .unwrap();
        assert_eq!(
            (&mount["source"], &mount["options"]),
            (&last["hostPath"], &last["options"]),
            "{context}"
        );
        let same = after.iter().filter(|it| path(it) == path(mount)).count();
        assert_eq!(same, 1, "{context}");
        if before.contains(mount) {
            continue;
        }
        let parent = after
            .iter()
            .rposition(|it| path(it) != path(mount) && path(mount).starts_with(path(it)));
        assert!(parent.is_none_or(|it| it < index), "{context}");
        let below = |it: &Tree| path(it) != path(mount) && path(it).starts_with(path(mount));
        let start = parent.map_or(0, |it| it + 1);
        assert!(!after[start..index].iter().any(below), "{context}");
    }
}

/// Each value in the result is written as it was before, or as the tree prints it.
fn assert_untouched(before: &str, after: &[u8], context: &str) {
    let (before, after) = (
        Value::of(before.as_bytes()).unwrap(),
        Value::of(after).unwrap(),
    );
    for path in [
        &["x"][..],
        &["process", "args"],
        &["linux", "namespaces"],
        &["linux", "resources", "pids"],
    ] {
        let raw = |value: Value<'_>| value.at(path).map(|it| it.raw().to_vec());
        assert_eq!(raw(before), raw(after), "{context}");
    }
    for path in [
        &["process", "env"][..],
        &["mounts"],
        &["linux", "devices"],
        &["linux", "resources", "devices"],
        &["hooks", "createContainer"],
    ] {
        let items = |value: Value<'_>| {
            let items = value
                .at(path)
                .into_iter()
                .flat_map(|it| it.items().map(|it| it.raw().to_vec()).collect::<Vec<_>>());
            items.collect::<Vec<_>>()
        };
        for item in items(after) {
            let tree: Tree = serde_json::from_slice(&item).unwrap();
            assert!(
                items(before).contains(&item) || tree.to_string().as_bytes() == item,
                "{context}"
            );
        }
    }
}
