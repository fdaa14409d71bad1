//! The specs that the toolkit wrote are what comes out, byte for byte.

use super::generate;
use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{Gpu, GpuHost};

/// Compares what is printed for the host of a spec of the fixtures with the spec.
#[track_caller]
fn writes(spec: &str, options: &str) {
    let Some(host) = GpuHost::of(spec) else {
        return;
    };
    let list = GpuHost::smi_list(&Gpu::mig());
    host.file("/list", list);
    let outcome = generate(&host, &format!("--hooks separate {options}"));
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let expected = with_links(&Spec::named(spec).text);
    let lines = outcome.stdout.lines().zip(expected.lines()).enumerate();
    for (at, (line, expected)) in lines {
        assert_eq!(line, expected, "line {} of {spec}", at + 1);
    }
    assert_eq!(outcome.stdout, expected, "{spec}");
}

/// The spec with what is ours: EGL's libraries get their SONAME links by the hook as well, since its loader asks for these names.
fn with_links(text: &str) -> String {
    const DIRECTORY: &str = "/usr/lib/x86_64-linux-gnu";
    const LAST: &str =
        "libvdpau_nvidia.so.570.124.06::/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.1";
    let files = [
        "libnvidia-egl-gbm.so.1.1.2",
        "libnvidia-egl-wayland.so.1.1.17",
    ];
    let mut text = text.to_owned();
    for file in files
        .iter()
        .rev()
        .filter(|file| text.contains(**file))
        .collect::<Vec<_>>()
    {
        let (stem, _) = file.split_once(".1.").unwrap();
        let link = format!("{file}::{DIRECTORY}/{stem}.1");
        let json = format!("{LAST}\",\"--link\",\"{link}");
        let yaml = format!("{LAST}\n            - --link\n            - {link}");
        let with = if text.starts_with('{') { json } else { yaml };
        text = text.replacen(LAST, &with, 1);
    }
    text
}

#[test]
fn small_2gpu() {
    let hook = "--nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook";
    writes("small-2gpu.yaml", hook);
    writes("small-2gpu.json", &format!("{hook} --format json"));
}

#[test]
fn small_mig() {
    let options = "--nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook --nvidia-smi-list @ROOT@/list";
    writes("small-mig.yaml", options);
    writes("small-mig.json", &format!("{options} --format json"));
}

#[test]
fn full_2gpu() {
    writes(
        "full-2gpu.yaml",
        "--nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook",
    );
}

#[test]
fn full_mig() {
    writes(
        "full-mig.yaml",
        "--nvidia-cdi-hook-path /usr/bin/nvidia-ctk --nvidia-smi-list @ROOT@/list --device-name-strategy index,uuid,type-index",
    );
}

/// The host is one: what is there of it, `info` and `doctor` find.
#[test]
fn the_host_is_whole() {
    for spec in [
        "small-2gpu.yaml",
        "full-2gpu.yaml",
        "small-mig.yaml",
        "full-mig.yaml",
    ] {
        let Some(host) = GpuHost::of(spec) else {
            return;
        };
        let outcome = host.run("doctor --root @ROOT@");
        assert_eq!(outcome.code, 0, "{spec}: {}", outcome.text());
    }
}
