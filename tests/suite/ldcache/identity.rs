//! The stored roots: the hook must write what their own ldconfig wrote, and nothing when it runs again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use nvidia_ctk::ldcache::format::LdCache;

use super::root::{Root, assert_same, obstacle, stored, stored_roots};
use crate::common::machine::{
    can_run, fixture, folder, hostile_cases, missing, must, not_root, snapshot,
};

fn assert_as_stored(name: &str, root: &Root) {
    let reference = |suffix| fs::read(stored(name, suffix)).unwrap();
    assert_same(
        &format!("{name}: cache"),
        &root.cache(),
        &reference("ld.so.cache"),
    );
    assert_same(
        &format!("{name}: links"),
        &root.links(),
        &reference("links"),
    );
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
        let root = Root::unpack(&name);
        root.update();
        assert_as_stored(&name, &root);
        if UNSETTLED.contains(&name.as_str()) {
            root.update();
        }
        assert_settled(&name, &root);
        // A copy of the cache has no mark by which it is known to be right.
        let (cache, copy) = (root.path("etc/ld.so.cache"), root.path("etc/copy"));
        fs::copy(&cache, &copy).unwrap();
        fs::rename(&copy, &cache).unwrap();
        assert_settled(&format!("{name}, without a mark"), &root);
    }
}

/// Another run changes nothing.
fn assert_settled(what: &str, root: &Root) {
    let before = snapshot(&root.path(""));
    root.update();
    let after = snapshot(&root.path(""));
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
    let programs = folder();
    let without = programs.path().join("without");
    must(
        Command::new("gcc")
            .args(["-Wall", "-Werror", "-o"])
            .args([without.clone(), fixture("without.c")]),
    );
    for name in ["edgeS-bookworm", "nvidia-cdi", "rhel9-2.34"] {
        let root = Root::unpack(name);
        root.update_under(&[&without, Path::new("openat2"), Path::new("--")]);
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
    let directory = "usr/lib/x86_64-linux-gnu";
    for (file, call) in [
        (format!("{directory}/libc.so.6"), "pread64"),
        (format!("{directory}/ld-linux-x86-64.so.2"), "pread64"),
        (directory.to_owned(), "getdents64"),
    ] {
        let root = Root::unpack("nvidia-cdi");
        // Debian names its directories there a second time.
        fs::remove_dir_all(root.path("etc/ld.so.conf.d")).unwrap();
        root.update();
        let before = root.cache();
        let entries = |bytes| {
            let cache = LdCache::parse(bytes).unwrap();
            let names = cache
                .entries
                .iter()
                .map(|it| (it.soname, it.path, it.flags));
            names.map(|it| format!("{it:?}")).collect::<BTreeSet<_>>()
        };
        let (path, inject) = (root.path(&file), format!("inject={call}:error=EIO"));
        let words = ["strace", "-f", "-o", "/dev/null", "-P"].map(Path::new);
        let [path, option, inject] = [&path, Path::new("-e"), Path::new(&inject)];
        root.update_under(&[&words[..], &[path, option, inject]].concat());
        let after = root.cache();
        let (before, after) = (entries(&before), entries(&after));
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "{file}: {lost:?}");
    }
    hostile_cases(3);
}

/// A run that believes that nothing has changed must be right.
#[test]
fn every_change_is_seen() {
    if !can_run(obstacle()) {
        return;
    }
    let root = Root::unpack("nvidia-cdi");
    let library = |name: &str| root.path("usr/lib/x86_64-linux-gnu").join(name);
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
    let line = |text: &str| fs::write(root.path("etc/ld.so.conf.d/zz.conf"), text).unwrap();
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
            fs::create_dir_all(root.path("opt/lib")).unwrap();
            fs::copy(&cuda, root.path("opt/lib/libopt.so")).unwrap();
            line("/opt/lib\n");
        }),
        ("a glibc-hwcaps directory", &|| {
            fs::create_dir_all(root.path("opt/lib/glibc-hwcaps/x86-64-v3")).unwrap();
            fs::copy(&cuda, root.path("opt/lib/glibc-hwcaps/x86-64-v3/libopt.so")).unwrap();
        }),
        ("a directory less", &|| line("# nothing\n")),
        ("the cache itself", &|| {
            let mut bytes = root.cache();
            bytes[100] ^= 1;
            fs::write(root.path("etc/ld.so.cache"), bytes).unwrap();
        }),
    ];
    for (what, change) in changes {
        change();
        root.update();
        let (cache, links) = (root.cache(), root.links());
        fs::remove_file(root.path("etc/ld.so.cache")).unwrap();
        root.update();
        assert_same(
            &format!("after a change of {what}: cache"),
            &cache,
            &root.cache(),
        );
        assert_same(
            &format!("after a change of {what}: links"),
            &links,
            &root.links(),
        );
    }
    fs::remove_dir_all(root.path("opt/lib")).unwrap();
    fs::remove_file(root.path("etc/ld.so.conf.d/zz.conf")).unwrap();
    root.update();
    assert_as_stored("nvidia-cdi", &root);
}
