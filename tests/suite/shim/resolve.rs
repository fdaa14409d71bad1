//! From names to edits, by spec files.

use std::fs;

use serde_json::{Value, json};

use crate::common::machine::{hostile_cases, must, skip};
use crate::common::shim::{Shim, config, env, got, spec};

const GPU: &str = "nvidia.com/gpu";

/// A container that asks for these devices.
fn asking(names: &str) -> Shim {
    let shim = Shim::new();
    shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES={names}")]);
    shim
}

fn with_version(version: &str) -> Value {
    let mut spec = spec(GPU, &["gpu0"]);
    spec["cdiVersion"] = json!(version);
    spec
}

#[test]
fn all_versions() {
    for version in [
        "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0", "v1.0.0",
    ] {
        let shim = asking("nvidia.com/gpu=gpu0");
        shim.spec("etc/gpu.json", &with_version(version));
        assert_eq!(got(&shim.created()), ["gpu0"], "{version}");
    }
    // Before 0.5.0 a node had no path on the host.
    for version in ["0.3.0", "0.4.0"] {
        let shim = asking("nvidia.com/gpu=gpu0");
        let mut spec = with_version(version);
        let node = json!({"path": "/dev/nvidia0", "type": "c", "major": 195});
        spec["devices"][0]["containerEdits"]["deviceNodes"] = json!([node]);
        shim.spec("etc/gpu.json", &spec);
        assert_eq!(got(&shim.created()), ["gpu0"], "{version}");
    }
    for version in ["9.9.9", "", "1"] {
        let shim = asking("nvidia.com/gpu=gpu0");
        shim.spec("etc/gpu.json", &with_version(version));
        let message = shim.refused();
        let file = shim.inside("etc/gpu.json");
        assert!(message.contains(&file), "{version}: {message}");
    }
}

/// What the last versions brought.
#[test]
fn edits_of_new_versions() {
    let shim = asking("nvidia.com/gpu=0");
    let mut spec = spec(GPU, &["0"]);
    spec["cdiVersion"] = json!("1.1.0");
    spec["containerEdits"]["additionalGids"] = json!([0, 5, 7, 5]);
    spec["containerEdits"]["intelRdt"] =
        json!({"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true});
    spec["containerEdits"]["netDevices"] = json!([{"hostInterfaceName": "eth9", "name": "eth1"}]);
    shim.spec("etc/gpu.json", &spec);
    let created = shim.created();
    assert_eq!(created["process"]["user"]["additionalGids"], json!([5, 7]));
    assert_eq!(
        created["linux"]["intelRdt"],
        json!({"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true})
    );
    assert_eq!(
        created["linux"]["netDevices"],
        json!({"eth9": {"name": "eth1"}})
    );
}

#[test]
fn yaml() {
    let text = "# comment\r\n---\r\ncdiVersion: \"0.6.0\"\r\nkind: nvidia.com/gpu\r\ndevices:\r\n- name: \"0\"\r\n  \
        containerEdits: &edits\r\n    env: [GOT_0=yes]\r\n    deviceNodes:\r\n    - path: /dev/nvidia0\r\n      hostPath: /dev/null\r\n\
        - name: again\r\n  containerEdits: *edits\r\n";
    for text in [text.to_owned(), text.replace('\r', "")] {
        let shim = asking("0");
        shim.file("etc/gpu.yaml", &text);
        assert_eq!(got(&shim.created()), ["0"], "{text}");
    }
    let shim = asking("0");
    shim.file("elsewhere/spec", &text.replace('\r', ""));
    std::os::unix::fs::symlink("../elsewhere/spec", shim.at("etc/link.yaml")).unwrap();
    assert_eq!(got(&shim.created()), ["0"]);
}

/// The later directory wins, and a device that both have is no conflict.
#[test]
fn priorities() {
    let shim = asking("nvidia.com/gpu=0,nvidia.com/gpu=1");
    let mut low = spec(GPU, &["0", "1"]);
    low["devices"][0]["containerEdits"]["env"] = json!(["GOT_low=yes"]);
    shim.spec("etc/gpu.json", &low)
        .spec("run/gpu.json", &spec(GPU, &["0"]));
    assert_eq!(got(&shim.created()), ["0", "1"]);
}

/// Two files of one directory cannot both be right: the device is unresolvable, others are not.
#[test]
fn conflicts() {
    for twice in ["etc", "run"] {
        let shim = asking("nvidia.com/gpu=0");
        shim.spec(&format!("{twice}/one.json"), &spec(GPU, &["0", "1"]))
            .spec(&format!("{twice}/two.json"), &spec(GPU, &["0", "2"]));
        let message = shim.refused();
        for part in ["nvidia.com/gpu=0", "one.json", "two.json"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        shim.variables(&["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=1,nvidia.com/gpu=2"]);
        assert_eq!(got(&shim.created()), ["1", "2"]);
    }
}

/// Files that have nothing to do with the request, whatever they are.
#[test]
fn broken_files_do_not_matter() {
    let odd_kinds = ["a/b", "nvidia.com/b", "a/gpu", "nvidia.com", "", "x y/z"];
    let mut broken: Vec<(String, String)> = odd_kinds
        .iter()
        .map(|kind| ("json".to_owned(), spec(kind, &["c", "0"]).to_string()))
        .collect();
    for (extension, text) in [
        ("json", "{"),
        ("json", ""),
        ("json", "null"),
        ("json", "[]"),
        ("json", "\u{feff}{}"),
        (
            "json",
            "{\"cdiVersion\":\"0.6.0\",\"kind\":\"nvidia.com/gpu\",\"devices\":[]}",
        ),
        ("yaml", "a: [\n"),
        ("yaml", "\t- x"),
        ("yaml", "a: &a [*a, *a]\n"),
        ("yaml", "--- {}\n--- {}\n--- {}\n"),
    ] {
        broken.push((extension.to_owned(), text.to_owned()));
    }
    broken.push(("json".to_owned(), "[".repeat(1_000_000)));
    hostile_cases(broken.len());
    for (extension, text) in broken {
        for folder in ["etc", "run"] {
            let shim = asking("nvidia.com/gpu=0,1");
            shim.spec("etc/gpu.json", &spec(GPU, &["0", "1"]));
            shim.file(&format!("{folder}/a.{extension}"), &text);
            let start: String = text.chars().take(60).collect();
            assert_eq!(got(&shim.created()), ["0", "1"], "{start}");
        }
    }
}

/// What is no regular file is never opened: a FIFO would hang the container.
#[test]
fn only_regular_files_are_opened() {
    let shim = asking("nvidia.com/gpu=0");
    shim.spec("etc/gpu.json", &spec(GPU, &["0"]));
    must(
        std::process::Command::new("mkfifo")
            .arg(shim.at("etc/a.yaml"))
            .arg(shim.at("run/b.json")),
    );
    fs::create_dir(shim.at("etc/folder.json")).unwrap();
    for (link, target) in [
        ("zero.json", "/dev/zero"),
        ("loop.json", "loop.json"),
        ("fifo.json", "a.yaml"),
    ] {
        std::os::unix::fs::symlink(target, shim.at(&format!("etc/{link}"))).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(shim.at("etc/s.json")).unwrap();
    assert_eq!(got(&shim.created()), ["0"]);
}

/// Only names that end in .json and .yaml, and no folders below.
#[test]
fn other_names_are_no_specs() {
    for name in [
        "gpu.yml",
        "gpu.txt",
        "gpu",
        "gpu.json.bak",
        "sub/gpu.json",
        "gpu.JSON",
    ] {
        let shim = asking("nvidia.com/gpu=0");
        shim.spec(&format!("etc/{name}"), &spec(GPU, &["0"]));
        shim.refused();
    }
    let shim = asking("nvidia.com/gpu=0");
    shim.spec("etc/.json", &spec(GPU, &["0"]));
    assert_eq!(got(&shim.created()), ["0"]);
}

/// Names of several kinds and forms in one request.
#[test]
fn mixed_names() {
    for (names, expected) in [
        ("nvidia.com/gpu=0,1", "0 1"),
        ("1,nvidia.com/gpu=0", "1 0"),
        ("0,example.com/class=device", "0 device"),
        ("example.com/class=device", "device"),
        ("example.com/class=0,0", "0 0"),
    ] {
        let shim = asking(names);
        let mut other = spec("example.com/class", &["device", "0"]);
        other["devices"][1]["containerEdits"]["env"] = json!(["GOT_0=other"]);
        shim.spec("etc/gpu.json", &spec(GPU, &["0", "1"]))
            .spec("etc/other.json", &other);
        let created = shim.created();
        if names == "example.com/class=0,0" {
            assert!(env(&created).iter().any(|it| it.starts_with("GOT_0=")));
            continue;
        }
        let expected: Vec<_> = expected.split(' ').collect();
        assert_eq!(got(&created), expected, "{names}");
        // Each spec's own edits once.
        let hooks = created["hooks"]["createContainer"].as_array().unwrap();
        let kinds = 1 + usize::from(expected.len() == 2 && names.contains("class"));
        assert_eq!(hooks.len(), kinds, "{names}: {hooks:?}");
    }
}

#[test]
fn the_default_kind() {
    let shim = asking("0,nvidia.com/gpu=1");
    shim.settings_with("", "default-kind = \"example.com/class\"");
    shim.spec("etc/gpu.json", &spec(GPU, &["0", "1"]))
        .spec("etc/other.json", &spec("example.com/class", &["0", "9"]));
    let created = shim.created();
    assert_eq!(got(&created), ["0", "1"]);
    let hooks = created["hooks"]["createContainer"].as_array().unwrap();
    assert_eq!(hooks[0]["args"][1], "example.com/class");
}

/// The usual directories of the settings' default are not read where others are named, and the other way round.
#[test]
fn the_directories_of_the_settings() {
    let shim = asking("nvidia.com/gpu=0");
    shim.spec("elsewhere/gpu.json", &spec(GPU, &["0"]));
    shim.refused();
    shim.settings(
        "[nvidia-container-runtime]\nruntimes = [\"@BIN@/runc\"]\n[nvidia-container-runtime.modes.cdi]\n\
         spec-dirs = [\"@SHIM@/nowhere\", \"@SHIM@/elsewhere\"]\n",
    );
    assert_eq!(got(&shim.created()), ["0"]);
}

/// Unresolvable: the error has the names, the directories, and the files that cannot be read.
#[test]
fn names_that_nobody_knows() {
    let shim = asking("nvidia.com/gpu=7,nvidia.com/gpu=0,example.com/class=x");
    shim.spec("etc/gpu.json", &spec(GPU, &["0"]))
        .file("run/broken.yaml", "a: [\n");
    let message = shim.refused();
    let (etc, run) = (shim.inside("etc"), shim.inside("run"));
    for part in [
        "nvidia.com/gpu=7",
        "example.com/class=x",
        &etc,
        &run,
        "broken.yaml",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

/// No file, no driver: an error, never a container without the GPU that was asked for.
#[test]
fn names_on_a_host_without_a_gpu() {
    if fs::exists("/proc/driver/nvidia/version").unwrap() {
        skip("this host has NVIDIA's driver");
        return;
    }
    for names in [
        "all",
        "0",
        "GPU-a",
        "MIG-b",
        "0:1",
        "All",
        "nvidia.com/gpu=all",
        "x/y/z",
        "-1",
        "99999999999999999999",
    ] {
        let shim = asking(names);
        let message = shim.refused();
        assert!(message.contains(names), "{names}: {message}");
        for word in ["panicked", "unwrap", "None"] {
            assert!(!message.contains(word), "{message}");
        }
    }
}

/// A spec whose device gives no GPU: the container would be one without.
#[test]
fn a_device_without_a_node() {
    let shim = asking("all");
    let mut none = spec(GPU, &["all"]);
    none["devices"][0]["containerEdits"] = json!({"env": ["GOT_all=yes"]});
    shim.spec("etc/gpu.json", &none);
    let message = shim.refused();
    assert!(message.contains("all"), "{message}");
}

/// The node of a spec is not on the host.
#[test]
fn a_node_that_is_not_there() {
    for (path, node) in [
        (
            "/dev/nope-of-no-host",
            json!({"path": "/dev/nvidia0", "hostPath": "/dev/nope-of-no-host"}),
        ),
        ("/dev/nvidia77", json!({"path": "/dev/nvidia77"})),
        (
            "/etc/passwd",
            json!({"path": "/dev/nvidia0", "hostPath": "/etc/passwd"}),
        ),
        (
            "/dev/null",
            json!({"path": "/dev/nvidia0", "hostPath": "/dev/null", "type": "b"}),
        ),
    ] {
        let shim = asking("0");
        let mut spec = spec(GPU, &["0"]);
        spec["devices"][0]["containerEdits"]["deviceNodes"] = json!([node]);
        shim.spec("etc/gpu.json", &spec);
        let message = shim.refused();
        assert!(message.contains(path), "{message}");
    }
}

/// Variables that nobody can put in order.
#[test]
fn hostile_requests() {
    let long = "9".repeat(100_000);
    let many = vec!["nvidia.com/gpu=x"; 10_000].join(",");
    let all: Vec<_> = (0..10_000).map(|it| it.to_string()).collect();
    let all = all.join(",");
    let cases = [
        "a/b=c",
        "a/b=",
        "/=",
        "=",
        "../../etc",
        "nvidia.com/gpu=../x",
        "nvidia.com/gpu==",
        "\u{fe0f}",
        "a\tb",
        &long,
        &many,
        &all,
    ];
    hostile_cases(cases.len());
    for name in cases {
        let shim = Shim::new();
        shim.spec("etc/gpu.json", &spec(GPU, &["0"]));
        shim.config(&config(&[&format!("NVIDIA_VISIBLE_DEVICES={name}")]));
        let message = shim.refused();
        assert!(
            !message.is_empty() && message.len() < 8 << 10,
            "{} bytes",
            message.len()
        );
    }
}
