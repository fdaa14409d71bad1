//! Plain names that no spec file has: found on the host, which is a made-up one with GPUs.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::gpu_host::{Gpu, GpuHost, VERSION};
use crate::common::machine::{binary, copy_program, has};
use crate::common::outcome::Outcome;
use crate::common::shim::{RUNTIME, Shim, devices, env, got, spec};

/// The host of a spec of the fixtures, and the program on it.
pub(super) fn host(name: &str) -> Option<(GpuHost, Shim)> {
    if !has(&["unshare", "mount", "chroot"]) {
        return None;
    }
    let host = GpuHost::of(name)?;
    let shim = Shim::on(&host);
    Some((host, shim))
}

fn ask(shim: &Shim, names: &str) -> Value {
    shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES={names}")]);
    shim.created()
}

/// The numbers of the GPUs' nodes.
pub(super) fn gpus(config: &Value) -> Vec<&str> {
    let number = |path: &&str| path.bytes().all(|it| it.is_ascii_digit());
    let paths = devices(config).into_iter();
    let mut found: Vec<_> = paths
        .filter_map(|path| path.strip_prefix("/dev/nvidia"))
        .filter(|rest| !rest.is_empty())
        .filter(number)
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn all_indices_and_uuids() {
    let Some((_host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let two = Gpu::two();
    let [first, second] = [two[0].uuid(), two[1].uuid()];
    let both = format!("{first},{second}");
    for (names, expected) in [
        ("all", "0 1"),
        ("0", "0"),
        ("1", "1"),
        ("0,1", "0 1"),
        ("1,0,1", "0 1"),
        (first, "0"),
        (second, "1"),
        (both.as_str(), "0 1"),
        ("all,7", "0 1"),
    ] {
        let created = ask(&shim, names);
        let expected: Vec<_> = expected.split(' ').collect();
        assert_eq!(gpus(&created), expected, "{names}");
        for path in ["/dev/nvidiactl", "/dev/nvidia-uvm"] {
            assert!(devices(&created).contains(&path), "{names}: {path}");
        }
        let visible = env(&created).into_iter();
        let visible = visible.filter(|it| it.starts_with("NVIDIA_VISIBLE_DEVICES="));
        assert!(visible.eq(["NVIDIA_VISIBLE_DEVICES=void"]), "{names}");
    }
}

/// A GPU that is left out of all is named, and the others come.
#[test]
fn a_gpu_without_a_node() {
    let Some((host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    host.remove("/dev/nvidia0");
    let created = ask(&shim, "all");
    assert_eq!(gpus(&created), ["1"]);
    let warnings = shim.log("warning");
    assert!(
        warnings.iter().any(|it| it.contains("0000:01:00.0")),
        "{warnings:?}"
    );
}

/// The driver comes with the GPUs, numbers of nodes are the host's, hooks are this program's.
#[test]
fn the_driver_comes_with_them() {
    let Some((host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let created = ask(&shim, "0");
    let mounts = created["mounts"].as_array().unwrap();
    let libcuda = format!("/libcuda.so.{VERSION}");
    let ends = |it: &&Value| it["destination"].as_str().unwrap().ends_with(&libcuda);
    assert_eq!(mounts.iter().filter(ends).count(), 1, "{created}");
    let node = |path: &str| {
        let all = created["linux"]["devices"].as_array().unwrap();
        let found = all.iter().find(|it| it["path"] == path).unwrap();
        (
            found["type"].clone(),
            found["major"].clone(),
            found["minor"].clone(),
        )
    };
    assert_eq!(node("/dev/nvidia0"), (json!("c"), json!(195), json!(0)));
    assert_eq!(node("/dev/nvidia-uvm"), (json!("c"), json!(510), json!(0)));
    let rules = created["linux"]["resources"]["devices"].as_array().unwrap();
    assert_eq!(rules[0], json!({"allow": false, "access": "rwm"}));
    let allowed = |(major, minor)| {
        rules[1..]
            .iter()
            .filter(|it| it["allow"] == true && it["major"] == major && it["minor"] == minor)
            .count()
    };
    for number in [(195, 0), (195, 255), (510, 0)] {
        assert_eq!(allowed(number), 1, "{number:?}: {rules:?}");
    }
    assert_eq!(allowed((195, 1)), 0, "{rules:?}");
    let hooks = created["hooks"]["createContainer"].as_array().unwrap();
    assert!(!hooks.is_empty(), "{created}");
    for hook in hooks {
        let path = hook["path"].as_str().unwrap();
        let program = fs::canonicalize(host.at(path)).expect(path);
        assert_eq!(
            program,
            fs::canonicalize(shim.at("bin/nvidia-ctk")).unwrap()
        );
        assert!(
            hook["env"].is_array(),
            "{hook}: else the image's would count"
        );
    }
}

#[test]
fn mig() {
    let Some((_host, shim)) = host("full-mig.yaml") else {
        return;
    };
    for (names, expected, capabilities) in [
        ("0:0", "0", 2),
        ("0:1", "0", 2),
        ("0:0,0:2", "0", 4),
        ("1", "1", 0),
        ("all", "0 1", 5),
    ] {
        let created = ask(&shim, names);
        let expected: Vec<_> = expected.split(' ').collect();
        assert_eq!(gpus(&created), expected, "{names}");
        let caps = devices(&created).into_iter();
        let caps = caps.filter(|path| path.starts_with("/dev/nvidia-caps/"));
        assert_eq!(
            caps.count(),
            capabilities,
            "{names}: {:?}",
            devices(&created)
        );
    }
}

/// What the host does not have is an error with its name.
#[test]
fn names_that_the_host_does_not_have() {
    let Some((_host, shim)) = host("full-mig.yaml") else {
        return;
    };
    for names in [
        "2",
        "0,2",
        "0:7",
        "9:0",
        "GPU-00000000-0000-0000-0000-000000000000",
        "MIG-x",
        "1:0",
        "x",
        "-1",
    ] {
        shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES={names}")]);
        let message = shim.refused();
        let odd = names.rsplit(',').next().unwrap();
        assert!(message.contains(odd), "{names}: {message}");
        let _ = fs::remove_file(shim.at("log.json"));
    }
}

/// A spec file knows better than a look at the host, where it has the name; other names are found beside it.
#[test]
fn spec_files_come_first() {
    let Some((_host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["own", "0"]));
    for (names, from_file, from_host) in [
        ("0", vec!["0"], false),
        ("1", vec![], true),
        ("own", vec!["own"], false),
        ("all", vec![], true),
    ] {
        let created = ask(&shim, names);
        assert_eq!(got(&created), from_file, "{names}");
        let has_driver = created.to_string().contains("libcuda.so");
        assert_eq!(has_driver, from_host, "{names}");
    }
    let created = ask(&shim, "nvidia.com/gpu=own,1");
    assert_eq!(got(&created), ["own"]);
    assert_eq!(gpus(&created), ["0", "1"]);
    // A full name is the spec's alone.
    shim.variables(&["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=1"]);
    let message = shim.refused();
    assert!(message.contains("nvidia.com/gpu=1"), "{message}");
}

/// A spec that a driver update left behind: its libraries have another version than the kernel module.
#[test]
fn a_stale_spec_is_not_used() {
    let Some((host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let mut stale = spec("nvidia.com/gpu", &["0", "all"]);
    let library = "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15";
    host.file(library, "");
    stale["containerEdits"]["mounts"] =
        json!([{"hostPath": library, "containerPath": library, "options": ["ro", "bind"]}]);
    shim.spec("etc/gpu.json", &stale);
    for names in ["0", "all"] {
        let created = ask(&shim, names);
        assert_eq!(got(&created), [""; 0], "{names}");
        let text = created.to_string();
        assert!(text.contains(&format!("libcuda.so.{VERSION}")), "{text}");
        assert!(!text.contains("550.54.15"), "{text}");
        let warnings = shim.log("warning");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in ["etc/gpu.json", "550.54.15", VERSION] {
            assert!(warnings[0].contains(part), "{part}: {warnings:?}");
        }
        fs::remove_file(shim.at("log.json")).unwrap();
    }
    // Of the same version it is used, without a word.
    let text = stale.to_string().replace("550.54.15", VERSION);
    shim.file("etc/gpu.json", &text);
    let created = ask(&shim, "0");
    assert_eq!(got(&created), ["0"]);
    assert_eq!(shim.log("warning"), [""; 0]);
}

/// A spec's numbers are from another day than the host's nodes: the host is right.
#[test]
fn stale_numbers() {
    let Some((_host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let mut stale = spec("nvidia.com/gpu", &["0"]);
    let nodes = json!([
        {"path": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0},
        {"path": "/dev/nvidia-uvm", "type": "c", "major": 237, "minor": 0},
    ]);
    stale["devices"][0]["containerEdits"]["deviceNodes"] = nodes;
    shim.spec("etc/gpu.json", &stale);
    let created = ask(&shim, "nvidia.com/gpu=0");
    let all = created["linux"]["devices"].as_array().unwrap();
    let uvm = all
        .iter()
        .find(|it| it["path"] == "/dev/nvidia-uvm")
        .unwrap();
    assert_eq!(uvm["major"], 510);
    let rules = created["linux"]["resources"]["devices"].to_string();
    assert!(rules.contains("510") && !rules.contains("237"), "{rules}");
    let warnings = shim.log("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["/dev/nvidia-uvm", "510", "237"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
}

/// The last GPU is gone, or the module: no container without one.
#[test]
fn a_host_that_lost_its_gpus() {
    let Some((host, shim)) = host("small-2gpu.yaml") else {
        return;
    };
    for gpu in Gpu::two() {
        fs::remove_dir_all(host.at(format!("/proc/driver/nvidia/gpus/{}", gpu.bus_id))).unwrap();
        host.remove(format!("/dev/nvidia{}", gpu.minor));
    }
    for names in ["all", "0"] {
        shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES={names}")]);
        let message = shim.refused();
        assert!(message.contains(names), "{message}");
        let _ = fs::remove_file(shim.at("log.json"));
    }
}

/// The hook is called by a name under which the program is one, whatever the file is called that it calls.
#[test]
fn hooks_of_a_copy() {
    let Some((_host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let as_hook = |config: &Value| {
        let hooks = &config["hooks"]["createContainer"];
        let hook = hooks.as_array().unwrap().last().unwrap().clone();
        let program = hook["path"].as_str().unwrap().strip_prefix("/shim/bin/");
        let words = hook["args"].as_array().unwrap();
        let words: Vec<_> = words.iter().map(|it| it.as_str().unwrap()).collect();
        // Engines start the path with these words, the first of them included.
        let mut command = Command::new(shim.at("bin").join(program.unwrap()));
        command.arg0(words[0]).args(&words[1..]).arg("--help");
        let outcome = Outcome::of(&mut command);
        assert!(outcome.success(), "{hook}: {outcome:?}");
        assert!(
            outcome.stdout.contains("--container-spec"),
            "{hook}: {outcome:?}"
        );
    };
    as_hook(&ask(&shim, "0"));
    for name in [RUNTIME, "nvidia-ctk.real", "nvidia-ctk-0.1.0"] {
        let copy = shim.at("bin").join(name);
        let _ = fs::remove_file(&copy);
        copy_program(&binary(), &copy);
        if name != RUNTIME {
            fs::remove_file(shim.at("bin").join(RUNTIME)).unwrap();
            symlink(name, shim.at("bin").join(RUNTIME)).unwrap();
        }
        as_hook(&ask(&shim, "0"));
    }
}

/// The second run finds nothing to do.
#[test]
fn twice_is_once() {
    let Some((_host, shim)) = host("full-2gpu.yaml") else {
        return;
    };
    let first = ask(&shim, "all");
    let text = shim.text();
    assert_eq!(shim.created(), first);
    assert_eq!(shim.text(), text);
}
