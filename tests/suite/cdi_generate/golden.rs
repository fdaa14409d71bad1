//! The specs that the toolkit wrote are what comes out, byte for byte.

use super::generate;
use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{Gpu, GpuHost};

const HOOK: &str = "--nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook";

/// Links that are made besides: programs load these libraries by their SONAMEs, so their links are made like others, not only by
/// the hook for the loader's cache.
pub(super) const MORE: [&str; 2] = [
    "libnvidia-egl-gbm.so.1.1.2::/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1",
    "libnvidia-egl-wayland.so.1.1.17::/usr/lib/x86_64-linux-gnu/libnvidia-egl-wayland.so.1",
];

/// A spec of the fixtures with the links that are made besides, behind the others.
fn expected(spec: &Spec) -> String {
    let yaml = spec.text.starts_with("---");
    let mut text = spec.text.clone();
    let last = "::/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.1";
    let more = MORE.into_iter().filter(|link| {
        let (library, _) = link.split_once("::").expect("a link");
        spec.text.contains(library)
    });
    let words = more.map(|link| {
        if yaml {
            format!("\n            - --link\n            - {link}")
        } else {
            format!(",\"--link\",\"{link}\"")
        }
    });
    let quote = if yaml { "" } else { "\"" };
    let end = format!("{last}{quote}");
    text = text.replacen(&end, &format!("{end}{}", words.collect::<String>()), 1);
    text
}

/// Compares what is printed for the host of a spec of the fixtures with the spec.
#[track_caller]
fn writes(spec: &str, options: &str) {
    let Some(host) = GpuHost::of(spec) else {
        return;
    };
    host.file("/list", GpuHost::smi_list(&Gpu::mig()));
    let outcome = generate(&host, &format!("--hooks separate {options}"));
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let expected = expected(&Spec::named(spec));
    let lines = outcome.stdout.lines().zip(expected.lines()).enumerate();
    for (at, (line, expected)) in lines {
        assert_eq!(line, expected, "line {} of {spec}", at + 1);
    }
    assert_eq!(outcome.stdout, expected, "{spec}");
}

#[test]
fn small_2gpu() {
    writes("small-2gpu.yaml", HOOK);
    writes("small-2gpu.json", &format!("{HOOK} --format json"));
}

#[test]
fn small_mig() {
    let options = format!("{HOOK} --nvidia-smi-list @ROOT@/list");
    writes("small-mig.yaml", &options);
    writes("small-mig.json", &format!("{options} --format json"));
}

#[test]
fn full_2gpu() {
    writes("full-2gpu.yaml", HOOK);
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
