//! `create-symlinks --link` makes the SONAME link as well that its link leads to, so that one `update-ldcache` finds both names.

use std::fs;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::{each_kernel_without_landlock, with_mounts};
use nvidia_ctk::ldcache::cached_paths;
use nvidia_ctk::rootfs::ContainerRoot;

const DRIVER: &str = "/opt/driver/lib";
const LINK: &str = "create-symlinks --link libcuda.so.1::/opt/driver/lib/libcuda.so";

fn cached(bundle: &Bundle) -> Vec<String> {
    let root = ContainerRoot::open(&bundle.root()).unwrap();
    let paths = cached_paths(&root);
    paths.iter().map(|it| it.display().to_string()).collect()
}

/// A root with a driver in it, as it is mounted: without links.
fn driver() -> Bundle {
    let bundle = Bundle::new();
    for (file, soname) in [
        ("libcuda.so.575.57.08", "libcuda.so.1"),
        ("libcuda.so.575.9", "libcuda.so.1"),
        ("libcuda.so.2.1", "libcuda.so.2"),
        ("libnvidia-ml.so.575.57.08", "libnvidia-ml.so.1"),
    ] {
        bundle.file(format!("{DRIVER}/{file}"), library(soname));
    }
    bundle
}

#[test]
fn the_first_cache_has_both_names() {
    for lines in [
        &[LINK, "update-ldcache --folder /opt/driver/lib"][..],
        &["apply --link libcuda.so.1::/opt/driver/lib/libcuda.so --folder /opt/driver/lib"],
        &[
            "apply --link libcuda.so.1::/opt/driver/lib/libcuda.so",
            "update-ldcache --folder /opt/driver/lib",
        ],
    ] {
        let bundle = driver();
        for line in lines {
            bundle.hook(line).silent();
        }
        let names = cached(&bundle);
        for name in ["libcuda.so", "libcuda.so.1", "libnvidia-ml.so.1"] {
            let path = format!("{DRIVER}/{name}");
            assert!(names.contains(&path), "{lines:?}: {path}: {names:?}");
        }
        let before = snapshot(&bundle.root());
        for line in lines {
            bundle.hook(line).silent();
        }
        assert_eq!(snapshot(&bundle.root()), before, "{lines:?}: changed twice");
    }
}

#[test]
fn only_the_link_that_is_led_to_is_made() {
    // what is there already, and where the link leads then
    for (target, at) in [
        (None, ""),
        (Some("libcuda.so.470.1"), "libcuda.so.1"),
        (Some("libcuda.so.575.57.08"), "libcuda.so.1"),
    ] {
        let bundle = driver();
        bundle.link(format!("{DRIVER}/libcuda.so.3"), "libcuda.so.3.1");
        if let Some(target) = target {
            bundle.link(format!("{DRIVER}/{at}"), target);
        }
        bundle.hook(LINK).silent();
        for (link, target) in [
            ("libcuda.so", "libcuda.so.1"),
            ("libcuda.so.1", "libcuda.so.575.57.08"),
            ("libcuda.so.2", ""),
            ("libnvidia-ml.so.1", ""),
            // update-ldcache will remove it, as ldconfig does.
            ("libcuda.so.3", "libcuda.so.3.1"),
        ] {
            let found = bundle.target(format!("{DRIVER}/{link}"));
            assert_eq!(found, target, "{link}, before: {target:?}");
        }
        assert!(!bundle.at("etc").exists());
    }
}

/// As runc leaves them in images that are built with the driver mounted.
#[test]
fn a_link_to_an_empty_file_leads_to_no_library() {
    let bundle = driver();
    bundle
        .file(format!("{DRIVER}/libcuda.so.470.1"), "")
        .link(format!("{DRIVER}/libcuda.so.1"), "libcuda.so.470.1");
    bundle.hook(LINK).silent();
    let target = bundle.target(format!("{DRIVER}/libcuda.so.1"));
    assert_eq!(target, "libcuda.so.575.57.08");
}

#[test]
fn links_are_followed_to_another_directory() {
    for (option, images) in [
        ("../driver/lib/libcuda.so.1::/opt/links/libcuda.so", &[][..]),
        ("/opt/driver/lib/libcuda.so.1::/opt/links/libcuda.so", &[]),
        (
            "next/libcuda.so::/opt/links/libcuda.so",
            &[
                ("opt/links/next", "/opt/driver/lib"),
                ("opt/driver/lib/libcuda.so", "libcuda.so.1"),
            ],
        ),
        ("libcuda.so.1::opt/driver/lib/libcuda.so", &[]),
    ] {
        let bundle = driver();
        for (path, target) in images {
            bundle.link(path, target);
        }
        bundle
            .hook(&format!("create-symlinks --link {option}"))
            .silent();
        let target = bundle.target(format!("{DRIVER}/libcuda.so.1"));
        assert_eq!(target, "libcuda.so.575.57.08", "{option}");
    }
}

#[test]
fn without_such_a_library_nothing_more_is_made() {
    for (file, soname) in [
        ("libcuda.so.575.57.08", "libcuda.so.2"),
        ("libcuda.so.575.57.08", "../libcuda.so.1"),
        ("libcudart.so.1", "libcudart.so.1"),
        ("libcuda.so.575.57.08", ""),
    ] {
        let bundle = Bundle::new();
        bundle.file(format!("{DRIVER}/{file}"), library(soname));
        let before = snapshot(&bundle.root()).len();
        let ran = bundle.hook(LINK);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(snapshot(&bundle.root()).len(), before + 1, "{soname}");
    }
    let bundle = driver();
    bundle
        .file(format!("{DRIVER}/libcuda.so.1"), "a file of the image")
        .link(format!("{DRIVER}/loop.so"), "libloop.so")
        .link(format!("{DRIVER}/libloop.so"), "loop.so");
    bundle.hook(LINK).silent();
    bundle
        .hook("create-symlinks --link loop.so::/opt/driver/lib/libl.so --link x.so::/new/x.so")
        .silent();
    let kept = bundle.text(format!("{DRIVER}/libcuda.so.1"));
    assert_eq!(kept, "a file of the image");
}

#[test]
fn soname_links_stay_inside() {
    each_kernel_without_landlock(|kernel| {
        for out in ["", "../../../../../../../../../../.."] {
            let bundle = Bundle::new();
            let host = bundle.host();
            fs::write(host.join("libcuda.so.575.1"), library("libcuda.so.1")).unwrap();
            let before = snapshot(&host);
            let out = format!("{out}{}", host.display());
            bundle.link("out", &out).directory("opt");
            for option in [
                "/out/libcuda.so.1::/opt/liba.so".to_owned(),
                format!("{out}/libcuda.so.1::/opt/libb.so"),
                format!("/proc/self/root{out}/libcuda.so.1::/opt/libc.so"),
            ] {
                let line = format!("create-symlinks --link {option}");
                bundle.hook_in(kernel, &line).silent();
            }
            assert_eq!(snapshot(&host), before);
        }
    });
}

#[test]
fn a_directory_that_is_not_the_containers_is_a_warning() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = driver();
    bundle.link(format!("{DRIVER}/libcuda.so"), "libcuda.so.1");
    let before = snapshot(&bundle.root());
    let read_only = "mount --bind $root/opt $root/opt; mount -o remount,bind,ro $root/opt";
    let ran = bundle.hook_in(&with_mounts(&bundle, read_only), LINK);
    ran.warns(&["/opt/driver/lib: SONAME links are missing"]);
    assert_eq!(snapshot(&bundle.root()), before);
    // Where the link itself cannot be made nothing leads to a SONAME link.
    fs::remove_file(bundle.at(DRIVER).join("libcuda.so")).unwrap();
    bundle
        .hook_in(&with_mounts(&bundle, read_only), LINK)
        .silent();
}
