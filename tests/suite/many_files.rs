//! Directories of the host in which somebody left more than any host needs: `info` and `doctor` end, within their memory, and name
//! what they did not look at.

use std::process::Stdio;

use serde_json::Value;

use crate::common::bundle::{Bundle, end};
use crate::common::machine::{has, hostile_cases};
use crate::common::outcome::Outcome;
use crate::common::wrapper::Meter;

const CDI: &str = "etc/cdi";
const HOOKS: &str = "etc/containers/oci/hooks.d";
/// The largest peak of memory, in KiB.
const MOST: u64 = 192 << 10;

fn run(host: &Bundle, command: &str) -> Outcome {
    let meter = Meter::new(host);
    let root = host.root();
    let words_after = [command, "--json", "--root", root.to_str().unwrap()];
    let mut command = host.command(&meter.before(), "nvidia-ctk", &words_after);
    let ran = end(command.stdin(Stdio::null()).spawn().unwrap());
    let peak = meter.read().peak;
    assert!(peak <= MOST, "{words_after:?}: {peak} KiB");
    ran
}

/// What doctor says of this kind, by its code; `info` must end as well.
fn findings(host: &Bundle, code: &str) -> Vec<String> {
    assert_eq!(run(host, "info").code, 0);
    let ran = run(host, "doctor");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |it: &Value| it["finding"].as_str().unwrap().to_owned();
    findings.filter(|it| it["code"] == code).map(text).collect()
}

/// Something small, again and again, up to a size.
fn fill(start: &str, piece: impl Fn(usize) -> String, end: &str, size: usize) -> String {
    let mut text = start.to_owned();
    let mut count = 0;
    while text.len() < size {
        text.push_str(&piece(count));
        count += 1;
    }
    text + end
}

fn json_spec(number: usize, piece: &str, size: usize) -> String {
    let start = format!(
        r#"{{"cdiVersion": "0.5.0", "kind": "x.com/c{number}", "devices": [{{"name": "a"}}], {piece}"#
    );
    let (_, again) = piece.split_once('[').unwrap();
    let end = if piece.contains("Edits") { "]}}" } else { "]}" };
    fill(&start, |_| format!(",{again}"), end, size)
}

fn yaml_spec(number: usize, piece: &str, size: usize) -> String {
    let start = format!("cdiVersion: 0.5.0\nkind: x.com/c{number}\ndevices: [{{name: a}}]\nx: [a");
    fill(&start, |_| format!(",{piece}"), "]\n", size)
}

const MIB: usize = 1 << 20;

#[test]
fn specs_are_read_up_to_a_sum() {
    if !has(&["gcc"]) {
        return;
    }
    let host = Bundle::new();
    let spec = |number| json_spec(number, r#""x": [{"":1}"#, MIB - 100);
    for number in 10..41 {
        host.file(format!("{CDI}/{number}.json"), spec(number));
    }
    host.file(format!("{CDI}/50.json"), json_spec(50, r#""x": [1"#, 100));
    let left_out = findings(&host, "cdi-spec-left-out");
    // Eight of the large ones, and the small one.
    assert_eq!(left_out.len(), 31 - 8, "{left_out:?}");
    for (number, finding) in (18..41).zip(&left_out) {
        let start = format!("/{CDI}/{number}.json: such files may have at most 8388608 bytes");
        assert!(finding.starts_with(&start), "{finding}");
    }
    hostile_cases(31);
}

#[test]
fn one_spec_is_read_up_to_a_size_and_a_number_of_values() {
    if !has(&["gcc"]) {
        return;
    }
    for (name, text, reason) in [
        (
            "a.json",
            json_spec(1, r#""x": [{"":1}"#, 4 * MIB),
            "larger than 1048576 bytes",
        ),
        (
            "a.yaml",
            yaml_spec(1, "a", 4 * MIB),
            "larger than 1048576 bytes",
        ),
        (
            "a.json",
            json_spec(
                1,
                r#""containerEdits": {"deviceNodes": [{"path":""}"#,
                MIB - 100,
            ),
            "more than 65536 devices and edits",
        ),
        (
            "a.json",
            json_spec(1, r#""containerEdits": {"hooks": [{"path":""}"#, MIB - 100),
            "more than 65536 devices and edits",
        ),
    ] {
        let host = Bundle::new();
        host.file(format!("{CDI}/{name}"), text);
        let left_out = findings(&host, "cdi-spec-left-out");
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert!(left_out[0].contains(reason), "{left_out:?}");
    }
    for piece in ["a", "{a}", "{a: {b}}", "[]"] {
        let host = Bundle::new();
        host.file(format!("{CDI}/a.yaml"), yaml_spec(1, piece, MIB - 100));
        let invalid = findings(&host, "cdi-spec-invalid");
        assert!(
            invalid.len() == 1 && invalid[0].contains("too many values for a spec"),
            "{invalid:?}"
        );
    }
    hostile_cases(8);
}

#[test]
fn hooks_are_read_up_to_a_sum() {
    if !has(&["gcc"]) {
        return;
    }
    let host = Bundle::new();
    for number in 10..30 {
        let path = "/a".repeat(MIB / 2 - 50);
        let text = format!(r#"{{"version": "1.0.0", "hook": {{"path": "{path}"}}, "stages": []}}"#);
        host.file(format!("{HOOKS}/{number}.json"), text);
    }
    let left_out = findings(&host, "hooks-dir-left-out");
    assert_eq!(left_out.len(), 20 - 8, "{left_out:.1000?}");
    hostile_cases(20);
}

/// A directory whose names alone are too many is no empty one.
#[test]
fn a_directory_that_is_too_long_is_named() {
    if !has(&["gcc"]) {
        return;
    }
    let host = Bundle::new();
    host.file("usr/bin/crio", "").directory(CDI);
    for number in 0..16_000 {
        let name = format!("{CDI}/{number:0>240}.json");
        std::fs::write(host.at(name), "").unwrap();
    }
    for (directory, code) in [
        (CDI, "cdi-spec-left-out"),
        (HOOKS, "hooks-dir-left-out"),
        ("etc/crio/crio.conf.d", "engine-config-left-out"),
    ] {
        if directory != CDI {
            host.link(directory, format!("/{CDI}"));
        }
        let left_out = findings(&host, code);
        assert_eq!(left_out.len(), 1, "{code}");
        let start = format!("/{directory}: the names in this directory take more than");
        assert!(left_out[0].starts_with(&start), "{left_out:?}");
    }
    hostile_cases(3);
}

#[test]
fn configurations_of_engines_are_read_up_to_a_sum() {
    if !has(&["gcc"]) {
        return;
    }
    let large = |size| fill("a = [1", |_| ",1".to_owned(), "]\n", size);
    for (path, text) in [
        ("etc/docker/daemon.json", "{}".to_owned() + &" ".repeat(MIB)),
        ("etc/containerd/config.toml", large(4 * MIB)),
        ("etc/crio/crio.conf", large(4 * MIB)),
    ] {
        let host = Bundle::new();
        host.file(path, text);
        let left_out = findings(&host, "engine-config-left-out");
        assert!(
            left_out.len() == 1 && left_out[0].starts_with(&format!("/{path}: larger than")),
            "{left_out:?}"
        );
    }
    for (folder, config, text) in [
        (
            "etc/containerd/conf.d",
            "etc/containerd/config.toml",
            "imports = ['conf.d/*.toml']\n",
        ),
        ("etc/crio/crio.conf.d", "etc/crio/crio.conf", ""),
    ] {
        let host = Bundle::new();
        host.file(config, text);
        for number in 10..30 {
            let text = if number == 10 {
                large(MIB / 2 - 100)
            } else {
                "#".repeat(MIB / 2 - 100)
            };
            host.file(format!("{folder}/{number}.toml"), text);
        }
        let left_out = findings(&host, "engine-config-left-out");
        let start = format!("/{folder}/14.toml: such files may have at most 2097152 bytes");
        assert!(
            left_out.len() == 1 && left_out[0].starts_with(&start),
            "{left_out:?}"
        );
    }
    hostile_cases(5);
}

/// Patterns that match nothing cost a listing each.
#[test]
fn imports_of_a_configuration_are_counted() {
    if !has(&["gcc"]) {
        return;
    }
    let host = Bundle::new();
    let patterns = fill(
        "imports = ['x'",
        |_| ",'conf.d/*.toml'".to_owned(),
        "]\n",
        MIB / 2 - 100,
    );
    host.file("etc/containerd/config.toml", patterns);
    host.directory("etc/containerd/conf.d");
    for number in 0..10_000 {
        std::fs::write(host.at(format!("etc/containerd/conf.d/{number}")), "").unwrap();
    }
    let left_out = findings(&host, "engine-config-left-out");
    assert!(
        left_out.len() == 1 && left_out[0].contains("more than 256 imports"),
        "{left_out:?}"
    );
    hostile_cases(1);
}
