//! Where hooks find the driver's libraries that a runtime mounted: where config.json says, and in the places that are known.

use nvidia_ctk::ldcache::cached_paths;
use nvidia_ctk::rootfs::ContainerRoot;
use serde_json::json;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::tree::{contents, snapshot};

const VERSION: &str = "550.163.01";

/// The container's cache after the hooks of hooks.d have run, as one text.
fn cached(bundle: &Bundle) -> String {
    bundle.hook("create-symlinks").silent();
    bundle.hook("update-ldcache --find-driver").silent();
    let root = ContainerRoot::open(&bundle.root()).unwrap();
    let paths = cached_paths(&root).into_iter();
    let paths: Vec<String> = paths
        .map(|path| path.display().to_string() + "\n")
        .collect();
    paths.concat()
}

/// A container with a driver in a directory, whose config.json has these mounts and variables.
fn with_driver(directory: &str, mounts: &[&str], env: &[&str]) -> Bundle {
    let bundle = Bundle::new();
    for (name, soname) in [
        ("libcuda", "libcuda.so.1"),
        ("libnvidia-ml", "libnvidia-ml.so.1"),
    ] {
        bundle.file(format!("{directory}/{name}.so.{VERSION}"), library(soname));
    }
    let mounts: Vec<_> = mounts
        .iter()
        .map(|to| json!({"destination": to, "type": "none", "source": "/x", "options": ["bind"]}))
        .collect();
    let config = json!({"root": {"path": "rootfs"}, "mounts": mounts, "process": {"env": env}});
    bundle.config(&config.to_string());
    bundle
}

#[test]
fn config_json_says_where_the_driver_is_mounted() {
    let store = "/nix/store/0123-nvidia-x11-550.163.01/lib";
    let odd = "/srv/gpu";
    for (directory, mounts, env) in [
        (store, vec![format!("{store}/libcuda.so.{VERSION}")], ""),
        (
            store,
            vec!["/nix/store/0123-nvidia-x11-550.163.01".to_owned()],
            "",
        ),
        (
            odd,
            vec![
                "/proc".to_owned(),
                format!("{odd}/libnvidia-ml.so.{VERSION}"),
            ],
            "",
        ),
        ("/srv/gpu/lib64", vec!["/srv/gpu/lib64".to_owned()], ""),
        (odd, vec![], "NVIDIA_CTK_LIBCUDA_DIR=/missing:/srv/gpu"),
    ] {
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
        let bundle = with_driver(directory, &mounts, &["PATH=/bin", env]);
        let cached = cached(&bundle);
        for name in ["libcuda.so.1", "libnvidia-ml.so.1", "libcuda.so"] {
            assert!(
                cached.contains(&format!("{directory}/{name}\n")),
                "{directory}: {cached}"
            );
        }
    }
    // Nothing says so, and volumes are not searched.
    for mounts in [&[][..], &["/srv"], &["/srv/gpu/other.so"]] {
        let bundle = with_driver(odd, mounts, &["NVIDIA_CTK_LIBCUDA_DIR=srv/gpu"]);
        assert_eq!(cached(&bundle), "", "{mounts:?}");
    }
}

/// The one call of hooks.d does what the single hooks do.
#[test]
fn one_call_finds_the_driver_as_well() {
    let one_by_one = |bundle: &Bundle| {
        cached(bundle);
        contents(&bundle.root())
    };
    let one_call = |bundle: &Bundle| {
        bundle.hook("apply --find-driver").silent();
        let before = snapshot(bundle.path());
        bundle.hook("apply --find-driver").silent();
        assert_eq!(snapshot(bundle.path()), before, "a second run changed it");
        contents(&bundle.root())
    };
    for (directory, mounts, env) in [
        ("/opt/nvidia/lib", vec!["/opt/nvidia"], ""),
        ("/srv/gpu", vec!["/srv/gpu/libcuda.so.550.163.01"], ""),
        ("/srv/gpu", vec![], "NVIDIA_CTK_LIBCUDA_DIR=/srv/gpu"),
        ("/usr/lib64", vec!["/dev/nvidia0"], ""),
        ("/usr/lib64", vec!["/dev/"], ""),
    ] {
        let make = || with_driver(directory, &mounts, &[env]);
        let found = one_call(&make());
        assert_eq!(found, one_by_one(&make()), "{directory} {mounts:?} {env}");
        assert_ne!(found, contents(&make().root()), "{directory}");
    }
    for device in [
        "/dev/nvidia-uvm",
        "/dev/nvidia-caps/nvidia-cap1",
        "/dev/dxg",
        "/dev/nvhost-gpu",
    ] {
        let make = || {
            let bundle = with_driver("/usr/lib64", &[], &[]);
            let devices = json!([{"path": "/dev/fuse"}, {"path": device}]);
            let config = json!({"root": {"path": "rootfs"}, "linux": {"devices": devices}});
            bundle.config(&config.to_string());
            bundle
        };
        assert_eq!(one_call(&make()), one_by_one(&make()), "{device}");
    }
}

/// Nobody gave the container a GPU: what an image has brought stays as it is.
#[test]
fn one_call_leaves_containers_without_gpus_alone() {
    for mounts in [
        &[][..],
        &["/srv", "/dev/nvme0n1", "/dev/shm", "/devices"],
        &["/usr/share/libcuda"],
    ] {
        let bundle = with_driver("/usr/lib64", mounts, &["NVIDIA_VISIBLE_DEVICES=all"]);
        bundle.directory("dev/nvidia-caps");
        bundle.set_mode("dev/nvidia-caps", 0o700);
        let before = snapshot(bundle.path());
        let line = "apply --find-driver --chmod 755:/dev/nvidia-caps --folder /usr/lib64";
        bundle.hook(line).silent();
        assert_eq!(snapshot(bundle.path()), before, "{mounts:?}");
    }
    // Where it is not known whether there is one, it is looked for.
    let bundle = with_driver("/usr/lib64", &[], &[]);
    bundle.config(r#"{"root": {"path": "rootfs"}, "mounts": 7}"#);
    bundle.hook("apply --find-driver").silent();
    assert!(!bundle.cached().is_empty());
}

#[test]
fn known_places_are_searched() {
    for directory in [
        "/run/opengl-driver/lib",
        "/usr/local/glibc/usr/lib",
        "/home/kubernetes/bin/nvidia/lib64",
        "/usr/lib/x86_64-linux-gnu/nvidia/tesla-470",
        "/usr/lib/x86_64-linux-gnu/nvidia/legacy-390xx",
        "/usr/lib/nvidia/current",
        "/usr/lib64/nvidia",
    ] {
        let cached = cached(&with_driver(directory, &[], &[]));
        assert!(
            cached.contains(&format!("{directory}/libcuda.so.1\n")),
            "{directory}: {cached}"
        );
    }
}

/// Hostile: more mounts than any container has, in a config.json that is no config.json.
#[test]
fn odd_mounts_harm_nobody() {
    let directory = "/srv/nvidia";
    let many: Vec<String> = (0..5000)
        .map(|number| format!("/srv/{number}/lib"))
        .collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.insert(0, directory);
    let bundle = with_driver(directory, &many, &[]);
    assert!(cached(&bundle).contains("/srv/nvidia/libcuda.so.1"));
    let far = format!("NVIDIA_CTK_LIBCUDA_DIR={}/srv/gpu", "/missing:".repeat(64));
    assert_eq!(cached(&with_driver("/srv/gpu", &[], &[&far])), "");
    for mounts in [
        json!({"a": 1}),
        json!([{"destination": "relative/lib"}]),
        json!([1]),
        json!(null),
    ] {
        let bundle = with_driver(directory, &[], &[]);
        let config = json!({"root": {"path": "rootfs"}, "mounts": mounts});
        bundle.config(&config.to_string());
        assert_eq!(cached(&bundle), "");
    }
}
