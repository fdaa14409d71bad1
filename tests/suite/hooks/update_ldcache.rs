//! `update-ldcache`.

use std::fs;
use std::path::Path;

use nvidia_ctk::rootfs::ContainerRoot;

use super::DRIVER;

const DROP_IN: &str = "/etc/ld.so.conf.d/00-nvidia-ctk.conf";
const TOP: &str = "/etc/ld.so.conf";
const CACHE: &str = "/etc/ld.so.cache";

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::wrapper::{each_kernel, with_mounts, with_umask};

#[test]
fn a_folder_gets_into_one_drop_in_and_into_the_cache() {
    for (name, file) in [
        ("an empty root", None),
        ("etc alone", Some(("etc/passwd", ""))),
        (
            "Debian",
            Some(("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")),
        ),
        (
            "RHEL",
            Some(("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")),
        ),
        ("no include", Some(("etc/ld.so.conf", "# nothing\n"))),
        ("not text", Some(("etc/ld.so.conf", "\u{fffd}\0\x01/x\n"))),
    ] {
        let bundle = Bundle::new();
        bundle.file(format!("{DRIVER}/liba.so.1.2"), library("liba.so.1"));
        bundle.file("/opt/b/libb.so.1.2", library("libb.so.1"));
        if let Some((path, text)) = file {
            bundle.file(path, text);
        }
        let line =
            format!("update-ldcache --folder {DRIVER},/opt/b --folder {DRIVER} --folder /missing");
        bundle.hook_in(&with_umask("077"), &line).silent();
        assert_eq!(
            bundle.text(DROP_IN),
            format!("{DRIVER}\n/opt/b\n/missing\n"),
            "{name}"
        );
        assert_eq!(
            bundle.names("/etc/ld.so.conf.d"),
            ["00-nvidia-ctk.conf"],
            "{name}"
        );
        let top = file.filter(|it| it.0 == "etc/ld.so.conf").map(|it| it.1);
        assert_eq!(
            bundle.text(TOP),
            top.unwrap_or("include /etc/ld.so.conf.d/*.conf\n"),
            "{name}"
        );
        let expected = [&format!("{DRIVER}/liba.so.1"), "/opt/b/libb.so.1"];
        let mut found = bundle.cached();
        found.sort();
        let mut expected = expected.map(String::from).to_vec();
        expected.sort();
        assert_eq!(found, expected, "{name}");
        assert_eq!(
            bundle.target(format!("{DRIVER}/liba.so.1")),
            "liba.so.1.2",
            "{name}"
        );
        for (path, mode) in [
            (DROP_IN, 0o644),
            (CACHE, 0o644),
            ("/etc/ld.so.conf.d", 0o755),
        ] {
            assert_eq!(bundle.mode(path), mode, "{name}: {path}");
        }
    }
}

#[test]
fn folders_that_are_searched_already_are_not_named_again() {
    for (conf, path, text, link) in [
        (
            "include ld.so.conf.d/*.conf",
            "etc/ld.so.conf.d/x.conf",
            "/opt/lib",
            None,
        ),
        (
            "include\t/etc/ld.so.conf.d/*.conf # all",
            "etc/ld.so.conf.d/x.conf",
            " /opt/lib/ # x",
            None,
        ),
        (
            "include a/[xy]?.conf b.conf",
            "etc/b.conf",
            "/opt/lib",
            None,
        ),
        ("/opt/lib", "etc/unused", "", None),
        ("/alias", "etc/unused", "", Some(("alias", "opt/lib"))),
        (
            "/opt/alias",
            "etc/unused",
            "",
            Some(("opt/alias", "/opt/lib")),
        ),
    ] {
        let bundle = Bundle::new();
        bundle
            .file("etc/ld.so.conf", format!("{conf}\n"))
            .file(path, text);
        bundle.file("opt/lib/liba.so.1.2", library("liba.so.1"));
        if let Some((link, target)) = link {
            bundle.link(link, target);
        }
        for _ in 0..2 {
            bundle
                .hook("update-ldcache --folder /opt/lib --folder /opt/./lib/")
                .silent();
            assert!(!bundle.at(DROP_IN).exists(), "{conf}: named again");
            assert_eq!(bundle.cached().len(), 1, "{conf}");
        }
    }
}

#[test]
fn another_folder_joins_those_of_an_earlier_call() {
    let bundle = Bundle::new();
    for folder in ["a", "b"] {
        bundle.file(
            format!("opt/{folder}/lib{folder}.so.1"),
            library(format!("lib{folder}.so.1")),
        );
        bundle
            .hook(&format!("update-ldcache --folder /opt/{folder}"))
            .silent();
    }
    assert_eq!(bundle.text(DROP_IN), "/opt/a\n/opt/b\n");
    assert_eq!(bundle.cached().len(), 2);
}

#[test]
fn links_of_the_image_in_place_of_its_configuration() {
    for (path, target) in [
        ("etc/ld.so.conf", "/elsewhere/conf"),
        ("etc/ld.so.conf", "nowhere"),
        ("etc/ld.so.conf.d", "/elsewhere/conf.d"),
        ("etc/ld.so.cache", "/elsewhere/cache"),
        ("etc", "/elsewhere/etc"),
        (DROP_IN, "/elsewhere/drop-in"),
    ] {
        let bundle = Bundle::new();
        bundle.link(path, target);
        bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
        let ran = bundle.hook("update-ldcache --folder /opt/lib");
        assert_eq!(ran.code, 0, "{path}: {ran:?}");
        let etc = if path == "etc" {
            "/elsewhere/etc"
        } else {
            "/etc"
        };
        let root = ContainerRoot::open(&bundle.root()).unwrap();
        assert_eq!(bundle.cached(), ["/opt/lib/liba.so.1"], "{path}: {ran:?}");
        let cache = fs::symlink_metadata(bundle.at(format!("{etc}/ld.so.cache"))).unwrap();
        assert!(cache.is_file(), "{path}");
        let drop_in = root.read(Path::new(DROP_IN), 100).unwrap();
        assert_eq!(drop_in, b"/opt/lib\n", "{path}");
    }
}

#[test]
fn odd_files_in_place_of_the_configuration_are_explained() {
    if !has(&["mknod"]) {
        return;
    }
    for (path, kind) in [
        (TOP, "directory"),
        (TOP, "fifo"),
        (CACHE, "fifo"),
        ("/etc/ld.so.conf.d/x.conf", "fifo"),
        ("/etc/ld.so.conf.d/x.conf", "directory"),
        (DROP_IN, "fifo"),
        ("/opt/lib/libfifo.so.1", "fifo"),
        ("/opt/lib/libdirectory.so.1", "directory"),
        ("/opt/lib/libdevice.so.1", "device"),
        ("/lib/libdevice.so", "device"),
    ] {
        each_kernel(|kernel| {
            let bundle = Bundle::new();
            match kind {
                "fifo" => bundle.node(path, &["p"]),
                "device" => bundle.node(path, &["c", "1", "5"]),
                _ => bundle.directory(path),
            };
            bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
            let ran = bundle.hook_in(kernel, "update-ldcache --folder /opt/lib");
            assert_eq!(ran.code, 0, "{path}, {kind}: {ran:?}");
            assert_eq!(bundle.cached(), ["/opt/lib/liba.so.1"], "{path}, {kind}");
        });
    }
    for path in [CACHE, DROP_IN] {
        let bundle = Bundle::new();
        bundle.directory(path).directory("opt/lib");
        let ran = bundle.hook("update-ldcache --folder /opt/lib");
        ran.fails(&[path, "Is a directory"]);
        let parent = Path::new(path).parent().unwrap().to_str().unwrap();
        let left = bundle.names(parent);
        assert!(
            !left.iter().any(|it| it.starts_with(".nvidia-ctk")),
            "{left:?}"
        );
    }
}

#[test]
fn a_configuration_that_includes_itself_comes_to_an_end() {
    each_kernel(|kernel| {
        let bundle = Bundle::new();
        bundle.file(
            TOP,
            "include /etc/ld.so.conf\ninclude ld.so.conf.d/*\ninclude *\n/opt/lib\n",
        );
        bundle.file(
            "etc/ld.so.conf.d/a",
            "include ../ld.so.conf.d/*\ninclude a a a a a a a a\n",
        );
        bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
        let ran = bundle.hook_in(kernel, "update-ldcache --folder /opt/lib");
        ran.warns(&["files include each other"]);
        assert_eq!(bundle.cached(), ["/opt/lib/liba.so.1"]);
    });
}

#[test]
fn musl_is_told_by_its_path_file() {
    const DEFAULT: &str = "/lib:/usr/local/lib:/usr/lib";
    for (before, after) in [
        (None, format!("{DEFAULT}\n/opt/lib\n/opt/b\n")),
        (Some("/lib\n/opt/lib"), "/lib\n/opt/lib\n/opt/b\n".into()),
        (Some("/opt/b:/lib:/opt/lib"), "/opt/b:/lib:/opt/lib".into()),
        (Some(""), "/opt/lib\n/opt/b\n".into()),
    ] {
        let bundle = Bundle::new();
        bundle
            .file("lib/ld-musl-aarch64.so.1", "")
            .directory("opt/lib");
        let file = "etc/ld-musl-aarch64.path";
        if let Some(text) = before {
            bundle.file(file, text);
        }
        for _ in 0..2 {
            bundle
                .hook("update-ldcache --folder /opt/lib,/opt/b")
                .silent();
            assert_eq!(bundle.text(file), after, "{before:?}");
        }
        assert_eq!(bundle.mode(file), 0o644);
    }
    let glibc = Bundle::new();
    glibc.directory("lib");
    glibc.hook("update-ldcache --folder /opt/lib").silent();
    assert!(!glibc.names("etc").iter().any(|it| it.contains("musl")));
}

#[test]
fn the_driver_is_found_where_it_lies() {
    for folder in [
        DRIVER,
        "/usr/lib64/nvidia",
        "/usr/lib/x86_64-linux-gnu/nvidia/current",
    ] {
        let bundle = Bundle::new();
        bundle.file(
            format!("{folder}/libcuda.so.575.57.08"),
            library("libcuda.so.1"),
        );
        bundle.hook("update-ldcache --find-driver").silent();
        assert_eq!(bundle.text(DROP_IN), format!("{folder}\n"));
        assert_eq!(bundle.cached(), [format!("{folder}/libcuda.so.1")]);
    }
    let configured = Bundle::new();
    configured.file("usr/lib/libcuda.so.575.57.08", library("libcuda.so.1"));
    configured.hook("update-ldcache --find-driver").silent();
    assert!(!configured.at(DROP_IN).exists(), "/usr/lib is built in");
    assert_eq!(configured.cached(), ["/usr/lib/libcuda.so.1"]);
}

#[test]
fn the_old_option_ldconfig_path_is_accepted() {
    let bundle = Bundle::new();
    bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
    bundle
        .hook("update-ldcache --ldconfig-path /nowhere/ldconfig --folder /opt/lib")
        .silent();
    assert_eq!(bundle.cached(), ["/opt/lib/liba.so.1"]);
}

/// A folder has the place that ld.so.conf gives its drop-in, in the first run as in each one after it.
#[test]
fn the_configuration_decides_the_order_of_the_cache() {
    for (conf, expected) in [
        (
            "/opt/image\ninclude ld.so.conf.d/*.conf\n",
            ["/opt/image/liba.so.1", "/opt/lib/liba.so.1"],
        ),
        (
            "include ld.so.conf.d/*.conf\n/opt/image\n",
            ["/opt/lib/liba.so.1", "/opt/image/liba.so.1"],
        ),
    ] {
        let bundle = Bundle::new();
        bundle.file(TOP, conf);
        for folder in ["opt/image", "opt/lib"] {
            bundle.file(format!("{folder}/liba.so.1"), library("liba.so.1"));
        }
        for _ in 0..2 {
            bundle.hook("update-ldcache --folder /opt/lib").silent();
            assert_eq!(bundle.cached(), expected, "{conf}");
        }
    }
}

/// No library, and no fault: the listing shows the file below. Guard: `is_obstacle` in `soname`.
#[test]
fn what_is_mounted_over_a_library_gets_no_link() {
    if !has(&["unshare", "mount", "mknod"]) {
        return;
    }
    let bundle = Bundle::new();
    let file = format!("{DRIVER}/libcuda.so.575.57.08");
    bundle
        .file(&file, library("libcuda.so.1"))
        .node("fifo", &["p"]);
    let mounts = with_mounts(&bundle, &format!("mount --bind $root/fifo $root{file}"));
    bundle.hook_in(&mounts, "create-symlinks").silent();
    assert_eq!(bundle.names(DRIVER), ["libcuda.so.575.57.08"]);
    bundle.hook("create-symlinks").silent();
    assert_eq!(
        bundle.target(format!("{DRIVER}/libcuda.so")),
        "libcuda.so.1"
    );
}
