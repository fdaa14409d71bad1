//! What a container asks for by variables, and which of several requests counts.

use serde_json::{Value, json};

use crate::common::shim::{Shim, config, devices, env, got, spec};

/// The names that specs of these tests have. All is not the sum of them.
const NAMES: [&str; 9] = ["0", "1", "2", "3", "all", "GPU-a", "MIG-b", "0:1", "All"];

fn shim() -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &NAMES));
    shim
}

/// A container with `CAP_SYS_ADMIN`, which is what makes it privileged.
fn privileged(mut config: Value) -> Value {
    config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_SYS_ADMIN"]);
    config
}

/// Names in the place of blanks in a list; what is no letter and no digit is `_`.
#[track_caller]
fn gives(shim: &Shim, config: &Value, names: &str) {
    shim.config(config);
    let before = shim.text();
    let created = shim.created();
    let expected: Vec<_> = names.split_whitespace().collect();
    assert_eq!(got(&created), expected, "{config}");
    if expected.is_empty() {
        assert_eq!(shim.text(), before, "{config}");
    } else {
        let visible = env(&created).into_iter();
        let visible = visible.filter(|it| it.starts_with("NVIDIA_VISIBLE_DEVICES="));
        assert!(visible.eq(["NVIDIA_VISIBLE_DEVICES=void"]), "{created}");
    }
}

#[test]
fn visible_devices() {
    let shim = shim();
    for (value, names) in [
        ("", ""),
        (",", ""),
        (" , ", ""),
        ("void", ""),
        ("0,void", ""),
        ("void,0", ""),
        (" void ", ""),
        ("all", "all"),
        (" all ", "all"),
        ("all,0", "all"),
        ("0,all", "all"),
        ("0", "0"),
        ("0, 1 ,", "0 1"),
        ("1,0", "1 0"),
        ("0,0", "0"),
        ("0,1,0", "0 1"),
        ("0,0:1", "0 0_1"),
        ("GPU-a,MIG-b,0:1", "GPU_a MIG_b 0_1"),
        ("All", "All"),
        ("nvidia.com/gpu=0", "0"),
        ("nvidia.com/gpu=0,nvidia.com/gpu=0", "0"),
        ("nvidia.com/gpu=0, nvidia.com/gpu=1", "0 1"),
        ("nvidia.com/gpu=0,1", "0 1"),
        ("0,nvidia.com/gpu=0", "0"),
        ("nvidia.com/gpu=all", "all"),
    ] {
        let variable = format!("NVIDIA_VISIBLE_DEVICES={value}");
        gives(&shim, &config(&[&variable]), names);
        gives(&shim, &privileged(config(&[&variable])), names);
    }
    gives(&shim, &config(&[]), "");
}

/// Of variables that come twice the last one is what a process finds.
#[test]
fn the_last_of_several_variables_counts() {
    let shim = shim();
    for (variables, names) in [
        (
            ["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"],
            "1",
        ),
        (["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES="], ""),
        (
            ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void"],
            "",
        ),
        (
            ["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=0"],
            "0",
        ),
    ] {
        gives(&shim, &config(&variables), names);
    }
}

/// A list that stands alone, of names that look like others.
#[test]
fn variables_that_ask_for_nothing() {
    let shim = shim();
    for variable in [
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES_=0",
        "XNVIDIA_VISIBLE_DEVICES=0",
        "=NVIDIA_VISIBLE_DEVICES=0",
        "nvidia_visible_devices=0",
        "NOEQ",
        "CUDA_VERSION=",
        "CUDA_VISIBLE_DEVICES=0",
        "NVIDIA_DRIVER_CAPABILITIES=all",
        "DOCKER_RESOURCE_GPU=0",
    ] {
        gives(&shim, &config(&[variable]), "");
    }
}

/// `none` is none: no GPU, no error, whatever specs there are.
#[test]
fn none() {
    for value in ["none", "0,none", "none,all", " none"] {
        for has_specs in [true, false] {
            let shim = if has_specs { shim() } else { Shim::new() };
            shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES={value}")]);
            let created = shim.created();
            assert_eq!(got(&created), [""; 0], "{value}");
            let gpus = devices(&created).into_iter().filter(|path| {
                path.strip_prefix("/dev/nvidia")
                    .is_some_and(|rest| rest.starts_with(|it: char| it.is_ascii_digit()))
            });
            assert_eq!(gpus.count(), 0, "{value}: {created}");
        }
    }
}

/// Images before `NVIDIA_VISIBLE_DEVICES` existed.
#[test]
fn legacy_images() {
    let shim = shim();
    for (variables, names) in [
        (&["CUDA_VERSION=9.0.176"][..], "all"),
        (&["CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA="], "all"),
        (&["CUDA_VERSION=foo"], "all"),
        (&["CUDA_VERSION="], ""),
        (&["CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA=cuda>=9.0"], ""),
        (&["CUDA_VERSION=9.0", "NVIDIA_VISIBLE_DEVICES="], ""),
        (&["CUDA_VERSION=9.0", "NVIDIA_VISIBLE_DEVICES=void"], ""),
        (&["CUDA_VERSION=9.0", "NVIDIA_VISIBLE_DEVICES=1"], "1"),
    ] {
        gives(&shim, &config(variables), names);
    }
}

#[test]
fn swarm() {
    const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES=3";
    for (setting, variables, names) in [
        ("", &["DOCKER_RESOURCE_GPUS=1"][..], ""),
        ("", &["DOCKER_RESOURCE_GPUS=1", VISIBLE], "3"),
        ("DOCKER_RESOURCE_GPUS", &["DOCKER_RESOURCE_GPUS=1"], "1"),
        (
            "DOCKER_RESOURCE_GPUS",
            &["DOCKER_RESOURCE_GPUS=1", VISIBLE],
            "1",
        ),
        ("DOCKER_RESOURCE_GPUS", &["DOCKER_RESOURCE_GPUS=1,2"], "1 2"),
        ("DOCKER_RESOURCE_GPUS", &["DOCKER_RESOURCE_GPUS="], ""),
        (
            "DOCKER_RESOURCE_GPUS",
            &["DOCKER_RESOURCE_GPUS= ", VISIBLE],
            "",
        ),
        (
            "DOCKER_RESOURCE_GPUS",
            &["DOCKER_RESOURCE_GPUS=void", VISIBLE],
            "",
        ),
        ("DOCKER_RESOURCE_GPUS", &["OTHER=1", VISIBLE], "3"),
        ("DOCKER_RESOURCE_GPUS", &["OTHER=1"], ""),
        ("A,B", &["A=0", "B=1"], "0 1"),
        ("A, B ", &["B=1", "A=0"], "0 1"),
        ("A,B", &["A=0", "B=0"], "0"),
        ("A,B", &["B=1", VISIBLE], "1"),
        ("OTHER,A", &["A=nvidia.com/gpu=1"], "1"),
    ] {
        let shim = shim();
        shim.settings_with(&format!("swarm-resource = \"{setting}\""), "");
        shim.config(&config(variables));
        let created = shim.created();
        let expected: Vec<_> = names.split_whitespace().collect();
        assert_eq!(got(&created), expected, "{setting}: {variables:?}");
    }
}

/// The admin may keep containers from asking by variables. That is said once, with the key that decides it.
#[test]
fn unprivileged_containers_may_be_refused() {
    const REFUSE: &str = "accept-nvidia-visible-devices-envvar-when-unprivileged = false";
    let other = |mut config: Value, field: &str, list: Value| {
        config["process"]["capabilities"][field] = list;
        config
    };
    let asks = || config(&["NVIDIA_VISIBLE_DEVICES=0"]);
    for unprivileged in [
        asks(),
        other(asks(), "bounding", json!(["CAP_KILL"])),
        other(asks(), "effective", json!(["CAP_SYS_ADMIN"])),
        config(&["CUDA_VERSION=9.0"]),
    ] {
        let shim = shim();
        shim.settings_with(REFUSE, "");
        shim.config(&unprivileged);
        let before = shim.text();
        let created = shim.created();
        assert_eq!(got(&created), [""; 0], "{unprivileged}");
        assert_eq!(shim.text(), before, "{unprivileged}");
        let warnings = shim.log("warning");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("accept-nvidia-visible-devices-envvar-when-unprivileged"),
            "{warnings:?}"
        );
    }
    let shim = shim();
    shim.settings_with(REFUSE, "");
    gives(&shim, &privileged(asks()), "0");
    assert_eq!(shim.log("warning"), [""; 0]);
    // Who asks for nothing is refused nothing.
    gives(&shim, &config(&["NVIDIA_VISIBLE_DEVICES=void"]), "");
    assert_eq!(shim.log("warning"), [""; 0]);
    // The same rule holds for swarm's.
    shim.settings_with(&format!("{REFUSE}\nswarm-resource = \"A\""), "");
    gives(&shim, &config(&["A=1"]), "");
    gives(&shim, &privileged(config(&["A=1"])), "1");
}
