//! What doctor says of a host with a driver whose engines find no CDI spec, or read none.

use serde_json::{Value, json};

use super::{DAEMON_JSON, UNIT, containerd, findings, package, program, spec, unit};
use crate::common::host::Host;

const MISSING: &str = "cdi-spec-missing";
const DISABLED: &str = "docker-cdi-disabled";
const ELSEWHERE: &str = "docker-cdi-spec-dirs";
const VERSION: &str = "/proc/driver/nvidia/version";

/// A host whose driver runs.
fn host() -> Host {
    let host = Host::new();
    let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1.2  Thu\n";
    host.file(VERSION, text);
    host
}

/// What doctor finds of these kinds.
fn found(host: &Host) -> Vec<Value> {
    let mut findings = findings(host);
    let codes = [MISSING, DISABLED, ELSEWHERE];
    findings.retain(|it| codes.iter().any(|code| it["code"] == *code));
    findings
}

fn codes(host: &Host) -> Vec<String> {
    let code = |it: &Value| it["code"].as_str().unwrap().to_owned();
    found(host).iter().map(code).collect()
}

fn podman(host: &Host) {
    program(host, "/usr/bin/podman", "");
}

fn docker(host: &Host, version: &str) {
    program(host, "/usr/bin/dockerd", "");
    package(host, "docker-ce", version, "install ok installed");
}

/// A hook in hooks.d, as each package of this program has it.
fn hooks_dir(host: &Host) {
    let text = r#"{"version": "1.0.0", "hook": {"path": "/usr/libexec/nvidia-ctk-apply"}, "when": {"always": true}, "stages": []}"#;
    host.file("/usr/share/containers/oci/hooks.d/x.json", text);
    program(host, "/usr/libexec/nvidia-ctk-apply", "");
}

type Setup = fn(&Host);

/// A name, what doctor finds, and how the host is set up.
const SETUPS: [(&str, &[&str], Setup); 17] = [
    ("no engine", &[], |_| {}),
    ("podman", &[MISSING], podman),
    ("no driver", &[], |host| {
        podman(host);
        host.remove(VERSION);
    }),
    ("an NVIDIA spec", &[], |host| {
        podman(host);
        spec(host, "0.5.0", &json!({"env": ["A=b"]}));
    }),
    ("an NVIDIA spec of another name", &[], |host| {
        podman(host);
        let text = r#"{"cdiVersion": "0.5.0", "kind": "example.com/gpu", "devices":
            [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}]}"#;
        host.file("/var/run/cdi/x.json", text);
    }),
    ("a spec of another vendor", &[MISSING], |host| {
        podman(host);
        let text = r#"{"cdiVersion": "0.5.0", "kind": "notnvidia.com/gpu", "devices":
            [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/kfd"}]}}]}"#;
        host.file("/etc/cdi/x.json", text);
    }),
    ("an unusable spec", &[], |host| {
        podman(host);
        host.file("/etc/cdi/nvidia.json", "{");
    }),
    ("hooks.d alone", &[], |host| {
        podman(host);
        hooks_dir(host);
    }),
    ("hooks.d of the whole package", &[MISSING], |host| {
        podman(host);
        hooks_dir(host);
        program(host, "/usr/bin/nvidia-cdi-hook", "");
    }),
    ("NVIDIA's runtime", &[], |host| {
        host.file(
            "/etc/containerd/config.toml",
            containerd("nvidia-container-runtime"),
        );
    }),
    ("NVIDIA's runtime, and CDI on request", &[MISSING], |host| {
        let text = r#"{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}, "features": {"cdi": true}}"#;
        host.file(DAEMON_JSON, text);
    }),
    ("the hook for --gpus", &[], |host| {
        docker(host, "28.5.2");
        program(host, "/usr/bin/nvidia-container-runtime-hook", "");
    }),
    ("a Docker with CDI", &[MISSING], |host| {
        docker(host, "28.2.0");
    }),
    ("a Docker before CDI", &[], |host| docker(host, "24.0.9")),
    ("a Docker where CDI is off", &[DISABLED], |host| {
        docker(host, "28.5.2");
        host.file(DAEMON_JSON, r#"{"features": {"cdi": false}}"#);
    }),
    ("a directory of Docker's own", &[], |host| {
        docker(host, "28.5.2");
        spec(host, "0.5.0", &json!({"env": ["A=b"]}));
        host.directory("/srv");
        std::fs::rename(host.at("/etc/cdi"), host.at("/srv/cdi")).unwrap();
        host.file(DAEMON_JSON, r#"{"cdi-spec-dirs": ["/srv/cdi"]}"#);
    }),
    ("GKE", &[], |host| {
        program(host, "/usr/bin/containerd", "");
        host.directory("/home/kubernetes/bin/nvidia");
    }),
];

/// Guard: each other way to GPUs, and each reason why an engine needs no spec.
#[test]
fn a_spec_is_missing_only_if_an_engine_needs_it() {
    for (name, expected, setup) in SETUPS {
        let host = host();
        setup(&host);
        assert_eq!(codes(&host), expected, "{name}");
    }
}

/// The unit is offered where systemd can start it.
#[test]
fn the_fix_of_a_missing_spec() {
    let host = host();
    podman(&host);
    let fix = |host: &Host| found(host)[0]["fix"].as_str().unwrap().to_owned();
    let once = "run 'nvidia-ctk cdi generate --output /run/cdi/nvidia.yaml'";
    assert_eq!(fix(&host), once);
    let unit = "/usr/lib/systemd/system/nvidia-ctk-cdi.service";
    host.file(unit, "[Service]\nExecStart=/usr/bin/nvidia-ctk\n");
    assert_eq!(fix(&host), once);
    host.directory("/run/systemd/system");
    let by_unit = "run 'systemctl enable --now nvidia-ctk-cdi.service', or once 'nvidia-ctk cdi generate --output /run/cdi/nvidia.yaml'";
    assert_eq!(fix(&host), by_unit);
    host.link("/etc/systemd/system/nvidia-ctk-cdi.service", "/dev/null");
    assert_eq!(fix(&host), once);
    let finding = found(&host)[0]["finding"].to_string();
    let text = "no CDI spec in /etc/cdi or /var/run/cdi describes an NVIDIA GPU";
    assert!(finding.contains(text), "{finding}");
}

/// Guard: the first version that reads specs by default, and the settings that override it.
#[test]
fn docker_that_does_not_read_specs() {
    let off = r#"{"features": {"cdi": false}}"#;
    let on = r#"{"features": {"cdi": true}}"#;
    let runtime = r#"{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}"#;
    for (version, config, flags, is_off) in [
        ("28.1.1", "", "", true),
        ("28.2.0", "", "", false),
        ("26.1.5", on, "", false),
        ("28.5.2", off, "", true),
        ("24.0.9", off, "", false),
        ("unknown", "", "", false),
        ("unknown", off, "", true),
        ("26.1.5", runtime, "", false),
        ("28.1.1", "", "--feature cdi=true", false),
        ("28.1.1", "", "--feature=cdi", false),
        ("28.5.2", "", "--feature cdi=false", true),
        ("28.5.2", "", "--feature other=false", false),
    ] {
        let host = host();
        docker(&host, version);
        spec(&host, "0.5.0", &json!({"env": ["A=b"]}));
        host.file(DAEMON_JSON, config).file(UNIT, unit(flags));
        let expected: &[&str] = if is_off { &[DISABLED] } else { &[] };
        assert_eq!(codes(&host), expected, "{version} {config} {flags}");
        if !is_off {
            continue;
        }
        let finding = found(&host)[0].to_string();
        for part in [
            "could not select device driver",
            "run 'nvidia-ctk runtime configure --runtime docker --enable-cdi'",
            "systemctl restart docker",
        ] {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        program(&host, "/usr/bin/nvidia-container-runtime-hook", "");
        assert_eq!(codes(&host), [""; 0], "{version}");
    }
}

/// Both the file and the flag name directories; a link to a default directory is one.
#[test]
fn docker_that_reads_specs_elsewhere() {
    type Place = fn(&Host);
    let places: [(Place, &str); 2] = [
        (
            |host| {
                host.file(DAEMON_JSON, r#"{"cdi-spec-dirs": ["/srv/a", "/srv/cdi"]}"#);
            },
            DAEMON_JSON,
        ),
        (
            |host| {
                let flags = "--cdi-spec-dir /srv/a --cdi-spec-dir=/srv/cdi";
                host.file(UNIT, unit(flags));
            },
            UNIT,
        ),
    ];
    for (place, file) in places {
        let host = host();
        docker(&host, "28.5.2");
        place(&host);
        assert_eq!(codes(&host), [MISSING]);
        spec(&host, "0.5.0", &json!({"env": ["A=b"]}));
        assert_eq!(codes(&host), [ELSEWHERE]);
        let finding = found(&host)[0].to_string();
        for part in [
            "docker reads CDI specs in /srv/a, /srv/cdi, but the spec of NVIDIA's devices is /etc/cdi/nvidia.json",
            &format!("remove cdi-spec-dirs from {file} and restart docker"),
            "'nvidia-ctk cdi generate --output /srv/cdi/nvidia.yaml'",
        ] {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        host.link("/srv/cdi", "../etc/cdi");
        assert_eq!(codes(&host), [""; 0], "{file}");
    }
}
