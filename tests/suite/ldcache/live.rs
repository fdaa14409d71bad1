//! The machine's own ldconfig and the hook, on two copies of one root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::root::{assert_same, cache, copied, links, update};
use crate::common::bundle::Bundle;
use crate::common::machine::{can_run, compile, fixture, folder, missing, must, not_root};

/// Files of the machine that are larger are left out.
const LARGE: u64 = 512 << 10;

pub(crate) fn obstacle() -> Option<String> {
    missing(&["busybox", "gcc", "ldconfig"]).or_else(not_root)
}

/// A small root with the machine's C library (`tests/fixtures/rootfs.sh`), and stubs of the driver in its multiarch folder.
pub(crate) fn small() -> Bundle {
    let image = folder();
    must(
        Command::new("sh")
            .arg(fixture("rootfs.sh"))
            .arg(image.path()),
    );
    let root = copied(&image.path().join("rootfs"));
    for file in fs::read_dir(image.path().join("driver")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), libraries(&root).join(file.file_name())).unwrap();
    }
    root
}

pub(crate) fn libraries(root: &Bundle) -> PathBuf {
    let triplet = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    root.at(&triplet)
}

/// Makes a library without code.
pub(super) fn make_library(soname: &str, file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let flags = ["-nostdlib".to_owned(), format!("-Wl,-soname,{soname}")];
    compile("stub.c", file, &flags);
}

/// Runs each on a copy of the root and compares what they wrote; then again, since links that were made let more be found.
fn compare(what: &str, theirs: &Bundle) {
    let ours = copied(&theirs.root());
    for round in ["first", "second"] {
        must(
            Command::new("ldconfig")
                .args(["-i", "-r"])
                .arg(theirs.root()),
        );
        update(&ours);
        let what = format!("{what}, {round} run");
        assert_same(&format!("{what}: cache"), &cache(&ours), &cache(theirs));
        assert_same(&format!("{what}: links"), &links(&ours), &links(theirs));
    }
}

#[test]
fn a_small_root() {
    if can_run(obstacle()) {
        compare("a small root", &small());
    }
}

#[test]
fn the_libraries_of_this_machine() {
    if !can_run(obstacle()) {
        return;
    }
    let root = small();
    let to = libraries(&root);
    let from = Path::new("/").join(to.strip_prefix(root.root()).unwrap());
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (file, to) = (entry.metadata().unwrap(), to.join(entry.file_name()));
        if fs::symlink_metadata(&to).is_ok() {
            continue; // it came with the small root
        }
        if file.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else if file.is_file() && file.len() < LARGE {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    compare("the machine's libraries", &root);
}

#[test]
fn a_tree_of_odd_things() {
    if !can_run(obstacle()) {
        return;
    }
    let root = small();
    let directory = libraries(&root);
    for version in ["1.9", "1.10", "2.0"] {
        let soname = format!("libodd.so.{}", &version[..1]);
        make_library(&soname, &directory.join(format!("libodd.so.{version}")));
    }
    for level in ["x86-64-v2", "x86-64-v3", "unknown"] {
        let file = format!("glibc-hwcaps/{level}/libodd.so.2.0");
        make_library("libodd.so.2", &directory.join(file));
    }
    fs::create_dir_all(directory.join("glibc-hwcaps/empty")).unwrap();
    make_library("libother.so.7", &root.at("opt/driver/lib/libodd.so.2"));
    make_library("libodd.so.2", &root.at("opt/driver/lib/libodd.so.2.1"));
    make_library("libé.so.1", &root.at("usr/local/lib/libé.so.1.0"));
    for (target, link) in [
        ("libgone.so.1.2", "libgone.so.1"),
        ("libgone.so.1", "libgone.so"),
        ("libloop.so.1", "libloop.so.1"),
        ("libodd.so.1.9", "libodd.so.1"),
        ("libodd.so.2", "libodd.so"),
        ("/opt/driver/lib/libodd.so.2.1", "libabsolute.so.3"),
        ("../../../../../../etc/passwd", "libpasswd.so.1"),
    ] {
        symlink(target, directory.join(link)).unwrap();
    }
    fs::write(directory.join("libtext.so"), "GROUP ( libodd.so.2 )").unwrap();
    fs::write(directory.join("libempty.so.1"), "").unwrap();
    fs::write(directory.join("libcut.so.1"), b"\x7fELF\x02\x01\x01").unwrap();
    fs::create_dir_all(root.at("etc/ld.so.conf.d")).unwrap();
    fs::write(
        root.at("etc/ld.so.conf.d/00-driver.conf"),
        "# the driver\n/opt/driver/lib/ # twice\n/opt/driver/../driver/lib\n/nowhere\n",
    )
    .unwrap();
    fs::write(root.at("etc/ld.so.conf"), "include ld.so.conf.d/*.conf\n").unwrap();
    compare("odd things", &root);
}
