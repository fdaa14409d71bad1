//! What a second run finds, and one after an engine that did the same work: nothing to do.

use std::fs;

use serde_json::{Value, json};

use super::edit::{GPU, created, shim};
use crate::common::container::push;
use crate::common::shim::{config, env, got};

/// All ways to ask leave nothing to do for a second run, which an engine's restart may bring.
#[test]
fn twice_is_once() {
    let gids = json!({"additionalGids": [5, 7], "mounts": [{"hostPath": "/opt", "containerPath": "/opt"}]});
    let shim = shim(&gids);
    shim.settings_with(
        "accept-nvidia-visible-devices-as-volume-mounts = true\nswarm-resource = \"SWARM\"",
        "",
    );
    let mut by_mount = config(&[]);
    let destination = "/var/run/nvidia-container-devices/cdi/nvidia.com/gpu/0";
    push(
        &mut by_mount["mounts"],
        json!({"source": "/dev/null", "destination": destination}),
    );
    let mut by_annotation = config(&[]);
    by_annotation["annotations"]["cdi.k8s.io/a"] = json!("nvidia.com/gpu=0");
    let mut by_all = by_mount.clone();
    by_all["annotations"]["cdi.k8s.io/a"] = json!("nvidia.com/gpu=0");
    push(&mut by_all["process"]["env"], json!("SWARM=0"));
    for config in [
        config(&["NVIDIA_VISIBLE_DEVICES=0"]),
        config(&["SWARM=0"]),
        by_mount,
        by_annotation,
        by_all,
    ] {
        shim.config(&config);
        let created = created(&shim);
        assert_eq!(got(&created), ["0"], "{config}");
        assert_eq!(created["process"]["user"]["additionalGids"], json!([5, 7]));
    }
    assert_eq!(shim.log("warning"), [""; 0]);
}

/// containerd resolves `cdi.k8s.io/` annotations and CRI's devices itself; a pod with the runtime class comes here as well.
#[test]
fn an_engine_has_resolved_the_same_device() {
    let shim = shim(
        &json!({"mounts": [{"hostPath": "/opt", "containerPath": "/opt", "options": ["ro", "rbind"]}]}),
    );
    let mut config = config(&[
        "NVIDIA_VISIBLE_DEVICES=0",
        "NVIDIA_VISIBLE_DEVICES=void",
        "GOT_0=yes",
    ]);
    config["annotations"]["cdi.k8s.io/a"] = json!("nvidia.com/gpu=0");
    config["linux"]["devices"] = json!([
        {"path": "/dev/nvidia0", "type": "c", "major": 1, "minor": 3, "fileMode": 438},
    ]);
    push(
        &mut config["linux"]["resources"]["devices"],
        json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}),
    );
    push(
        &mut config["mounts"],
        json!({"destination": "/opt", "source": "/opt", "options": ["ro", "rbind"]}),
    );
    config["hooks"] =
        json!({"createContainer": [{"path": "/usr/bin/true", "args": ["true", GPU]}]});
    shim.config(&config);
    let created = created(&shim);
    for (pointer, length) in [
        ("/hooks/createContainer", 1),
        ("/linux/devices", 1),
        ("/linux/resources/devices", 2),
        ("/mounts", 2),
    ] {
        let list = created.pointer(pointer).and_then(Value::as_array);
        assert_eq!(list.map(Vec::len), Some(length), "{pointer}: {created}");
    }
    let visible = env(&created).into_iter();
    assert!(
        visible
            .filter(|it| it.starts_with("NVIDIA_VISIBLE_DEVICES="))
            .eq(["NVIDIA_VISIBLE_DEVICES=void"])
    );
    assert_eq!(got(&created), ["0"]);

    // As docker leaves it, there is not even a request.
    config.as_object_mut().unwrap().remove("annotations");
    config["process"]["env"] = json!(["NVIDIA_VISIBLE_DEVICES=void", "GOT_0=yes"]);
    shim.config(&config);
    let before = fs::read(shim.at("bundle/config.json")).unwrap();
    shim.created();
    assert_eq!(fs::read(shim.at("bundle/config.json")).unwrap(), before);
}
