//! Files that anybody may have left where specs are looked for: nothing waits, nothing grows, nothing ends badly.

use std::fs::File;
use std::os::unix::net::UnixListener;

use super::spec;
use crate::common::healthy::SPEC;
use crate::common::host::Host;
use crate::common::machine::{emulator, has, hostile_cases};
use crate::common::wrapper::words;

const ODD: &str = "/etc/cdi/odd.yaml";
/// Bytes of memory that a run may have, with those that the program takes before it reads anything.
const MEMORY: u64 = 128 << 20;
/// What an emulator reserves for the code that it translates.
const TRANSLATED: u64 = 1 << 30;

const LINES: [&str; 5] = [
    "cdi list --root @ROOT@",
    "cdi check --root @ROOT@",
    "cdi check --root @ROOT@ @ROOT@/etc/cdi/odd.yaml",
    "info --root @ROOT@",
    "doctor --root @ROOT@",
];

fn laughs() -> String {
    let start = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    (1..9).fold(start, |text, i| {
        text + &format!("l{i}: &l{i} [{}]\n", format!("*l{}, ", i - 1).repeat(10))
    })
}

/// A part of what is said of the file, and how it is made.
type Case = (&'static str, fn(&Host));

fn text(host: &Host, text: &str) {
    host.file(ODD, text);
}

const CASES: [Case; 20] = [
    ("too many values for a spec", |host| text(host, &laughs())),
    ("too many values for a spec", |host| {
        let long = "x".repeat(1 << 19);
        text(
            host,
            &format!("a: &x {long}\nb: [{}]\n", "*x,".repeat(1000)),
        );
    }),
    ("a value that contains it", |host| {
        text(host, "a: &x [*x]\n");
    }),
    ("merge keys", |host| text(host, "a: &x {}\nb: {<<: *x}\n")),
    ("tags", |host| text(host, "a: !!binary aGVsbG8=\n")),
    ("nested too deep", |host| {
        text(host, &format!("a: {}", "[".repeat(100)));
    }),
    ("", |host| text(host, &"[".repeat(1 << 20))),
    ("", |host| text(host, &"{a: ".repeat(1 << 18))),
    ("", |host| text(host, &"- ".repeat(1 << 19))),
    ("", |host| text(host, &"? ".repeat(1 << 19))),
    ("too many values for a spec", |host| {
        text(host, &format!("[{}]", "0,".repeat(500_000)));
    }),
    ("twice", |host| text(host, "kind: a/b\nkind: a/b\n")),
    ("invalid utf-8", |host| {
        host.file(ODD, b"\xff\xfe");
    }),
    ("not a regular file", |host| {
        host.node(ODD, &["p"]);
    }),
    ("not a regular file", |host| {
        host.directory("/etc/cdi");
        UnixListener::bind(host.at(ODD)).unwrap();
    }),
    ("larger than 1048576 bytes", |host| {
        host.directory("/etc/cdi");
        File::create(host.at(ODD))
            .unwrap()
            .set_len(100 << 20)
            .unwrap();
    }),
    ("os error 21", |host| {
        host.directory("/etc/cdi/odd.yaml");
    }),
    ("os error 40", |host| {
        host.link(ODD, "odd.yaml");
    }),
    ("os error 40", |host| {
        host.link(ODD, "b.yaml").link("/etc/cdi/b.yaml", "odd.yaml");
    }),
    ("os error 2)", |host| {
        host.link(ODD, "/nowhere");
    }),
];

#[test]
fn odd_files_are_told_and_no_more() {
    if !has(&["prlimit", "mknod"]) {
        return;
    }
    let beside = emulator().map_or(0, |_| TRANSLATED);
    let limit = format!("--data={}", MEMORY + beside);
    let before = words(&["prlimit", &limit]);
    hostile_cases(CASES.len());
    for (message, make) in CASES {
        let host = Host::new();
        host.file("/etc/cdi/good.yaml", spec("v.com/c", "x"));
        make(&host);
        for line in LINES {
            let outcome = host.run_in(&before, line);
            let said = outcome.stdout.clone() + &outcome.stderr;
            assert!(
                (0..=2).contains(&outcome.code),
                "{message}, {line}: {outcome:?}"
            );
            assert!(
                said.contains("odd.yaml") && said.contains(message),
                "{message}, {line}: {said:.1000}"
            );
            assert!(said.len() < 4000, "{message}, {line}: {} bytes", said.len());
        }
        let listed = host.run("cdi list --root @ROOT@");
        assert_eq!(
            (listed.code, listed.stdout.as_str()),
            (1, "v.com/c=x\n"),
            "{message}"
        );
    }
}

/// The CNCF's Go library ends with a panic at such a name.
#[test]
fn one_letter_is_enough() {
    let host = Host::new();
    host.file("/etc/cdi/a.yaml", spec("v/c", "d"));
    assert_eq!(host.succeed("cdi list --root @ROOT@").text(), "v/c=d\n");
    for kind in ["/", "v/", "/c", "v", "v/c/d", "1/c", "v/1", "-/c", "v/c-"] {
        host.file("/etc/cdi/a.yaml", spec(&format!("'{kind}'"), "d"));
        assert_eq!(host.run("cdi list --root @ROOT@").code, 1, "{kind}");
    }
    host.file("/etc/cdi/a.yaml", SPEC.replace("nvidia.com/gpu", "n/g"));
    assert_eq!(
        host.succeed("cdi list --root @ROOT@").text(),
        "n/g=0\nn/g=all\n"
    );
}
