//! What each hook does to a container's root, and here what all of them have in common: the real binary on real trees.

mod apply;
mod chmod;
mod create_soname_symlinks;
mod create_symlinks;
mod disable_device_node_modification;
mod enable_cuda_compat;
mod switched_off;
mod update_application_profile;
mod update_ldcache;

use std::fs;

use serde_json::json;

use apply::{APPLY, gpu_container};
use enable_cuda_compat::{COMPAT_CONF, OLDER_HOST};

use crate::common::bundle::{Attacker, Bundle};
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::{READ_ONLY, each_kernel_without_landlock, with_mounts};

const DRIVER: &str = "/usr/local/nvidia/lib64";

#[test]
fn an_annotation_keeps_all_hooks_out() {
    let bundle = Bundle::new();
    bundle.file(
        format!("{DRIVER}/libcuda.so.575.57.08"),
        library("libcuda.so.1"),
    );
    let lines = [
        "chmod --mode 700 --path /usr",
        "create-symlinks",
        "create-symlinks --link a::/b",
        "update-ldcache --folder /opt/lib",
        "update-ldcache --find-driver",
    ];
    let before = snapshot(&bundle.root());
    let with = |value: &str| {
        let mut state = bundle.state();
        state["annotations"] = json!({"nvidia-ctk.hooks": value, "other": "x"});
        state.to_string()
    };
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        bundle
            .run(&[], "nvidia-cdi-hook", &words, with("off"))
            .silent();
        assert_eq!(snapshot(&bundle.root()), before, "{line}");
    }
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let before = snapshot(&bundle.root());
        bundle
            .run(&[], "nvidia-cdi-hook", &words, with("on"))
            .silent();
        assert_ne!(
            snapshot(&bundle.root()),
            before,
            "{line}: has no work to keep it from"
        );
    }
}

#[test]
fn every_name_of_a_hook_does_the_same() {
    for (name, words) in [
        ("nvidia-ctk", "hook create-symlinks --link t::/l"),
        ("nvidia-cdi-hook", "create-symlinks -link=t::/l"),
        (
            "nvidia-cdi-hook",
            "--debug=false create-symlinks --quiet --link=t::/l",
        ),
        ("nvidia-ctk-symlinks", "--link t::/l"),
    ] {
        let bundle = Bundle::new();
        let words: Vec<_> = words.split(' ').collect();
        bundle
            .run(&[], name, &words, bundle.state().to_string())
            .silent();
        assert_eq!(bundle.target("l"), "t", "{name} {words:?}");
    }
    let bundle = Bundle::new();
    bundle
        .run(&[], "nvidia-cdi-hook", &["noop"], "no state")
        .silent();
}

#[test]
fn options_that_cannot_work_are_refused_before_the_state_is_read() {
    for (words, part) in [
        (
            &["update-ldcache", "--folder", "/a\nb"][..],
            "not an absolute path that a line",
        ),
        (
            &["update-ldcache", "--folder", "relative"],
            "not an absolute path",
        ),
        (&["update-ldcache", "--folder", ""], "not an absolute path"),
        (
            &["update-ldcache", "--folder", "/a,"],
            "not an absolute path",
        ),
        (
            &["update-ldcache", "--folder", "/a#b"],
            "not an absolute path that a line",
        ),
        (&["chmod", "--mode", "644"], "at least one --path"),
        (
            &["chmod", "--mode", "644", "--path", " "],
            "none of them empty",
        ),
        (
            &["chmod", "--mode", "10000", "--path", "/f"],
            "a mode is octal",
        ),
    ] {
        let bundle = Bundle::new();
        bundle
            .run(&[], "nvidia-cdi-hook", words, "no state")
            .fails(&[part]);
        assert!(bundle.names("/").is_empty(), "{words:?}");
    }
}

#[test]
fn a_read_only_root_is_a_warning() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.file("f", "").set_mode("f", 0o600);
    bundle.file(format!("{DRIVER}/liba.so.1.2"), library("liba.so.1"));
    bundle.file("lib/ld-musl-x86_64.so.1", "").directory("etc");
    let before = snapshot(&bundle.root());
    for (line, part) in [
        ("chmod --mode 644 --path /f", "/f: "),
        ("create-symlinks --link a::/f", "/f -> a: "),
        ("create-symlinks --link a::/new/l", "/new/l -> a: "),
        (
            &format!("update-ldcache --folder {DRIVER}"),
            "the cache is not updated",
        ),
        (
            &format!("update-ldcache --folder {DRIVER}"),
            "ld.so.conf.d is not changed",
        ),
        (
            &format!("update-ldcache --folder {DRIVER}"),
            "musl's search path is not changed",
        ),
    ] {
        let ran = bundle.hook_in(&with_mounts(&bundle, READ_ONLY), line);
        ran.warns(&[part, "Read-only file system"]);
        assert_eq!(snapshot(&bundle.root()), before, "{line}");
    }
    // The same line with a root that can be written to, or this test shows nothing.
    let written = bundle.hook_in(&with_mounts(&bundle, "true"), "chmod --mode 644 --path /f");
    written.silent();
    assert_eq!(bundle.mode("f"), 0o644);
}

/// CVE-2026-24260 is about enable-cuda-compat, too. The guard is `ContainerRoot`.
#[test]
fn a_folder_turns_into_a_link_to_the_host_while_hooks_run() {
    const RUNS: usize = 20;
    if !has(&["gcc", "mknod"]) {
        return;
    }
    each_kernel_without_landlock(|kernel| {
        for (folder, hook) in [
            ("usr/local/cuda", OLDER_HOST),
            ("usr/local/cuda/compat", OLDER_HOST),
            ("etc", OLDER_HOST),
            ("etc/ld.so.conf.d", OLDER_HOST),
            ("etc/nvidia", "update-application-profile"),
            ("dev", "update-application-profile"),
            (
                "usr/lib/nvidia",
                "create-soname-symlinks --folder /usr/lib/nvidia",
            ),
            ("usr/lib/nvidia", APPLY),
        ] {
            let bundle = gpu_container();
            let host = bundle.host();
            for path in [
                "compat/libcuda.so.575.57.08",
                "libcuda.so.575.57.08",
                "lib.so.1.2",
            ] {
                fs::create_dir_all(host.join(path).parent().unwrap()).unwrap();
                fs::write(host.join(path), library("lib.so.1")).unwrap();
            }
            bundle.directory(folder).link("swapped", &host);
            let before = snapshot(&host);
            let attacker = Attacker::start(&bundle, folder, "swapped");
            for run in 0..RUNS {
                let ran = bundle.hook_in(kernel, hook);
                assert_eq!(ran.code, 0, "{hook}, {folder}, run {run}: {ran:?}");
            }
            drop(attacker);
            assert_eq!(
                snapshot(&host),
                before,
                "{hook}, {folder}: something got out"
            );
            assert!(!bundle.text(COMPAT_CONF).contains(host.to_str().unwrap()));
        }
    });
}
