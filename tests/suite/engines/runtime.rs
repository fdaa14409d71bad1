//! What doctor says of `nvidia-container-runtime` where an engine calls it, and of the names that Docker looks for.

use serde_json::Value;

use super::{DAEMON_JSON, K3S, containerd, finding, findings, package, program};
use crate::common::host::Host;
use crate::common::wrapper::without_privileges;

const SETTINGS: &str = "/etc/nvidia-container-runtime/config.toml";
const OWN: &str = "/usr/bin/nvidia-container-runtime";

/// A host whose Docker calls this program, before a runc.
fn host() -> Host {
    let host = Host::new();
    let runtimes = format!(r#"{{"runtimes": {{"nvidia": {{"path": "{OWN}"}}}}}}"#);
    host.file(DAEMON_JSON, runtimes);
    for path in ["/usr/bin/dockerd", "/usr/sbin/runc", OWN] {
        program(&host, path, "");
    }
    host
}

/// A host whose Docker is of this version.
fn docker(version: &str) -> Host {
    let host = Host::new();
    program(&host, "/usr/bin/dockerd", "");
    package(&host, "docker-ce", version, "install ok installed");
    host
}

/// Guard: each way in which the runtime refuses its settings.
#[test]
fn settings_of_the_runtime_that_it_refuses() {
    let host = host();
    assert_eq!(findings(&host), [Value::Null; 0]);
    for (text, part) in [
        ("a = ", "config.toml: 1:5: "),
        (
            "swarm-resource = 1",
            "config.toml: swarm-resource is not a string",
        ),
        (
            "accept-nvidia-visible-devices-as-volume-mounts = \"no\"",
            "is neither true nor false",
        ),
        (
            "[nvidia-container-runtime]\nruntimes = \"runc\"",
            "nvidia-container-runtime.runtimes is not a list of strings",
        ),
        (
            "[nvidia-container-runtime]\nmode = \"legcay\"",
            "nvidia-container-runtime.mode is \\\"legcay\\\"",
        ),
    ] {
        host.file(SETTINGS, text);
        let finding = finding(&host, "runtime-config-invalid");
        assert!(finding.contains(part), "{part}: {finding}");
        assert_eq!(host.run("doctor --root @ROOT@").code, 2);
    }
    host.file(SETTINGS, "unknown = 1\n[nvidia-container-runtime]\n");
    assert_eq!(findings(&host), [Value::Null; 0]);
    host.remove(SETTINGS);
    host.file(format!("{SETTINGS}/x"), "");
    finding(&host, "runtime-config-invalid");
}

#[test]
fn settings_of_the_runtime_that_may_not_be_read() {
    let host = host();
    host.file(SETTINGS, "").set_mode(SETTINGS, 0o000);
    let doctor = host.run_in(&without_privileges(), "doctor --root @ROOT@");
    assert_eq!(doctor.code, 1, "{doctor:?}");
    for part in [
        "warning: runtime-config-unreadable\n",
        "/etc/nvidia-container-runtime/config.toml: Permission denied (os error 13)\n",
    ] {
        assert!(doctor.stdout.contains(part), "{doctor:?}");
    }
}

/// Settings that nobody reads are nobody's fault: without an engine that calls the runtime, and where that is another program.
#[test]
fn settings_that_no_engine_needs() {
    let host = host();
    host.file(
        SETTINGS,
        "[nvidia-container-runtime]\nruntimes = []\nmode = 1\n",
    );
    assert_eq!(findings(&host).len(), 2);
    let other = r#"{"runtimes": {"nvidia": {"path": "/usr/sbin/runc"}}}"#;
    for text in ["{}", other] {
        host.file(DAEMON_JSON, text);
        assert_eq!(findings(&host), [Value::Null; 0], "{text}");
    }
}

/// Guard: each reason why a runtime of the list is not taken.
#[test]
fn a_list_of_low_level_runtimes_of_which_none_is_there() {
    let host = host();
    host.file("/opt/plain", "");
    host.link("/opt/self", OWN);
    for (runtimes, parts) in [
        ("", &["(the list is empty)"][..]),
        ("\"youki\"", &["(youki: not found)"]),
        ("\"./runc\"", &["(./runc: a relative path depends"]),
        (
            "\"/opt/plain\", \"/usr\", \"/gone\"",
            &["/opt/plain: it is not exec", "/usr: it is not a", "/gone: "],
        ),
        ("\"/opt/self\"", &["/opt/self: it is this program itself"]),
    ] {
        let text = format!("[nvidia-container-runtime]\nruntimes = [{runtimes}]\n");
        host.file(SETTINGS, text);
        let finding = finding(&host, "low-level-runtime-missing");
        for part in parts.iter().chain(&[SETTINGS]) {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        assert_eq!(host.run("doctor --root @ROOT@").code, 2);
    }
    for runtimes in ["\"./runc\", \"runc\"", "\"/usr/sbin/runc\""] {
        let text = format!("[nvidia-container-runtime]\nruntimes = [{runtimes}]\n");
        host.file(SETTINGS, text);
        assert_eq!(findings(&host), [Value::Null; 0], "{runtimes}");
    }
    host.remove(SETTINGS);
    host.remove("/usr/sbin/runc");
    finding(&host, "low-level-runtime-missing");
    // Nobody knows where the runc of a Docker is that is not where programs are.
    host.remove("/usr/bin/dockerd");
    assert_eq!(findings(&host), [Value::Null; 0]);
}

/// k3s and others bring their runc along with their containerd.
#[test]
fn the_low_level_runtime_of_a_distribution() {
    let host = Host::new();
    let folder = "/var/lib/rancher/k3s/data/current/bin";
    host.file(K3S, containerd(OWN));
    program(&host, OWN, "");
    program(&host, &format!("{folder}/containerd"), "");
    finding(&host, "low-level-runtime-missing");
    program(&host, &format!("{folder}/runc"), "");
    assert_eq!(findings(&host), [Value::Null; 0]);
}

/// Guard: the first version that gives GPUs by CDI.
#[test]
fn docker_without_the_name_that_it_looks_for() {
    for version in ["5:29.1.5-1~debian.12~bookworm", "28.5.2+dfsg1-1"] {
        assert_eq!(findings(&docker(version)), [Value::Null; 0], "{version}");
    }
    for version in ["5:29.2.0-1~debian.12~bookworm", "30.0.1"] {
        let host = docker(version);
        finding(&host, "docker-cdi-hook-missing");
        assert_eq!(host.run("doctor --root @ROOT@").code, 1);
        // Where hooks.d has it is no place where Docker looks.
        program(&host, "/usr/libexec/nvidia-cdi-hook", "");
        finding(&host, "docker-cdi-hook-missing");
        program(&host, "/usr/local/bin/nvidia-cdi-hook", "");
        assert_eq!(findings(&host), [Value::Null; 0], "{version}");
    }
}

/// Guard: the same, and that of unknown versions nothing is said.
#[test]
fn docker_beside_the_name_that_changes_what_it_does() {
    for (version, is_wrong) in [
        ("29.1.5", false),
        ("29.2.0", true),
        ("30.0.1", true),
        ("unknown", false),
    ] {
        let host = docker(version);
        for name in ["nvidia-cdi-hook", "nvidia-container-runtime-hook"] {
            program(&host, &format!("/usr/bin/{name}"), "");
        }
        if !is_wrong {
            assert_eq!(findings(&host), [Value::Null; 0], "{version}");
            continue;
        }
        let finding = finding(&host, "docker-runtime-hook-in-path");
        for part in [version, "rm /usr/bin/nvidia-container-runtime-hook"] {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        assert_eq!(host.run("doctor --root @ROOT@").code, 1);
    }
}
