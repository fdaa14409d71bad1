//! What a container gets beside its GPUs, which variables and mounts ask for: nodes of other modules, and channels of IMEX.

use std::fs;

use serde_json::{Value, json};

use super::live::{gpus, host};
use super::mounts_and_annotations::{MOUNTS, REFUSE, with_annotations, with_mounts};
use crate::common::gpu_host::GpuHost;
use crate::common::shim::{Shim, config, devices, spec};

const ONE: &str = "NVIDIA_VISIBLE_DEVICES=0";
const FOLDER: &str = "/var/run/nvidia-container-devices";
/// Variables, and the nodes that they ask for.
const BESIDE: [(&str, &[&str]); 4] = [
    ("NVIDIA_GDS", &["/dev/nvidia-fs0", "/dev/nvidia-fs1"]),
    (
        "NVIDIA_MOFED",
        &["/dev/infiniband/rdma_cm", "/dev/infiniband/uverbs0"],
    ),
    ("NVIDIA_GDRCOPY", &["/dev/gdrdrv"]),
    (
        "NVIDIA_NVSWITCH",
        &["/dev/nvidia-nvswitch0", "/dev/nvidia-nvswitchctl"],
    ),
];

/// A host with all of these, and with channels of IMEX.
fn full_host() -> Option<(GpuHost, Shim)> {
    let (host, shim) = host("small-2gpu.yaml")?;
    for path in BESIDE.iter().flat_map(|(_, paths)| *paths) {
        host.node(path, (240, 0), 0o666, 0);
    }
    for number in [0, 1, 2047] {
        host.node(&channel(number), (242, number), 0o666, 0);
    }
    Some((host, shim))
}

fn channel(number: u64) -> String {
    format!("/dev/nvidia-caps-imex-channels/channel{number}")
}

/// The nodes of [`BESIDE`] that the container gets, which must have its GPU.
#[track_caller]
fn beside(shim: &Shim, config: &Value) -> Vec<String> {
    shim.config(config);
    let created = shim.created();
    assert_eq!(gpus(&created), ["0"], "{config}");
    let is_beside = |it: &&str| BESIDE.iter().any(|(_, paths)| paths.contains(it));
    let found = devices(&created).into_iter().filter(is_beside);
    found.map(str::to_owned).collect()
}

/// The channels that the container gets, which must have its GPU.
#[track_caller]
fn channels(shim: &Shim, config: &Value) -> Vec<String> {
    shim.config(config);
    let created = shim.created();
    assert_eq!(gpus(&created), ["0"], "{config}");
    let found = devices(&created).into_iter();
    let found = found.filter(|it| it.contains("imex"));
    found.map(str::to_owned).collect()
}

fn privileged(mut config: Value) -> Value {
    config["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]);
    config
}

#[test]
fn nodes_of_other_modules() {
    let Some((_host, shim)) = full_host() else {
        return;
    };
    for (name, paths) in BESIDE {
        let asks = |value: &str| config(&[ONE, &format!("{name}={value}")]);
        let found = beside(&shim, &asks("enabled"));
        assert_eq!(found, paths, "{name}");
        assert_eq!(beside(&shim, &privileged(asks("enabled"))), paths, "{name}");
        for value in ["", "Enabled", "true", "1", "disabled", "enabled "] {
            let found = beside(&shim, &asks(value));
            assert_eq!(found, [""; 0], "{name}={value}");
        }
        // Not without a GPU.
        let asked = format!("{name}=enabled");
        shim.variables(&["NVIDIA_VISIBLE_DEVICES=void", &asked]);
        assert_eq!(devices(&shim.created()), [""; 0], "{name}");
    }
    let all = BESIDE.map(|(name, _)| format!("{name}=enabled"));
    let mut variables = vec![ONE];
    variables.extend(all.iter().map(String::as_str));
    let mut found = beside(&shim, &config(&variables));
    found.sort_unstable();
    let mut expected: Vec<_> = BESIDE.iter().flat_map(|(_, paths)| *paths).collect();
    expected.sort_unstable();
    assert!(found.iter().eq(expected), "{found:?}");
}

/// Whoever asks for the devices, variables may be the image's.
#[test]
fn variables_that_do_not_count() {
    let Some((_host, shim)) = full_host() else {
        return;
    };
    let mut gpu = spec("nvidia.com/gpu", &["0"]);
    gpu["devices"][0]["containerEdits"]["deviceNodes"][0] = json!({"path": "/dev/nvidia0"});
    shim.spec("etc/gpu.json", &gpu);
    let annotations = [("cdi.k8s.io/a", "nvidia.com/gpu=0")];
    for (name, paths) in BESIDE {
        let asked = format!("{name}=enabled");
        let config = with_annotations(&[&asked, "NVIDIA_IMEX_CHANNELS=1"], &annotations);
        for (settings, counts) in [("", true), (REFUSE, false)] {
            shim.settings_with(settings, "");
            let expected = if counts { paths } else { &[] };
            assert_eq!(beside(&shim, &config), expected, "{name} {settings}");
            let expected = if counts { vec![channel(1)] } else { Vec::new() };
            assert_eq!(channels(&shim, &config), expected, "{name} {settings}");
            let config = privileged(config.clone());
            assert_eq!(beside(&shim, &config), paths, "{name} {settings}");
            assert_eq!(channels(&shim, &config), [channel(1)], "{name} {settings}");
        }
    }
}

/// What is asked for is there, or the container does not start; what is missing is named, and not the GPU.
#[test]
fn nodes_that_the_host_does_not_have() {
    let Some((_host, shim)) = host("small-2gpu.yaml") else {
        return;
    };
    for (name, paths) in BESIDE {
        shim.variables(&[ONE, &format!("{name}=enabled")]);
        let message = shim.refused();
        let (folder, _) = paths[0].rsplit_once(['0', '/']).unwrap();
        assert!(message.contains(folder), "{name}: {message}");
        let asked = format!("{name}=enabled: ");
        assert!(message.starts_with(&asked), "{name}: {message}");
        let _ = fs::remove_file(shim.at("log.json"));
    }
}

#[test]
fn channels_by_a_variable() {
    let Some((_host, shim)) = full_host() else {
        return;
    };
    let asks = |channels: &str| config(&[ONE, &format!("NVIDIA_IMEX_CHANNELS={channels}")]);
    for (names, expected) in [
        ("0", vec![0]),
        ("0,channel1", vec![0, 1]),
        ("0,0", vec![0]),
        (" 2047 ", vec![2047]),
        ("none", vec![]),
        ("void", vec![]),
        ("", vec![]),
        ("all", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(channel).collect();
        assert_eq!(channels(&shim, &asks(names)), expected, "{names}");
    }
    for names in [
        "2",
        "0,2",
        "x",
        "-1",
        "1048576",
        "channel",
        "../0",
        "99999999999999999999",
    ] {
        shim.config(&asks(names));
        let message = shim.refused();
        let odd = names.rsplit(',').next().unwrap();
        assert!(
            message.contains(odd) && message.to_lowercase().contains("imex"),
            "{names}: {message}"
        );
        assert!(!message.contains("unresolvable"), "{names}: {message}");
        let _ = fs::remove_file(shim.at("log.json"));
    }
    shim.settings_with("features.ignore-imex-channel-requests = true", "");
    assert_eq!(channels(&shim, &asks("0")), [""; 0]);
}

/// Mounts that ask for channels count before the variable, where mounts count.
#[test]
fn channels_by_mounts() {
    let Some((_host, shim)) = full_host() else {
        return;
    };
    let variable = "NVIDIA_IMEX_CHANNELS=2047";
    let asks = |variables: &[&str], names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|it| format!("{FOLDER}/{it}")).collect();
        let mounts: Vec<_> = paths.iter().map(|it| ("/dev/null", it.as_str())).collect();
        with_mounts(variables, &mounts)
    };
    let both = format!("{MOUNTS}\n{REFUSE}");
    let ignored = format!("features.ignore-imex-channel-requests = true\n{MOUNTS}");
    for (settings, variables, names, expected) in [
        (MOUNTS, &[][..], &["0", "imex/0"][..], vec![0]),
        (MOUNTS, &[], &["0", "imex/1", "imex/channel0"], vec![0, 1]),
        (MOUNTS, &[], &["0", "imex/1", "imex/1"], vec![1]),
        (MOUNTS, &[variable], &["0", "imex/0"], vec![0]),
        (MOUNTS, &[variable], &["0"], vec![2047]),
        (MOUNTS, &[ONE, variable], &["imex/1"], vec![1]),
        (&both, &[variable], &["0", "imex/0"], vec![0]),
        (&both, &[variable], &["0"], vec![]),
        ("", &[ONE, variable], &["imex/0"], vec![2047]),
        ("", &[ONE], &["imex/0"], vec![]),
        (&ignored, &[variable], &["0", "imex/0"], vec![]),
    ] {
        shim.settings_with(settings, "");
        let expected: Vec<_> = expected.into_iter().map(channel).collect();
        let found = channels(&shim, &asks(variables, names));
        assert_eq!(found, expected, "{settings} {variables:?} {names:?}");
    }
    // Nothing without a GPU.
    shim.settings_with(MOUNTS, "");
    shim.config(&asks(&[], &["imex/0"]));
    assert_eq!(devices(&shim.created()), [""; 0]);
    for odd in ["2", "x", "1048576", "0/1", "-1"] {
        shim.config(&asks(&[], &["0", &format!("imex/{odd}")]));
        let message = shim.refused();
        assert!(
            message.contains(odd) && message.contains("IMEX"),
            "{odd}: {message}"
        );
        let _ = fs::remove_file(shim.at("log.json"));
    }
}
