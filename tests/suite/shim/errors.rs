//! Errors come once on standard error and once in the log that the engine reads.

use std::fs;

use serde_json::{Value, json};

use crate::common::outcome::Outcome;
use crate::common::shim::{RUNTIME, Shim, spec};
use crate::common::wrapper::words;

/// A container that asks for a device that nobody has.
fn failing() -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["0"]))
        .variables(&["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=nope"]);
    shim
}

#[track_caller]
fn once(outcome: &Outcome) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    for part in ["level=error", "msg=", "nvidia.com/gpu=nope"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
}

#[test]
fn json() {
    for options in [
        &["--log", "@SHIM@/l", "--log-format", "json"][..],
        &["--log=@SHIM@/l", "--log-format=json"],
        &["--log-format", "json", "--log", "@SHIM@/l"],
        &["-log", "@SHIM@/l", "-log-format=json"],
    ] {
        let shim = failing();
        once(&shim.run(&[options, &["create", "c1"]].concat()));
        let text = fs::read_to_string(shim.at("l")).unwrap();
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "error", "{text}");
        assert!(
            line["msg"]
                .as_str()
                .unwrap()
                .contains("nvidia.com/gpu=nope"),
            "{text}"
        );
        let time = line["time"].as_str().unwrap();
        let shape: String = time
            .chars()
            .map(|it| if it.is_ascii_digit() { '0' } else { it })
            .collect();
        assert!(shape.starts_with("0000-00-00T00:00:00"), "{time}");
        assert!(shape.ends_with('Z') || shape.ends_with("00:00"), "{time}");
    }
}

/// Engines show the message as it is, on terminals too.
#[test]
fn control_characters_of_a_container_are_escaped() {
    let shim = Shim::new();
    shim.variables(&["NVIDIA_VISIBLE_DEVICES=0\u{1b}[2J\nnone\u{202e}"]);
    let message = shim.refused();
    assert!(message.contains(r"0\u{1b}[2J\nnone\u{202e}"), "{message}");
    assert!(!message.contains(['\u{1b}', '\n', '\u{202e}']), "{message}");
}

/// runc's own default, and what CRI-O and people see.
#[test]
fn text() {
    for options in [
        &["--log", "@SHIM@/l"][..],
        &["--log-format", "text", "--log", "@SHIM@/l"],
    ] {
        let shim = failing();
        once(&shim.run(&[options, &["create", "c1"]].concat()));
        let text = fs::read_to_string(shim.at("l")).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["time=\"", "level=error", "msg=\"", "nvidia.com/gpu=nope"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn without_a_log() {
    let shim = failing();
    once(&shim.run(&["create", "c1"]));
    once(&shim.run(&["--log-format", "json", "create", "c1"]));
    let names: Vec<_> = fs::read_dir(shim.at("bundle")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

/// What an engine wrote before stays; lines of others are none of our affair.
#[test]
fn the_log_is_appended_to() {
    let shim = failing();
    let old = "{\"level\":\"warning\",\"msg\":\"of runc\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
    shim.file("log.json", old);
    once(&shim.create());
    let text = fs::read_to_string(shim.at("log.json")).unwrap();
    assert!(text.starts_with(old), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

/// A log that cannot be written is no reason to fail, nor to say more than the error.
#[test]
fn logs_that_cannot_be_written() {
    for log in [
        "/proc/nope/log",
        "@SHIM@",
        "/dev/full",
        "@SHIM@/config.toml/log",
    ] {
        let shim = failing();
        once(&shim.run(&["--log", log, "--log-format", "json", "create", "c1"]));
        shim.variables(&["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=0"]);
        shim.run(&["--log", log, "create", "c1"]).silent();
        shim.run(&["--log", log, "state", "c1"]).silent();
    }
    // A FIFO that nobody reads must not stop the container.
    let shim = failing();
    let fifo = shim.at("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    once(&shim.run(&["--log", "@SHIM@/fifo", "create", "c1"]));
}

/// A file descriptor that the engine hands over, as crun's and podman's callers do.
#[test]
fn a_standard_error_that_is_closed() {
    let shim = failing();
    let before = words(&["sh", "-c", "exec \"$@\" 2>&-", "sh"]);
    let outcome = shim.create_in(&before);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(shim.log("error").len(), 1);
}

/// Names in a message cannot forge a line of their own.
#[test]
fn odd_names_in_messages() {
    for name in [
        "a\nlevel=error msg=\"x\"",
        "\u{1b}[31m",
        "\"",
        "\\",
        "\u{2028}",
        "\u{202e}",
    ] {
        let shim = failing();
        shim.variables(&[&format!("NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu={name}")]);
        let outcome = shim.create();
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(
            !outcome.stderr.contains(['\u{1b}', '\u{202e}']),
            "{outcome:?}"
        );
        assert_eq!(shim.log("error").len(), 1);
    }
}

/// The container id and the bundle help to find the container.
#[test]
fn what_helps() {
    let shim = failing();
    let message = shim.refused();
    assert!(message.contains("nvidia.com/gpu=nope"), "{message}");
    assert!(message.contains(&shim.inside("etc")), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    // The devices that there are.
    assert!(message.contains("nvidia.com/gpu=0"), "{message}");
}

/// Success says nothing; a warning goes to the log alone, where engines look for it, not to standard error, which CRI-O reads as an
/// answer.
#[test]
fn warnings() {
    let shim = failing();
    let refuse = "accept-nvidia-visible-devices-envvar-when-unprivileged = false";
    shim.settings_with(refuse, "");
    let outcome = shim.create();
    assert!(outcome.success(), "{outcome:?}");
    outcome.silent();
    assert_eq!(shim.log("warning").len(), 1);
    assert_eq!(shim.log("error"), [""; 0]);
    assert_eq!(shim.log("info"), [""; 0]);
}

/// `nvidia-container-runtime.debug` names a log of its own.
#[test]
fn the_debug_file() {
    let shim = failing();
    shim.settings(
        &crate::common::shim::SETTINGS
            .replace("runtimes =", "debug = \"@SHIM@/debug.log\"\nruntimes ="),
    );
    once(&shim.create());
    let text = fs::read_to_string(shim.at("debug.log")).unwrap();
    assert_eq!(text.matches("nvidia.com/gpu=nope").count(), 1, "{text}");
    assert_eq!(shim.log("error").len(), 1);
}

/// CRI-O asks for the version and the features with both streams in one.
#[test]
fn answers_are_the_low_level_runtimes() {
    let shim = failing();
    let script = "#!/bin/sh\necho '{\"ociVersionMin\":\"1.0.0\"}'\n";
    crate::common::machine::write_program(&shim.at("bin/runc"), script);
    let expected = json!({"ociVersionMin": "1.0.0"});
    for line in [&["features"][..], &["--version"]] {
        let outcome = shim.run_as(RUNTIME, &[], line);
        assert!(
            outcome.success() && outcome.stderr.is_empty(),
            "{outcome:?}"
        );
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(answer, expected, "{line:?}");
    }
}
