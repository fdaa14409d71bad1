//! What `nvidia-ctk info` and `doctor` know of container engines.

use serde_json::{Value, json};

use crate::common::host::Host;
use crate::common::outcome::Outcome;

const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
const RKE2: &str = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml";
const MICROK8S: &str = "/var/snap/microk8s/current/args/containerd.toml";
const MICROK8S_TEMPLATE: &str = "/var/snap/microk8s/current/args/containerd-template.toml";
const K0S: &str = "/etc/k0s/containerd.toml";

fn report(host: &Host, command: &str, member: &str) -> Vec<Value> {
    let Outcome { stdout, stderr, .. } = host.run(&format!("{command} --json --root @ROOT@"));
    assert_eq!(stderr, "");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    report[member].as_array().unwrap().clone()
}

fn engines(host: &Host) -> Vec<Value> {
    report(host, "info", "engines")
}

/// The only engine of a host.
fn engine(host: &Host) -> Value {
    let mut engines = engines(host);
    assert_eq!(engines.len(), 1, "{engines:?}");
    engines.remove(0)
}

/// What doctor finds, but for the lack of a driver.
fn findings(host: &Host) -> Vec<Value> {
    let mut findings = report(host, "doctor", "findings");
    findings.retain(|it| it["code"] != "driver-not-loaded");
    findings
}

/// The only thing that doctor finds.
#[track_caller]
fn finding(host: &Host, code: &str) -> String {
    let findings = findings(host);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["code"], code, "{findings:?}");
    findings[0].to_string()
}

fn program(host: &Host, path: &str, bytes: &str) {
    host.file(path, bytes).set_mode(path, 0o755);
}

fn containerd(runtime: &str) -> String {
    let cri = "plugins.\"io.containerd.grpc.v1.cri\".containerd";
    format!(
        "version = 2\n[{cri}]\ndefault_runtime_name = \"runc\"\n\
         [{cri}.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [{cri}.runtimes.nvidia.options]\nBinaryName = \"{runtime}\"\n"
    )
}

/// Where the documentation of k3s, RKE2, `MicroK8s` and k0s says that their containerd reads its settings.
#[test]
fn containerd_of_distributions_of_kubernetes() {
    let host = Host::new();
    let other = [
        ("k3s", K3S),
        ("RKE2", RKE2),
        ("MicroK8s", MICROK8S),
        ("k0s", K0S),
    ];
    for (name, path) in other {
        host.file(path, containerd(&format!("/opt/{name}")));
    }
    host.file("/etc/containerd/config.toml", containerd("/opt/own"));
    let found = engines(&host);
    let names: Vec<_> = found.iter().map(|it| it["name"].clone()).collect();
    let titles = other.map(|(name, _)| format!("containerd ({name})"));
    assert_eq!(names[0], "containerd");
    assert_eq!(names[1..], titles);
    assert_eq!(found[0]["nvidiaRuntime"], "/opt/own");
    for (engine, (name, path)) in found[1..].iter().zip(other) {
        assert_eq!(engine["configs"], json!([path]));
        assert_eq!(engine["nvidiaRuntime"], format!("/opt/{name}"));
        assert_eq!(engine["defaultRuntime"], "runc");
    }
    let text = host.succeed("info --root @ROOT@").stdout;
    assert!(
        text.contains("containerd (k3s) (not installed): nvidia runtime /opt/k3s,"),
        "{text}"
    );
    let findings = findings(&host);
    assert_eq!(findings.len(), 5, "{findings:?}");
    assert_eq!(
        findings[2]["finding"],
        "containerd (RKE2) is to use the runtime /opt/RKE2, which is not there"
    );
    host.file(K3S, "a = \n");
    let report = host.run("doctor --root @ROOT@").stdout;
    assert!(
        report.contains("containerd (k3s) does not start with it"),
        "{report}"
    );
}

/// The host's containerd is not that of the distribution.
#[test]
fn a_distributions_own_program() {
    let host = Host::new();
    let own = "/var/lib/rancher/k3s/data/current/bin/containerd";
    host.file(K3S, "version = 2\n");
    program(&host, "/usr/bin/containerd", "");
    assert_eq!(engines(&host)[1]["program"], Value::Null);
    program(&host, own, "");
    assert_eq!(engines(&host)[1]["program"], own);
    assert_eq!(engines(&host)[0]["program"], "/usr/bin/containerd");
    host.remove(K3S);
    assert_eq!(engine(&host)["name"], "containerd");
}

/// k0s merges its drop-ins as long as the file is its own.
#[test]
fn drop_ins_of_k0s() {
    let host = Host::new();
    host.file("/etc/k0s/containerd.d/gpu.toml", containerd("/opt/gpu"));
    for (first, runtime) in [
        ("# k0s_managed=true\n", json!("/opt/gpu")),
        ("", Value::Null),
    ] {
        let imports = "version = 2\nimports = [\"/run/k0s/containerd-cri.toml\"]\n";
        host.file(K0S, format!("{first}{imports}"));
        assert_eq!(engine(&host)["nvidiaRuntime"], runtime, "{first}");
    }
}

/// Its own file names NVIDIA's runtime on every host: that keeps nothing from starting where nobody asks for it.
#[test]
fn the_runtime_that_microk8s_always_names() {
    let host = Host::new();
    let named = containerd("nvidia-container-runtime")
        .replace("nvidia.options", "nvidia-container-runtime.options");
    let template = named.replace("\"runc\"", "\"${RUNTIME}\"");
    host.file(MICROK8S_TEMPLATE, template)
        .file(MICROK8S, &named);
    assert_eq!(findings(&host), [Value::Null; 0]);
    assert_eq!(
        engine(&host)["configs"],
        json!([MICROK8S_TEMPLATE, MICROK8S])
    );
    assert_eq!(engine(&host)["defaultRuntime"], "runc");
    let default = named.replace("\"runc\"", "\"nvidia-container-runtime\"");
    host.file(MICROK8S, default);
    finding(&host, "engine-runtime-missing");
    program(&host, "/usr/bin/nvidia-container-runtime", "");
    host.file(MICROK8S, &named);
    assert_eq!(engine(&host)["nvidiaRuntime"], "nvidia-container-runtime");
}
