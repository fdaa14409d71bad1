//! Which low-level runtime is started.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::common::machine::{binary, copy_program, missing, not_root, skip};
use crate::common::shim::{RUNTIME, Shim};
use crate::common::wrapper::words;

/// Settings with this list.
fn listed(runtimes: &str) -> Shim {
    let shim = Shim::new();
    list(&shim, runtimes);
    shim
}

fn list(shim: &Shim, runtimes: &str) {
    shim.settings(&format!(
        "[nvidia-container-runtime]\nruntimes = [{runtimes}]\n"
    ));
}

/// The path of the program that is started, and its name for itself.
#[track_caller]
fn started(shim: &Shim, folder: &str, before: &[OsString]) -> String {
    let outcome = shim.run_as(RUNTIME, before, &["state", "c1"]);
    assert!(outcome.success(), "{outcome:?}");
    outcome.silent();
    let call = shim.calls_of(folder).pop().expect("a start");
    call.argv[0].to_string_lossy().into_owned()
}

/// Nothing is started; the message names these.
#[track_caller]
fn refuses(shim: &Shim, parts: &[&str]) {
    for words in [&["state", "c1"][..], &["create", "c1"], &["--version"]] {
        let outcome = shim.run(words);
        assert_eq!(outcome.code, 1, "{words:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{words:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        for part in parts {
            let part = shim.expand(part);
            assert!(outcome.stderr.contains(&part), "{part}: {outcome:?}");
        }
        assert!(shim.calls().is_empty(), "{words:?}");
    }
}

#[test]
fn the_first_of_the_list_that_is_there() {
    let shim = Shim::new();
    shim.low_level("bin/crun");
    shim.low_level("other/youki");
    fs::create_dir(shim.at("folder")).unwrap();
    shim.file("plain", "text");
    let bin = shim.inside("bin");
    for (runtimes, folder, program) in [
        (
            "\"@BIN@/runc\", \"@BIN@/crun\"",
            "bin",
            format!("{bin}/runc"),
        ),
        (
            "\"@BIN@/crun\", \"@BIN@/runc\"",
            "bin",
            format!("{bin}/crun"),
        ),
        ("\"crun\", \"runc\"", "bin", format!("{bin}/crun")),
        (
            "\"nope-of-no-host\", \"runc\"",
            "bin",
            format!("{bin}/runc"),
        ),
        ("\"/nowhere/runc\", \"runc\"", "bin", format!("{bin}/runc")),
        ("\"@SHIM@/folder\", \"runc\"", "bin", format!("{bin}/runc")),
        ("\"@SHIM@/plain\", \"runc\"", "bin", format!("{bin}/runc")),
        ("\"/dev/null\", \"runc\"", "bin", format!("{bin}/runc")),
        (
            "\"@SHIM@/other/youki\", \"runc\"",
            "other",
            shim.inside("other/youki"),
        ),
        ("\"\", \"runc\"", "bin", format!("{bin}/runc")),
    ] {
        list(&shim, runtimes);
        assert_eq!(started(&shim, folder, &[]), program, "{runtimes}");
    }
}

/// A link keeps its name: podman's `crun-wasm` is one.
#[test]
fn links_are_not_resolved() {
    let shim = listed("\"@SHIM@/other/link\"");
    fs::create_dir(shim.at("other")).unwrap();
    symlink("../bin/runc", shim.at("other/link")).unwrap();
    assert_eq!(started(&shim, "bin", &[]), shim.inside("other/link"));
}

/// Without a list: runc, then crun.
#[test]
fn the_default_list() {
    for settings in ["", "[nvidia-container-runtime]\nmode = \"auto\"\n"] {
        let shim = Shim::new();
        shim.low_level("bin/crun");
        shim.settings(settings);
        assert_eq!(started(&shim, "bin", &[]), shim.inside("bin/runc"));
    }
    let shim = Shim::new();
    fs::remove_file(shim.at("config.toml")).unwrap();
    assert_eq!(started(&shim, "bin", &[]), shim.inside("bin/runc"));
}

/// Engines may start it with an empty environment.
#[test]
fn without_a_path() {
    let shim = listed("\"@BIN@/runc\"");
    let settings = format!("NVIDIA_CTK_CONFIG_FILE_PATH={}", shim.inside("config.toml"));
    let bare = words(&["env", "-i", &settings]);
    assert_eq!(started(&shim, "bin", &bare), shim.inside("bin/runc"));
    // Then by name in the usual directories.
    if missing(&["/usr/sbin/runc"]).is_some() && missing(&["/usr/bin/runc"]).is_some() {
        skip("there is no runc of this machine");
        return;
    }
    list(&shim, "\"runc\"");
    let outcome = shim.run_as(RUNTIME, &bare, &["--version"]);
    assert!(outcome.stdout.starts_with("runc version"), "{outcome:?}");
}

/// What a container's image or an engine's working directory holds is never started.
#[test]
fn relative_paths_are_refused() {
    for runtimes in [
        "\"./runc\"",
        "\"bin/runc\"",
        "\"../bin/runc\"",
        "\"sub/../runc\"",
    ] {
        let shim = listed(runtimes);
        shim.low_level("bundle/runc");
        shim.low_level("bundle/bin/runc");
        fs::create_dir(shim.at("bundle/sub")).unwrap();
        refuses(&shim, &[runtimes.trim_matches('"')]);
        for folder in ["bundle", "bundle/bin"] {
            assert!(shim.calls_of(folder).is_empty(), "{runtimes}");
        }
    }
    let shim = listed("\"runc\"");
    shim.low_level("bundle/runc");
    let bin = shim.inside("bin");
    for path in [
        format!(".:{bin}"),
        format!(":{bin}"),
        format!("../bundle:{bin}"),
        format!("{bin}:"),
    ] {
        let before = words(&["/usr/bin/env", &format!("PATH={path}")]);
        assert_eq!(
            started(&shim, "bin", &before),
            format!("{bin}/runc"),
            "{path}"
        );
        assert!(shim.calls_of("bundle").is_empty(), "{path}");
    }
}

/// Installed as `runc`, it would start itself for ever.
#[test]
fn never_itself() {
    let shim = Shim::new();
    fs::create_dir(shim.at("self")).unwrap();
    symlink("../bin/nvidia-ctk", shim.at("self/link")).unwrap();
    symlink("../bin/nvidia-container-runtime", shim.at("self/runc")).unwrap();
    let mut names = vec!["link", "runc"];
    if fs::hard_link(binary(), shim.at("self/crun")).is_ok() {
        names.push("crun");
    }
    for name in names {
        let path = format!("@SHIM@/self/{name}");
        list(&shim, &format!("\"{path}\""));
        refuses(&shim, &[&path]);
        list(&shim, &format!("\"{path}\", \"@BIN@/runc\""));
        assert_eq!(
            started(&shim, "bin", &[]),
            shim.inside("bin/runc"),
            "{name}"
        );
        fs::remove_dir_all(shim.at("bin/calls")).unwrap();
        fs::create_dir(shim.at("bin/calls")).unwrap();
    }
    // The first of that name in PATH is itself, the next one is not.
    list(&shim, "\"runc\"");
    let path = format!("PATH={}:{}", shim.inside("self"), shim.inside("bin"));
    let before = words(&["/usr/bin/env", &path]);
    assert_eq!(started(&shim, "bin", &before), shim.inside("bin/runc"));
}

#[test]
fn none_of_the_list_is_there() {
    let shim = listed("\"nope-of-no-host\", \"@SHIM@/nowhere/alsono\"");
    refuses(&shim, &["nope-of-no-host", "@SHIM@/nowhere/alsono"]);
    refuses(&listed(""), &["runtimes"]);
}

/// A program that cannot be run after all: the error says so.
#[test]
fn a_program_that_does_not_start() {
    let shim = listed("\"@SHIM@/text\"");
    shim.file("text", "no program");
    fs::set_permissions(shim.at("text"), fs::Permissions::from_mode(0o755)).unwrap();
    refuses(&shim, &["@SHIM@/text"]);
}

/// podman's monitor makes a container, and podman itself starts and kills it: both have to reach the same runtime.
#[test]
fn it_is_the_same_whoever_calls() {
    if not_root().is_some() {
        return;
    }
    let shim = listed("\"runc\", \"crun\"");
    shim.low_level("bin/crun");
    // A parent of that name that waits for its child.
    fs::create_dir(shim.at("parent")).unwrap();
    let timeout = ["/usr/bin/timeout", "/bin/timeout"];
    let timeout = timeout.iter().find(|it| fs::exists(it).unwrap()).unwrap();
    for name in ["conmon", "podman", "containerd-shim"] {
        let parent = format!("parent/{name}");
        copy_program(timeout.as_ref(), &shim.at(&parent));
        let below = words(&[&shim.inside(&parent), "60"]);
        assert_eq!(
            started(&shim, "bin", &below),
            shim.inside("bin/runc"),
            "{name}"
        );
    }
}
