//! `cdi generate`: what the toolkit writes for made-up hosts, and whether this program writes the same.
//!
//! With `NVIDIA_CTK=path` in the environment that `nvidia-ctk`, of the toolkit 1.20, runs in a root where `nvml_stub.c` stands in for
//! NVML. What it writes has to be what the fixtures have, and this program's spec has to have the same parts.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{Gpu, GpuHost, LIBRARIES, VERSION};
use crate::common::machine::{compile, copy_program, fixture, skip};
use crate::common::outcome::Outcome;

/// Where the environment names the toolkit's program.
const TOOLKIT: &str = "NVIDIA_CTK";
/// What only this program's specs have: links for these libraries, which programs load by their SONAMEs.
const MORE: [&str; 2] = [
    "::/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1\"",
    "::/usr/lib/x86_64-linux-gnu/libnvidia-egl-wayland.so.1\"",
];
const HOOK: &str = "--nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook";

fn toolkit() -> Option<PathBuf> {
    let path = env::var_os(TOOLKIT);
    if path.is_none() {
        skip(&format!("no {TOOLKIT} names the toolkit's nvidia-ctk"));
    }
    Some(fs::canonicalize(path?).expect("the program that the environment names"))
}

/// The host of a spec, on which the toolkit runs as well.
fn host(toolkit: &Path, spec: &str, gpus: &[Gpu]) -> Option<GpuHost> {
    let host = GpuHost::new(spec, gpus)?;
    let library = host.at(format!("{LIBRARIES}/libnvidia-ml.so.{VERSION}"));
    compile(
        "nvml_stub.c",
        &library,
        &["-Wl,-soname,libnvidia-ml.so.1".to_owned()],
    );
    host.file("/list", GpuHost::smi_list(gpus));
    host.file("/nvml", GpuHost::nvml(gpus));
    host.directory("/toolkit");
    copy_program(toolkit, &host.at("/toolkit/nvidia-ctk"));
    // This machine's /lib is a link.
    fs::rename(host.at("/lib/firmware"), host.at("/usr/lib/firmware")).expect("firmware");
    fs::remove_dir(host.at("/lib")).expect("an empty folder");
    host.link("/lib", "usr/lib");
    Some(host)
}

/// Runs the toolkit on a host.
fn theirs(host: &GpuHost, options: &str) -> Outcome {
    let words = "/toolkit/nvidia-ctk cdi generate".split(' ');
    Outcome::of(
        Command::new("sh")
            .arg(fixture("gpu_host.sh"))
            .arg(host.root())
            .args(words)
            .args(options.split_whitespace()),
    )
}

/// Runs this program on it.
fn ours(host: &GpuHost, options: &str) -> Outcome {
    let list = if options.contains("--mode") {
        ""
    } else {
        "--nvidia-smi-list @ROOT@/list"
    };
    host.run(&format!(
        "cdi generate --root @ROOT@ --hooks separate {list} {options}"
    ))
}

/// The parts of a spec, each in a line of its own, in no order.
fn parts(outcome: &Outcome, options: &str) -> BTreeSet<String> {
    assert_eq!(outcome.code, 0, "{options}: {outcome:?}");
    let spec = Spec::printed(&outcome.stdout);
    let mut parts = BTreeSet::new();
    for key in ["cdiVersion", "kind"] {
        parts.insert(format!("{key} {}", spec.value[key]));
    }
    let names = ["common"].into_iter().chain(spec.devices());
    for (name, edits) in names.zip(spec.all_edits()) {
        parts.insert(name.to_owned());
        for (key, values) in edits.as_object().into_iter().flatten() {
            for value in values.as_array().into_iter().flatten() {
                add(&mut parts, &format!("{name} {key}"), value);
            }
        }
    }
    parts
}

fn add(parts: &mut BTreeSet<String>, place: &str, value: &Value) {
    let mut value = value.clone();
    // The host's path has no links in it: /lib is one on the machines of today.
    if let Some(path) = value["hostPath"]
        .as_str()
        .and_then(|it| it.strip_prefix("/lib/"))
    {
        value["hostPath"] = format!("/usr/lib/{path}").into();
    }
    let args = value.as_object_mut().and_then(|it| it.remove("args"));
    let mut words: Vec<_> = args.iter().filter_map(Value::as_array).flatten().collect();
    let options = words.split_off(words.len().min(2));
    parts.insert(format!("{place} {value} {words:?}"));
    for pair in options.chunks(2) {
        parts.insert(format!("{place} {words:?} {pair:?}"));
    }
}

/// Compares them in this mode and with these options.
#[track_caller]
fn same(host: &GpuHost, options: &str) {
    let options = format!("{HOOK} {options}");
    let (theirs, ours) = (theirs(host, &options), ours(host, &options));
    let (theirs, ours) = (parts(&theirs, &options), parts(&ours, &options));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let is_meant = |part: &&String| MORE.iter().any(|it| part.contains(it));
    let more = ours.difference(&theirs).filter(|part| !is_meant(part));
    let more: Vec<_> = more.collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{options}: missing {missing:#?}, more {more:#?}"
    );
}

/// The fixtures are the toolkit's own, and the made-up hosts are those for which it wrote them.
#[test]
fn the_fixtures_are_the_toolkit_s() {
    let Some(toolkit) = toolkit() else { return };
    for (spec, gpus, options) in [
        ("small-2gpu.yaml", Gpu::two(), HOOK),
        ("small-mig.yaml", Gpu::mig(), HOOK),
        ("full-2gpu.yaml", Gpu::two(), HOOK),
        (
            "full-mig.yaml",
            Gpu::mig(),
            "--nvidia-cdi-hook-path /usr/bin/nvidia-ctk --device-name-strategy index,uuid,type-index",
        ),
    ] {
        let Some(host) = host(&toolkit, spec, &gpus) else {
            return;
        };
        let outcome = theirs(&host, options);
        assert_eq!(outcome.code, 0, "{spec}: {outcome:?}");
        assert_eq!(outcome.stdout, Spec::named(spec).text, "{spec}");
    }
}

#[test]
fn gpus() {
    let Some(toolkit) = toolkit() else { return };
    for gpus in [Gpu::two().to_vec(), Gpu::eight(), Gpu::mig().to_vec()] {
        let Some(host) = host(&toolkit, "full-2gpu.yaml", &gpus) else {
            return;
        };
        for options in [
            "",
            "--device-name-strategy type-index",
            "--device-name-strategy uuid --no-all-device",
            "--device-id 1",
            "--device-id none",
            "--vendor example.com --class device",
            "--feature-flag no-additional-gids-for-device-nodes",
            "--feature-flag disable-ipc-discoverer",
            "--ldconfig-path /sbin/ldconfig",
            "--disable-hook update-ldcache --disable-hook enable-cuda-compat",
            "--disable-hook all",
            "--disable-hook all --enable-hook create-symlinks",
            "--format json",
        ] {
            same(&host, options);
        }
    }
}

#[test]
fn other_devices() {
    let Some(toolkit) = toolkit() else { return };
    let Some(host) = host(&toolkit, "full-2gpu.yaml", &Gpu::two()) else {
        return;
    };
    for path in [
        "/dev/nvidia-fs0",
        "/dev/nvidia-fs1",
        "/dev/gdrdrv",
        "/dev/infiniband/rdma_cm",
        "/dev/infiniband/uverbs0",
        "/dev/nvidia-nvswitch0",
        "/dev/nvidia-nvswitchctl",
    ] {
        host.node(path, (240, 7), 0o660, 44);
    }
    for channel in [0, 3] {
        let path = format!("/dev/nvidia-caps-imex-channels/channel{channel}");
        host.node(&path, (240, channel), 0o660, 44);
    }
    host.directory("/run/udev").file("/etc/cufile.json", "{}");
    for options in [
        "gds",
        "gdrcopy",
        "mofed",
        "nvswitch",
        "imex",
        "imex --device-id 3",
        "management",
    ] {
        same(&host, &format!("--mode {options}"));
    }
}
