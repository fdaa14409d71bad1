//! Hosts with faults: one bad GPU does not take the others down, and nothing that cannot work is written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use super::{common, device, generate, mounts, names, nodes, refuses, said, spec};
use crate::common::cdi_spec::Spec;
use crate::common::elf::library;
use crate::common::gpu_host::{Gpu, GpuHost, LIBRARIES, NO_UUID, VERSION};
use crate::common::host::texts;
use crate::common::machine::must;
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;

const SMALL: &str = "small-2gpu.yaml";

/// It warns about this in a line, and writes a spec all the same, but not where it is strict.
#[track_caller]
fn warns(host: &GpuHost, options: &str, words: &[&str]) -> Outcome {
    let outcome = generate(host, options);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let warnings = said(&outcome, "warning");
    let has_all = |line: &&&str| words.iter().all(|word| line.contains(word));
    assert_eq!(
        warnings.iter().filter(has_all).count(),
        1,
        "{words:?}: {warnings:?}"
    );
    assert_eq!(generate(host, &format!("{options} --strict")).code, 1);
    outcome
}

#[test]
fn all_is_well() {
    for spec in [
        "small-2gpu.yaml",
        "full-2gpu.yaml",
        "small-mig.yaml",
        "full-mig.yaml",
    ] {
        let Some(host) = GpuHost::of(spec) else {
            return;
        };
        host.file("/list", GpuHost::smi_list(&Gpu::mig()));
        let list = if spec.contains("mig") {
            "--nvidia-smi-list @ROOT@/list"
        } else {
            ""
        };
        for options in ["", "--hooks separate"] {
            let outcome = generate(&host, &format!("{options} {list} --strict"));
            assert_eq!(outcome.code, 0, "{spec}: {outcome:?}");
            assert!(
                outcome.stderr.lines().count() <= 1,
                "{spec}: {}",
                outcome.stderr
            );
            assert_eq!(outcome.stderr.lines().count(), said(&outcome, "info").len());
            assert_eq!(
                generate(&host, &format!("{options} {list} --quiet")).stderr,
                ""
            );
        }
    }
}

/// Nothing on the host is changed by looking at it.
#[test]
fn nothing_is_touched() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let before = snapshot(&host.root());
    spec(&host, "");
    assert_eq!(snapshot(&host.root()), before);
}

#[test]
fn gpus_without_a_uuid() {
    for uuid in [None, Some(NO_UUID.to_owned())] {
        let [first, second] = Gpu::two();
        let Some(host) = GpuHost::new(SMALL, &[Gpu { uuid, ..first }, second.clone()]) else {
            return;
        };
        let outcome = warns(&host, "", &["0000:01:00.0"]);
        let printed = Spec::printed(&outcome.stdout);
        let pci = "pci-0000-01-00.0";
        assert_eq!(names(&printed), ["0", "1", second.uuid(), "all", pci]);
        let outcome = generate(&host, "--device-name-strategy pci,index --strict");
        assert_eq!(outcome.code, 0, "nobody asked for UUIDs: {outcome:?}");
    }
}

/// The driver learns a UUID when somebody opens the node. Nobody drives that of a made-up host: that is told, and nothing waits.
#[test]
fn nodes_that_are_opened() {
    let [first, second] = Gpu::two();
    let Some(host) = GpuHost::new(
        SMALL,
        &[
            Gpu {
                uuid: None,
                ..first
            },
            second.clone(),
        ],
    ) else {
        return;
    };
    let outcome = generate(&host, "--init-devices");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("/dev/nvidia0"), "{outcome:?}");
    assert!(!outcome.stderr.contains("/dev/nvidia1"), "{outcome:?}");
    host.remove("/dev/nvidia0");
    must(Command::new("mkfifo").arg(host.at("/dev/nvidia0")));
    let outcome = generate(&host, "--init-devices");
    assert!(outcome.stderr.contains("/dev/nvidia0"), "{outcome:?}");
    assert!(outcome.stdout.contains(second.uuid()), "{outcome:?}");
}

/// A name that stays the same is what was asked for.
#[test]
fn no_gpu_has_a_uuid() {
    let gpus = Gpu::two().map(|gpu| Gpu { uuid: None, ..gpu });
    let Some(host) = GpuHost::new(SMALL, &gpus) else {
        return;
    };
    let outcome = generate(&host, "--device-name-strategy uuid");
    assert_eq!(said(&outcome, "warning").len(), 2, "{outcome:?}");
    let printed = Spec::printed(&outcome.stdout);
    assert_eq!(
        names(&printed),
        ["all", "pci-0000-01-00.0", "pci-0000-41-00.0"]
    );
}

/// A GPU without its node is left out, with its DRM nodes; the others keep their indices.
#[test]
fn gpus_without_a_node() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let [_, second] = Gpu::two();
    let broken: [fn(&GpuHost); 3] = [
        |host| {
            host.remove("/dev/nvidia0");
        },
        |host| {
            host.file("/dev/nvidia0", "no device");
        },
        |host| {
            host.remove("/dev/nvidia0").link("/dev/nvidia0", "nvidia0");
        },
    ];
    for (case, make) in broken.iter().enumerate() {
        make(&host);
        let outcome = generate(&host, "");
        assert!(
            outcome.stderr.contains("/dev/nvidia0"),
            "{case}: {outcome:?}"
        );
        let printed = Spec::printed(&outcome.stdout);
        assert_eq!(names(&printed), ["1", second.uuid(), "all"], "{case}");
        let all = ["/dev/nvidia1", "/dev/dri/card2", "/dev/dri/renderD129"];
        assert_eq!(nodes(device(&printed, "all")), all, "{case}");
        refuses(&host, "--device-id 0 --quiet", &["/dev/nvidia0"]);
    }
    host.remove("/dev/nvidia0").remove("/dev/nvidia1");
    let outcome = generate(&host, "");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(outcome.stdout, "");
}

/// Nodes are made where they are asked for, with the numbers, mode and owner that the driver wants.
#[test]
fn nodes_that_are_made() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    let whole = generate(&host, "").stdout;
    let wanted = [
        "/dev/nvidia0",
        "/dev/nvidia-caps/nvidia-cap12",
        "/dev/nvidia-caps/nvidia-cap50",
    ];
    let state = |path: &&str| {
        let node = fs::symlink_metadata(host.at(path)).unwrap();
        (node.rdev(), node.mode(), node.uid(), node.gid())
    };
    let before: Vec<_> = wanted.iter().map(state).collect();
    for path in wanted {
        host.remove(path);
    }
    let outcome = generate(&host, "--create-devices --dry-run");
    assert!(!host.at("/dev/nvidia0").exists(), "{outcome:?}");
    let outcome = generate(&host, "--create-devices");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout, whole);
    let after: Vec<_> = wanted.iter().map(state).collect();
    assert_eq!(after, before);
    assert_eq!(generate(&host, "--create-devices --strict").stdout, whole);
}

/// An instance whose capability has no node is no device that works.
#[test]
fn instances_without_a_node() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    host.remove("/dev/nvidia-caps/nvidia-cap50");
    let outcome = generate(&host, "--device-name-strategy index");
    assert!(outcome.stderr.contains("nvidia-cap50"), "{outcome:?}");
    let printed = Spec::printed(&outcome.stdout);
    assert_eq!(names(&printed), ["0:0", "0:1", "1", "all"]);
}

#[test]
fn excluded_gpus() {
    let [first, second] = Gpu::two();
    let gpus = [
        Gpu {
            excluded: true,
            ..first
        },
        second.clone(),
    ];
    let Some(host) = GpuHost::new(SMALL, &gpus) else {
        return;
    };
    let printed = spec(&host, "--strict");
    assert_eq!(names(&printed), ["0", second.uuid(), "all"]);
    assert_eq!(nodes(device(&printed, "0"))[0], "/dev/nvidia1");
}

/// The control nodes are optional, one by one, but for the one without which nothing works.
#[test]
fn control_nodes_that_are_missing() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.remove("/dev/nvidia-modeset");
    let printed = spec(&host, "");
    let nodes = nodes(common(&printed));
    assert_eq!(
        nodes,
        ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidiactl"]
    );
    host.remove("/dev/nvidiactl");
    assert!(generate(&host, "").stderr.contains("/dev/nvidiactl"));
}

/// A node with a number that the kernel has given to another device leads a container there.
#[test]
fn nodes_of_other_devices() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.node("/dev/nvidia-uvm", (511, 0), 0o666, 0);
    let outcome = generate(&host, "");
    assert!(outcome.stderr.contains("/dev/nvidia-uvm"), "{outcome:?}");
    assert!(!outcome.stdout.contains("511"), "{outcome:?}");
}

#[test]
fn hosts_without_gpus() {
    let Some(host) = GpuHost::new(SMALL, &[]) else {
        return;
    };
    refuses(&host, "", &["GPU"]);
    let [first, _] = Gpu::two();
    host.gpu(&Gpu {
        excluded: true,
        ..first
    });
    refuses(&host, "", &["GPU"]);
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.unload();
    refuses(&host, "", &["module"]);
}

/// What cannot be described stays described as it was.
#[test]
fn an_old_spec_stays() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.file("/etc/cdi/nvidia.yaml", "old\n");
    host.unload();
    refuses(&host, "--output @ROOT@/etc/cdi/nvidia.yaml", &["module"]);
    assert_eq!(
        texts(&host.at("/etc/cdi"))
            .into_values()
            .collect::<Vec<_>>(),
        ["old\n"]
    );
}

#[test]
fn versions_that_differ() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.module("575.57.08");
    refuses(&host, "", &["575.57.08", VERSION]);
    // The files of the driver that is loaded are there as well.
    host.files(SMALL, "575.57.08");
    host.ldcache();
    let printed = spec(&host, "--strict");
    assert!(printed.text.contains("libcuda.so.575.57.08"));
    assert!(!printed.text.contains(VERSION), "{}", printed.text);
}

#[test]
fn libraries_that_are_missing() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    fs::remove_dir_all(host.at(LIBRARIES)).unwrap();
    host.remove("/etc/ld.so.cache");
    refuses(&host, "", &[VERSION]);
}

/// Files that only a healthy host has are not worth a line.
#[test]
fn optional_files_that_are_missing() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for path in ["/lib", "/usr/share", "/etc/OpenCL", "/run", "/usr/bin"] {
        fs::remove_dir_all(host.at(path)).unwrap();
    }
    let printed = spec(&host, "--strict");
    let libraries = |it: &(&str, &str)| it.0.starts_with(LIBRARIES);
    let mounts = mounts(common(&printed));
    assert!(mounts.iter().all(libraries), "{mounts:?}");
}

/// Nobody waits for a pipe, and what is no file of a driver is not mounted as one.
#[test]
fn pipes_in_place_of_files() {
    let Some(host) = GpuHost::of("full-2gpu.yaml") else {
        return;
    };
    let pipe = |path: &str| {
        let _ = fs::remove_file(host.at(path));
        must(Command::new("mkfifo").arg(host.at(path)));
    };
    let paths = [
        format!("{LIBRARIES}/libnvidia-ngx.so.{VERSION}"),
        format!("{LIBRARIES}/libnvidia-api.so.1"),
        "/etc/OpenCL/vendors/nvidia.icd".to_owned(),
        "/usr/bin/nvidia-smi".to_owned(),
        format!("/lib/firmware/nvidia/{VERSION}/gsp_ga10x.bin"),
    ];
    for path in &paths {
        pipe(path);
    }
    let printed = spec(&host, "");
    for path in &paths {
        assert!(
            !printed.text.contains(&format!("hostPath: {path}\n")),
            "{path}"
        );
    }
    pipe("/proc/driver/nvidia/gpus/0000:01:00.0/information");
    let outcome = generate(&host, "--device-name-strategy index");
    let printed = Spec::printed(&outcome.stdout);
    assert!(!nodes(device(&printed, "all")).contains(&"/dev/nvidia0".to_owned()));
    pipe("/list");
    assert_eq!(generate(&host, "--nvidia-smi-list @ROOT@/list").code, 1);
}

/// Links of udev's that do not lead to the GPU's own nodes are not made in containers.
#[test]
fn links_to_other_nodes() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let link = "/dev/dri/by-path/pci-0000:01:00.0-card";
    for target in ["../card2", "../../../etc/passwd", "../card7"] {
        host.remove(link).link(link, target);
        let text = generate(&host, "").stdout;
        assert!(!text.contains(&format!("::{link}")), "{target}: {text}");
        assert!(text.contains("pci-0000:01:00.0-render"), "{target}");
    }
}

/// A folder with more files than any driver has: what is written, if anything, this program reads as well.
#[test]
fn more_libraries_than_any_driver_has() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let library = host.at(format!("{LIBRARIES}/libcuda.so.{VERSION}"));
    for number in 0..3000 {
        let link = host.at(format!("{LIBRARIES}/libnvidia-{number}.so.{VERSION}"));
        fs::hard_link(&library, link).unwrap();
    }
    let outcome = generate(&host, "--output @ROOT@/etc/cdi/nvidia.yaml");
    if outcome.code == 0 {
        assert_eq!(
            host.succeed("cdi list --root @ROOT@")
                .stdout
                .lines()
                .count(),
            5
        );
    } else {
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(!host.at("/etc/cdi/nvidia.yaml").exists());
    }
}

/// Names of files with blanks and signs of YAML come out as they are.
#[test]
fn odd_names() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let name = format!("{LIBRARIES}/libnvidia-a: b # c'\"\\.so.{VERSION}");
    host.file(&name, library("libnvidia-odd.so.1"));
    let printed = spec(&host, "");
    assert!(
        mounts(common(&printed)).contains(&(&name, &name)),
        "{}",
        printed.text
    );
}
