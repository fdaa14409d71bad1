//! The driver's libraries come before others of the same name, whatever the image's ld.so.conf says; all else is ldconfig's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nvidia_ctk::ldcache::format::LdCache;

use super::live;
use super::root::{assert_same, unpacked, update};
use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{can_run, fixture, has, must};
use crate::common::tree::snapshot;
use crate::common::wrapper::{with_mounts, words};

const DRIVER: &str = "/usr/lib/x86_64-linux-gnu";
const COMPAT: &str = "/usr/local/cuda-12.8/compat";

/// A root in which the driver's libraries lie in a built-in directory, and older ones in a directory of ld.so.conf.d.
fn image() -> Bundle {
    let bundle = Bundle::new();
    bundle
        .file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")
        .file("etc/ld.so.conf.d/zz-cuda.conf", format!("{COMPAT}\n"));
    for (folder, version) in [("usr/lib", "575.57.08"), (&COMPAT[1..], "570.1.1")] {
        for (name, soname) in [
            ("libcuda.so", "libcuda.so.1"),
            ("libnvidia-nvvm.so", "libnvidia-nvvm.so.4"),
        ] {
            let file = format!("{folder}/{name}.{version}");
            bundle.file(file, library(soname));
        }
        // A library that is no part of the driver, and one that has a version of its own.
        bundle.file(
            format!("{folder}/libother.so.1.2.3"),
            library("libother.so.1"),
        );
        bundle.file(format!("{folder}/libplain.so.1"), library("libplain.so.1"));
        bundle.link(format!("{folder}/libcuda.so"), "libcuda.so.1");
        bundle.link(
            format!("{folder}/libcuda.so.1"),
            format!("libcuda.so.{version}"),
        );
    }
    bundle
}

/// The directories in which the loader finds a name, in its order.
fn found(bundle: &Bundle, name: &str) -> Vec<String> {
    let bytes = cache(bundle);
    let cache = LdCache::parse(&bytes).unwrap();
    let entries = cache
        .entries
        .iter()
        .filter(|it| it.soname == name.as_bytes());
    let path = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
    entries
        .map(|it| path(it.path).parent().unwrap().display().to_string())
        .collect()
}

fn cache(bundle: &Bundle) -> Vec<u8> {
    fs::read(bundle.at("etc/ld.so.cache")).unwrap()
}

#[test]
fn only_the_drivers_names_change_their_order() {
    let bundle = image();
    let (image_first, driver_first) = ([COMPAT, "/usr/lib"], ["/usr/lib", COMPAT]);
    bundle.hook("update-ldcache").silent();
    let plain = cache(&bundle);
    for name in ["libcuda.so.1", "libnvidia-nvvm.so.4", "libother.so.1"] {
        assert_eq!(found(&bundle, name), image_first, "{name}");
    }
    for line in [
        "update-ldcache --folder /usr/lib",
        "update-ldcache --find-driver",
        "update-ldcache --folder /missing --folder /usr/./lib/",
        "apply --folder /usr/lib",
    ] {
        bundle.hook(line).silent();
        for name in ["libcuda.so.1", "libcuda.so", "libnvidia-nvvm.so.4"] {
            assert_eq!(found(&bundle, name), driver_first, "{line}: {name}");
        }
        for name in ["libother.so.1", "libplain.so.1"] {
            assert_eq!(found(&bundle, name), image_first, "{line}: {name}");
        }
        // With the old order the bytes are the old ones.
        let (ours, theirs) = (cache(&bundle), LdCache::parse(&plain).unwrap());
        let restored = LdCache {
            entries: theirs.entries.clone(),
            ..LdCache::parse(&ours).unwrap()
        };
        assert_same(line, &restored.write().unwrap(), &plain);
        let before = snapshot(&bundle.root());
        bundle.hook(line).silent();
        assert_eq!(snapshot(&bundle.root()), before, "{line}: changed twice");
        // What has no folder of a driver writes what ldconfig writes.
        for line in ["update-ldcache", "update-ldcache --folder /opt"] {
            bundle.hook(line).silent();
            let names = ["libcuda.so.1", "libother.so.1"];
            assert!(names.iter().all(|it| found(&bundle, it) == image_first));
            fs::remove_file(bundle.at("etc/ld.so.conf.d/00-nvidia-ctk.conf")).ok();
        }
    }
    bundle.hook("update-ldcache").silent();
    assert_same("without a folder", &cache(&bundle), &plain);
}

/// The loader takes the first name that is like what it looks for, and of these a special one only if it is before plain ones.
#[test]
fn nothing_that_the_loader_compares_comes_before_the_driver() {
    let bundle = image();
    let level = "glibc-hwcaps/x86-64-v3";
    bundle
        .file(
            format!("{COMPAT}/{level}/libcuda.so.570.1.1"),
            library("libcuda.so.1"),
        )
        .file(format!("{COMPAT}/libodd.so"), library("libcuda.so.01"));
    bundle.hook("update-ldcache --folder /usr/lib").silent();
    let expected = ["/usr/lib", &format!("{COMPAT}/{level}"), COMPAT];
    assert_eq!(found(&bundle, "libcuda.so.1"), expected);
    let bytes = cache(&bundle);
    let entries = LdCache::parse(&bytes).unwrap().entries;
    let position = |name: &[u8], folder: &[u8]| {
        let mut all = entries.iter();
        all.position(|it| it.soname == name && it.path.starts_with(folder))
    };
    assert!(position(b"libcuda.so.1", b"/usr/lib/") < position(b"libcuda.so.01", b"/"));
    let check = bundle.run(
        &[],
        "nvidia-ctk",
        &[
            "system",
            "print-ldcache",
            "--check",
            "--root",
            bundle.root().to_str().unwrap(),
        ],
        "",
    );
    assert_eq!(check.code, 0, "{check:?}");

    // The driver's own special libraries stay before its plain ones.
    bundle.file(
        format!("usr/lib/{level}/libcuda.so.575.57.08"),
        library("libcuda.so.1"),
    );
    bundle.hook("update-ldcache --folder /usr/lib").silent();
    let own = format!("/usr/lib/{level}");
    let expected = [
        own.as_str(),
        "/usr/lib",
        &format!("{COMPAT}/{level}"),
        COMPAT,
    ];
    assert_eq!(found(&bundle, "libcuda.so.1"), expected);
}

#[test]
fn each_folder_of_the_driver_counts() {
    let bundle = image();
    // The version is that of the libcuda in another folder.
    for (folder, version) in [("usr/lib/vdpau", "575.57.08"), (&COMPAT[1..], "570.1.1")] {
        let file = format!("{folder}/libvdpau_nvidia.so.{version}");
        bundle.file(file, library("libvdpau_nvidia.so.1"));
    }
    let conf = format!("{COMPAT}\n/usr/lib/vdpau\n");
    bundle.file("etc/ld.so.conf.d/zz-cuda.conf", conf);
    let name = "libvdpau_nvidia.so.1";
    bundle.hook("update-ldcache --folder /usr/lib").silent();
    assert_eq!(found(&bundle, name), [COMPAT, "/usr/lib/vdpau"]);
    bundle
        .hook("update-ldcache --folder /usr/lib/vdpau,/usr/lib")
        .silent();
    assert_eq!(found(&bundle, name), ["/usr/lib/vdpau", COMPAT]);
    assert_eq!(found(&bundle, "libcuda.so.1"), ["/usr/lib", COMPAT]);
    // A folder without a driver changes nothing.
    fs::remove_file(bundle.at("usr/lib/libcuda.so.575.57.08")).unwrap();
    bundle
        .hook("update-ldcache --folder /usr/lib/vdpau,/usr/lib")
        .silent();
    assert_eq!(found(&bundle, name), [COMPAT, "/usr/lib/vdpau"]);
}

#[test]
fn what_was_decided_to_be_used_stays_first() {
    let decide =
        "enable-cuda-compat --host-driver-version 570.1 --cuda-compat-container-root /opt/compat";
    let apply = "apply --host-driver-version 570.1 --cuda-compat-container-root /opt/compat --folder /usr/lib";
    for lines in [
        &[decide, "update-ldcache --folder /usr/lib"][..],
        &[decide, "apply --folder /usr/lib"],
        &[apply],
    ] {
        let bundle = image();
        // This comes before the drop-in that names the folder.
        bundle.file(
            "etc/ld.so.conf",
            format!("{COMPAT}\ninclude ld.so.conf.d/*.conf\n"),
        );
        bundle.file("opt/compat/libcuda.so.580.1", library("libcuda.so.1"));
        bundle.file("opt/compat/libother.so.1.2.3", library("libother.so.1"));
        for _ in 0..2 {
            for line in lines {
                bundle.hook(line).silent();
            }
            let expected = ["/opt/compat", "/usr/lib", COMPAT];
            assert_eq!(found(&bundle, "libcuda.so.1"), expected, "{lines:?}");
            let expected = [COMPAT, "/opt/compat", "/usr/lib"];
            assert_eq!(found(&bundle, "libother.so.1"), expected, "{lines:?}");
        }
        // The host gets a newer driver.
        for line in lines {
            bundle.hook(&line.replace("570.1 ", "590.1 ")).silent();
        }
        assert_eq!(found(&bundle, "libcuda.so.1"), ["/usr/lib", COMPAT]);
    }
}

#[test]
fn a_drop_in_of_the_image_harms_nobody_else() {
    for text in ["", "\n/x\n", "relative\n", "/\0\n", &"/x".repeat(20_000)] {
        let bundle = image();
        bundle.file("etc/ld.so.conf.d/00-compat-nvidia-ctk.conf", text);
        let ran = bundle.hook("update-ldcache --folder /usr/lib");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(found(&bundle, "libcuda.so.1"), ["/usr/lib", COMPAT]);
    }
}

/// The link of the name without a version leads to the driver's file once the SONAME link does.
#[test]
fn an_older_library_beside_the_drivers_is_not_its() {
    let bundle = image();
    bundle.file("usr/lib/libcuda.so.470.1", library("libcuda.so.1"));
    bundle.file("usr/lib/libold.so.470.1", library("libold.so.1"));
    bundle.file(format!("{COMPAT}/libold.so.1"), library("libold.so.1"));
    fs::remove_file(bundle.at("usr/lib/libcuda.so.1")).unwrap();
    bundle.link("usr/lib/libcuda.so.1", "libcuda.so.470.1");
    for run in 0..2 {
        let before = snapshot(&bundle.root());
        bundle.hook("update-ldcache --folder /usr/lib").silent();
        assert_eq!(before == snapshot(&bundle.root()), run == 1);
        for name in ["libcuda.so", "libcuda.so.1"] {
            assert_eq!(found(&bundle, name), ["/usr/lib", COMPAT], "{name}");
        }
        assert_eq!(found(&bundle, "libold.so.1"), [COMPAT, "/usr/lib"]);
    }
    let target = bundle.target("usr/lib/libcuda.so.1");
    assert_eq!(target, "libcuda.so.575.57.08");
}

/// Guard: `find_owners`.
#[test]
fn what_is_taken_over_from_the_cache_before_keeps_its_place() {
    if !has(&["strace"]) {
        return;
    }
    for (path, call) in [
        ("usr/lib", "getdents64"),
        ("usr/lib/libcuda.so.575.57.08", "pread64"),
    ] {
        let bundle = image();
        let line = "update-ldcache --folder /usr/lib";
        bundle.hook(line).silent();
        // The mark is gone.
        bundle.file(
            "usr/local/cuda-12.8/compat/libnew.so.1",
            library("libnew.so.1"),
        );
        let broken = bundle.at(path).display().to_string();
        let inject = format!("inject={call}:error=EIO");
        let strace = [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-P",
            &broken,
            "-e",
            &inject,
        ];
        let ran = bundle.hook_in(&words(&strace), line);
        ran.warns(&[&format!("/{path}: ")]);
        assert_eq!(found(&bundle, "libnew.so.1"), [COMPAT], "{path}");
        assert_eq!(
            found(&bundle, "libcuda.so.1"),
            ["/usr/lib", COMPAT],
            "{path}"
        );
        assert_eq!(
            found(&bundle, "libother.so.1"),
            [COMPAT, "/usr/lib"],
            "{path}"
        );
    }
}

/// Where no link can be made, the cache names the files.
#[test]
fn files_and_names_without_links_come_first_as_well() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    for link in ["libcuda.so", "libcuda.so.1"] {
        fs::remove_file(bundle.at("usr/lib").join(link)).unwrap();
    }
    let read_only =
        "mount --bind $root/usr/lib $root/usr/lib; mount -o remount,bind,ro $root/usr/lib";
    let mounts = with_mounts(&bundle, read_only);
    bundle
        .hook_in(&mounts, "update-ldcache --folder /usr/lib")
        .silent();
    for name in ["libcuda.so.1", "libcuda.so"] {
        assert_eq!(found(&bundle, name), ["/usr/lib", COMPAT], "{name}");
    }
}

/// A stub of libcuda that gives this answer.
fn libcuda(file: &Path, answer: i32) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    must(
        Command::new("gcc")
            .args(["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libcuda.so.1"])
            .arg(format!("-DANSWER={answer}"))
            .arg("-o")
            .args([file, &fixture("stub.c")]),
    );
}

/// What a program in the root gets that asks its loader for a name.
fn load(root: &Bundle, name: &str) -> String {
    let probe = Command::new("chroot")
        .arg(root.root())
        .args(["/usr/bin/probe", name])
        .output()
        .unwrap();
    String::from_utf8(probe.stdout).unwrap()
}

#[test]
fn the_loader_takes_the_drivers_library() {
    if !can_run(live::obstacle()) {
        return;
    }
    let root = live::small();
    let driver = live::libraries(&root);
    let folder = format!("/{}", driver.strip_prefix(root.root()).unwrap().display());
    let compat = root.at(&COMPAT[1..]);
    for variant in ["", "glibc-hwcaps/x86-64-v2"] {
        libcuda(&compat.join(variant).join("libcuda.so.570.1.1"), 7);
    }
    symlink("libcuda.so.570.1.1", compat.join("libcuda.so.1")).unwrap();
    symlink("libcuda.so.1", compat.join("libcuda.so")).unwrap();
    fs::create_dir_all(root.at("etc/ld.so.conf.d")).unwrap();
    fs::write(
        root.at("etc/ld.so.conf.d/000-cuda.conf"),
        format!("{COMPAT}\n"),
    )
    .unwrap();
    let answer = |name: &str, answer: i32| {
        let expected = format!("loaded {name}, cuInit = {answer}\n");
        assert_eq!(load(&root, name), expected);
    };
    update(&root);
    answer("libcuda.so.1", 7);
    let link = format!("libcuda.so.1::{folder}/libcuda.so");
    root.hook(&["create-symlinks", "--link", link.as_str()].join(" "))
        .silent();
    root.hook(&["update-ldcache", "--folder", folder.as_str()].join(" "))
        .silent();
    answer("libcuda.so.1", 100);
    answer("libcuda.so", 100);
    update(&root);
    answer("libcuda.so.1", 7);
    root.hook(&["update-ldcache", "--find-driver"].join(" "))
        .silent();
    answer("libcuda.so.1", 100);
    // It is ldconfig's to say what comes first, once it is called.
    must(Command::new("ldconfig").args(["-i", "-r"]).arg(root.root()));
    answer("libcuda.so.1", 7);
}

#[test]
fn a_stored_root_comes_out_the_same_but_for_the_order() {
    if !can_run(super::root::obstacle()) {
        return;
    }
    let root = unpacked("nvidia-cdi");
    root.hook(&["update-ldcache", "--folder", DRIVER].join(" "))
        .silent();
    let reference = fs::read(super::root::stored("nvidia-cdi", "ld.so.cache")).unwrap();
    assert_same("no name is there twice", &cache(&root), &reference);

    let old = root.at("opt/old");
    fs::create_dir_all(&old).unwrap();
    let library = root.at(&DRIVER[1..]).join("libcuda.so.550.163.01");
    fs::copy(library, old.join("libcuda.so.535.1.1")).unwrap();
    fs::write(root.at("etc/ld.so.conf.d/00-old.conf"), "/opt/old\n").unwrap();
    update(&root);
    let theirs = cache(&root);
    root.hook(&["update-ldcache", "--folder", DRIVER].join(" "))
        .silent();
    let ours = cache(&root);
    assert_ne!(ours, theirs);
    let (ours, parsed) = (
        LdCache::parse(&ours).unwrap(),
        LdCache::parse(&theirs).unwrap(),
    );
    let moved = ours.entries.iter().zip(&parsed.entries);
    let moved = moved.filter(|(ours, theirs)| ours != theirs);
    assert!(
        moved
            .clone()
            .all(|(ours, _)| ours.soname == b"libcuda.so.1")
    );
    assert_eq!(moved.count(), 2);
    let restored = LdCache {
        entries: parsed.entries,
        ..ours
    };
    assert_same("in the old order", &restored.write().unwrap(), &theirs);
}
