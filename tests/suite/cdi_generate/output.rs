//! The file that is written: whole, only when it changes, in the format that its name says.

use std::os::unix::fs::symlink;

use super::{generate, names, refuses};
use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{Gpu, GpuHost};
use crate::common::tree::snapshot;
use crate::common::wrapper::{with_umask, words};

const SMALL: &str = "small-2gpu.yaml";
const FILE: &str = "/var/run/cdi/nvidia.yaml";

#[test]
fn a_file_is_written_as_a_whole() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let line = format!("cdi generate --root @ROOT@ --output @ROOT@{FILE}");
    let outcome = host.run_in(&with_umask("077"), &line);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    assert_eq!(host.mode(FILE), 0o644);
    assert_eq!(host.names("/var/run/cdi"), ["nvidia.yaml"]);
    assert_eq!(host.text(FILE), generate(&host, "").stdout);
}

#[test]
fn a_second_run_writes_nothing() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let options = format!("--output @ROOT@{FILE}");
    assert_eq!(generate(&host, &options).code, 0);
    let before = snapshot(&host.at("/var"));
    assert_eq!(generate(&host, &options).code, 0);
    assert_eq!(snapshot(&host.at("/var")), before);
    host.gpu(&Gpu::new("0000:81:00.0", 2, 5));
    assert_eq!(generate(&host, &options).code, 0);
    assert_eq!(names(&Spec::printed(&host.text(FILE))).len(), 7);
    assert_eq!(host.mode(FILE), 0o644);
}

/// A mode that keeps engines from reading a spec is mended.
#[test]
fn engines_can_read_it() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.file(FILE, "old").set_mode(FILE, 0o600);
    assert_eq!(generate(&host, &format!("--output @ROOT@{FILE}")).code, 0);
    assert_eq!(host.mode(FILE), 0o644);
}

#[test]
fn formats_of_files() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let write = |name: &str, options: &str| {
        let outcome = generate(&host, &format!("--output @ROOT@/out/{name} {options}"));
        assert_eq!(outcome.code, 0, "{name} {options}: {outcome:?}");
    };
    write("a.json", "");
    write("b.yaml", "");
    write("c", "");
    write("d", "--format json");
    write("e.json", "--format json");
    write("f.d", "");
    assert_eq!(
        host.names("/out"),
        ["a.json", "b.yaml", "c.yaml", "d.json", "e.json", "f.d.yaml"]
    );
    let (yaml, json) = (
        generate(&host, "").stdout,
        generate(&host, "--format json").stdout,
    );
    assert!(yaml.starts_with("---\ncdiVersion: "), "{yaml}");
    assert!(json.starts_with("{\"cdiVersion\":"), "{json}");
    for name in host.names("/out") {
        let expected = if name.ends_with("json") { &json } else { &yaml };
        assert_eq!(host.text(format!("/out/{name}")), *expected, "{name}");
    }
    assert_eq!(Spec::printed(&yaml).value, Spec::printed(&json).value);
}

#[test]
fn names_that_engines_pass_over() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.directory("/out");
    refuses(&host, "--output @ROOT@/out/x.yml", &[".yml"]);
    refuses(&host, "--format toml", &["toml"]);
    assert_eq!(host.names("/out"), [""; 0]);
    // The name decides in the end; that it is not what was said, is told.
    let outcome = generate(&host, "--output @ROOT@/out/y.yaml --format json");
    assert!(!outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(outcome.code == 0, host.at("/out/y.yaml").exists());
    if outcome.code == 0 {
        assert_eq!(host.text("/out/y.yaml"), generate(&host, "").stdout);
    }
}

#[test]
fn a_change_is_shown() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let options = format!("--output @ROOT@{FILE}");
    for look in ["--diff", "--dry-run", "--diff --dry-run"] {
        generate(&host, &format!("{options} {look}"));
        assert!(!host.at("/var").exists(), "{look}");
    }
    assert_eq!(generate(&host, &options).code, 0);
    let before = snapshot(&host.at("/var"));
    let outcome = generate(&host, &format!("{options} --diff"));
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    host.gpu(&Gpu::new("0000:81:00.0", 2, 5));
    let outcome = generate(&host, &format!("{options} --diff"));
    let added = |line: &str| line.starts_with('+') && line.contains("/dev/nvidia2");
    assert!(outcome.stdout.lines().any(added), "{outcome:?}");
    let outcome = generate(&host, &format!("{options} --dry-run"));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(snapshot(&host.at("/var")), before);
}

#[test]
fn places_where_nothing_can_be_written() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.directory("/out/nvidia.yaml");
    host.file("/out/file", "");
    for path in ["/out/nvidia.yaml", "/out/file/nvidia.yaml"] {
        let outcome = generate(&host, &format!("--output @ROOT@{path}"));
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stderr.contains(path), "{outcome:?}");
    }
    assert_eq!(host.names("/out"), ["file", "nvidia.yaml"]);
}

/// The judge of specs, `cdi check`, finds nothing wrong with those that are made on the same host, and sees when they are outdated.
#[test]
fn specs_are_found_right() {
    for spec in ["small-2gpu.yaml", "full-2gpu.yaml", "full-mig.yaml"] {
        let Some(host) = GpuHost::of(spec) else {
            return;
        };
        for path in ["/usr/bin/nvidia-ctk", "/usr/bin/nvidia-cdi-hook"] {
            host.file(path, "#!/bin/sh\n").set_mode(path, 0o755);
        }
        for options in [
            "",
            "--hooks separate",
            "--mode management",
            "--device-id none",
            "--format json --no-all-device",
        ] {
            let extension = if options.contains("json") {
                "json"
            } else {
                "yaml"
            };
            let file = format!("/etc/cdi/nvidia.{extension}");
            assert_eq!(
                generate(&host, &format!("{options} --output @ROOT@{file}")).code,
                0
            );
            let outcome = host.run("cdi check --root @ROOT@");
            assert_eq!(outcome.code, 0, "{spec} {options}: {}", outcome.text());
            host.remove(file);
        }
        assert_eq!(
            generate(&host, "--output @ROOT@/etc/cdi/nvidia.yaml").code,
            0
        );
        host.remove("/dev/nvidia1");
        let outcome = host.run("cdi check --root @ROOT@");
        assert!(
            outcome.code != 0 && outcome.has("/dev/nvidia1"),
            "{outcome:?}"
        );
    }
}

/// What others leave in the folder for temporary files is not read, as the toolkit reads it.
#[test]
fn the_folder_for_temporary_files() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.file(
        "/temporary/x.yaml",
        "cdiVersion: 0.5.0\nkind: a/b\ndevices: []\n",
    );
    let variable = host.expand("TMPDIR=@ROOT@/temporary");
    let before = words(&["env", &variable]);
    let outcome = host.run_in(&before, "cdi generate --root @ROOT@");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(host.names("/temporary"), ["x.yaml"]);
}

/// A link in the place of the file: the file that it leads to is not overwritten by accident with something else than a spec.
#[test]
fn links_in_the_place_of_the_file() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.directory("/var/run/cdi");
    symlink("nowhere.yaml", host.at(FILE)).unwrap();
    let outcome = generate(&host, &format!("--output @ROOT@{FILE}"));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(host.text(FILE), generate(&host, "").stdout);
}
