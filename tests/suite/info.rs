//! `nvidia-ctk info` and `doctor`: the real binary on prepared trees.

use serde_json::Value;

use crate::common::healthy::{LIBRARIES, SPEC, healthy};
use crate::common::host::Host;
use crate::common::outcome::Outcome;
use crate::common::wrapper::without_privileges;

fn run(host: &Host, line: &str) -> Outcome {
    host.run(&format!("{line} --root @ROOT@"))
}

fn text(host: &Host, line: &str, code: i32) -> String {
    let outcome = run(host, line);
    assert_eq!(outcome.code, code, "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    outcome.stdout
}

fn json(host: &Host, line: &str, code: i32) -> Value {
    serde_json::from_str(&text(host, line, code)).unwrap()
}

/// The codes of what doctor finds; it must exit with `exit`.
fn codes(host: &Host, exit: i32) -> Vec<String> {
    let report = json(host, "doctor --json", exit);
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        for part in ["finding", "cause", "fix"] {
            assert!(!finding[part].as_str().unwrap().is_empty(), "{finding}");
        }
    }
    let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    findings.iter().map(code).collect()
}

#[test]
fn a_host_where_all_is_well() {
    let Some(host) = healthy() else { return };
    assert_eq!(text(&host, "doctor", 0), "all is well\n");
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "nvidia-ctk {version}
Programs   /usr/bin/nvidia-cdi-hook           -> nvidia-ctk
           /usr/bin/nvidia-container-runtime
           /usr/bin/nvidia-ctk
           /usr/libexec/nvidia-ctk-ldcache    -> ../bin/nvidia-ctk
Platform   Linux
Driver     575.57.08, open kernel module
           libraries 575.57.08 in {LIBRARIES}
Modules    nvidia, nvidia_uvm
GPUs       /dev/nvidia0  0000:01:00.0  NVIDIA L4
             GPU-11111111-1111-4111-8111-111111111111
Devices    /dev/nvidia0 195:0, /dev/nvidiactl 195:255, /dev/nvidia-uvm 508:0,
           /dev/nvidia-uvm-tools 508:1
Libraries  64-bit {LIBRARIES}/libcuda.so.575.57.08
           64-bit {LIBRARIES}/libnvidia-ml.so.575.57.08
Engines    docker  CDI on  nvidia runtime nvidia-container-runtime
CDI specs  /etc/cdi/nvidia.yaml: nvidia.com/gpu
             0, all
Hooks      /usr/share/containers/oci/hooks.d/30-nvidia-ctk-ldcache.json
             -> /usr/libexec/nvidia-ctk-ldcache
"
    );
    assert_eq!(text(&host, "info", 0), expected);

    let info = json(&host, "info --json", 0);
    assert_eq!(info["driver"]["version"], "575.57.08");
    assert_eq!(info["gpus"][0]["minor"], 0);
    assert_eq!(info["deviceNodes"][1]["expectedMinor"], 255);
    assert_eq!(info["libraries"][0]["version"], "575.57.08");
    assert_eq!(info["cdiSpecs"][0]["devices"][1], "nvidia.com/gpu=all");
    assert_eq!(info["engines"][0]["defaultRuntime"], Value::Null);
}

#[test]
fn a_host_without_a_driver() {
    let host = Host::new();
    let info = text(&host, "info", 0);
    assert!(
        info.contains("Driver     no NVIDIA kernel module is loaded"),
        "{info}"
    );
    assert_eq!(codes(&host, 1), ["driver-not-loaded"]);
    let report = text(&host, "doctor", 1);
    assert!(
        report.starts_with("warning: driver-not-loaded\n  the NVIDIA kernel"),
        "{report}"
    );
    assert!(report.ends_with("\nerrors: 0, warnings: 1\n"), "{report}");
    host.file("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    host.file("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n");
    assert_eq!(codes(&host, 2), ["driver-not-loaded"]);
}

/// A Docker that needs no CDI spec.
const RUNTIME: &str = r#"{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}"#;

#[test]
fn each_fault_has_its_code() {
    type Fault = fn(&Host);
    let faults: [(&str, i32, Fault); 20] = [
        ("driver-version-mismatch", 2, |host| {
            let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1.2  Thu\n";
            host.file("/proc/driver/nvidia/version", version);
            host.remove("/etc/cdi/nvidia.yaml")
                .file("/etc/docker/daemon.json", RUNTIME);
        }),
        ("ldcache-lacks-libcuda", 1, |host| {
            host.remove("/etc/ld.so.cache");
        }),
        ("libcuda-missing", 1, |host| {
            for name in ["libcuda.so", "libnvidia-ml.so"] {
                host.remove(format!("{LIBRARIES}/{name}.1"));
                host.remove(format!("{LIBRARIES}/{name}.575.57.08"));
            }
            host.remove("/etc/ld.so.cache");
            host.remove("/etc/cdi/nvidia.yaml")
                .file("/etc/docker/daemon.json", RUNTIME);
        }),
        ("library-link-dangling", 1, |host| {
            host.link(
                format!("{LIBRARIES}/libnvidia-x.so.1"),
                "libnvidia-x.so.1.2",
            );
        }),
        ("device-node-missing", 2, |host| {
            host.remove("/dev/nvidiactl");
            host.remove("/dev/char/195:255");
        }),
        ("device-node-wrong", 2, |host| {
            host.remove("/dev/nvidia-uvm-tools");
            host.node("/dev/nvidia-uvm-tools", &["c", "509", "1"]);
            host.link("/dev/char/509:1", "../nvidia-uvm-tools");
        }),
        ("dev-char-links-missing", 1, |host| {
            host.remove("/dev/char/508:0");
        }),
        ("engine-config-invalid", 2, |host| {
            host.file("/etc/docker/daemon.json", "{\n// no\n}");
        }),
        ("engine-config-invalid", 2, |host| {
            host.file("/etc/containerd/config.toml", "a = \n");
        }),
        ("engine-runtime-missing", 2, |host| {
            host.remove("/usr/bin/nvidia-container-runtime");
        }),
        ("cdi-spec-invalid", 2, |host| {
            host.file("/etc/cdi/other.json", "{");
        }),
        ("cdi-spec-invalid", 2, |host| {
            host.file("/etc/cdi/nvidia.yaml", SPEC.replace("0.5.0", "9.0.0"));
        }),
        ("cdi-spec-unreadable", 1, |host| {
            host.set_mode("/etc/cdi/nvidia.yaml", 0o600);
        }),
        ("cdi-path-missing", 2, |host| {
            host.file(
                "/etc/cdi/nvidia.yaml",
                SPEC.replace("/libcuda.so.5", "/libcuda.so.4"),
            );
            host.file("/proc/driver/nvidia/version", "");
            host.remove("/sys/bus/pci/devices/0000:01:00.0/vendor");
        }),
        ("cdi-device-number", 2, |host| {
            host.file("/etc/cdi/nvidia.yaml", SPEC.replace("508", "510"));
        }),
        ("cdi-driver-version", 2, |host| {
            host.file(format!("{LIBRARIES}/old/libcuda.so.470.1"), "");
            host.file(
                "/etc/cdi/nvidia.yaml",
                SPEC.replace("/libcuda.so.575.57.08", "/old/libcuda.so.470.1"),
            );
        }),
        ("cdi-hook-missing", 2, |host| {
            host.file(
                "/etc/cdi/nvidia.yaml",
                SPEC.replace("/usr/bin/nvidia-cdi-hook", "/usr/bin/gone"),
            );
        }),
        ("cdi-device-duplicate", 2, |host| {
            host.file("/etc/cdi/zeta.yaml", SPEC);
        }),
        ("cdi-device-overridden", 1, |host| {
            host.file("/var/run/cdi/nvidia.yaml", SPEC);
        }),
        ("hooks-dir-invalid", 2, |host| {
            host.file(
                "/etc/containers/oci/hooks.d/x.json",
                r#"{"version": "1.0.0", "hook": {"path": "/usr/bin/nvidia-ctk"}}"#,
            );
        }),
    ];
    for (code, exit, fault) in faults {
        let Some(host) = healthy() else { return };
        fault(&host);
        let mut found = codes(&host, exit);
        // Another fault of the same tree.
        found.retain(|found| found != "driver-not-loaded");
        assert_eq!(found, [code]);
    }
}

/// No release of crun has the fault. Guard: the bounds of the development versions.
#[test]
fn versions_of_crun() {
    for (version, is_affected) in [
        ("1.28", false),
        ("1.28.0.0.0.42-0123", false),
        ("1.28.0.0.0.43-d2ae", true),
        ("1.28.0.0.0.111-c3a4-dirty", true),
        ("1.28.0.0.0.113-a437", false),
        ("1.29", false),
        ("1.29.0.0.0.50-0123", false),
        ("1.28.0.0.0.4294967296-0123", false),
        ("1.28.0.0.0.", false),
        ("UNKNOWN", false),
    ] {
        let host = Host::new();
        let program = format!("\x7fELF\0crun\0{version}\0commit: %s\n\0");
        host.file("/usr/local/bin/crun", program);
        host.set_mode("/usr/local/bin/crun", 0o755);
        let report = text(&host, "doctor", if is_affected { 2 } else { 1 });
        let finding = format!(
            "error: crun-hooks-before-mounts\n  /usr/local/bin/crun is version {version}, which"
        );
        assert_eq!(report.contains(&finding), is_affected, "{report}");
    }
}

#[test]
fn a_program_that_was_moved() {
    let Some(host) = healthy() else { return };
    host.remove("/usr/bin/nvidia-ctk");
    assert_eq!(
        codes(&host, 2),
        [
            "cdi-hook-missing",
            "hook-program-missing",
            "program-link-dangling"
        ]
    );
    let info = text(&host, "info", 0);
    for part in [
        "/usr/bin/nvidia-cdi-hook           -> nvidia-ctk\n             error: the target does not exist\n",
        "             -> /usr/libexec/nvidia-ctk-ldcache\n             warning: ",
    ] {
        assert!(info.contains(part), "{info}");
    }
}

/// A process without privileges must not call a file damaged that it may not read.
#[test]
fn a_configuration_that_may_not_be_read() {
    let host = Host::new();
    host.file("/etc/docker/daemon.json", "{}");
    host.set_mode("/etc/docker/daemon.json", 0o000);
    let Outcome { code, stdout, .. } = host.run_in(&without_privileges(), "doctor --root @ROOT@");
    assert_eq!(code, 1, "{stdout}");
    for part in [
        "warning: engine-config-unreadable\n",
        "/etc/docker/daemon.json: Permission denied (os error 13)\n",
        "fix:   run this as root\n",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
}

#[test]
fn garbage_everywhere() {
    let garbage: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\xff\xfe:\n\xff",
        b": - [ { \"",
        b"[[[[\n=\n",
        &[b'['; 10_000],
    ];
    let files = [
        "/proc/driver/nvidia/version",
        "/proc/driver/nvidia/gpus/x/information",
        "/proc/devices",
        "/sys/module/nvidia/version",
        "/sys/bus/pci/devices/x/vendor",
        "/sys/devices/soc0/family",
        "/proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0/access",
        "/etc/os-release",
        "/etc/nv_tegra_release",
        "/usr/lib/wsl/drivers/nv_x.inf_y/nv_x.inf",
        "/usr/lib/wsl/drivers/nv_x.inf_y/libcuda.so.1.1",
        "/run/nvidia/driver/usr/lib64/libcuda.so.550.1",
        "/dev/nvidia0",
        "/dev/nvidia-caps/x",
        "/etc/ld.so.cache",
        "/usr/lib/libcuda.so.1.2",
        "/etc/docker/daemon.json",
        "/etc/containerd/config.toml",
        "/etc/crio/crio.conf.d/x",
        "/etc/cdi/a.yaml",
        "/etc/cdi/a.json",
        "/usr/share/containers/oci/hooks.d/a.json",
        "/usr/bin/nvidia-ctk",
    ];
    for bytes in garbage {
        let host = Host::new();
        for file in files {
            host.file(file, bytes);
        }
        host.link("/var/run/cdi", "loop");
        json(&host, "info --json", 0);
        text(&host, "info", 0);
        assert!(codes(&host, 2).contains(&"cdi-spec-invalid".to_owned()));
    }
    // A directory in the place of each file.
    let host = Host::new();
    for file in files {
        host.file(format!("{file}/x"), "");
    }
    text(&host, "info", 0);
    codes(&host, 2);
}

/// Characters that steer a terminal, hide, or turn the order of reading around.
const UNPRINTABLE: [char; 18] = [
    '\u{7}',
    '\u{1b}',
    '\u{7f}',
    '\u{9b}',
    '\u{ad}',
    '\u{61c}',
    '\u{200b}',
    '\u{200d}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202e}',
    '\u{2060}',
    '\u{2066}',
    '\u{feff}',
    '\u{fff9}',
    '\u{e0001}',
    '\u{e0041}',
];

#[test]
fn what_files_say_reaches_no_terminal() {
    let odd: String = UNPRINTABLE.iter().collect();
    let spec = SPEC.replace("/usr/bin/nvidia-cdi-hook", &format!("/gone{odd}"));
    let spec = spec.replace("575.57.08", &odd);
    for (path, text) in [
        (format!("/etc/cdi/{odd}.yaml"), "{".to_owned()),
        (
            "/etc/cdi/kind.yaml".to_owned(),
            SPEC.replace("nvidia.com/gpu", &odd),
        ),
        (
            "/etc/cdi/name.json".to_owned(),
            json_spec(&format!("x{odd}"), "/gone"),
        ),
        (
            "/etc/cdi/paths.json".to_owned(),
            json_spec("x", &format!("/{odd}")),
        ),
        ("/etc/cdi/paths.yaml".to_owned(), spec),
        ("/etc/docker/daemon.json".to_owned(), runtime(&odd)),
        (format!("/etc/crio/crio.conf.d/{odd}"), format!("a{odd}")),
        (
            format!("/usr/share/containers/oci/hooks.d/{odd}.json"),
            "{}".to_owned(),
        ),
        (format!("/usr/bin/nvidia-ctk-{odd}"), String::new()),
        (
            "/proc/driver/nvidia/version".to_owned(),
            format!("NVRM version: x Module  {odd}  T"),
        ),
        (format!("{LIBRARIES}/libcuda.so.1.{odd}"), String::new()),
        (
            "/etc/os-release".to_owned(),
            format!("PRETTY_NAME=\"{odd}\"\n"),
        ),
        (
            "/etc/nv_tegra_release".to_owned(),
            format!("# R36 (release), REVISION: {odd}, x"),
        ),
        (
            format!("/usr/lib64/nvidia/{odd}/libcuda.so.550.1"),
            String::new(),
        ),
        (format!("/dev/nvidia{odd}"), String::new()),
    ] {
        let host = Host::new();
        host.file(&path, text);
        for line in ["info", "info --json", "doctor", "doctor --json"] {
            let output = run(&host, line).stdout;
            let is_odd = |c: &char| c.is_control() && *c != '\n' || UNPRINTABLE.contains(c);
            assert_eq!(
                output.chars().find(is_odd),
                None,
                "{path}, {line}: {output:?}"
            );
        }
    }
    // What is escaped in JSON says the same.
    let host = Host::new();
    host.file(format!("/etc/cdi/{odd}.yaml"), "{");
    let info = json(&host, "info --json", 0);
    assert_eq!(info["cdiSpecs"][0]["path"], format!("/etc/cdi/{odd}.yaml"));
}

fn json_spec(name: &str, path: &str) -> String {
    serde_json::json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": name, "containerEdits": {"deviceNodes": [{"path": path}]}}],
    })
    .to_string()
}

fn runtime(path: &str) -> String {
    serde_json::json!({"runtimes": {"nvidia": {"path": path}}, "default-runtime": path}).to_string()
}

#[test]
fn no_such_root() {
    let host = Host::new();
    let last_counts = host.run("info --root /nonexistent --root @ROOT@");
    assert!(last_counts.success(), "{last_counts:?}");
    for command in ["info", "doctor"] {
        let Outcome { code, stderr, .. } = host.run(&format!("{command} --root /nonexistent"));
        assert_eq!(code, 1);
        assert!(
            stderr.contains("cannot open the root directory /nonexistent: No such file"),
            "{stderr}"
        );
    }
}
