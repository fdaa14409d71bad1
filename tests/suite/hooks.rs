//! What each hook does to a container's root: the real binary on real trees.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::bundle::{
    Bundle, READ_ONLY, each_kernel, has, library, with_mounts, with_umask,
};
use crate::common::machine::snapshot;
use nvidia_ctk::ldcache::cached_paths;
use nvidia_ctk::rootfs::ContainerRoot;
use serde_json::json;

const DRIVER: &str = "/usr/local/nvidia/lib64";
const DROP_IN: &str = "/etc/ld.so.conf.d/00-nvidia-ctk.conf";
const TOP: &str = "/etc/ld.so.conf";
const CACHE: &str = "/etc/ld.so.cache";

/// The paths in the container's cache.
fn cached(bundle: &Bundle) -> Vec<String> {
    let root = ContainerRoot::open(&bundle.root()).unwrap();
    let paths = cached_paths(&root);
    paths.iter().map(|it| it.display().to_string()).collect()
}

/// The names in a folder of the container.
fn names(bundle: &Bundle, path: &str) -> Vec<String> {
    let entries = fs::read_dir(bundle.at(path)).unwrap();
    let name = |it: fs::DirEntry| it.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|it| name(it.unwrap())).collect();
    names.sort();
    names
}

// chmod

#[test]
fn chmod_sets_what_it_is_told_whatever_the_umask() {
    let bundle = Bundle::new();
    bundle.file("f", "").directory("d");
    for umask in ["000", "077", "777"] {
        for mode in ["0", "644", "0755", "1777", "2755", "4755", "7777"] {
            let line = format!("chmod --mode {mode} --path /f,/d");
            bundle.hook_in(&with_umask(umask), &line).silent();
            for path in ["f", "d"] {
                let expected = u32::from_str_radix(mode, 8).unwrap();
                assert_eq!(bundle.mode(path), expected, "{path}: {mode}, umask {umask}");
            }
        }
    }
}

#[test]
fn chmod_follows_links_inside_the_root() {
    for target in ["/a/file", "../a/file", "../../../../../../../../../a/file"] {
        let bundle = Bundle::new();
        bundle.file("a/file", "").link("l/link", target);
        bundle.link("m", "/l").set_mode("a/file", 0o600);
        bundle.hook("chmod --mode 751 --path /m/link").silent();
        assert_eq!(bundle.mode("a/file"), 0o751, "{target}");
    }
}

#[test]
fn chmod_skips_what_is_missing() {
    let bundle = Bundle::new();
    bundle
        .link("dangling", "/nowhere")
        .file("f", "")
        .set_mode("f", 0o600);
    let line = "chmod --mode 644 --path /missing --path /a/b,/dangling --path f";
    bundle.hook(line).silent();
    assert_eq!(bundle.mode("f"), 0o644);
    assert_eq!(names(&bundle, "/"), ["dangling", "f"]);
}

#[test]
fn chmod_writes_nothing_where_the_mode_is_right() {
    let bundle = Bundle::new();
    bundle.file("f", "").set_mode("f", 0o640);
    let before = snapshot(&bundle.root());
    bundle.hook("chmod --mode 640 --path /f").silent();
    assert_eq!(snapshot(&bundle.root()), before);
}

#[test]
fn chmod_goes_on_and_reports_every_path_that_fails() {
    let bundle = Bundle::new();
    bundle
        .link("loop", "loop")
        .file("f", "")
        .set_mode("f", 0o600);
    let long = "x".repeat(256);
    for order in [
        format!("/loop,/f/x,/{long},/f"),
        format!("/f,/{long},/loop,/f/x"),
    ] {
        bundle.set_mode("f", 0o600);
        let ran = bundle.hook(&format!("chmod --mode 644 --path {order}"));
        ran.fails(&["/loop: ", "/f/x: ", &format!("/{long}: ")]);
        ran.fails(&["chmod failed for 3 of 4 paths", " container=\"c1\""]);
        assert_eq!(bundle.mode("f"), 0o644, "{order}");
    }
}

#[test]
fn chmod_of_devices_and_fifos_opens_none() {
    if !has(&["mknod"]) {
        return;
    }
    let bundle = Bundle::new();
    // Nobody has a driver for this number: to open it would fail.
    bundle
        .node("dev/nvidia0", &["c", "249", "77"])
        .node("fifo", &["p"]);
    bundle
        .set_mode("dev/nvidia0", 0o600)
        .set_mode("fifo", 0o600);
    bundle
        .hook("chmod --mode 666 --path /dev/nvidia0,/fifo")
        .silent();
    assert_eq!(
        (bundle.mode("dev/nvidia0"), bundle.mode("fifo")),
        (0o666, 0o666)
    );
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

// create-symlinks

#[test]
fn links_are_made_as_ln_would_in_the_container() {
    // --link, links that are there, where the new one is found
    for (option, links, found) in [
        ("t::/a/b/c", &[][..], "a/b/c"),
        ("t::rel/l", &[], "rel/l"),
        ("../x/y::/d/", &[], "d"),
        ("/abs::/../../../x/y", &[], "x/y"),
        ("t::/./a//b", &[], "a/b"),
        ("t::/p/l", &[("p", "/q/r")], "q/r/l"),
        ("t::/p/l", &[("p", "q/r")], "q/r/l"),
        ("t::/p/l", &[("p", "../../../q")], "q/l"),
        ("t::/p/l", &[("p", "q"), ("q", "/s")], "s/l"),
        ("t::/p/s/l", &[("p", "/q"), ("q/s", "../r")], "r/l"),
        ("t::/p/l", &[("p", "/"), ("l", "other")], "l"),
        ("t::/l", &[("l", "other")], "l"),
        ("t::/l", &[("l", "/")], "l"),
    ] {
        for umask in ["0", "077"] {
            let bundle = Bundle::new();
            for (path, target) in links {
                bundle.link(path, target);
            }
            let line = format!("create-symlinks --link {option}");
            bundle.hook_in(&with_umask(umask), &line).silent();
            let target = option.split("::").next().unwrap();
            assert_eq!(bundle.target(found), target, "{option} with {links:?}");
            let mut parent = Path::new(found).parent().unwrap();
            while parent != Path::new("") && links.is_empty() {
                assert_eq!(bundle.mode(parent), 0o755, "{option}, umask {umask}");
                parent = parent.parent().unwrap();
            }
            let after = snapshot(&bundle.root());
            bundle.hook(&line).silent();
            assert_eq!(snapshot(&bundle.root()), after, "{option}: changed twice");
        }
    }
}

#[test]
fn new_parents_of_links_have_mode_0755() {
    let bundle = Bundle::new();
    bundle.link("p", "/q/r");
    let line = "create-symlinks --link t::/p/s/l";
    bundle.hook_in(&with_umask("077"), line).silent();
    for path in ["q", "q/r", "q/r/s"] {
        assert_eq!(bundle.mode(path), 0o755, "{path}");
    }
}

#[test]
fn files_are_replaced_by_links_and_directories_are_not() {
    let bundle = Bundle::new();
    bundle.file("file", "old").file("plain", "");
    bundle.directory("empty").file("full/f", "");
    let ran = bundle.hook(
        "create-symlinks --link t::/empty --link t::/full --link t::/file --link t::/plain/x",
    );
    ran.fails(&["/empty -> t: ", "/full -> t: ", "/plain/x -> t: "]);
    ran.fails(&["a directory is in the way, move it or choose another name"]);
    assert_eq!(bundle.target("file"), "t");
    assert_eq!(names(&bundle, "/"), ["empty", "file", "full", "plain"]);
    assert_eq!(names(&bundle, "full"), ["f"]);
}

#[test]
fn a_bad_link_does_not_stop_the_others() {
    let long = "n".repeat(256);
    for bad in [
        "a",
        "a:b",
        "::b",
        "a::",
        "::",
        "a::b::c",
        ":::b",
        "a::/",
        "a::/..",
        "a::.",
        "a::/loop/x",
        &format!("a::/{long}"),
    ] {
        let bundle = Bundle::new();
        bundle.link("loop", "loop");
        let line = format!("create-symlinks --link t::/before --link {bad} --link t::/after");
        bundle.hook(&line).fails(&["1 links could not be made"]);
        let made = (bundle.target("before"), bundle.target("after"));
        assert_eq!(made, ("t".into(), "t".into()), "{bad}");
        assert_eq!(names(&bundle, "/"), ["after", "before", "loop"], "{bad}");
    }
}

#[test]
fn names_may_be_255_bytes_long() {
    let name = "n".repeat(255);
    for path in [name.clone(), format!("{name}/{name}")] {
        let bundle = Bundle::new();
        // Made, then put in the place of another one, which takes a temporary name.
        for target in ["a", "b"] {
            bundle
                .hook(&format!("create-symlinks --link {target}::/{path}"))
                .silent();
            assert_eq!(bundle.target(&path), target);
        }
    }
}

/// The toolkit looks at the host's link, finds it right, and makes none.
#[test]
fn whether_a_link_is_right_is_seen_in_the_container() {
    let bundle = Bundle::new();
    let host = bundle.host();
    symlink("libcuda.so.1", host.join("libcuda.so")).unwrap();
    bundle.link("usr/lib/driver", &host);
    let before = snapshot(&host);
    bundle
        .hook("create-symlinks --link libcuda.so.1::/usr/lib/driver/libcuda.so")
        .silent();
    assert_eq!(bundle.target(host.join("libcuda.so")), "libcuda.so.1");
    assert_eq!(snapshot(&host), before);
}

#[test]
fn csv_files_name_links_of_the_host() {
    let bundle = Bundle::new();
    let jetson = bundle.host().join("jetson");
    let library_folder = jetson.join("usr/lib");
    fs::create_dir_all(library_folder.join("tegra")).unwrap();
    for (path, target) in [
        ("usr/lib/libcuda.so", "tegra/libcuda.so"),
        ("usr/lib/tegra/libcuda.so", "libcuda.so.1"),
        (
            "usr/lib/tegra/libcuda.so.1",
            "/usr/lib/tegra/libcuda.so.1.1",
        ),
        ("usr/lib/loop", "loop"),
    ] {
        symlink(target, jetson.join(path)).unwrap();
    }
    fs::write(library_folder.join("tegra/libcuda.so.1.1"), "").unwrap();
    let csv = |name: &str, text: &str| {
        let path = bundle.host().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let first = csv(
        "l.csv",
        "lib, /usr/lib/tegra/libcuda.so.1.1\n sym , /usr/lib/libcuda.so\n\n",
    );
    let second = csv(
        "m.csv",
        "sym, /usr/lib/missing\nsym, /usr/lib/tegra/libcuda.so.1.1\ndev, /x",
    );
    let root = jetson.display();
    let line = format!(
        "create-symlinks --csv-filename {first} --csv-filename={second} --host-root {root}"
    );
    bundle.hook(&line).silent();
    for (path, target) in [
        ("usr/lib/libcuda.so", "tegra/libcuda.so"),
        ("usr/lib/tegra/libcuda.so", "libcuda.so.1"),
        (
            "usr/lib/tegra/libcuda.so.1",
            "/usr/lib/tegra/libcuda.so.1.1",
        ),
    ] {
        assert_eq!(bundle.target(path), target, "{path}");
    }
    assert_eq!(names(&bundle, "usr/lib"), ["libcuda.so", "tegra"]);
    assert_eq!(
        names(&bundle, "usr/lib/tegra"),
        ["libcuda.so", "libcuda.so.1"]
    );

    bundle
        .hook("create-symlinks --csv-filename /nowhere.csv")
        .fails(&["cannot read /nowhere.csv"]);
    // As in specs of old releases, where it does not matter.
    bundle
        .hook("create-symlinks --host-root /nowhere --link t::/l")
        .silent();
    assert_eq!(bundle.target("l"), "t");
    // A chain without end does not make a hook without end.
    let endless = csv("e.csv", "sym, /usr/lib/loop");
    let line = format!("create-symlinks --csv-filename {endless} --host-root {root}");
    bundle.hook(&line).silent();
    assert_eq!(bundle.target("usr/lib/loop"), "loop");
}

#[test]
fn driver_libraries_get_the_links_of_an_installer() {
    let bundle = Bundle::new();
    let long = "l".repeat(256);
    for (file, soname) in [
        ("libcuda.so.575.57.08", "libcuda.so.1"),
        ("libnvidia-ml.so.575.57.08", "libnvidia-ml.so.1"),
        (
            "libnvidia-opticalflow.so.575.57.08",
            "libnvidia-opticalflow.so.1",
        ),
        ("libGLX_nvidia.so.575.57.08", "libGLX_nvidia.so.0"),
        (
            "libnvidia-glcore.so.575.57.08",
            "libnvidia-glcore.so.575.57.08",
        ),
        ("libkept.so.575.57.08", "libkept.so.1"),
        ("libother.so.1.2.3", "libother.so.1"),
        ("libup.so.575.57.08", "../../x"),
        ("libslash.so.575.57.08", "/x"),
        ("libempty.so.575.57.08", ""),
        ("libdots.so.575.57.08", ".."),
        ("libcontrol.so.575.57.08", "a\nb"),
        ("liblong.so.575.57.08", long.as_str()),
        ("vdpau/libvdpau_nvidia.so.575.57.08", "libvdpau_nvidia.so.1"),
    ] {
        bundle.file(format!("{DRIVER}/{file}"), library(soname));
    }
    bundle.file(format!("{DRIVER}/libkept.so.1"), "a file of the image");
    bundle.file(format!("{DRIVER}/libbroken.so.575.57.08"), "no ELF");
    bundle.link(
        format!("{DRIVER}/libnvidia-ml.so.1"),
        "libnvidia-ml.so.470.1.1",
    );
    let before = names(&bundle, DRIVER);

    let ran = bundle.hook("create-symlinks");
    ran.warns(&[
        "libup.so.575.57.08: its SONAME has a slash in it, no link is made",
        "libslash.so.575.57.08: its SONAME has a slash in it",
        "libempty.so.575.57.08: its SONAME is empty",
        "libdots.so.575.57.08: its SONAME is a directory",
        "libcontrol.so.575.57.08: its SONAME has a control character in it",
        "liblong.so.575.57.08: its SONAME is longer than 255 bytes",
    ]);
    assert_eq!(ran.stderr.lines().count(), 6, "{}", ran.stderr);
    let links = [
        ("libGLX_indirect.so.0", "libGLX_nvidia.so.575.57.08"),
        ("libGLX_nvidia.so.0", "libGLX_nvidia.so.575.57.08"),
        ("libcuda.so", "libcuda.so.1"),
        ("libcuda.so.1", "libcuda.so.575.57.08"),
        ("libnvidia-ml.so", "libnvidia-ml.so.1"),
        ("libnvidia-ml.so.1", "libnvidia-ml.so.575.57.08"),
        ("libnvidia-opticalflow.so", "libnvidia-opticalflow.so.1"),
        (
            "libnvidia-opticalflow.so.1",
            "libnvidia-opticalflow.so.575.57.08",
        ),
        ("vdpau/libvdpau_nvidia.so", "libvdpau_nvidia.so.1"),
        ("vdpau/libvdpau_nvidia.so.1", "libvdpau_nvidia.so.575.57.08"),
    ];
    for (link, target) in links {
        assert_eq!(bundle.target(format!("{DRIVER}/{link}")), target, "{link}");
    }
    let mut expected = before;
    expected.extend(
        links
            .iter()
            .map(|it| it.0.to_owned())
            .filter(|it| !it.contains('/')),
    );
    expected.sort();
    expected.dedup();
    assert_eq!(names(&bundle, DRIVER), expected);
    assert_eq!(
        bundle.text(format!("{DRIVER}/libkept.so.1")),
        "a file of the image"
    );
    assert_eq!(names(&bundle, "/"), ["usr"], "a link landed elsewhere");
}

#[test]
fn without_driver_libraries_no_link_is_made() {
    let bundle = Bundle::new();
    bundle.file("usr/lib/libfoo.so.1.2", library("libfoo.so.1"));
    let before = snapshot(&bundle.root());
    for line in ["create-symlinks", "update-ldcache --find-driver"] {
        bundle.hook(line).silent();
        assert_eq!(snapshot(&bundle.root()), before, "{line}");
    }
}

// update-ldcache

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
            names(&bundle, "/etc/ld.so.conf.d"),
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
        let mut found = cached(&bundle);
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
            assert_eq!(cached(&bundle).len(), 1, "{conf}");
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
    assert_eq!(cached(&bundle).len(), 2);
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
        assert_eq!(cached(&bundle), ["/opt/lib/liba.so.1"], "{path}: {ran:?}");
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
            assert_eq!(cached(&bundle), ["/opt/lib/liba.so.1"], "{path}, {kind}");
        });
    }
    for path in [CACHE, DROP_IN] {
        let bundle = Bundle::new();
        bundle.directory(path).directory("opt/lib");
        let ran = bundle.hook("update-ldcache --folder /opt/lib");
        ran.fails(&[path, "Is a directory"]);
        let parent = Path::new(path).parent().unwrap().to_str().unwrap();
        let left = names(&bundle, parent);
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
        assert_eq!(cached(&bundle), ["/opt/lib/liba.so.1"]);
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
    assert!(!names(&glibc, "etc").iter().any(|it| it.contains("musl")));
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
        assert_eq!(cached(&bundle), [format!("{folder}/libcuda.so.1")]);
    }
    let configured = Bundle::new();
    configured.file("usr/lib/libcuda.so.575.57.08", library("libcuda.so.1"));
    configured.hook("update-ldcache --find-driver").silent();
    assert!(!configured.at(DROP_IN).exists(), "/usr/lib is built in");
    assert_eq!(cached(&configured), ["/usr/lib/libcuda.so.1"]);
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
        assert!(names(&bundle, "/").is_empty(), "{words:?}");
    }
}

#[test]
fn the_old_option_ldconfig_path_is_accepted() {
    let bundle = Bundle::new();
    bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
    bundle
        .hook("update-ldcache --ldconfig-path /nowhere/ldconfig --folder /opt/lib")
        .silent();
    assert_eq!(cached(&bundle), ["/opt/lib/liba.so.1"]);
}

// all of them

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
