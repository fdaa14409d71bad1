use serde_json::json;

use super::spec;
use crate::common::host::Host;
use crate::common::outcome::Outcome;
use crate::common::wrapper::words;

fn list(host: &Host, options: &str) -> Outcome {
    host.run(&format!("cdi list --root @ROOT@ {options}"))
}

#[test]
fn devices_are_sorted_and_the_later_directory_counts() {
    let host = Host::new();
    let warning = "level=warning msg=\"no CDI device is defined in /etc/cdi or /var/run/cdi\"\n";
    let empty = list(&host, "");
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""));
    assert_eq!(empty.stderr, warning);
    assert_eq!(list(&host, "--json").stderr, warning);
    host.file("/etc/cdi/b.yaml", spec("nvidia.com/gpu", "'1'"))
        .file("/etc/cdi/a.json", r#"{"cdiVersion": "0.3.0", "kind": "a/b", "devices": [{"name": "x", "containerEdits": {"env": ["A=b"]}}]}"#)
        .file("/etc/cdi/ignored.yml", "{")
        .file("/etc/cdi/deeper/x.yaml", "{")
        .file("/var/run/cdi/b.yaml", spec("nvidia.com/gpu", "'1'"));
    let listed = list(&host, "");
    assert_eq!(listed.text(), "a/b=x\nnvidia.com/gpu=1\n");
    assert_eq!(listed.code, 0);
    let listed = list(&host, "--json");
    let expected = json!({
        "schemaVersion": 1,
        "devices": [
            {"name": "a/b=x", "vendor": "a", "class": "b", "device": "x", "file": "/etc/cdi/a.json"},
            {"name": "nvidia.com/gpu=1", "vendor": "nvidia.com", "class": "gpu", "device": "1", "file": "/var/run/cdi/b.yaml"},
        ],
        "errors": [],
    });
    let found: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn what_engines_do_not_take_is_an_error() {
    let host = Host::new();
    host.file("/etc/cdi/a.yaml", spec("v.com/c", "x"))
        .file("/etc/cdi/b.yaml", spec("v.com/c", "x"))
        .file("/etc/cdi/c.yaml", spec("v.com/c", "y"))
        .file("/etc/cdi/d.json", "{");
    let listed = list(&host, "");
    assert_eq!((listed.code, listed.stdout.as_str()), (1, "v.com/c=y\n"));
    let lines: Vec<_> = listed.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{listed:?}");
    assert!(lines[0].contains("/etc/cdi/d.json: EOF"), "{listed:?}");
    assert!(
        lines[1].contains(
            "/etc/cdi/a.yaml: v.com/c=x: also defined in /etc/cdi/b.yaml: engines use neither"
        ),
        "{listed:?}"
    );
    let found: serde_json::Value = serde_json::from_str(&list(&host, "--json").stdout).unwrap();
    assert_eq!(found["devices"].as_array().unwrap().len(), 1);
    assert_eq!(found["errors"][0]["file"], "/etc/cdi/d.json");
    assert_eq!(found["errors"][1]["file"], "/etc/cdi/a.yaml");
}

#[test]
fn other_directories() {
    let host = Host::new();
    host.file("/etc/cdi/a.yaml", spec("v.com/c", "etc"))
        .file("/x/a.yaml", spec("v.com/c", "x"))
        .file("/y/a.yaml", spec("v.com/c", "y"))
        .link("/z", "x");
    for (line, expected) in [
        ("cdi list --root @ROOT@ --spec-dir /x", "v.com/c=x\n"),
        (
            "cdi list --spec-dir=@ROOT@/x,@ROOT@/y",
            "v.com/c=x\nv.com/c=y\n",
        ),
        (
            "cdi list --spec-dir @ROOT@/x --spec-dir @ROOT@/z",
            "v.com/c=x\n",
        ),
    ] {
        assert_eq!(host.succeed(line).text(), expected, "{line}");
    }
    let variable = host.expand("NVIDIA_CTK_CDI_SPEC_DIRS=@ROOT@/x,@ROOT@/y");
    let env = words(&["env", &variable]);
    let listed = host.run_in(&env, "cdi list");
    assert_eq!(listed.text(), "v.com/c=x\nv.com/c=y\n");
    let listed = host.run_in(&env, "cdi list --spec-dir @ROOT@/y");
    assert_eq!(listed.text(), "v.com/c=y\n");
    let inside = host.expand("cd @ROOT@/x && exec \"$@\"");
    let listed = host.run_in(
        &words(&["sh", "-c", &inside, "sh"]),
        "cdi list --spec-dir ../y",
    );
    assert_eq!(listed.text(), "v.com/c=y\n");
    let empty = host.succeed("cdi list --spec-dir @ROOT@/nowhere --spec-dir @ROOT@/empty");
    let message = host.expand("no CDI device is defined in @ROOT@/nowhere or @ROOT@/empty");
    assert!(
        empty.has("") && empty.stderr.contains(&message),
        "{empty:?}"
    );
    host.fail("cdi list --spec-dir=", "--spec-dir has no value");
    host.fail(
        "cdi list --root @ROOT@/nowhere",
        "cannot open the root directory",
    );
}
