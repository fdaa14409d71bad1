//! What `nvidia-ctk info` and `doctor` know of container engines.

mod cdi;
mod files;
mod runtime;

use serde_json::{Value, json};

use crate::common::host::Host;
use crate::common::machine::{has, private};
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
        text.contains("containerd (k3s)       CDI default  nvidia runtime /opt/k3s\n             not installed\n"),
        "{text}"
    );
    let findings = findings(&host);
    assert_eq!(findings.len(), 5, "{findings:?}");
    assert_eq!(
        findings[2]["finding"],
        "containerd (RKE2) is configured to use the runtime /opt/RKE2, which does not exist"
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

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const UNIT: &str = "/usr/lib/systemd/system/docker.service";
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/gpu.conf";

fn unit(flags: &str) -> String {
    format!(
        "[Unit]\nExecStart=/usr/bin/dockerd --default-runtime=unit\n[Service]\n# ExecStart=/x\n\
         Environment=\"A=x y\" B=z\nEnvironmentFile=-/etc/default/docker\nEnvironmentFile=-/etc/sysconfig/docker\n\
         ExecStart=/usr/bin/dockerd -H fd:// \\\n  # in between\n  --containerd=/run/containerd/containerd.sock {flags}\n"
    )
}

/// A host whose dockerd has a default runtime in its file.
fn docker_host() -> Host {
    let host = Host::new();
    host.file(DAEMON_JSON, r#"{"default-runtime": "runc"}"#);
    host
}

/// Guard: each place that systemd takes a flag from.
#[test]
fn a_flag_of_dockerd_that_its_file_has() {
    type Place = fn(&Host) -> &'static str;
    let places: [Place; 8] = [
        |host| {
            host.file(UNIT, unit("--default-runtime=nvidia"));
            UNIT
        },
        |host| {
            host.file(UNIT, unit("--default-runtime \\\n  'nvidia'"));
            UNIT
        },
        |host| {
            let own = "/etc/systemd/system/docker.service";
            host.file(UNIT, unit(""))
                .file(own, unit("--default-runtime nvidia"));
            own
        },
        |host| {
            let line =
                "[Service]\nExecStart=\nExecStart=-/usr/bin/dockerd --default-runtime=nvidia\n";
            host.file(UNIT, unit("")).file(DROP_IN, line);
            DROP_IN
        },
        |host| {
            let drop_in = "/run/systemd/system/docker.service.d/a.conf";
            let line =
                "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --default-runtime=nvidia\n";
            host.file(UNIT, unit("")).file(drop_in, line);
            drop_in
        },
        |host| {
            let options = "# OPTIONS=\nDOCKER_OPTS=\"--default-runtime=nvidia --debug\"\n";
            host.file("/etc/default/docker", options)
                .file(UNIT, unit("$DOCKER_OPTS"));
            "/etc/default/docker"
        },
        |host| {
            host.file(
                "/etc/sysconfig/docker",
                "OPTIONS='--default-runtime nvidia'\n",
            )
            .file(UNIT, unit("$OPTIONS"));
            "/etc/sysconfig/docker"
        },
        |host| {
            let line = "/usr/bin/dockerd\0--default-runtime\0nvidia\0";
            host.file("/proc/321/cmdline", line);
            "/proc/321/cmdline"
        },
    ];
    for place in places {
        let host = docker_host();
        let file = place(&host);
        let finding = finding(&host, "docker-flag-conflict");
        for part in [
            "--default-runtime in ",
            file,
            "default-runtime in /etc/docker/daemon.json",
        ] {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        assert_eq!(host.run("doctor --root @ROOT@").code, 2);
        assert_eq!(engine(&host)["defaultRuntime"], "nvidia", "{file}");
    }
}

/// What systemd or dockerd leaves aside.
#[test]
fn flags_of_dockerd_that_are_not_in_its_way() {
    type Place = fn(&Host);
    let places: [Place; 7] = [
        |host| {
            host.file(UNIT, unit("$DOCKER_OPTS --debug"));
        },
        |host| {
            let line = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n";
            host.file(UNIT, unit("--default-runtime=nvidia"))
                .file(DROP_IN, line);
        },
        |host| {
            host.file(UNIT, unit("--default-runtime=nvidia"))
                .link("/etc/systemd/system/docker.service", "/dev/null");
        },
        |host| {
            let line = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --default-runtime=x\n";
            let hidden = "/usr/lib/systemd/system/docker.service.d/gpu.conf";
            host.file(UNIT, unit(""))
                .file(hidden, line)
                .file(DROP_IN, "");
        },
        |host| {
            host.file(
                UNIT,
                unit("--add-runtime nvidia=/usr/bin/x --config-file /etc/other.json"),
            )
            .file("/etc/other.json", r#"{"runtimes": {"a": {"path": "/a"}}}"#);
            program(host, "/usr/bin/x", "");
        },
        |host| {
            host.file("/proc/321/cmdline", "dockerd\0--default-runtime=nvidia\0")
                .file("/proc/321/status", "Uid:\t0\t0\t0\t0\nNSpid:\t321\t17\n");
        },
        |host| {
            host.file("/proc/321/cmdline", "dockerd\0--default-runtime=nvidia\0")
                .file("/proc/321/status", "Uid:\t1000\t1000\nNSpid:\t321\n");
        },
    ];
    for (number, place) in places.iter().enumerate() {
        let host = docker_host();
        place(&host);
        assert_eq!(findings(&host), [Value::Null; 0], "{number}");
    }
}

/// Names of flags and of directives differ. The judge is dockerd, where it is here.
#[test]
fn flags_with_other_names() {
    let judge = has(&["dockerd", "unshare"]);
    for (flag, directive) in [
        ("-H tcp://0.0.0.0:1", r#"{"hosts": ["fd://"]}"#),
        ("-D", r#"{"debug": false}"#),
        (
            "--exec-opt native.cgroupdriver=systemd",
            r#"{"exec-opts": []}"#,
        ),
        ("--log-opt=max-size=1", r#"{"log-opts": {}}"#),
        ("--data-root=/x", r#"{"data-root": "/x"}"#),
    ] {
        let host = Host::new();
        host.file(DAEMON_JSON, directive).file(UNIT, unit(flag));
        finding(&host, "docker-flag-conflict");
        if judge {
            let mut dockerd = private("dockerd");
            dockerd.arg("--config-file").arg(host.at(DAEMON_JSON));
            let said = Outcome::of(dockerd.args(flag.split(' '))).stderr;
            let refusal = "specified both as a flag and in the configuration file";
            assert!(said.contains(refusal), "{flag}: {said}");
        }
    }
}

/// Docker can be set up without a file.
#[test]
fn runtimes_from_flags_alone() {
    let host = Host::new();
    let flags = "--add-runtime=nvidia=/opt/${B}/nvidia-container-runtime --default-runtime nvidia \
                 --exec-opt native.cgroupdriver=cgroupfs";
    host.file(UNIT, unit(flags));
    let docker = engine(&host);
    assert_eq!(docker["nvidiaRuntime"], "/opt/z/nvidia-container-runtime");
    assert_eq!(docker["defaultRuntime"], "nvidia");
    assert_eq!(docker["systemdCgroup"], false);
    assert_eq!(docker["configs"], json!([UNIT]));
    let finding = finding(&host, "engine-runtime-missing");
    assert!(
        finding.contains(&format!("remove it from {UNIT}")),
        "{finding}"
    );
}

fn spec(host: &Host, version: &str, edits: &Value) {
    let device = json!({"name": "gpu", "containerEdits": edits});
    let spec = json!({"cdiVersion": version, "kind": "nvidia.com/gpu", "devices": [device]});
    host.file("/etc/cdi/nvidia.json", spec.to_string());
}

fn package(host: &Host, name: &str, version: &str, status: &str) {
    let other = "Package: podman-docker\nStatus: install ok installed\nVersion: 9.9\n";
    let text = format!(
        "{other}\nPackage: {name}\nStatus: {status}\nMaintainer: x\nVersion: {version}\nDescription: y\n z\n\n{other}"
    );
    host.file("/var/lib/dpkg/status", text);
}

/// Guard: each bound of a version, and each name of a package.
#[test]
fn an_engine_that_is_too_old_for_a_spec() {
    for (package_name, version, spec_version, known) in [
        (
            "podman",
            "4.3.1+ds1-8+deb12u1+b3",
            "0.7.0",
            "up to version 0.6.0",
        ),
        ("podman", "4.3.1+ds1-8+deb12u1+b3", "0.6.0", ""),
        ("podman", "5.4.2+ds1-2", "1.0.0", ""),
        (
            "docker.io",
            "20.10.24+dfsg1-1+deb12u1",
            "0.5.0",
            "does not support CDI",
        ),
        (
            "docker-ce",
            "5:24.0.9-1~debian.12~bookworm",
            "0.5.0",
            "does not support CDI",
        ),
        ("docker-ce", "5:25.0.0-1~debian.12~bookworm", "0.5.0", ""),
        (
            "containerd",
            "1.6.20~ds1-1+deb12u3",
            "0.3.0",
            "does not support CDI",
        ),
        ("containerd.io", "1.7.27-1", "0.3.0", ""),
        ("cri-o", "1.22.5-1.1", "0.3.0", "does not support CDI"),
        ("cri-o", "1.33.0-1.1", "0.3.0", ""),
    ] {
        let host = Host::new();
        spec(&host, spec_version, &json!({"env": ["A=b"]}));
        package(&host, package_name, version, "install ok installed");
        if known.is_empty() {
            assert_eq!(findings(&host), [Value::Null; 0], "{version}");
            continue;
        }
        let finding = finding(&host, "cdi-spec-too-new");
        let shown = engine(&host)["version"].as_str().unwrap().to_owned();
        for part in [
            &shown,
            known,
            "/etc/cdi/nvidia.json",
            spec_version,
            "update ",
        ] {
            assert!(finding.contains(part), "{part}: {finding}");
        }
        assert_eq!(host.run("doctor --root @ROOT@").code, 1);
        package(&host, package_name, version, "deinstall ok config-files");
        assert_eq!(findings(&host), [Value::Null; 0], "{version}");
    }
}

/// A program of Go says which version of CDI's library is in it.
#[test]
fn the_library_in_a_program() {
    let old = "github.com/container-orchestrated-devices/container-device-interface";
    for (name, library, newest, refused) in [
        (old, "v0.5.4", "0.5.0", "0.6.0"),
        (old, "v0.6.2", "0.6.0", "0.7.0"),
        (
            "tags.cncf.io/container-device-interface",
            "v0.8.1",
            "0.8.0",
            "1.0.0",
        ),
        (
            "tags.cncf.io/container-device-interface",
            "v1.0.1",
            "1.0.0",
            "1.1.0",
        ),
    ] {
        let host = Host::new();
        // It crosses the end of a piece.
        let padding = "\0".repeat((1 << 20) - 150);
        let modules = format!(
            "path\tgithub.com/containers/podman/v5/cmd/podman\nmod\tgithub.com/containers/podman/v5\tv5.1.2\t\n\
             dep\t{name}/specs-go\tv9.0.0\th1:x=\ndep\t{name}\t{library}\th1:x=\n"
        );
        program(
            &host,
            "/usr/local/bin/podman",
            &format!("{padding}{modules}\0"),
        );
        package(&host, "podman", "4.3.1", "install ok installed");
        spec(&host, newest, &json!({"env": ["A=b"]}));
        assert_eq!(findings(&host), [Value::Null; 0], "{library}");
        assert_eq!(engine(&host)["version"], "5.1.2");
        let text = host.succeed("info --root @ROOT@").stdout;
        assert!(text.contains("podman 5.1.2  "), "{text}");
        spec(&host, refused, &json!({"env": ["A=b"]}));
        let finding = finding(&host, "cdi-spec-too-new");
        let known = format!(
            "podman 5.1.2 does not read /etc/cdi/nvidia.json, which is of version {refused}: it supports CDI up to version {newest}"
        );
        assert!(finding.contains(&known), "{finding}");
    }
}

/// A spec that says no more than an older version has can be written as that.
#[test]
fn a_spec_of_a_newer_version_than_it_needs() {
    let host = Host::new();
    package(&host, "podman", "4.9.3", "install ok installed");
    spec(&host, "0.7.0", &json!({"env": ["A=b"]}));
    let simple = finding(&host, "cdi-spec-too-new");
    assert!(
        simple.contains("or write the spec in version 0.3.0"),
        "{simple}"
    );
    spec(&host, "0.7.0", &json!({"additionalGids": [7]}));
    let new = finding(&host, "cdi-spec-too-new");
    assert!(
        new.contains("update podman: the content of the spec needs version 0.7.0"),
        "{new}"
    );
}

/// NVIDIA's runtime gives GPUs without CDI, and the containerd of Docker starts what Docker made.
#[test]
fn engines_that_need_no_cdi() {
    let host = Host::new();
    spec(&host, "0.5.0", &json!({"env": ["A=b"]}));
    package(&host, "docker.io", "20.10.24", "install ok installed");
    program(&host, "/usr/bin/nvidia-container-runtime", "");
    let runtimes = r#"{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}"#;
    host.file(DAEMON_JSON, runtimes);
    assert_eq!(findings(&host), [Value::Null; 0]);
    let with_cdi = runtimes.replace("}}}", "}}, \"features\": {\"cdi\": true}}");
    host.file(DAEMON_JSON, with_cdi);
    finding(&host, "cdi-spec-too-new");
    package(&host, "containerd", "1.6.20", "install ok installed");
    host.file(DAEMON_JSON, runtimes);
    assert_eq!(findings(&host), [Value::Null; 0]);
}
