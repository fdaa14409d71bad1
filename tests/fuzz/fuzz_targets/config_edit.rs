//! Container edits in any config.json: what comes out is JSON, twice is once, lists are what a simple program makes of them, and what
//! no edit is about stays byte for byte. The input is a config.json, and some edits as a JSON spec has them, with a zero byte before
//! each: the runtime applies those of several specs and devices at once.
#![no_main]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::cdi::{ContainerEdits, apply, read};
use nvidia_ctk::document::json::scan::Value;
use nvidia_ctk::rootfs::Root;
use serde_json::Value as Tree;

const MAX_EDITS: usize = 4;
const TOUCHED: [&str; 4] = ["process", "linux", "mounts", "hooks"];
const TOUCHED_OF_PROCESS: [&str; 2] = ["env", "user"];
const TOUCHED_OF_LINUX: [&str; 4] = ["devices", "resources", "netDevices", "intelRdt"];
const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];
const NVIDIA_HOOKS: [&str; 2] = ["nvidia-container-runtime-hook", "nvidia-container-toolkit"];

type Raw = Vec<Vec<u8>>;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    let config = parts.next().unwrap_or_default();
    if Value::of(config).is_none() {
        assert!(serde_json::from_slice::<Tree>(config).is_err());
    }
    let edits: Vec<_> = parts.take(MAX_EDITS).map(edits).collect();
    let edits: Vec<_> = edits.iter().collect();
    let host = Root::host().expect("the root can be opened");
    let run = |config: &[u8]| apply(config, &edits, &host, &mut Vec::new());
    let Ok(result) = run(config) else {
        return;
    };
    let result = result.unwrap_or(config.to_vec());
    let before = Value::of(config).expect("what is edited is JSON");
    let after = Value::of(&result).expect("what was edited is JSON");
    assert_untouched(before, after);
    assert_eq!(items(after, &["process", "env"]), env(before, &edits));
    assert_gids(before, after, &edits);
    for name in HOOKS {
        assert_hooks(before, after, &edits, name);
    }
    assert_places(before, after, &edits);
    assert_eq!(run(&result).expect("it can be edited again"), None);
});

fn edits(text: &[u8]) -> ContainerEdits {
    let start =
        br#"{"cdiVersion":"1.1.0","kind":"a.b/cc","devices":[{"name":"0","containerEdits":"#;
    let spec = [&start[..], text, b"}]}"].concat();
    read(Path::new("x.json"), &spec).map_or_else(
        |_| ContainerEdits::default(),
        |mut spec| spec.devices.remove(0).container_edits,
    )
}

/// The texts of an array's items.
fn items(value: Value<'_>, path: &[&str]) -> Raw {
    let items = value.at(path).into_iter().flat_map(Value::items);
    items.map(|it| it.raw().to_vec()).collect()
}

fn tree(item: &[u8]) -> Tree {
    serde_json::from_slice(item).unwrap_or_default()
}

/// What no edit is about, and what an edit writes: items as they were, or as a tree is written.
fn assert_untouched(before: Value<'_>, after: Value<'_>) {
    for (path, touched) in [
        (&[][..], &TOUCHED[..]),
        (&["process"], &TOUCHED_OF_PROCESS),
        (&["linux"], &TOUCHED_OF_LINUX),
        (&["process", "user"], &["additionalGids"]),
        (&["linux", "resources"], &["devices"]),
        (&["hooks"], &HOOKS),
    ] {
        let untouched = |value: Value<'_>| -> Vec<_> {
            let object = if path.is_empty() {
                Some(value)
            } else {
                value.at(path)
            };
            let members = object.into_iter().flat_map(Value::members);
            let members = members.filter(|(name, _)| !touched.contains(&&**name));
            members
                .map(|(name, value)| (name.into_owned(), value.raw().to_vec()))
                .collect()
        };
        assert_eq!(untouched(before), untouched(after), "{path:?}");
    }
    let hooks = HOOKS.map(|name| vec!["hooks", name]);
    let others = [
        vec!["process", "env"],
        vec!["process", "user", "additionalGids"],
        vec!["mounts"],
        vec!["linux", "devices"],
        vec!["linux", "resources", "devices"],
    ];
    for path in hooks.iter().chain(&others) {
        let there: BTreeSet<_> = items(before, path).into_iter().collect();
        for item in items(after, path) {
            let is_written = || tree(&item).to_string().as_bytes() == item;
            assert!(there.contains(&item) || is_written(), "{path:?}");
        }
    }
}

/// Variables take the place of the first of their names, and stand at the end where there is none.
fn env(before: Value<'_>, edits: &[&ContainerEdits]) -> Raw {
    let name = |variable: &str| variable.split('=').next().map(str::to_owned);
    let mut wanted: Vec<&String> = Vec::new();
    for variable in edits.iter().flat_map(|it| &it.env) {
        match wanted.iter_mut().find(|it| name(it) == name(variable)) {
            Some(earlier) => *earlier = variable,
            None => wanted.push(variable),
        }
    }
    let written = |variable: &String| Tree::from(variable.as_str()).to_string().into_bytes();
    let mut left = wanted.clone();
    let mut env = Vec::new();
    let there = before.at(&["process", "env"]);
    for item in there.into_iter().flat_map(Value::items) {
        let text = item.text();
        let is_it = |it: &&String| text.as_ref().is_some_and(|text| name(text) == name(it));
        if let Some(place) = left.iter().position(is_it) {
            let variable = left.remove(place);
            let is_same = text.as_ref().is_some_and(|text| text == variable);
            env.push(if is_same {
                item.raw().to_vec()
            } else {
                written(variable)
            });
        } else if !wanted.iter().any(is_it) {
            env.push(item.raw().to_vec());
        }
    }
    env.extend(left.into_iter().map(written));
    env
}

/// What is new in a list whose items stay in front.
fn added(before: &Raw, after: Raw) -> Raw {
    assert_eq!(after.get(..before.len()), Some(before.as_slice()));
    after.into_iter().skip(before.len()).collect()
}

fn assert_gids(before: Value<'_>, after: Value<'_>, edits: &[&ContainerEdits]) {
    let path = ["process", "user", "additionalGids"];
    let there = items(before, &path);
    let added = added(&there, items(after, &path));
    let wanted = edits.iter().flat_map(|it| &it.additional_gids);
    let wanted: BTreeSet<_> = wanted
        .filter(|it| **it != 0)
        .map(|it| it.to_string().into_bytes())
        .collect();
    let expected: BTreeSet<_> = wanted
        .into_iter()
        .filter(|it| !there.contains(it))
        .collect();
    assert_eq!(added.len(), expected.len());
    assert_eq!(added.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn assert_hooks(before: Value<'_>, after: Value<'_>, edits: &[&ContainerEdits], name: &str) {
    let is_left_out = |path: &str| {
        let program = path.rsplit('/').next().unwrap_or_default();
        name == "prestart" && NVIDIA_HOOKS.contains(&program)
    };
    let there = before
        .at(&["hooks", name])
        .into_iter()
        .flat_map(Value::items);
    let there = there.filter(|it| {
        !it.member("path")
            .and_then(Value::text)
            .is_some_and(|it| is_left_out(&it))
    });
    let there = there.map(|it| it.raw().to_vec()).collect();
    let after = items(after, &["hooks", name]);
    let paths: BTreeSet<_> = after
        .iter()
        .filter_map(|it| {
            Value::of(it)?
                .member("path")?
                .text()
                .map(|it| it.into_owned())
        })
        .collect();
    let wanted = edits
        .iter()
        .flat_map(|it| &it.hooks)
        .filter(|it| it.hook_name == name);
    let wanted: BTreeSet<_> = wanted
        .map(|it| it.path.clone())
        .filter(|it| !is_left_out(it))
        .collect();
    assert!(wanted.is_subset(&paths), "{name}");
    for hook in added(&there, after) {
        assert!(
            wanted.contains(tree(&hook)["path"].as_str().unwrap_or_default()),
            "{name}"
        );
    }
}

/// Each node and each mount of an edit is there once; those of others stay in their order.
fn assert_places(before: Value<'_>, after: Value<'_>, edits: &[&ContainerEdits]) {
    let place = |text: &str| -> PathBuf { Path::new("/").join(text).components().collect() };
    let mounts = edits
        .iter()
        .flat_map(|it| &it.mounts)
        .map(|it| place(&it.container_path));
    let nodes = edits
        .iter()
        .flat_map(|it| &it.device_nodes)
        .map(|it| PathBuf::from(&it.path));
    for (path, member, wanted, is_mount) in [
        (
            &["mounts"][..],
            "destination",
            mounts.collect::<BTreeSet<_>>(),
            true,
        ),
        (&["linux", "devices"], "path", nodes.collect(), false),
    ] {
        let places = |value: Value<'_>| -> Vec<(Option<PathBuf>, Vec<u8>)> {
            let items = value.at(path).into_iter().flat_map(Value::items);
            let place = |it: Value<'_>| {
                let text = it.member(member).and_then(Value::text);
                if is_mount {
                    Some(place(&text.unwrap_or_default()))
                } else {
                    text.map(|it| PathBuf::from(it.as_ref()))
                }
            };
            items.map(|it| (place(it), it.raw().to_vec())).collect()
        };
        let is_ours = |place: &Option<PathBuf>| {
            let place = place.as_ref().map(|it| it.as_os_str());
            wanted.iter().any(|it| Some(it.as_os_str()) == place)
        };
        let (before, after) = (places(before), places(after));
        let others = |all: &[(_, Vec<u8>)]| -> Raw {
            let others = all.iter().filter(|(place, _)| !is_ours(place));
            others.map(|(_, raw)| raw.clone()).collect()
        };
        assert_eq!(others(&before), others(&after), "{path:?}");
        assert_eq!(after.len() - others(&after).len(), wanted.len(), "{path:?}");
    }
    let rules = ["linux", "resources", "devices"];
    for rule in added(&items(before, &rules), items(after, &rules)) {
        assert_eq!(tree(&rule)["allow"], true);
    }
}
