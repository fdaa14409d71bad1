//! config.toml: where it lies, which keys count, and what a broken one stops.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::machine::{can_run, hostile_cases, must};
use crate::common::shim::{RUNTIME, SETTINGS, Shim, got, spec};
use crate::common::wrapper::words;

fn asking() -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["0"]))
        .variables(&["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=0"]);
    shim
}

/// Files that no reader should stumble over, and what they must say of it.
const BROKEN: [&str; 10] = [
    "[nvidia-container-runtime\n",
    "a = \n",
    "nvidia-container-runtime = 3\n",
    "[nvidia-container-runtime]\nruntimes = \"runc\"\n",
    "[nvidia-container-runtime]\nruntimes = [1]\n",
    "[nvidia-container-runtime]\nmode = \"bogus\"\n",
    "[nvidia-container-runtime]\nmode = 3\n",
    "[nvidia-container-runtime.modes.cdi]\nspec-dirs = \"/etc/cdi\"\n",
    "accept-nvidia-visible-devices-as-volume-mounts = \"maybe\"\n",
    "\u{0}",
];

/// A typo in the settings must not make containers unmanageable.
#[test]
fn a_broken_file_stops_gpu_containers_only() {
    hostile_cases(BROKEN.len());
    for text in BROKEN {
        let shim = asking();
        shim.settings(text);
        for words in [
            &["state", "c1"][..],
            &["kill", "c1", "9"],
            &["delete", "--force", "c1"],
            &["exec", "c1", "sh"],
            &["start", "c1"],
            &["features"],
            &["--version"],
        ] {
            let outcome = shim.run(words);
            assert!(outcome.success(), "{text}: {words:?}: {outcome:?}");
            outcome.silent();
            assert_eq!(shim.last().arguments(), words, "{text}");
        }
        let message = shim.refused();
        assert!(message.contains("config.toml"), "{text}: {message}");
        // Nor containers that ask for nothing.
        for variables in [&[][..], &["NVIDIA_VISIBLE_DEVICES=void"]] {
            shim.variables(variables);
            let before = shim.text();
            shim.created();
            assert_eq!(shim.text(), before, "{text}");
        }
    }
}

/// What is no regular file is not opened, and what is too large is not read.
#[test]
fn odd_files() {
    for kind in ["fifo", "folder", "zero", "large"] {
        let shim = asking();
        let path = shim.at("config.toml");
        fs::remove_file(&path).unwrap();
        match kind {
            "fifo" => must(std::process::Command::new("mkfifo").arg(&path)),
            "folder" => fs::create_dir(&path).unwrap(),
            "zero" => symlink("/dev/zero", &path).unwrap(),
            _ => fs::write(&path, "#".repeat(64 << 20)).unwrap(),
        }
        let outcome = shim.run(&["state", "c1"]);
        assert!(outcome.success(), "{kind}: {outcome:?}");
        outcome.silent();
        let message = shim.refused();
        assert!(message.contains("config.toml"), "{kind}: {message}");
    }
}

/// Keys that have nothing to do with this program, and those that nobody knows.
#[test]
fn unrelated_keys() {
    for line in [
        "unknown = 1",
        "[other]\nx = 1",
        "[nvidia-container-cli]\nldconfig = \"/sbin/ldconfig\"",
        "[nvidia-container-runtime-hook]\npath = 3",
        "[nvidia-ctk]\npath = \"/nowhere/nvidia-ctk\"",
    ] {
        let shim = asking();
        shim.settings(&format!("{SETTINGS}{line}\n"));
        if line.starts_with("unknown") {
            shim.settings_with(line, "");
        }
        assert_eq!(got(&shim.created()), ["0"], "{line}");
    }
    let shim = asking();
    shim.settings(&SETTINGS.replace("runtimes =", "log-level = \"bogus\"\nruntimes ="));
    assert_eq!(got(&shim.created()), ["0"]);
}

/// Modes say how a spec is built that no file has; files come first in all of them, and so with all names of the program.
#[test]
fn modes() {
    for mode in ["auto", "cdi", "jit-cdi", "legacy", "csv"] {
        for suffix in ["", ".cdi", ".legacy"] {
            let shim = asking();
            let mode = format!("mode = \"{mode}\"\nruntimes =");
            shim.settings(&SETTINGS.replace("runtimes =", &mode));
            let name = format!("{RUNTIME}{suffix}");
            let outcome = shim.run_as(&name, &[], &["create", "c1"]);
            assert!(outcome.success(), "{name}, {mode}: {outcome:?}");
            assert_eq!(got(&shim.last().config()), ["0"], "{name}, {mode}");
        }
    }
}

/// Where the file lies, in the order in which it is looked for.
#[test]
fn places() {
    let shim = asking();
    shim.low_level("xdg/runc");
    let xdg = "[nvidia-container-runtime]\nruntimes = [\"@SHIM@/xdg/runc\"]\n";
    shim.file(
        "home/nvidia-container-runtime/config.toml",
        &shim.expand(xdg),
    );
    let home = format!("XDG_CONFIG_HOME={}", shim.inside("home"));
    let unset = ["env", "-u", "NVIDIA_CTK_CONFIG_FILE_PATH", &home];
    shim.run_as(RUNTIME, &words(&unset), &["state", "c1"])
        .silent();
    assert_eq!(shim.calls_of("xdg").len(), 1);
    // The first of them wins.
    shim.run_as(RUNTIME, &words(&["env", &home]), &["state", "c1"])
        .silent();
    assert_eq!(shim.calls().len(), 1);
    if can_run(crate::common::machine::not_root()) {
        let script = format!(
            "mount -t tmpfs tmpfs /etc; mkdir /etc/nvidia-container-runtime; cp '{}' /etc/nvidia-container-runtime/; exec \"$@\"",
            shim.inside("home/nvidia-container-runtime/config.toml")
        );
        let before = words(&[
            "env",
            "-u",
            "NVIDIA_CTK_CONFIG_FILE_PATH",
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        shim.run_as(RUNTIME, &before, &["state", "c1"]).silent();
        assert_eq!(shim.calls_of("xdg").len(), 2);
    }
}
