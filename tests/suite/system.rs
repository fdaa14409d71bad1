//! `nvidia-ctk system create-device-nodes` and `create-dev-char-symlinks`, with the /proc of a made-up host, whose /dev is a folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use nix::sys::stat::{major, minor};

use crate::common::host::Host;
use crate::common::machine::has;
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::{with_umask, words};

const CREATE: &str = "system create-device-nodes --control-devices --dev-root @ROOT@";
const LINK: &str =
    "system create-dev-char-symlinks --driver-root @ROOT@ --dev-char-path @ROOT@/dev/char";
const DEVICES: &str = "Character devices:\n  1 mem\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n508 nvidia-uvm\n\
    510 nvidia-caps\n\nBlock devices:\n  8 sd\n";
const PARAMS: &str = "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 44\n\
    DeviceFileMode: 432\n";
/// A capability: its file, number, mode, and whether its node may be made.
const CAPABILITIES: [(&str, u32, u32, u32); 5] = [
    ("mig/config", 1, 256, 1),
    ("mig/monitor", 2, 292, 1),
    ("gpu0/mig/gi1/access", 12, 292, 1),
    ("gpu0/mig/gi1/ci0/access", 13, 292, 1),
    ("gpu0/mig/gi2/access", 21, 292, 0),
];

/// A host with two GPUs, one of them divided, and an empty /dev.
fn host() -> Option<Host> {
    if !has(&["unshare", "mount", "mknod"]) {
        return None;
    }
    let host = Host::new();
    host.directory("dev")
        .file("proc/devices", DEVICES)
        .file("proc/driver/nvidia/params", PARAMS)
        .file(
            "proc/driver/nvidia-caps/mig-minors",
            "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu1/gi0/ci0/access 139\ngpu2/gi0/access 273\n",
        );
    for (path, minor, mode, modify) in CAPABILITIES {
        let text = format!(
            "DeviceFileMinor: {minor}\nDeviceFileMode: {mode}\nDeviceFileModify: {modify}\n"
        );
        host.file(format!("proc/driver/nvidia/capabilities/{path}"), text);
    }
    for address in ["0000:01:00.0", "0000:02:00.0"] {
        let device = format!("sys/bus/pci/devices/{address}");
        host.file(format!("{device}/vendor"), "0x10de\n")
            .file(format!("{device}/class"), "0x030200\n");
    }
    Some(host)
}

/// The words before a program that sees the host's /proc and /sys, after a script.
fn on(host: &Host, script: &str) -> Vec<OsString> {
    let script = format!(
        "set -e; root=$1 bin=$2; shift 2
        for path in /proc/driver /proc/devices /sys/bus/pci/devices; do mount --bind \"$root$path\" $path; done
        mount -t overlay -o lowerdir=\"$bin\":/usr/sbin overlay /usr/sbin
        {script}"
    );
    let unshare = ["unshare", "--mount", "--propagation=private"];
    let shell = ["sh", "-c", &script, "sh", "@ROOT@", "@BIN@"];
    let shell = shell.map(|word| host.expand(word));
    words(&[&unshare[..], &shell.each_ref().map(String::as_str)].concat())
}

fn run(host: &Host, line: &str) -> Outcome {
    host.run_in(&on(host, "exec \"$@\""), line)
}

/// Numbers, mode and group of each node in a folder of /dev.
fn nodes(host: &Host, folder: &str) -> Vec<String> {
    let folder = host.at(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let file = entry.metadata().unwrap();
        if file.file_type().is_char_device() {
            let name = entry.file_name().into_string().unwrap();
            let (major, minor) = (major(file.rdev()), minor(file.rdev()));
            let (mode, group) = (file.mode() & 0o7777, file.gid());
            found.push(format!("{name} {major}:{minor} {mode:o} {group}"));
        }
    }
    found.sort();
    found
}

#[test]
fn nodes_are_made_as_the_driver_says() {
    let Some(host) = host() else { return };
    let dry = run(&host, &format!("{CREATE} --dry-run"));
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    assert!(host.names("dev").is_empty());

    let before = [on(&host, "exec \"$@\""), with_umask("077")].concat();
    let ran = host.run_in(&before, CREATE);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        host.fold(&ran.stdout),
        "create @ROOT@/dev/nvidiactl c 195:255, mode 0660\n\
         create @ROOT@/dev/nvidia-modeset c 195:254, mode 0660\n\
         create @ROOT@/dev/nvidia-uvm c 508:0, mode 0660\n\
         create @ROOT@/dev/nvidia-uvm-tools c 508:1, mode 0660\n\
         create @ROOT@/dev/nvidia-caps/nvidia-cap1 c 510:1, mode 0400\n\
         create @ROOT@/dev/nvidia-caps/nvidia-cap2 c 510:2, mode 0444\n\
         create @ROOT@/dev/nvidia-caps/nvidia-cap12 c 510:12, mode 0444\n\
         create @ROOT@/dev/nvidia-caps/nvidia-cap13 c 510:13, mode 0444\n"
    );
    assert_eq!(dry.stdout, ran.stdout.replace("create ", "would create "));
    assert_eq!(
        nodes(&host, "dev"),
        [
            "nvidia-modeset 195:254 660 44",
            "nvidia-uvm 508:0 660 44",
            "nvidia-uvm-tools 508:1 660 44",
            "nvidiactl 195:255 660 44",
        ]
    );
    assert_eq!(
        nodes(&host, "dev/nvidia-caps"),
        [
            "nvidia-cap1 510:1 400 44",
            "nvidia-cap12 510:12 444 44",
            "nvidia-cap13 510:13 444 44",
            "nvidia-cap2 510:2 444 44",
        ]
    );
    assert_eq!(host.mode("dev/nvidia-caps"), 0o755);
    // What is right is left alone, whatever its mode is.
    host.set_mode("dev/nvidiactl", 0o600);
    let before = snapshot(&host.at("dev"));
    run(&host, CREATE).silent();
    assert_eq!(snapshot(&host.at("dev")), before);
}

#[test]
fn without_params_everybody_may_use_the_nodes() {
    let Some(host) = host() else { return };
    host.remove("proc/driver/nvidia/params").file(
        "proc/devices",
        "Character devices:\n195 nvidia-frontend\n508 nvidia-uvm\n510 nvidia-caps\n",
    );
    // The root of the driver is that of /dev as well, by any of its names.
    for (name, line) in [
        (
            "",
            "system create-device-nodes --control-devices --root @ROOT@",
        ),
        (
            "DRIVER_ROOT",
            "system create-device-nodes --control-devices",
        ),
        (
            "DEV_ROOT",
            "system create-device-nodes --control-devices --driver-root /nowhere",
        ),
    ] {
        let variable = host.expand(&format!("{name}=@ROOT@"));
        let mut before = on(&host, "exec \"$@\"");
        if !name.is_empty() {
            before.extend(words(&["env", &variable]));
        }
        let ran = host.run_in(&before, line);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line}");
        assert_eq!(nodes(&host, "dev")[3], "nvidiactl 195:255 666 0", "{line}");
        fs::remove_dir_all(host.at("dev")).unwrap();
        host.directory("dev");
    }
}

#[test]
fn what_is_another_device_is_named_and_kept() {
    let Some(host) = host() else { return };
    host.node("dev/nvidia-uvm", &["c", "509", "0"])
        .node("dev/nvidiactl", &["b", "195", "255"])
        .file("dev/nvidia-modeset", "mine")
        .link("dev/nvidia-caps", "../../outside")
        .link("dev/nvidia-uvm-tools", "nowhere");
    let before = snapshot(&host.at("dev"));
    for line in [format!("{CREATE} --dry-run"), CREATE.to_owned()] {
        let ran = run(&host, &line);
        assert_eq!(ran.code, 1, "{ran:?}");
        for part in [
            "/dev/nvidia-uvm: not created: it is the character device 509:0, but must be 508:0; remove it",
            "/dev/nvidiactl: not created: it is not a character device, but must be 195:255; remove it",
            "/dev/nvidia-modeset: not created: it is not a character device",
        ] {
            assert!(ran.stderr.contains(part), "{part}: {ran:?}");
        }
        if line != CREATE {
            assert_eq!(snapshot(&host.at("dev")), before);
            continue;
        }
        assert!(
            ran.stderr.contains("4 device nodes could not be created"),
            "{ran:?}"
        );
        assert!(
            ran.stderr
                .contains("/dev/nvidia-uvm-tools: not created: File exists"),
            "{ran:?}"
        );
    }
    assert_eq!(host.text("dev/nvidia-modeset"), "mine");
    assert_eq!(host.target("dev/nvidia-uvm-tools"), "nowhere");
    // A link that leads out of /dev leads to a place in it.
    assert_eq!(nodes(&host, "dev/outside").len(), 4);
    assert!(!host.at("outside").exists());
}

#[test]
fn what_keeps_nodes_from_being_made() {
    let Some(host) = host() else { return };
    host.file("proc/driver/nvidia/params", "ModifyDeviceFiles: 0\n");
    let ran = run(&host, CREATE);
    ran.warns(&["no device node is created: /proc/driver/nvidia/params has ModifyDeviceFiles: 0"]);
    host.file("proc/driver/nvidia/params", PARAMS);

    run(&host, "system create-device-nodes")
        .warns(&["nothing to do without --control-devices or --load-kernel-modules"]);
    run(
        &host,
        "system create-device-nodes --control-devices --dev-root @ROOT@/missing",
    )
    .fails(&["cannot open ", "/missing/dev: No such file or directory"]);
    run(&host, "system create-device-nodes extra").fails(&["does not take the argument 'extra'"]);
    assert!(host.names("dev").is_empty());

    host.file(
        "proc/devices",
        "Character devices:\n195 nvidia\n510 nvidia-caps\n",
    );
    let ran = run(&host, CREATE);
    assert_eq!(ran.code, 1);
    let missing = "/dev/nvidia-uvm-tools: not created: /proc/devices does not have its number: the module is not loaded";
    assert!(ran.stderr.contains(missing), "{ran:?}");
    assert_eq!(nodes(&host, "dev").len(), 2);

    for devices in [
        "",
        "Character devices:\n  1 mem\n\nBlock devices:\n195 nvidia\n",
    ] {
        host.file("proc/devices", devices);
        for line in [CREATE.to_owned(), format!("{CREATE} --dry-run")] {
            run(&host, &line).fails(&["no NVIDIA driver is in /proc/devices; 'modprobe nvidia'"]);
        }
    }
}

#[test]
fn modules_are_loaded_in_the_drivers_root() {
    let Some(host) = host() else { return };
    let log = host.expand("@ROOT@/ran");
    host.program("modprobe", &format!("echo modprobe $* >>'{log}'"));
    host.program("chroot", &format!("echo chroot $* >>'{log}'"));
    let load = "system create-device-nodes --load-kernel-modules";
    run(&host, load).silent();
    run(&host, &format!("{load} --driver-root @ROOT@")).silent();
    let modules = ["nvidia", "nvidia-uvm", "nvidia-modeset"];
    let here = modules.map(|module| format!("modprobe {module}\n"));
    let there =
        modules.map(|module| host.expand(&format!("chroot @ROOT@ /sbin/modprobe {module}\n")));
    assert_eq!(host.text("ran"), [here, there].concat().concat());

    // Before the modules are there nobody knows the numbers.
    host.remove("ran").file("proc/devices", "");
    let ran = run(&host, &format!("{load} --dry-run --control-devices"));
    assert_eq!(
        ran.stdout,
        modules
            .map(|module| format!("would run /sbin/modprobe {module}\n"))
            .concat()
    );
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.contains("no NVIDIA driver is in /proc/devices"),
        "{ran:?}"
    );
    assert_eq!(host.text("ran"), "");

    host.program("modprobe", "echo no such thing >&2; [ $1 = nvidia ]");
    let ran = run(&host, &format!("{load} --control-devices"));
    ran.fails(&[
        "cannot load the kernel module nvidia-uvm: /sbin/modprobe nvidia-uvm failed with exit status: 1: no such thing",
    ]);
    assert!(host.names("dev").is_empty());
}

/// A /dev with one GPU, two of its devices in folders, and what is no device.
fn with_nodes(host: &Host) {
    host.node("dev/nvidia0", &["c", "195", "0"])
        .node("dev/nvidia-uvm", &["c", "508", "0"])
        .directory("dev/nvidia-caps")
        .node("dev/nvidia-caps/nvidia-cap12", &["c", "510", "12"])
        .file("dev/nvidia-text", "")
        .node("dev/nvmap", &["c", "10", "60"])
        .node("dev/null", &["c", "1", "3"]);
}

#[test]
fn links_lead_to_the_nodes_that_are_there() {
    let Some(host) = host() else { return };
    let ran = run(&host, LINK);
    assert!(
        ran.success() && ran.stderr.contains("no NVIDIA devices in"),
        "{ran:?}"
    );
    assert!(!host.at("dev/char").exists());
    with_nodes(&host);
    let dry = run(&host, &format!("{LINK} --dry-run"));
    assert!(!host.at("dev/char").exists());
    let before = [on(&host, "exec \"$@\""), with_umask("077")].concat();
    let ran = host.run_in(&before, LINK);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        host.fold(&ran.stdout),
        "link @ROOT@/dev/char/195:0 -> @ROOT@/dev/nvidia0\n\
         link @ROOT@/dev/char/508:0 -> @ROOT@/dev/nvidia-uvm\n\
         link @ROOT@/dev/char/510:12 -> @ROOT@/dev/nvidia-caps/nvidia-cap12\n"
    );
    assert_eq!(dry.stdout, ran.stdout.replace("link ", "would link "));
    assert_eq!(host.names("dev/char"), ["195:0", "508:0", "510:12"]);
    assert_eq!(host.mode("dev/char"), 0o755);
    assert_eq!(
        host.target("dev/char/195:0"),
        host.expand("@ROOT@/dev/nvidia0")
    );

    // udev's links are relative. Others are replaced.
    host.remove("dev/char/195:0")
        .link("dev/char/195:0", "../nvidia0")
        .remove("dev/char/508:0")
        .link("dev/char/508:0", "../nvidia0")
        .remove("dev/char/510:12")
        .file("dev/char/510:12", "");
    let ran = run(&host, LINK);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 2), "{ran:?}");
    assert_eq!(host.target("dev/char/195:0"), "../nvidia0");
    let before = snapshot(&host.at("dev"));
    run(&host, LINK).silent();
    assert_eq!(snapshot(&host.at("dev")), before);

    host.remove("dev/char/508:0").directory("dev/char/508:0");
    run(&host, LINK).fails(&["cannot create the link ", "/dev/char/508:0: Is a directory"]);
}

#[test]
fn links_to_all_nodes_that_there_may_be() {
    let Some(host) = host() else { return };
    let all = format!("{LINK} --create-all");
    let ran = run(&host, &all);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let mut links = host.names("dev/char");
    links.sort();
    assert_eq!(
        links,
        [
            "195:0", "195:1", "195:254", "195:255", "508:0", "508:1", "510:1", "510:139", "510:2",
            "510:3"
        ]
    );
    run(&host, &all).silent();

    let ran = run(&host, &format!("{all} --create-device-nodes"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(nodes(&host, "dev").len(), 4);
    run(&host, &all).silent();

    host.file("sys/bus/pci/devices/0000:01:00.0/vendor", "0x8086\n")
        .file("sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n");
    let ran = run(&host, &all);
    assert!(
        ran.success() && ran.stderr.contains("no NVIDIA devices in"),
        "{ran:?}"
    );
    host.file("proc/devices", "");
    run(&host, &all).fails(&["no NVIDIA driver is in /proc/devices"]);
}

#[test]
fn options_of_links_that_go_together() {
    let Some(host) = host() else { return };
    for option in ["--create-all", "--dry-run"] {
        run(&host, &format!("{LINK} --watch {option}"))
            .fails(&["--watch excludes --create-all and --dry-run"]);
    }
    with_nodes(&host);
    let variables =
        "env WATCH=0 DRY_RUN=1 NVIDIA_DRIVER_ROOT=@ROOT@ DEV_CHAR_PATH=/c CREATE_DEVICE_NODES=1";
    let variables: Vec<_> = variables.split(' ').map(|it| host.expand(it)).collect();
    let variables: Vec<_> = variables.iter().map(String::as_str).collect();
    let before = [on(&host, "exec \"$@\""), words(&variables)].concat();
    let ran = host.run_in(&before, "system create-dev-char-symlinks");
    assert!(
        ran.stdout.starts_with("would link /c/195:0 -> ")
            && ran.stderr.contains("have no effect without --create-all"),
        "{ran:?}"
    );
    let ran = run(&host, &format!("{LINK} --load-kernel-modules"));
    assert!(
        ran.success() && ran.stderr.contains("have no effect without --create-all"),
        "{ran:?}"
    );
    host.file("proc/devices", "Character devices:\n195 nvidia\n");
    run(&host, &format!("{LINK} --create-all")).fails(&[
        "no link to ",
        "/dev/nvidia-uvm: /proc/devices does not have its number",
    ]);
    run(
        &host,
        "system create-dev-char-symlinks --driver-root @ROOT@/missing",
    )
    .fails(&[
        "cannot read the devices in ",
        "missing: No such file or directory",
    ]);
}

#[test]
fn a_watch_links_what_appears_until_it_is_ended() {
    for (signal, node) in [("TERM", "nvidia1"), ("INT", "null")] {
        let Some(host) = host() else { return };
        with_nodes(&host);
        host.node("dev/null1", &["c", "195", "1"]);
        let script = format!(
            "\"$@\" & pid=$!; cd \"$root/dev\"
            until [ -L char/510:12 ]; do sleep 0.02; done
            [ {node} = null ] || {{ mv null1 {node}; until [ -L char/195:1 ]; do sleep 0.02; done; }}
            kill -s {signal} $pid; wait $pid"
        );
        let ran = host.run_in(&on(&host, &script), &format!("{LINK} --watch"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
}
