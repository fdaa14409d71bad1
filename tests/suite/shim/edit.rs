//! What becomes of config.json: what is not touched stays as it is, and what is added comes once.

use serde_json::{Value, json};

use crate::common::container::push;
use crate::common::shim::{Shim, config, devices, env, got, spec};
use crate::common::tree::snapshot;

/// The kind of the devices.
pub(super) const GPU: &str = "nvidia.com/gpu";

/// A container that asks for a GPU, and a spec with these edits beside those of the device.
pub(super) fn shim(edits: &Value) -> Shim {
    let shim = Shim::new();
    let mut spec = spec(GPU, &["0", "1"]);
    for (key, value) in edits.as_object().unwrap() {
        spec["containerEdits"][key] = value.clone();
    }
    shim.spec("etc/gpu.json", &spec)
        .variables(&["NVIDIA_VISIBLE_DEVICES=0"]);
    shim
}

/// A creation after which nothing may be left to do.
#[track_caller]
pub(super) fn created(shim: &Shim) -> Value {
    let first = shim.created();
    let before = snapshot(&shim.at("bundle"));
    assert_eq!(shim.created(), first);
    assert_eq!(
        snapshot(&shim.at("bundle")),
        before,
        "the second run writes"
    );
    first
}

/// Each part that has nothing to do with the edits, with the spelling that it had.
#[test]
fn what_is_not_touched_stays() {
    let parts = [
        "{ \"ociVersion\" :\"1.0\\u0032\",\n",
        "\t\"x-unknown\" : [1e3, 9007199254740993, -0, 1.50, {\"a\":{}, \"a\": null}],\r\n",
        "\"escapes\":\"\\u003c\\/\\ud800 \\u00e9\\b\u{2028}<>&\"",
        "\"terminal\":false , \"user\":{\"uid\": 1e0,\"gid\":0} ,",
        "\"A=\\u0031\" ,  \"B\"",
        "{\"destination\":\"\\/proc\",\"type\":\"proc\",\"source\":\"proc\"}",
        "\"hooks\":{\"prestart\" :[ ] ,\"poststop\": [{\"path\":\"/x\"}]",
        "\"linux\":{\"seccomp\":{\"flags\":[ ]},\"namespaces\" :[{\"type\":\"mount\"}]",
        "\"last\": { } }\n \n",
    ];
    let [
        start,
        unknown,
        escapes,
        user,
        variables,
        mount,
        hooks,
        linux,
        end,
    ] = parts;
    let text = format!(
        "{start}{unknown}{escapes},\n\"process\":{{{user} \"env\":[{variables}, \"NVIDIA_VISIBLE_DEVICES=0\"]}},\
         \"mounts\" :[{mount}], {hooks}}},{linux}}},{end}"
    );
    let shim = shim(&json!({}));
    shim.file("bundle/config.json", &text);
    let outcome = shim.create();
    assert!(outcome.success(), "{outcome:?}");
    let after = shim.text();
    let mut rest = after.as_str();
    for part in parts {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part} in {after}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(rest, "", "{after}");
    assert!(after.contains("GOT_0=yes"), "{after}");
}

/// Documents that strict or recursive readers refuse.
#[test]
fn large_and_deep_documents() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("[{}1]", "123456789,".repeat(500_000));
    for odd in [deep, long] {
        let shim = shim(&json!({}));
        let text = format!(
            "{{\"x\":{odd},\"process\":{{\"env\":[\"NVIDIA_VISIBLE_DEVICES=0\"]}},\"y\":{odd}}}"
        );
        shim.file("bundle/config.json", &text);
        let outcome = shim.create();
        assert!(outcome.success(), "{outcome:?}");
        let after = shim.text();
        assert_eq!(after.matches(&odd).count(), 2, "{}", &odd[..20]);
        assert!(after.contains("\"GOT_0=yes\""));
        assert!(shim.last().bytes == Some(after.into()));
    }
}

/// Parts that an engine left out, or wrote as null.
#[test]
fn missing_parts_are_made() {
    for config in [
        json!({"annotations": {"cdi.k8s.io/a": "nvidia.com/gpu=0"}}),
        json!({
            "annotations": {"cdi.k8s.io/a": "nvidia.com/gpu=0"},
            "process": null, "linux": null, "mounts": null, "hooks": null,
        }),
        json!({
            "annotations": {"cdi.k8s.io/a": "nvidia.com/gpu=0"},
            "process": {"env": null, "user": {}}, "mounts": [],
            "linux": {"devices": null, "resources": {"devices": null}}, "hooks": {"createContainer": null},
        }),
    ] {
        let shim = shim(&json!({
            "mounts": [{"hostPath": "/usr/bin", "containerPath": "/x", "options": ["ro"]}],
            "additionalGids": [5],
        }));
        shim.config(&config);
        let created = created(&shim);
        assert_eq!(env(&created), ["NVIDIA_VISIBLE_DEVICES=void", "GOT_0=yes"]);
        assert_eq!(devices(&created), ["/dev/nvidia0"]);
        assert_eq!(created["mounts"].as_array().unwrap().len(), 1);
        assert_eq!(
            created["hooks"]["createContainer"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            created["linux"]["resources"]["devices"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
}

/// What is no config.json is an error once a GPU might be asked for, and the runtime's affair before.
#[test]
fn what_is_no_document() {
    for text in [
        "",
        "{",
        "[]",
        "null",
        "\u{feff}{}",
        "{}x",
        "{\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=0\"]}",
    ] {
        let shim = shim(&json!({}));
        shim.file("bundle/config.json", text);
        let outcome = shim.create();
        assert_eq!(shim.text(), text);
        if outcome.success() {
            outcome.silent();
        } else {
            assert_eq!(outcome.code, 1, "{text}: {outcome:?}");
            assert!(
                outcome.stderr.contains("config.json"),
                "{text}: {outcome:?}"
            );
        }
    }
}

/// Variables are replaced in their place or added at the end.
#[test]
fn variables() {
    let shim = shim(&json!({"env": ["NVIDIA_VISIBLE_DEVICES=void", "B=spec", "N=new"]}));
    shim.variables(&["NVIDIA_VISIBLE_DEVICES=0", "B=image", "C=c"]);
    let created = created(&shim);
    assert_eq!(
        env(&created),
        [
            "PATH=/usr/bin:/bin",
            "NVIDIA_VISIBLE_DEVICES=void",
            "B=spec",
            "C=c",
            "N=new",
            "GOT_0=yes"
        ]
    );
    // Several of one name, with or without one of the spec.
    for visible in [
        &["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=0"][..],
        &["NVIDIA_VISIBLE_DEVICES=0"],
    ] {
        shim.variables(visible);
        let created = self::created(&shim);
        let visible = env(&created).into_iter();
        let visible = visible.filter(|it| it.starts_with("NVIDIA_VISIBLE_DEVICES="));
        assert!(visible.eq(["NVIDIA_VISIBLE_DEVICES=void"]), "{created}");
    }
}

/// The device's own edits win over those of the whole spec.
#[test]
fn edits_of_a_device_win() {
    let shim = shim(&json!({"env": ["GOT_0=spec", "NVIDIA_VISIBLE_DEVICES=void"]}));
    assert_eq!(got(&created(&shim)), ["0"]);
}

/// An engine's rule that denies everything comes first, so ours stand behind it, each once.
#[test]
fn nodes_and_rules() {
    let shim = shim(&json!({"deviceNodes": [
        {"path": "/dev/nvidiactl", "hostPath": "/dev/null"},
        {"path": "/dev/nvidia-uvm", "hostPath": "/dev/zero", "permissions": "rw", "fileMode": 384, "uid": 7, "gid": 8},
    ]}));
    let mut config = config(&["NVIDIA_VISIBLE_DEVICES=0,1"]);
    config["process"]["user"] = json!({"uid": 1000, "gid": 100});
    let own = json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229});
    config["linux"]["devices"] =
        json!([own, {"path": "/dev/nvidiactl", "type": "c", "major": 9, "minor": 9}]);
    shim.config(&config);
    let created = created(&shim);
    let nodes = created["linux"]["devices"].as_array().unwrap();
    assert_eq!(nodes[0], own);
    let node = |path: &str| {
        let mut found = nodes.iter().filter(|it| it["path"] == path);
        let node = found.next().unwrap();
        assert!(found.next().is_none(), "{path}");
        node
    };
    assert_eq!(
        *node("/dev/nvidiactl"),
        json!({"path": "/dev/nvidiactl", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 1000, "gid": 100})
    );
    assert_eq!(
        *node("/dev/nvidia-uvm"),
        json!({"path": "/dev/nvidia-uvm", "type": "c", "major": 1, "minor": 5, "fileMode": 384, "uid": 7, "gid": 8})
    );
    let rules = created["linux"]["resources"]["devices"].as_array().unwrap();
    let rule = |minor: u32, access: &str| json!({"allow": true, "type": "c", "major": 1, "minor": minor, "access": access});
    assert_eq!(rules[0], json!({"allow": false, "access": "rwm"}));
    assert_eq!(
        rules[1..]
            .iter()
            .filter(|it| **it == rule(3, "rwm"))
            .count(),
        1
    );
    assert_eq!(
        rules[1..].iter().filter(|it| **it == rule(5, "rw")).count(),
        1
    );
    assert_eq!(rules.len(), 3, "{rules:?}");
}

/// Engines order their mounts on purpose: only ours move.
#[test]
fn mounts() {
    let mount =
        |path: &str| json!({"hostPath": path, "containerPath": path, "options": ["ro", "rbind"]});
    let ours = ["/a/b/c", "/a", "/run/x/socket", "/etc/hosts", "/a/b"];
    let shim = shim(&json!({"mounts": ours.map(mount)}));
    let mut config = config(&["NVIDIA_VISIBLE_DEVICES=0"]);
    let engine = [
        "/dev/pts",
        "/dev",
        "/sys/fs/cgroup",
        "/etc/hosts",
        "/proc/x/y/z",
        "/sys",
    ];
    config["mounts"] = json!([]);
    for path in engine {
        push(
            &mut config["mounts"],
            json!({"destination": path, "source": "engine", "type": "tmpfs"}),
        );
    }
    shim.config(&config);
    let created = created(&shim);
    let all: Vec<_> = created["mounts"].as_array().unwrap().iter().collect();
    let path = |it: &Value| it["destination"].as_str().unwrap().to_owned();
    let place = |of: &str| all.iter().position(|it| path(it) == of).unwrap();
    for (parent, child) in [("/a", "/a/b"), ("/a/b", "/a/b/c")] {
        assert!(place(parent) < place(child), "{all:?}");
    }
    let of_engine = all
        .iter()
        .filter(|it| it["source"] == "engine")
        .map(|it| path(it));
    let kept = engine.iter().filter(|it| **it != "/etc/hosts");
    assert!(of_engine.eq(kept.map(ToString::to_string)), "{all:?}");
    assert_eq!(all.len(), engine.len() + ours.len() - 1, "{all:?}");
    let hosts = all[place("/etc/hosts")];
    assert_eq!(
        *hosts,
        json!({"destination": "/etc/hosts", "source": "/etc/hosts", "options": ["ro", "rbind"]})
    );
}

/// A mount of ours above one of the engine's must not hide it.
#[test]
fn a_mount_above_one_of_the_engine() {
    let shim = shim(&json!({"mounts": [{"hostPath": "/opt", "containerPath": "/opt"}]}));
    let mut config = config(&["NVIDIA_VISIBLE_DEVICES=0"]);
    push(
        &mut config["mounts"],
        json!({"destination": "/opt/data", "source": "engine"}),
    );
    shim.config(&config);
    let created = created(&shim);
    let mounts = created["mounts"].as_array().unwrap();
    let place = |path: &str| {
        mounts
            .iter()
            .position(|it| it["destination"] == path)
            .unwrap()
    };
    assert!(place("/opt") < place("/opt/data"), "{mounts:?}");
}

#[test]
fn hooks_in_their_order() {
    let hook = |stage: &str, number: u32| json!({"hookName": stage, "path": "/bin/ours", "args": ["ours", number.to_string()]});
    let shim = shim(&json!({"hooks": [
        hook("createContainer", 1), hook("createRuntime", 2), hook("createContainer", 3), hook("poststop", 4),
        {"hookName": "startContainer", "path": "/bin/x", "args": ["x"], "env": ["A=1"], "timeout": 3},
    ]}));
    let mut config = config(&["NVIDIA_VISIBLE_DEVICES=0,1"]);
    push(
        &mut config["hooks"]["createContainer"],
        json!({"path": "/bin/engine"}),
    );
    shim.config(&config);
    let created = created(&shim);
    let numbers = |stage: &str| -> Vec<String> {
        let hooks = created["hooks"][stage].as_array().unwrap().iter();
        hooks
            .map(|it| it["args"][1].as_str().unwrap_or("engine").to_owned())
            .collect()
    };
    assert_eq!(numbers("createContainer"), ["engine", "1", "3"]);
    assert_eq!(numbers("createRuntime"), ["2"]);
    assert_eq!(numbers("poststop"), ["4"]);
    assert_eq!(
        created["hooks"]["startContainer"],
        json!([{"path": "/bin/x", "args": ["x"], "env": ["A=1"], "timeout": 3}])
    );
}
