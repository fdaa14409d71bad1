//! Modes for other devices than GPUs, for managers, Jetson and Windows.

use super::{common, device, generate, hooks, mounts, names, nodes, refuses, spec, texts, values};
use crate::common::gpu_host::{GpuHost, LIBRARIES};
use crate::common::host::Host;
use crate::platforms::tree;

/// A host with the devices of all modes.
fn host() -> Option<GpuHost> {
    let host = GpuHost::of("full-mig.yaml")?;
    for (path, major) in [
        ("/dev/nvidia-fs0", 240),
        ("/dev/nvidia-fs1", 240),
        ("/dev/gdrdrv", 241),
        ("/dev/infiniband/rdma_cm", 10),
        ("/dev/infiniband/uverbs0", 231),
        ("/dev/infiniband/uverbs1", 231),
        ("/dev/infiniband/issm0", 231),
        ("/dev/nvidia-nvswitchctl", 234),
        ("/dev/nvidia-nvswitch0", 234),
        ("/dev/nvidia-nvlink", 235),
        ("/dev/nvidia-caps-imex-channels/channel0", 242),
        ("/dev/nvidia-caps-imex-channels/channel1", 242),
        ("/dev/nvidia-caps-imex-channels/channel2047", 242),
    ] {
        let channel = path.split_once("/channel").map(|(_, number)| number);
        let minor = channel.map_or(7, |number| number.parse().unwrap());
        host.node(path, (major, minor), 0o666, 0);
    }
    host.directory("/run/udev").file("/etc/cufile.json", "{}");
    Some(host)
}

/// The only device of a mode.
#[track_caller]
fn only(host: &Host, mode: &str) -> (Vec<String>, Vec<String>) {
    let spec = spec(host, &format!("--mode {mode}"));
    assert_eq!(names(&spec), ["all"], "{mode}");
    assert_eq!(spec.value["kind"], "nvidia.com/gpu", "{mode}");
    assert_eq!(
        texts(&common(&spec)["env"]),
        ["NVIDIA_VISIBLE_DEVICES=void"],
        "{mode}"
    );
    assert_eq!(hooks(common(&spec)), [[""; 0]; 0], "{mode}");
    let device = device(&spec, "all");
    let mounts = mounts(device).into_iter().map(|(host, container)| {
        assert_eq!(host, container, "{mode}");
        host.to_owned()
    });
    (nodes(device), mounts.collect())
}

#[test]
fn devices_beside_gpus() {
    let Some(host) = host() else { return };
    for (mode, nodes, mounts) in [
        (
            "gds",
            vec!["/dev/nvidia-fs0", "/dev/nvidia-fs1"],
            vec!["/etc/cufile.json", "/run/udev"],
        ),
        ("gdrcopy", vec!["/dev/gdrdrv"], vec![]),
        (
            "mofed",
            vec![
                "/dev/infiniband/rdma_cm",
                "/dev/infiniband/uverbs0",
                "/dev/infiniband/uverbs1",
            ],
            vec![],
        ),
        (
            "nvswitch",
            vec!["/dev/nvidia-nvswitch0", "/dev/nvidia-nvswitchctl"],
            vec![],
        ),
    ] {
        let (found, mounted) = only(&host, mode);
        assert_eq!(found, nodes, "{mode}");
        assert_eq!(mounted, mounts, "{mode}");
        let upper = mode.to_uppercase();
        assert_eq!(only(&host, &upper).0, nodes, "{upper}");
    }
    refuses(&host, "--mode x", &["x"]);
}

#[test]
fn devices_that_are_not_there() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    for (mode, word) in [
        ("gds", "nvidia-fs"),
        ("gdrcopy", "gdrdrv"),
        ("mofed", "infiniband"),
        ("nvswitch", "nvswitch"),
        ("imex", "imex"),
        ("wsl", "dxg"),
        ("csv", "csv"),
    ] {
        refuses(&host, &format!("--mode {mode}"), &[word]);
    }
}

#[test]
fn channels_of_imex() {
    let Some(host) = host() else { return };
    let printed = spec(&host, "--mode imex");
    assert_eq!(names(&printed), ["0", "1", "2047", "all"]);
    let path = |name: &str| format!("/dev/nvidia-caps-imex-channels/channel{name}");
    for name in ["0", "1", "2047"] {
        let node = &device(&printed, name)["deviceNodes"][0];
        assert_eq!(node["path"], path(name).as_str());
        assert_eq!(node["hostPath"], path(name).as_str());
    }
    assert_eq!(nodes(device(&printed, "all")), ["0", "1", "2047"].map(path));
    host.node(&path("1"), (242, 0), 0o666, 0);
    assert_eq!(names(&spec(&host, "--mode imex")), ["0", "2047", "all"]);
    refuses(&host, "--mode imex --device-id 1", &["channel1"]);
    host.node(&path("1"), (242, 1), 0o666, 0);
    for id in ["1", "channel1"] {
        let printed = spec(&host, &format!("--mode imex --device-id {id}"));
        assert_eq!(names(&printed), ["1", "all"], "{id}");
    }
    let printed = spec(
        &host,
        "--mode imex --device-id 0,channel2047 --no-all-device",
    );
    assert_eq!(names(&printed), ["0", "2047"]);
    for (id, word) in [
        ("5", "5"),
        ("bogus", "bogus"),
        ("1048576", "1048575"),
        ("channel1048576", "1048575"),
    ] {
        refuses(&host, &format!("--mode imex --device-id {id}"), &[word]);
    }
}

#[test]
fn capabilities_of_mig() {
    let Some(host) = host() else { return };
    let printed = spec(&host, "--mode mig-caps");
    let found = |name: &str| nodes(device(&printed, name));
    assert_eq!(found("config"), ["/dev/nvidia-caps/nvidia-cap1"]);
    assert_eq!(found("monitor"), ["/dev/nvidia-caps/nvidia-cap2"]);
}

/// A manager gets all nodes, and of the driver what computes and administers.
#[test]
fn management() {
    let Some(host) = host() else { return };
    let printed = spec(&host, "--mode management --hooks separate");
    assert_eq!(names(&printed), ["all"]);
    let all = nodes(device(&printed, "all"));
    let caps = [1, 2, 12, 13, 48, 49, 50].map(|it| format!("/dev/nvidia-caps/nvidia-cap{it}"));
    let channels = [0, 1, 2047].map(|it| format!("/dev/nvidia-caps-imex-channels/channel{it}"));
    let others =
        ["0", "1", "-modeset", "-uvm", "-uvm-tools", "ctl"].map(|it| format!("/dev/nvidia{it}"));
    for path in caps.iter().chain(&channels).chain(&others) {
        assert_eq!(
            all.iter().filter(|it| *it == path).count(),
            1,
            "{path}: {all:?}"
        );
    }
    assert_eq!(
        all.len(),
        caps.len() + channels.len() + others.len(),
        "{all:?}"
    );
    let called: Vec<_> = hooks(common(&printed))
        .iter()
        .map(|words| words[1].to_owned())
        .collect();
    assert_eq!(
        called,
        ["create-symlinks", "enable-cuda-compat", "update-ldcache"]
    );
    let mounts = mounts(common(&printed));
    let has = |part: &str| mounts.iter().any(|(path, _)| path.contains(part));
    for part in [
        "libcuda.so.",
        "libnvidia-ml.so.",
        "/nvidia-smi",
        "gsp_ga10x.bin",
        "persistenced/socket",
    ] {
        assert!(has(part), "{part}: {mounts:?}");
    }
    for part in ["egl-gbm", "xorg", "nvidia_icd.json", "10_nvidia.json"] {
        assert!(!has(part), "{part}: {mounts:?}");
    }
    let printed = spec(&host, "--mode management");
    let hooks = hooks(common(&printed));
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    assert!(
        !hooks[0].contains(&"--disable-device-node-modification"),
        "{hooks:?}"
    );
}

#[test]
fn windows() {
    let Some(host) = tree("wsl") else { return };
    let store = "/usr/lib/wsl/drivers/nv_dispi.inf_amd64_c5b5db3e12daa5e3";
    for mode in ["", "--mode auto", "--mode wsl"] {
        let printed = spec(&host, &format!("{mode} --hooks separate"));
        assert_eq!(names(&printed), ["all"]);
        assert_eq!(nodes(device(&printed, "all")), ["/dev/dxg"]);
        assert_eq!(
            texts(&common(&printed)["env"]),
            ["NVIDIA_VISIBLE_DEVICES=void"]
        );
        let mounts: Vec<_> = mounts(common(&printed))
            .into_iter()
            .map(|it| it.0.to_owned())
            .collect();
        for name in [
            "libcuda.so.1.1",
            "libcuda_loader.so",
            "libnvdxgdmal.so.1",
            "libnvidia-ml.so.1",
            "libnvidia-ml_loader.so",
            "libnvidia-ptxjitcompiler.so.1",
            "nvcubins.bin",
            "nvidia-smi",
        ] {
            assert!(
                mounts.contains(&format!("{store}/{name}")),
                "{name}: {mounts:?}"
            );
        }
        assert!(
            mounts.contains(&"/usr/lib/wsl/lib/libdxcore.so".to_owned()),
            "{mounts:?}"
        );
        assert!(
            !printed.text.contains("0a1b2c3d4e5f6071"),
            "an older package"
        );
        let hooks = hooks(common(&printed));
        let called: Vec<_> = hooks.iter().map(|words| words[1]).collect();
        assert_eq!(called, ["create-symlinks", "update-ldcache"]);
        assert_eq!(
            values(&hooks[0], "--link"),
            [format!("{store}/nvidia-smi::/usr/bin/nvidia-smi")]
        );
        assert_eq!(values(&hooks[1], "--folder"), [store, "/usr/lib/wsl/lib"]);
    }
}

const CSV: &str = "/etc/nvidia-container-runtime/host-files-for-container.d";
const JETSON: &str = "/usr/lib/aarch64-linux-gnu";

/// A Jetson with the lists that its packages bring.
fn jetson() -> Option<Host> {
    let host = tree("jetson-36")?;
    host.file(
        format!("{CSV}/devices.csv"),
        "dev, /dev/nvhost-*\ndev, /dev/nvgpu/igpu0/*\ndev, /dev/nvmap\ndev, /dev/fb0\ndev,/dev/nvidia0\n",
    );
    host.file(
        format!("{CSV}/drivers.csv"),
        format!(
            "# a comment\n\nlib, {JETSON}/nvidia/libnvidia-ml.so.1\nlib,{JETSON}/nvidia/libcuda.so.1\n\
             lib, {JETSON}/nvidia/libnvidia-ptxjitcompiler.so.540.4.0\nsym, {JETSON}/libcuda.so\nlib, /gone.so\n\
             dir, /etc/tegra\nodd, /x\ndev,\n"
        ),
    );
    host.directory("/etc/tegra");
    Some(host)
}

#[test]
fn lists_of_jetson() {
    let Some(host) = jetson() else { return };
    for mode in ["", "--mode csv"] {
        let printed = spec(&host, &format!("{mode} --hooks separate"));
        assert_eq!(names(&printed), ["0", "all"], "{mode}");
        let mut found = nodes(device(&printed, "0"));
        found.sort();
        assert_eq!(
            found,
            [
                "/dev/nvgpu/igpu0/as",
                "/dev/nvgpu/igpu0/channel",
                "/dev/nvgpu/igpu0/ctrl",
                "/dev/nvgpu/igpu0/power",
                "/dev/nvgpu/igpu0/tsg",
                "/dev/nvhost-ctrl-gpu",
                "/dev/nvhost-gpu",
                "/dev/nvidia0",
                "/dev/nvmap",
            ]
        );
        let mounted = mounts(common(&printed));
        for path in [
            "nvidia/libcuda.so.1.1",
            "nvidia/libnvidia-ml.so.1",
            "nvidia/libnvidia-ptxjitcompiler.so.540.4.0",
        ] {
            let path = format!("{JETSON}/{path}");
            assert!(mounted.contains(&(&path, &path)), "{path}: {mounted:?}");
        }
        for path in ["/etc/tegra", "/etc/nv_tegra_release"] {
            assert!(mounted.contains(&(path, path)), "{path}: {mounted:?}");
        }
        let hooks = hooks(common(&printed));
        let called: Vec<_> = hooks.iter().map(|words| words[1]).collect();
        assert_eq!(called.last(), Some(&"update-ldcache"), "{called:?}");
        let links = values(&hooks[0], "--link");
        let link = format!("nvidia/libcuda.so::{JETSON}/libcuda.so");
        assert!(links.contains(&link.as_str()), "{links:?}");
        let folder = format!("{JETSON}/nvidia");
        assert!(values(&hooks[hooks.len() - 1], "--folder").contains(&folder.as_str()));
    }
}

#[test]
fn patterns_that_lists_are_freed_of() {
    let Some(host) = jetson() else { return };
    let link = format!("{JETSON}/libcuda.so");
    let text =
        |options: &str| generate(&host, &format!("--mode csv --hooks separate {options}")).stdout;
    assert!(text("").contains(&format!("::{link}\n")));
    for pattern in [link.as_str(), "**/libcuda.so"] {
        let text = text(&format!("--csv.ignore-pattern {pattern}"));
        assert!(
            !text.contains(&format!("nvidia/libcuda.so::{link}\n")),
            "{pattern}: {text}"
        );
    }
    host.file("/other.csv", "dev, /dev/nvmap\n");
    let printed = spec(&host, "--mode csv --csv.file @ROOT@/other.csv");
    assert_eq!(nodes(device(&printed, "0")), ["/dev/nvmap"]);
    refuses(&host, "--mode csv --device-id 0:0", &["0:0"]);
}

/// The mode for hosts with GPUs on the bus finds the same as `auto`.
#[test]
fn the_mode_of_servers() {
    let Some(host) = host() else { return };
    let auto = generate(&host, "");
    assert_eq!(auto.code, 0, "{auto:?}");
    for options in ["--mode auto", "--mode nvml", "--discovery-mode nvml"] {
        assert_eq!(generate(&host, options).stdout, auto.stdout, "{options}");
    }
    assert!(auto.stdout.contains(LIBRARIES));
}
