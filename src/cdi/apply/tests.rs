//! Container edits in config.json texts of all styles.

mod random;

use std::path::Path;

use serde_json::{Value as Tree, json};

use super::*;
use crate::cdi::read;

/// The edits of a spec with a single device that has them.
fn edits(edits: &Tree) -> ContainerEdits {
    let spec = json!({
        "cdiVersion": "1.1.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "0", "containerEdits": edits}],
    });
    let mut spec = read(Path::new("x.json"), spec.to_string().as_bytes()).unwrap();
    spec.devices.remove(0).container_edits
}

fn host() -> Root {
    Root::host().unwrap()
}

/// The text after the edits; applying them again changes nothing.
fn text(config: &str, wanted: &Tree) -> String {
    let edits = edits(wanted);
    let apply = |text: &str| {
        let applied = apply(text.as_bytes(), &[&edits], &host(), &mut Vec::new()).unwrap();
        applied.map(|it| String::from_utf8(it).unwrap())
    };
    let text = apply(config).unwrap_or_else(|| config.to_owned());
    assert_eq!(apply(&text), None, "twice is once");
    text
}

fn tree(config: &Tree, wanted: &Tree) -> Tree {
    serde_json::from_str(&text(&config.to_string(), wanted)).unwrap()
}

fn error(config: &str, wanted: &Tree) -> String {
    let edits = edits(wanted);
    let found = apply(config.as_bytes(), &[&edits], &host(), &mut Vec::new());
    format!("{:#}", found.unwrap_err())
}

#[test]
fn what_is_missing_is_made() {
    let wanted = json!({
        "env": ["A=1"],
        "deviceNodes": [{"path": "/dev/null"}],
        "mounts": [{"hostPath": "/lib/a", "containerPath": "/lib/b", "options": ["ro", "bind"], "type": "none"}],
        "hooks": [{"hookName": "createContainer", "path": "/h", "args": ["h", "x"], "env": ["B=2"], "timeout": 5}],
        "additionalGids": [0, 44, 44],
        "intelRdt": {"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true},
        "netDevices": [{"hostInterfaceName": "ib0", "name": "eth1"}],
    });
    for config in [
        "{}",
        "{\"process\":null,\"linux\":null,\"hooks\":null,\"mounts\":null}",
    ] {
        let found: Tree = serde_json::from_str(&text(config, &wanted)).unwrap();
        let mode = found["linux"]["devices"][0]["fileMode"].as_u64().unwrap();
        assert_eq!(mode & 0o666, 0o666);
        assert_eq!(
            found,
            json!({
                "process": {"env": ["A=1"], "user": {"additionalGids": [44]}},
                "linux": {
                    "devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": mode}],
                    "resources": {"devices": [{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]},
                    "netDevices": {"ib0": {"name": "eth1"}},
                    "intelRdt": {"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true},
                },
                "mounts": [{"destination": "/lib/b", "source": "/lib/a", "options": ["ro", "bind"], "type": "none"}],
                "hooks": {"createContainer": [{"path": "/h", "args": ["h", "x"], "env": ["B=2"], "timeout": 5}]},
            })
        );
    }
}

#[test]
fn nothing_else_is_touched() {
    let config = concat!(
        "{ \"ociVersion\":\"1.2.0\",\"x\":[1e3, 9007199254740993,\"\\ud800\\u003c\"],\n",
        "  \"process\":{\"terminal\":false,\"env\":[\"P=\\u0041\", \"Q\" , 7],\"args\":[\"sh\"]},\n",
        "  \"mounts\": [ {\"destination\":\"/proc\"} ],\"x\":{\"deep\":[[[[]]]]}, \"linux\":{ }\n}\n",
    );
    let wanted = json!({
        "env": ["Q=1", "R=2"],
        "mounts": [{"hostPath": "/a", "containerPath": "/b"}],
        "netDevices": [{"hostInterfaceName": "ib\"0", "name": "e"}],
    });
    let expected = concat!(
        "{ \"ociVersion\":\"1.2.0\",\"x\":[1e3, 9007199254740993,\"\\ud800\\u003c\"],\n",
        "  \"process\":{\"terminal\":false,\"env\":[\"P=\\u0041\", \"Q=1\" , 7 , \"R=2\"],\"args\":[\"sh\"]},\n",
        "  \"mounts\": [ {\"destination\":\"/proc\"}, {\"destination\":\"/b\",\"source\":\"/a\"} ],",
        "\"x\":{\"deep\":[[[[]]]]}, \"linux\":{\"netDevices\":{\"ib\\\"0\":{\"name\":\"e\"}} }\n}\n",
    );
    assert_eq!(text(config, &wanted), expected);
}

#[test]
fn variables_are_there_once() {
    for (env, wanted, expected) in [
        (json!([]), json!(["A=1"]), json!(["A=1"])),
        (
            json!(["X=1", "A=2", "Y"]),
            json!(["A=1"]),
            json!(["X=1", "A=1", "Y"]),
        ),
        (
            json!(["A=2", "X=1", "A=1"]),
            json!(["A=1"]),
            json!(["A=1", "X=1"]),
        ),
        (
            json!(["A", "AB=1", "=A"]),
            json!(["A=1"]),
            json!(["A=1", "AB=1", "=A"]),
        ),
        (
            json!([]),
            json!(["A=1", "B=1", "A=2"]),
            json!(["A=2", "B=1"]),
        ),
        (json!(["A=b=c"]), json!(["A=b=c"]), json!(["A=b=c"])),
        (
            json!([
                "NVIDIA_VISIBLE_DEVICES=all",
                "P=1",
                "NVIDIA_VISIBLE_DEVICES=0"
            ]),
            json!(["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=void"]),
            json!(["NVIDIA_VISIBLE_DEVICES=void", "P=1"]),
        ),
    ] {
        let found = tree(&json!({"process": {"env": env}}), &json!({"env": wanted}));
        assert_eq!(found, json!({"process": {"env": expected}}));
    }
}

#[test]
fn the_host_is_right_about_numbers() {
    let edits = edits(&json!({"deviceNodes": [
        {"path": "/dev/a", "hostPath": "/dev/null", "type": "c", "major": 7, "minor": 8, "permissions": "rw"},
        {"path": "/dev/zero", "type": "u", "major": 1, "minor": 5, "fileMode": 420, "uid": 5},
    ]}));
    let mut warnings = Vec::new();
    let config = json!({
        "process": {"user": {"uid": 1000, "gid": 0}},
        "linux": {"devices": [{"path": "/dev/x"}, {"path": "/dev/a", "type": "c", "major": 7, "minor": 8}]},
    });
    let found = apply(
        config.to_string().as_bytes(),
        &[&edits, &edits],
        &host(),
        &mut warnings,
    );
    let found: Tree = serde_json::from_slice(&found.unwrap().unwrap()).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("/dev/null is 1:3 on the host, and 7:8 in the CDI spec"));
    let devices = &found["linux"]["devices"];
    assert_eq!(devices[0], json!({"path": "/dev/x"}));
    assert_eq!(
        (&devices[1]["major"], &devices[1]["uid"]),
        (&json!(1), &json!(1000))
    );
    assert_eq!(
        devices[2],
        json!({"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 420, "uid": 5})
    );
    assert_eq!(
        found["linux"]["resources"]["devices"],
        json!([
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
            {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        ])
    );
}

#[test]
fn a_device_of_the_engine_stays_as_it_is() {
    let wanted = json!({"deviceNodes": [{"path": "/dev/null"}]});
    for device in [
        json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3}),
        json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 0, "gid": 0}),
    ] {
        let config = json!({"linux": {
            "devices": [device],
            "resources": {"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "mrw"},
            ]},
        }});
        assert_eq!(tree(&config, &wanted), config);
    }
}

#[test]
fn a_rule_comes_behind_what_forbids_it() {
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"});
    let denial = json!({"allow": false, "access": "rwm"});
    let config = json!({"linux": {"resources": {"devices": [rule, denial]}}});
    let found = tree(&config, &json!({"deviceNodes": [{"path": "/dev/null"}]}));
    assert_eq!(
        found["linux"]["resources"]["devices"],
        json!([rule, denial, rule])
    );
}

#[test]
fn a_missing_device_is_an_error_unless_the_spec_has_its_number() {
    let node = |more: Tree| {
        let mut node = json!({"path": "/dev/nvidia-not-there"});
        node.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"deviceNodes": [node]})
    };
    for more in [
        json!({}),
        json!({"type": "c"}),
        json!({"major": 5}),
        json!({"type": "b", "minor": 5}),
    ] {
        let error = error("{}", &node(more));
        assert!(
            error.contains("cannot find the device node /dev/nvidia-not-there of"),
            "{error}"
        );
        assert!(
            error.ends_with("No such file or directory (os error 2)"),
            "{error}"
        );
    }
    let found = tree(
        &json!({}),
        &node(json!({"type": "b", "major": 5, "minor": 0})),
    );
    assert_eq!(
        found["linux"]["devices"],
        json!([{"path": "/dev/nvidia-not-there", "type": "b", "major": 5, "minor": 0}])
    );
    let found = tree(&json!({}), &node(json!({"type": "p"})));
    assert_eq!(
        found,
        json!({"linux": {"devices": [{"path": "/dev/nvidia-not-there", "type": "p"}]}})
    );

    let wrong = |more: Tree| json!({"deviceNodes": [more]});
    let of_type = error(
        "{}",
        &wrong(json!({"path": "/dev/null", "type": "b", "major": 1, "minor": 3})),
    );
    assert!(
        of_type.contains("/dev/null is a device of type c on the host, and of type b"),
        "{of_type}"
    );
    let directory = error(
        "{}",
        &wrong(json!({"path": "/dev", "type": "c", "major": 1})),
    );
    assert!(
        directory.starts_with("/dev of the CDI spec is not a device node"),
        "{directory}"
    );
}

/// The destinations of mounts after merging the engine's with ours.
fn destinations(engine: &[&str], ours: &[&str]) -> Vec<String> {
    let engine: Vec<_> = engine
        .iter()
        .map(|it| json!({"destination": it, "source": "/e"}))
        .collect();
    let ours = ours
        .iter()
        .map(|it| json!({"hostPath": "/o", "containerPath": it}));
    let found = tree(
        &json!({"mounts": engine}),
        &json!({"mounts": ours.collect::<Vec<_>>()}),
    );
    let mounts = found["mounts"].as_array().unwrap();
    let destinations = mounts
        .iter()
        .map(|it| it["destination"].as_str().unwrap().to_owned());
    destinations.collect()
}

#[test]
fn only_our_mounts_move() {
    for (engine, ours, expected) in [
        (
            &["/proc", "/dev", "/dev/pts", "/a"][..],
            &["/x/y/z", "/x"][..],
            &["/proc", "/dev", "/dev/pts", "/a", "/x", "/x/y/z"][..],
        ),
        (
            &["/dev/pts", "/proc"],
            &["/dev/shm"],
            &["/dev/pts", "/proc", "/dev/shm"],
        ),
        (
            &["/proc", "/x/y", "/z"],
            &["/x", "/x/w"],
            &["/proc", "/x", "/x/y", "/z", "/x/w"],
        ),
        (&["/x/y", "/", "/z"], &["/x"], &["/x/y", "/", "/z", "/x"]),
        (&["/xy", "/x/"], &["/x"], &["/xy", "/x"]),
        (&["x/y"], &["/x"], &["/x", "x/y"]),
        (&["/x", "/p", "//x/."], &["/x"], &["/p", "/x"]),
        (&["/a/b"], &["/a/c", "/a", "/a/c"], &["/a", "/a/b", "/a/c"]),
    ] {
        assert_eq!(destinations(engine, ours), expected, "{engine:?} {ours:?}");
    }
}

#[test]
fn a_mount_that_is_there_stays_where_it_is() {
    let config = json!({"mounts": [
        {"destination": "/x", "source": "/o", "type": "", "options": null},
        {"destination": "/proc", "source": "proc"},
    ]});
    let wanted = json!({"mounts": [{"hostPath": "/o", "containerPath": "/x"}]});
    assert_eq!(tree(&config, &wanted), config);
    let wanted = json!({"mounts": [{"hostPath": "/o", "containerPath": "/x", "options": ["ro"]}]});
    let found = tree(&config, &wanted);
    assert_eq!(
        found["mounts"][1],
        json!({"destination": "/x", "source": "/o", "options": ["ro"]})
    );
    assert_eq!(found["mounts"].as_array().unwrap().len(), 2);
}

#[test]
fn hooks_come_behind_those_that_are_there() {
    let hook = |path: &str, args: &[&str]| json!({"path": path, "args": args});
    let edit = |name: &str, path: &str, args: &[&str]| json!({"hookName": name, "path": path, "args": args});
    let config = json!({"hooks": {"createContainer": [hook("/a", &[]), hook("/b", &["b", "x"])]}});
    let wanted = json!({"hooks": [
        edit("createContainer", "/c", &["c"]),
        edit("createContainer", "/b", &["b", "x"]),
        edit("createContainer", "/b", &["b", "y"]),
        edit("createContainer", "/c", &["c"]),
        edit("poststop", "/a", &[]),
    ]});
    assert_eq!(
        tree(&config, &wanted),
        json!({"hooks": {
            "createContainer": [hook("/a", &[]), hook("/b", &["b", "x"]), hook("/c", &["c"]), hook("/b", &["b", "y"])],
            "poststop": [{"path": "/a"}],
        }})
    );
}

#[test]
fn nvidias_prestart_hook_is_cut_out() {
    for (before, after) in [
        ("{}", None),
        (r#"{"hooks":{"prestart":[{"path":"/x"}]}}"#, None),
        (
            r#"{"hooks":{"prestart":[{"path":"/usr/bin/nvidia-container-runtime-hook-x"}]}}"#,
            None,
        ),
        (
            r#"{"hooks":{"createRuntime":[{"path":"/usr/bin/nvidia-container-runtime-hook"}]}}"#,
            None,
        ),
        (
            r#"{"a":1e3,"hooks":{"prestart":[{"path":"/usr/bin/nvidia-container-runtime-hook","args":["x"]}] } }"#,
            Some(r#"{"a":1e3,"hooks":{"prestart":[] } }"#),
        ),
        (
            r#"{"hooks":{"prestart":[ {"path":"nvidia-container-toolkit"}, {"path":"/x"}, {"path":"/y"} ]}}"#,
            Some(r#"{"hooks":{"prestart":[ {"path":"/x"}, {"path":"/y"} ]}}"#),
        ),
    ] {
        let found = remove_nvidia_hook(before.as_bytes()).unwrap();
        let found = found.map(|it| String::from_utf8(it).unwrap());
        assert_eq!(found.as_deref(), after);
        let with_edits = text(before, &json!({"env": ["A=1"]}));
        let alone = text(after.unwrap_or(before), &json!({"env": ["A=1"]}));
        assert_eq!(with_edits, alone);
    }
}

#[test]
fn a_spec_does_not_bring_nvidias_hook_back() {
    let hook = json!({"hookName": "prestart", "path": "/bin/nvidia-container-toolkit"});
    let config = r#"{"hooks":{"prestart":[{"path":"/bin/nvidia-container-toolkit"}]}}"#;
    let expected = r#"{"hooks":{"prestart":[]}}"#;
    assert_eq!(text(config, &json!({"hooks": [hook]})), expected);
}

#[test]
fn the_last_of_a_name_counts() {
    let edit = |name: &str, uid: u32| {
        edits(&json!({
            "netDevices": [{"hostInterfaceName": "ib0", "name": name}],
            "intelRdt": {"closID": name},
            "deviceNodes": [{"path": "/dev/null", "uid": uid}],
        }))
    };
    let edits = [&edit("a", 1), &edit("b", 2)];
    let apply = |text: &[u8]| apply(text, &edits, &host(), &mut Vec::new()).unwrap();
    let found = apply(b"{}").unwrap();
    assert_eq!(apply(&found), None);
    let found: Tree = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["linux"]["netDevices"], json!({"ib0": {"name": "b"}}));
    assert_eq!(found["linux"]["intelRdt"], json!({"closID": "b"}));
    assert_eq!(found["linux"]["devices"][0]["uid"], 2);
}

#[test]
fn what_is_not_a_config_is_refused() {
    let wanted = json!({"env": ["A=1"], "netDevices": [{"hostInterfaceName": "a", "name": "b"}]});
    for (config, expected) in [
        ("", "config.json is not a JSON object"),
        ("[]", "config.json is not a JSON object"),
        ("\u{feff}{}", "config.json is not a JSON object"),
        ("{} x", "config.json is not a JSON object"),
        (r#"{"process":[]}"#, "config.json: process is not an object"),
        (
            r#"{"process":{"env":{}}}"#,
            "config.json: process.env is not an array",
        ),
        (
            r#"{"linux":{"netDevices":7}}"#,
            "config.json: netDevices is not an object",
        ),
    ] {
        assert_eq!(error(config, &wanted), expected);
    }
}

#[test]
fn a_fifo_needs_no_rule() {
    let root = tempfile::tempdir().unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&root.path().join("fifo"), mode).unwrap();
    let edits = edits(&json!({"deviceNodes": [{"path": "/dev/f", "hostPath": "/fifo"}]}));
    let host = Root::open(root.path()).unwrap();
    let found = apply(b"{}", &[&edits], &host, &mut Vec::new()).unwrap();
    assert_eq!(
        String::from_utf8(found.unwrap()).unwrap(),
        r#"{"linux":{"devices":[{"fileMode":384,"path":"/dev/f","type":"p"}]}}"#
    );
}

#[test]
fn depth_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let list = format!("[{deep},{{\"path\":{deep},\"destination\":{deep},\"args\":{deep}}}]");
    let config = format!(
        "{{\"x\":{deep},\"process\":{{\"env\":{list}}},\"mounts\":{list},\"hooks\":{{\"prestart\":{list}}},\
         \"linux\":{{\"devices\":{list},\"resources\":{{\"devices\":{list}}}}}}}"
    );
    let wanted = json!({
        "env": ["A=1"],
        "deviceNodes": [{"path": "/dev/null"}],
        "mounts": [{"hostPath": "/a", "containerPath": "/b"}],
        "hooks": [{"hookName": "prestart", "path": "/h", "args": ["h"]}],
    });
    let text = text(&config, &wanted);
    assert_eq!(text.matches(&deep).count(), config.matches(&deep).count());
}
