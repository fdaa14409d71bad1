//! A host with one GPU, its driver, Docker, a CDI spec and a hook, where all is well.

use std::path::Path;

use nvidia_ctk::ldcache::Ldconfig;
use nvidia_ctk::rootfs::ContainerRoot;

use super::elf::library;
use super::host::Host;
use super::machine::has;

pub(crate) const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Device nodes: path, numbers.
const NODES: [(&str, &str, &str); 4] = [
    ("/dev/nvidia0", "195", "0"),
    ("/dev/nvidiactl", "195", "255"),
    ("/dev/nvidia-uvm", "508", "0"),
    ("/dev/nvidia-uvm-tools", "508", "1"),
];

const FILES: [(&str, &str); 12] = [
    (
        "/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build  (a@b)\nGCC version:  gcc version 12.2.0\n",
    ),
    (
        "/proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-11111111-1111-4111-8111-111111111111\nBus Location: \t 0000:01:00.0\n\
         Device Minor: \t 0\nGPU Firmware: \t 575.57.08\nGPU Excluded:\t No\n",
    ),
    (
        "/proc/devices",
        "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
    ),
    ("/sys/module/nvidia/version", "575.57.08\n"),
    ("/sys/module/nvidia_uvm/initstate", "live\n"),
    ("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
    ("/sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n"),
    ("/sys/fs/cgroup/cgroup.controllers", "cpu\n"),
    ("/run/systemd/system/x", ""),
    ("/etc/ld.so.conf", "/usr/lib/x86_64-linux-gnu\n"),
    (
        "/etc/docker/daemon.json",
        "{\"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\"}}, \"features\": {\"cdi\": true}}\n",
    ),
    ("/etc/cdi/nvidia.yaml", SPEC),
];

pub(crate) const SPEC: &str = r#"---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
              major: 195
    - name: all
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
              hostPath: /dev/nvidia0
containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    deviceNodes:
        - path: /dev/nvidia-uvm
          major: 508
          fileMode: 438
    hooks:
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args: [nvidia-cdi-hook, update-ldcache]
    mounts:
        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08
          containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08
          options: [ro, bind]
"#;

const HOOK: &str = r#"{"version": "1.0.0", "hook": {"path": "/usr/libexec/nvidia-ctk-ldcache"},
"when": {"always": true}, "stages": ["createContainer"]}"#;

/// The host where all is well; none where no device nodes can be made.
pub(crate) fn healthy() -> Option<Host> {
    if !has(&["mknod"]) {
        return None;
    }
    let host = Host::new();
    for (path, text) in FILES {
        host.file(path, text);
    }
    for (path, major, minor) in NODES {
        host.node(path, &["c", major, minor])
            .link(format!("/dev/char/{major}:{minor}"), path);
    }
    for (name, soname) in [
        ("libcuda.so", "libcuda.so.1"),
        ("libnvidia-ml.so", "libnvidia-ml.so.1"),
    ] {
        let file = format!("{name}.575.57.08");
        host.file(format!("{LIBRARIES}/{file}"), library(soname))
            .link(format!("{LIBRARIES}/{soname}"), file);
    }
    update_ldcache(&host);
    for path in [
        "/usr/bin/dockerd",
        "/usr/bin/nvidia-container-runtime",
        "/usr/bin/runc",
        "/usr/bin/nvidia-ctk",
    ] {
        host.file(path, "#!/bin/sh\n").set_mode(path, 0o755);
    }
    host.link("/usr/bin/nvidia-cdi-hook", "nvidia-ctk")
        .link("/usr/libexec/nvidia-ctk-ldcache", "../bin/nvidia-ctk")
        .file(
            "/usr/share/containers/oci/hooks.d/30-nvidia-ctk-ldcache.json",
            HOOK,
        );
    Some(host)
}

fn update_ldcache(host: &Host) {
    let root = ContainerRoot::open(&host.root()).unwrap();
    let ldconfig = Ldconfig::new(&root);
    let search_path = ldconfig.search_path([Path::new(LIBRARIES)]);
    ldconfig.update(search_path).unwrap();
}
