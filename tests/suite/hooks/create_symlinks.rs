//! `create-symlinks`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::DRIVER;
use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::{READ_ONLY, with_mounts, with_umask};

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

/// A directory may be another one once a link has been made.
#[test]
fn each_link_is_made_where_those_before_lead() {
    let bundle = Bundle::new();
    bundle.directory("one").directory("two").link("d", "one");
    let line = "create-symlinks --link t::/d/a --link t::/d/b --link two::/d --link t::/d/c";
    bundle.hook(line).silent();
    for path in ["one/a", "one/b", "two/c"] {
        assert_eq!(bundle.target(path), "t", "{path}");
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
    assert_eq!(bundle.names("/"), ["empty", "file", "full", "plain"]);
    assert_eq!(bundle.names("full"), ["f"]);
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
        assert_eq!(bundle.names("/"), ["after", "before", "loop"], "{bad}");
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

/// Writes a file of the host; returns its path.
fn csv(bundle: &Bundle, name: &str, text: &str) -> String {
    let path = bundle.host().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
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
    ] {
        symlink(target, jetson.join(path)).unwrap();
    }
    fs::write(library_folder.join("tegra/libcuda.so.1.1"), "").unwrap();
    let first = csv(
        &bundle,
        "l.csv",
        "lib, /usr/lib/tegra/libcuda.so.1.1\n sym , /usr/lib/libcuda.so\n\n",
    );
    let second = csv(
        &bundle,
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
    assert_eq!(bundle.names("usr/lib"), ["libcuda.so", "tegra"]);
    assert_eq!(
        bundle.names("usr/lib/tegra"),
        ["libcuda.so", "libcuda.so.1"]
    );
}

#[test]
fn csv_files_that_lead_nowhere() {
    let bundle = Bundle::new();
    bundle
        .hook("create-symlinks --csv-filename /nowhere.csv")
        .fails(&["cannot read /nowhere.csv"]);
    // As in specs of old releases, where it does not matter.
    bundle
        .hook("create-symlinks --host-root /nowhere --link t::/l")
        .silent();
    assert_eq!(bundle.target("l"), "t");
    // A chain without end does not make a hook without end.
    symlink("loop", bundle.host().join("loop")).unwrap();
    let endless = csv(&bundle, "e.csv", "sym, /loop");
    let root = bundle.host();
    let line = format!(
        "create-symlinks --csv-filename {endless} --host-root {}",
        root.display()
    );
    bundle.hook(&line).silent();
    assert_eq!(bundle.target("loop"), "loop");
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
    let before = bundle.names(DRIVER);

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
    assert_eq!(bundle.names(DRIVER), expected);
    assert_eq!(
        bundle.text(format!("{DRIVER}/libkept.so.1")),
        "a file of the image"
    );
    assert_eq!(bundle.names("/"), ["usr"], "a link landed elsewhere");
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

/// The hint is with the link in whose place a directory is.
#[test]
fn only_a_directory_is_said_to_be_in_the_way() {
    const HINT: &str = "a directory is in the way, move it or choose another name";
    let bundle = Bundle::new();
    bundle.directory("d").file("plain", "");
    for (link, why, is_hinted) in [
        ("/d", "Is a directory", true),
        ("/plain/x", "Not a directory", false),
    ] {
        let ran = bundle.hook(&format!("create-symlinks --link t::{link}"));
        ran.fails(&[&format!("{link} -> t: cannot make the link: {why}")]);
        assert_eq!(ran.stderr.contains(HINT), is_hinted, "{ran:?}");
    }
}

/// On a read-only root a name of the driver is no loss if the cache gets it. Guard: `is_in_cache`.
#[test]
fn a_link_that_cannot_be_made_is_no_warning_if_the_cache_has_its_name() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let (file, other) = ("libcuda.so.575.57.08", "libnvidia-ml.so.575.57.08");
    for (files, line, is_warned) in [
        (&[file][..], "create-symlinks", false),
        (
            &[file],
            "create-symlinks --link libcuda.so.1::DRIVER/libcuda.so",
            false,
        ),
        (&[file], "create-symlinks --link t::DRIVER/libt.so", true),
        (
            &[file],
            "create-symlinks --link t::DRIVER/libnvidia-ml.so",
            true,
        ),
        (
            &[other],
            "create-symlinks --link libnvidia-ml.so.1::DRIVER/libnvidia-ml.so",
            false,
        ),
    ] {
        let bundle = Bundle::new();
        for file in files {
            let soname = file.replace("575.57.08", "1");
            bundle.file(format!("{DRIVER}/{file}"), library(soname));
        }
        let line = line.replace("DRIVER", DRIVER);
        let ran = bundle.hook_in(&with_mounts(&bundle, READ_ONLY), &line);
        if is_warned {
            ran.warns(&["not made: Read-only file system"]);
        } else {
            ran.silent();
        }
    }
    // What is no file is no library.
    let bundle = Bundle::new();
    bundle.file(format!("{DRIVER}/{file}"), library("libcuda.so.1"));
    bundle.directory(format!("{DRIVER}/{other}"));
    let line = format!("create-symlinks --link libnvidia-ml.so.1::{DRIVER}/libnvidia-ml.so");
    let ran = bundle.hook_in(&with_mounts(&bundle, READ_ONLY), &line);
    ran.warns(&["not made: Read-only file system"]);
}
