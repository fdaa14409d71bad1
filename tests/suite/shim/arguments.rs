//! Which command lines create a container, and of which bundle.

use std::fs;

use crate::common::shim::{Call, RUNTIME, SETTINGS, Shim, config, got, spec};

/// A bundle whose container asks for a GPU that a spec has.
fn asking() -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["0"]))
        .variables(&["NVIDIA_VISIBLE_DEVICES=0"]);
    shim
}

/// Runs a command line whose words are parted by blanks, in the bundle. All words must arrive.
#[track_caller]
fn run(shim: &Shim, line: &str) -> Call {
    let words: Vec<_> = line.split_whitespace().collect();
    let outcome = shim.run(&words);
    assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
    outcome.silent();
    let call = shim.last();
    let expected: Vec<_> = words.iter().map(|word| shim.expand(word)).collect();
    assert_eq!(call.arguments(), expected, "{line}");
    call
}

#[test]
fn a_container_is_created() {
    for line in [
        "create c1",
        "create --bundle @SHIM@/bundle c1",
        "create --bundle=@SHIM@/bundle c1",
        "create -b @SHIM@/bundle c1",
        "create -b=@SHIM@/bundle c1",
        "create -bundle @SHIM@/bundle c1",
        "create c1 --bundle @SHIM@/bundle",
        "create --bundle ../bundle c1",
        "create --bundle /nowhere --bundle @SHIM@/bundle c1",
        "create --bundle @SHIM@/bundle --pid-file p --console-socket s --no-pivot --preserve-fds 3 c1",
        "create --bundle @SHIM@/bundle create",
        "create --bundle @SHIM@/bundle -- c1",
        "create --bundle @SHIM@/bundle -- --help",
        "--root @SHIM@/root --log @SHIM@/log.json --log-format json --systemd-cgroup create --bundle @SHIM@/bundle c1",
        "--root=@SHIM@/root --log=@SHIM@/log.json --debug create c1",
        "--root create create c1",
        "--log @SHIM@/create create c1",
        "--rootless auto create c1",
        "--rootless=true create c1",
        "--criu criu create c1",
        "--cgroup-manager systemd create c1",
        "--cgroup-manager=cgroupfs create c1",
        "--platform systrap create c1",
        "--platform=systrap --network none --debug-log /dev/null create c1",
        "--frob val create c1",
        "--frob=val create c1",
        "--frob create c1",
        "run c1",
        "--root @SHIM@/root run --bundle @SHIM@/bundle c1",
        "run --detach --keep -b @SHIM@/bundle c1",
    ] {
        let shim = asking();
        let config = run(&shim, line).config();
        assert_eq!(got(&config), ["0"], "{line}");
    }
}

/// The traps of whoever searches all words for `create`.
#[test]
fn other_commands_leave_config_json_alone() {
    for line in [
        "state create",
        "kill create KILL",
        "delete create",
        "delete --force create",
        "start create",
        "pause create",
        "ps create",
        "events create",
        "update --memory 1 create",
        "checkpoint create",
        "--root create state x",
        "--root create delete create",
        "--log @SHIM@/create state x",
        "--log-format json --log @SHIM@/log.json state create",
        "--cgroup-manager create state x",
        "exec c1 create",
        "exec --env A=1 c1 git create",
        "exec -e A=1 c1 create --bundle @SHIM@/bundle",
        "exec --cwd create c1 sh",
        "exec --process create c1",
        "features",
        "spec",
        "spec --bundle @SHIM@/bundle",
        "list",
        "--version",
        "-v",
        "--help",
        "help create",
        "--root @SHIM@/root --version",
        "frob create c1",
        "frob",
        "",
    ] {
        let shim = asking();
        let before = shim.text();
        let call = run(&shim, line);
        assert_eq!(shim.text(), before, "{line}");
        let bytes = call.bytes.unwrap_or_default();
        assert!(
            bytes.is_empty() || bytes == before.as_bytes(),
            "{line}: another config.json"
        );
    }
}

#[test]
fn bundles_with_odd_names() {
    for (folder, words) in [
        ("create", vec!["create", "-b", "create", "c1"]),
        ("create", vec!["create", "-b=create", "c1"]),
        ("=bar", vec!["create", "-b==bar", "c1"]),
        ("foo/=bar", vec!["create", "--bundle=foo/=bar", "c1"]),
        (
            "a b",
            vec!["--root", "x y", "create", "--bundle", "a b", "c1"],
        ),
        ("-b", vec!["create", "--bundle", "-b", "c1"]),
    ] {
        let shim = asking();
        let path = format!("bundle/{folder}/config.json");
        shim.file(&path, &config(&["NVIDIA_VISIBLE_DEVICES=0"]).to_string());
        let outer = shim.text();
        shim.run(&words).silent();
        assert_eq!(shim.last().arguments(), words);
        let text = fs::read_to_string(shim.at(&path)).unwrap();
        let edited = serde_json::from_str(&text).unwrap();
        assert_eq!(got(&edited), ["0"], "{words:?}");
        assert_eq!(shim.text(), outer, "{words:?}");
    }
}

/// `crun create -f FILE` reads another file than config.json.
#[test]
fn the_file_of_crun() {
    for words in [
        &["create", "-f", "@SHIM@/bundle/other.json", "c1"][..],
        &["create", "-f", "other.json", "c1"],
        &["create", "-fother.json", "c1"],
        &["create", "--config", "other.json", "c1"],
        &["create", "--config=other.json", "c1"],
        &[
            "create",
            "--bundle=@SHIM@/bundle",
            "--config=other.json",
            "c1",
        ],
        &["run", "--config=other.json", "c1"],
    ] {
        let shim = asking();
        shim.low_level("bin/crun");
        shim.settings(&SETTINGS.replace("/runc", "/crun"));
        shim.file("bundle/other.json", &shim.text());
        let before = shim.text();
        shim.run(words).silent();
        assert_eq!(shim.text(), before, "{words:?}");
        let text = fs::read_to_string(shim.at("bundle/other.json")).unwrap();
        let other = serde_json::from_str(&text).unwrap();
        assert_eq!(got(&other), ["0"], "{words:?}");
    }
}

#[test]
fn a_bundle_that_is_missing() {
    for words in [
        &["create", "--bundle", "@SHIM@/nowhere", "c1"][..],
        &["create", "--bundle", "@SHIM@/etc", "c1"],
    ] {
        let shim = asking();
        let outcome = shim.run(words);
        assert_eq!(outcome.code, 1, "{words:?}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(shim.calls().is_empty(), "{words:?}");
    }
}

/// The names of the toolkit's programs that do the same.
#[test]
fn all_names() {
    for suffix in ["", ".cdi", ".legacy"] {
        let shim = asking();
        let outcome = shim.run_as(&format!("{RUNTIME}{suffix}"), &[], &["create", "c1"]);
        assert!(outcome.success(), "{suffix}: {outcome:?}");
        outcome.silent();
        assert_eq!(got(&shim.last().config()), ["0"], "{suffix}");
    }
}
