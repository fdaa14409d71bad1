//! The stored roots: the hook must write what their own ldconfig wrote, and nothing when it runs again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;

use nvidia_ctk::ldcache::format::LdCache;

use super::root::{
    assert_same, cache, links, obstacle, stored, stored_roots, unpacked, update, update_in,
};
use crate::common::bundle::Bundle;
use crate::common::machine::{can_run, hostile_cases, is_of_aarch64, missing, not_root};
use crate::common::tree::snapshot;
use crate::common::wrapper::{without, words};

fn assert_as_stored(name: &str, root: &Bundle) {
    let reference = |suffix| fs::read(stored(name, suffix)).unwrap();
    assert_same(
        &format!("{name}: cache"),
        &cache(root),
        &reference("ld.so.cache"),
    );
    assert_same(&format!("{name}: links"), &links(root), &reference("links"));
}

/// Roots in which a link leads nowhere, or elsewhere, until the first run has made another one: there a second ldconfig, too, finds
/// more than the first.
const UNSETTLED: [&str; 9] = [
    "arch-2.42",
    "edgeS-bookworm",
    "edgeS-bookworm-armhf",
    "edgeS-sid-loong64",
    "edgeS-trixie",
    "rhel8-2.28",
    "rhel9-2.34",
    "rhel9-aarch64-2.34",
    "suse-2.39",
];

#[test]
fn stored_roots_come_out_as_their_own_ldconfig_wrote_them() {
    if !can_run(obstacle()) {
        return;
    }
    for name in stored_roots() {
        let root = unpacked(&name);
        update(&root);
        assert_as_stored(&name, &root);
        if UNSETTLED.contains(&name.as_str()) {
            update(&root);
        }
        assert_settled(&name, &root);
        // A copy of the cache has no mark by which it is known to be right.
        let (cache, copy) = (root.at("etc/ld.so.cache"), root.at("etc/copy"));
        fs::copy(&cache, &copy).unwrap();
        fs::rename(&copy, &cache).unwrap();
        assert_settled(&format!("{name}, without a mark"), &root);
    }
}

/// Another run changes nothing.
fn assert_settled(what: &str, root: &Bundle) {
    let before = snapshot(&root.root());
    update(root);
    let after = snapshot(&root.root());
    for (path, file) in &after {
        assert_eq!(
            before.get(path),
            Some(file),
            "{what}: another run changed {}",
            path.display()
        );
    }
    assert_eq!(
        before.len(),
        after.len(),
        "{what}: another run removed something"
    );
}

#[test]
fn the_same_without_openat2() {
    if !can_run(obstacle().or_else(|| missing(&["gcc"]))) {
        return;
    }
    for name in ["edgeS-bookworm", "nvidia-cdi", "rhel9-2.34"] {
        let root = unpacked(name);
        update_in(&root, &without(&["openat2"]));
        assert_as_stored(name, &root);
    }
}

/// The directories that the root's own ldconfig would search are not known then. Guard: `Problems`.
#[test]
fn a_c_library_that_cannot_be_read_costs_no_other() {
    if !can_run(
        obstacle()
            .or_else(|| missing(&["strace"]))
            .or_else(not_root),
    ) {
        return;
    }
    // Without a C library the root is taken to be of the binary's architecture.
    let (name, directory, loader) = if is_of_aarch64() {
        (
            "trixie-arm64",
            "usr/lib/aarch64-linux-gnu",
            "ld-linux-aarch64.so.1",
        )
    } else {
        (
            "nvidia-cdi",
            "usr/lib/x86_64-linux-gnu",
            "ld-linux-x86-64.so.2",
        )
    };
    for (file, call) in [
        (format!("{directory}/libc.so.6"), "pread64"),
        (format!("{directory}/{loader}"), "pread64"),
        (directory.to_owned(), "getdents64"),
    ] {
        let root = unpacked(name);
        // Debian names its directories there a second time.
        fs::remove_dir_all(root.at("etc/ld.so.conf.d")).unwrap();
        update(&root);
        let before = cache(&root);
        let entries = |bytes| {
            let cache = LdCache::parse(bytes).unwrap();
            let names = cache
                .entries
                .iter()
                .map(|it| (it.soname, it.path, it.flags));
            names.map(|it| format!("{it:?}")).collect::<BTreeSet<_>>()
        };
        let (path, inject) = (root.at(&file), format!("inject={call}:error=EIO"));
        let path = path.display().to_string();
        let strace = [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-P",
            &path,
            "-e",
            &inject,
        ];
        update_in(&root, &words(&strace));
        let after = cache(&root);
        let (before, after) = (entries(&before), entries(&after));
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "{file}: {lost:?}");
    }
    hostile_cases(3);
}

/// A run that knows what was there before does as one that does not.
fn assert_seen(what: &str, root: &Bundle) {
    update(root);
    let (with_cache, with_links) = (cache(root), links(root));
    root.remove("etc/ld.so.cache");
    update(root);
    assert_same(&format!("{what}: cache"), &with_cache, &cache(root));
    assert_same(&format!("{what}: links"), &with_links, &links(root));
}

/// A run that believes that nothing has changed must be right.
#[test]
fn every_change_is_seen() {
    if !can_run(obstacle()) {
        return;
    }
    let root = unpacked("nvidia-cdi");
    let library = |name: &str| root.at("usr/lib/x86_64-linux-gnu").join(name);
    let cuda = library("libcuda.so.550.163.01");
    // As if nothing had happened, but for the time of the last change, which nobody can set.
    let rename_in_place = |from: &[u8], to: &[u8]| {
        let bytes = fs::read(&cuda).unwrap();
        let at = bytes.windows(from.len()).position(|it| it == from).unwrap();
        let modified = fs::metadata(&cuda).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(&cuda).unwrap();
        file.write_all_at(to, at as u64).unwrap();
        file.set_modified(modified).unwrap();
    };
    let line = |text: &str| fs::write(root.at("etc/ld.so.conf.d/zz.conf"), text).unwrap();
    let remove = |path: PathBuf| fs::remove_file(path).unwrap();
    let changes: [(&str, &dyn Fn()); 11] = [
        ("nothing", &|| {}),
        ("a library's bytes", &|| {
            rename_in_place(b"\0libcuda.so.1\0", b"\0libcudb.so.1\0");
        }),
        ("and back", &|| {
            rename_in_place(b"\0libcudb.so.1\0", b"\0libcuda.so.1\0");
            remove(library("libcudb.so.1"));
        }),
        ("a library more", &|| {
            fs::copy(&cuda, library("libextra.so.1")).unwrap();
        }),
        ("a library less", &|| remove(library("libextra.so.1"))),
        ("a link less", &|| remove(library("libcuda.so.1"))),
        ("a link elsewhere", &|| {
            remove(library("libcuda.so.1"));
            symlink("libc.so.6", library("libcuda.so.1")).unwrap();
        }),
        ("a directory more", &|| {
            fs::create_dir_all(root.at("opt/lib")).unwrap();
            fs::copy(&cuda, root.at("opt/lib/libopt.so")).unwrap();
            line("/opt/lib\n");
        }),
        ("a glibc-hwcaps directory", &|| {
            fs::create_dir_all(root.at("opt/lib/glibc-hwcaps/x86-64-v3")).unwrap();
            fs::copy(&cuda, root.at("opt/lib/glibc-hwcaps/x86-64-v3/libopt.so")).unwrap();
        }),
        ("a directory less", &|| line("# nothing\n")),
        ("the cache itself", &|| {
            let mut bytes = cache(&root);
            bytes[100] ^= 1;
            fs::write(root.at("etc/ld.so.cache"), bytes).unwrap();
        }),
    ];
    for (what, change) in changes {
        change();
        assert_seen(&format!("after a change of {what}"), &root);
    }
    fs::remove_dir_all(root.at("opt/lib")).unwrap();
    fs::remove_file(root.at("etc/ld.so.conf.d/zz.conf")).unwrap();
    update(&root);
    assert_as_stored("nvidia-cdi", &root);
}
