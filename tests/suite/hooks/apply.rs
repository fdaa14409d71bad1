//! `apply`: the work of all hooks in one call.

use std::path::Path;

use super::disable_device_node_modification::{
    IN_CONTAINER, PARAMS, SEE_PARAMS, SWITCHED, with_params,
};
use super::enable_cuda_compat::{COMPAT, LIBCUDA, OLDER_HOST};
use super::update_application_profile::PROFILE;
use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::tree::{contents, snapshot};
use crate::common::wrapper::{READ_ONLY, with_mounts, without, words};

pub(super) const APPLY: &str = "apply --host-driver-version 570.211.01 --link libcuda.so.1::/usr/lib/nvidia/libcuda.so
    --chmod 755:/dev/nvidia-caps --chmod=0700:/missing --folder /usr/lib/nvidia --disable-device-node-modification
    --update-application-profile";

pub(super) fn gpu_container() -> Bundle {
    let bundle = Bundle::new();
    let mut compat = library("libcuda.so.1");
    compat.extend([0; 64]);
    bundle
        .file(LIBCUDA, compat)
        .file(
            "usr/lib/nvidia/libcuda.so.570.211.01",
            library("libcuda.so.1"),
        )
        .directory("dev/nvidia-caps")
        .set_mode("dev/nvidia-caps", 0o700)
        .node("dev/nvidia0", &["c", "195", "0"]);
    bundle
}

#[test]
fn one_call_does_what_the_hooks_do_one_by_one() {
    if !has(&["mknod"]) {
        return;
    }
    let one = gpu_container();
    one.hook(APPLY).silent();
    let before = snapshot(&one.root());
    one.hook(APPLY).silent();
    assert_eq!(
        snapshot(&one.root()),
        before,
        "a second run changed something"
    );

    let six = gpu_container();
    for line in [
        OLDER_HOST,
        "create-soname-symlinks --folder /usr/lib/nvidia",
        "create-symlinks --link libcuda.so.1::/usr/lib/nvidia/libcuda.so",
        "chmod --mode 755 --path /dev/nvidia-caps",
        "update-ldcache --folder /usr/lib/nvidia",
        "update-application-profile",
    ] {
        six.hook(line).silent();
    }
    assert_eq!(contents(&one.root()), contents(&six.root()));
    assert_eq!(
        one.cached(),
        [
            "/usr/local/cuda/compat/libcuda.so.1",
            "/usr/lib/nvidia/libcuda.so.1",
            "/usr/lib/nvidia/libcuda.so"
        ]
    );
}

#[test]
fn a_part_that_fails_does_not_keep_the_others_from_being_done() {
    if !has(&["mknod"]) {
        return;
    }
    let bundle = gpu_container();
    bundle
        .directory("usr/lib/nvidia/libcuda.so")
        .link("loop", "loop");
    let ran = bundle.hook(&format!("{APPLY} --chmod 755:/loop"));
    ran.fails(&[
        "/usr/lib/nvidia/libcuda.so -> libcuda.so.1: cannot make the link",
        "create-symlinks: 1 links could not be made",
        "/loop: cannot set the mode",
        "chmod: chmod failed",
        "2 parts failed",
    ]);
    assert_eq!(bundle.cached().len(), 2);
    assert!(!bundle.text(PROFILE).is_empty());
    for (option, part) in [
        ("--link a", "--link a: not of the form TARGET::LINK"),
        (
            "--link-if-target a::b::c",
            "--link-if-target a::b::c: not of the form TARGET::LINK",
        ),
        ("--folder a", "not an absolute path"),
        ("--chmod 755", "OCTAL:PATH"),
        ("--chmod 9:/a", "a mode is octal"),
        ("--chmod 755:", "OCTAL:PATH"),
    ] {
        Bundle::new()
            .hook(&format!("apply {option}"))
            .fails(&[part]);
    }
    Bundle::new().hook("apply").silent();
}

/// As crun up to 1.25 calls the hooks of a container with a read-only root.
#[test]
fn a_read_only_root_gets_the_cache_and_the_parameters_mounted() {
    if !has(&["unshare", "mount", "mknod"]) {
        return;
    }
    let bundle = gpu_container();
    bundle.file("etc/ld.so.cache", "old");
    let call = format!(
        "{READ_ONLY}; {SEE_PARAMS};
         shift 5; set -- unshare --pid --fork \"$bundle/nvidia-cdi-hook\" {} \"$@\"; \"$@\"",
        APPLY.replace('\n', " ")
    );
    let look = "cat $params; $bundle/nvidia-ctk system print-ldcache --root $root";
    let ran = with_params(&bundle, PARAMS, &call, look);
    for part in [
        "ld.so.conf.d does not say which libcuda is to be used",
        "the mode is not set",
        "10-container.conf: not written",
        "ld.so.conf.d is not changed",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    let paths: Vec<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .collect();
    assert!(ran.stdout.starts_with(SWITCHED), "{ran:?}");
    assert_eq!(
        paths.iter().map(|(_, path)| *path).collect::<Vec<_>>(),
        // libcuda.so.1, and libcuda.so, which no link leads to.
        [LIBCUDA, "/usr/lib/nvidia/libcuda.so.570.211.01"].repeat(2),
        "{ran:?}"
    );
}

/// Under a seccomp filter.
#[test]
fn where_nothing_can_be_mounted_the_container_starts() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.file("etc/ld.so.cache", "old");
    let without: Vec<_> = without(&["fsopen", "mount"])
        .iter()
        .map(|word| word.display().to_string())
        .collect();
    let call = format!(
        "{READ_ONLY}; {SEE_PARAMS};
         shift 3; unshare --pid --fork {} \"$@\" && unshare --pid --fork {} $bundle/nvidia-ctk-ldcache <$bundle/state",
        without.join(" "),
        without.join(" ")
    );
    let ran = with_params(&bundle, PARAMS, &call, "cat $params $root/etc/ld.so.cache");
    assert_eq!(
        (ran.code, ran.stdout),
        (0, format!("{IN_CONTAINER}old")),
        "{}",
        ran.stderr
    );
    for part in [
        "/proc/driver/nvidia/params: programs may modify device files: cannot mount: Function not implemented",
        "/etc/ld.so.cache: cannot mount a new one over it: Function not implemented",
        "the cache is not updated: cannot write /etc/ld.so.cache: Read-only file system",
    ] {
        assert!(
            ran.stderr.contains(&format!("level=warning msg=\"{part}")),
            "{part}: {}",
            ran.stderr
        );
    }
}

/// Guard: the mark depends on `Found::is_complete` alone. What another part of apply warns of at each start must not make each start a slow one.
#[test]
fn a_warning_of_another_part_leaves_the_cache_its_mark() {
    let marked = |line: &str, is_odd: bool| {
        let bundle = Bundle::new();
        bundle.file("opt/lib/libx.so.1.2", library("libx.so.1"));
        if is_odd {
            for name in ["libcuda.so.575.1", "libcuda.so.576.1"] {
                bundle.file(Path::new(COMPAT).join(name), "");
            }
        }
        let ran = bundle.hook(line);
        assert_eq!((ran.code, ran.stderr.is_empty()), (0, !is_odd), "{ran:?}");
        let mut mark = [0; 8];
        rustix::fs::getxattr(bundle.at("etc/ld.so.cache"), "user.nvidia-ctk", &mut mark)
    };
    // As on any file system that can hold one.
    let plain = marked("update-ldcache --folder /opt/lib", false);
    let odd = marked("apply --host-driver-version 570.1 --folder /opt/lib", true);
    assert_eq!(odd, plain);
}

/// Guards: `finds_more` and `is_nothing`.
#[test]
fn a_part_of_apply_without_work_does_nothing() {
    for (options, has_cache) in [
        ("--folder /opt/lib", true),
        ("--host-driver-version 570.1", true),
        ("--host-cuda-version 12.8", true),
        ("--link t::/l", false),
        ("--link-if-target t::/l", false),
        ("--chmod 755:/opt", false),
    ] {
        let bundle = Bundle::new();
        bundle.file("opt/lib/libx.so.1.2", library("libx.so.1"));
        bundle.hook(&format!("apply {options}")).silent();
        let found = bundle.at("etc/ld.so.cache").exists();
        assert_eq!(found, has_cache, "{options}");
    }
    // Where no part is left not even the root is opened.
    for (options, has_work) in [
        ("", false),
        ("--link t::/l", true),
        ("--link-if-target t::/l", true),
        ("--chmod 755:/f", true),
        ("--folder /opt/lib", true),
        ("--host-driver-version 570.1", true),
        ("--update-application-profile", true),
    ] {
        let bundle = Bundle::new();
        bundle.config(r#"{"root":{"path":"missing"}}"#);
        let ran = bundle.hook(&format!("apply {options}"));
        assert_eq!(ran.code == 1, has_work, "{options}: {ran:?}");
        assert_eq!(ran.stderr.contains("No such file"), has_work, "{ran:?}");
    }
}

#[test]
fn the_parts_that_fail_are_counted() {
    let bundle = Bundle::new();
    bundle.directory("d").link("loop", "loop");
    for (options, message) in [
        ("--link t::/d", "msg=\"1 parts failed"),
        ("--link-if-target d::/d", "msg=\"1 parts failed"),
        ("--link t::/d --chmod 755:/loop", "msg=\"2 parts failed"),
    ] {
        bundle.hook(&format!("apply {options}")).fails(&[message]);
    }
}

const BY_PATH: &str = "--link-if-target ../card1::/dev/dri/by-path/pci-0000:01:00.0-card";

/// A container that was given one GPU of two has no link to the other one.
#[test]
fn a_link_to_what_the_container_does_not_have_is_left_out() {
    // Links that are there, a file, target and link, where the new one is found.
    for (links, file, option, found) in [
        (
            &[][..],
            "dev/dri/card1",
            "../card1::/dev/dri/p/l",
            Some("dev/dri/p/l"),
        ),
        (&[], "dev/dri/card1", "../card0::/dev/dri/p/l", None),
        (&[], "dev/dri/p/card1", "../card1::/dev/dri/p/l", None),
        (&[], "t", "../../t::/a/b/l", Some("a/b/l")),
        (&[], "a/t", "../t::/a/../b/l", None),
        (&[], "t", "/t::/a/l", Some("a/l")),
        (&[], "a/t", "t::/a/l", Some("a/l")),
        (&[], "t", "../../../../t::l", Some("l")),
        (&[], "host", "../host::/l", Some("l")),
        (&[("t", "../host")], "rel", "t::/l", None),
        (&[("p", "/q/r")], "q/t", "../t::/p/l", None),
        (&[("p", "/q/r")], "q/r/f", "../r/f::/p/l", Some("q/r/l")),
        (&[("t", "t")], "f", "t::/l", None),
        (&[("t", "f")], "f", "t::/l", Some("l")),
    ] {
        let bundle = Bundle::new();
        bundle.file(file, "");
        for (path, target) in links {
            bundle.link(path, target);
        }
        let before = snapshot(&bundle.root());
        let line = format!("apply --link-if-target {option}");
        bundle.hook(&line).silent();
        let after = snapshot(&bundle.root());
        match found {
            Some(path) => assert_eq!(bundle.target(path), option.split("::").next().unwrap()),
            None => assert_eq!(after, before, "{option} with {links:?}"),
        }
        bundle.hook(&line).silent();
        assert_eq!(snapshot(&bundle.root()), after, "{option}: changed twice");
    }
}

/// A link that another one of the same call made is a target, and so is a node of the container's own /dev.
#[test]
fn a_link_is_made_in_a_dev_of_the_container() {
    if !has(&["unshare", "mount", "mknod"]) {
        return;
    }
    for (node, made) in [("card1", "../card1"), ("card0", "")] {
        let bundle = Bundle::new();
        bundle.directory("dev");
        let mounts = format!(
            "mount --bind \"$root\" \"$root\"; mount -t tmpfs tmpfs \"$root/dev\"; mkdir \"$root/dev/dri\";
             mknod \"$root/dev/dri/{node}\" c 226 1"
        );
        let look = "\"$@\" && readlink \"$0/dev/dri/by-path/pci-0000:01:00.0-card\" || true";
        let root = bundle.root();
        let before = [
            with_mounts(&bundle, &mounts),
            words(&["sh", "-c", look, root.to_str().unwrap()]),
            words(&["unshare", "--pid", "--fork"]),
        ];
        let ran = bundle.hook_in(&before.concat(), &format!("apply {BY_PATH}"));
        assert_eq!((ran.stdout.trim(), ran.stderr.as_str()), (made, ""));
    }
}
