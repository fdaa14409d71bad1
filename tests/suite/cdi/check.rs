use serde_json::Value;

use super::spec;
use crate::common::healthy::{LIBRARIES, SPEC, healthy};
use crate::common::host::Host;
use crate::common::outcome::Outcome;

const FILE: &str = "/etc/cdi/nvidia.yaml";

fn check(host: &Host, options: &str) -> Outcome {
    host.run(&format!("cdi check --root @ROOT@ {options}"))
}

/// The codes of the findings, and the exit code.
fn codes(host: &Host, options: &str) -> (i32, Vec<String>) {
    let checked = check(host, &format!("--json {options}"));
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    (checked.code, findings.iter().map(code).collect())
}

#[test]
fn a_spec_that_fits() {
    let Some(host) = healthy() else { return };
    let checked = check(&host, "");
    assert_eq!(
        (checked.code, checked.text().as_str()),
        (0, "all is well\n")
    );
    // Nothing else of the host is judged.
    host.remove("/usr/bin/nvidia-container-runtime")
        .remove("/dev/nvidiactl");
    assert_eq!(check(&host, "").code, 0);
}

/// A code, the exit code, a part of what is said, and how the host gets the fault.
type Fault = (&'static str, i32, &'static str, fn(&Host));

const FAULTS: [Fault; 22] = [
    ("cdi-path-missing", 2, "libcuda.so.575.57.08", |host| {
        host.remove(format!("{LIBRARIES}/libcuda.so.575.57.08"));
    }),
    // The file is named, unless it is for another vendor's program to write.
    (
        "cdi-path-missing",
        2,
        "--output /etc/cdi/nvidia.yaml'",
        |host| {
            host.remove(format!("{LIBRARIES}/libcuda.so.575.57.08"));
        },
    ),
    (
        "cdi-path-missing",
        2,
        "again with the program that wrote",
        |host| {
            let text =
                spec("v.com/c", "x").replace("env: [A=b]", "deviceNodes: [{path: /dev/kfd}]");
            host.file("/etc/cdi/other.yaml", text);
        },
    ),
    (
        "cdi-path-missing",
        2,
        "names device nodes that do not exist: /dev/nvidia-uvm\n  cause: nothing has used the GPUs",
        |host| {
            host.remove("/dev/nvidia-uvm");
        },
    ),
    // Of a GPU that is gone.
    (
        "cdi-path-missing",
        2,
        "names files that do not exist: /dev/nvidia7\n",
        |host| {
            host.file(
                FILE,
                SPEC.replace("hostPath: /dev/nvidia0", "hostPath: /dev/nvidia7"),
            );
        },
    ),
    (
        "cdi-path-missing",
        2,
        "fix:   install the driver and run 'modprobe nvidia'",
        |host| {
            host.remove("/dev/nvidia-uvm")
                .file("/proc/driver/nvidia/version", "");
        },
    ),
    (
        "cdi-spec-missing",
        1,
        "no CDI spec in /etc/cdi or /var/run/cdi describes an NVIDIA GPU",
        |host| {
            host.remove(FILE);
        },
    ),
    ("cdi-device-number", 2, "/dev/nvidia-uvm", |host| {
        host.file(FILE, SPEC.replace("508", "510"));
    }),
    ("cdi-device-number", 2, "/dev/nvidia-uvm", |host| {
        // The node is as old as the spec: the module was loaded anew since.
        host.file(
            "/proc/devices",
            "Character devices:\n195 nvidia\n511 nvidia-uvm\n",
        );
    }),
    ("cdi-hook-missing", 2, "/usr/bin/nvidia-cdi-hook", |host| {
        host.remove("/usr/bin/nvidia-cdi-hook");
    }),
    (
        "cdi-hook-missing",
        2,
        "missing or not executable: /usr/bin/nvidia-cdi-hook",
        |host| {
            host.set_mode("/usr/bin/nvidia-ctk", 0o644);
        },
    ),
    ("cdi-hook-relative", 2, " usr/bin/nvidia-cdi-hook", |host| {
        host.file(
            FILE,
            SPEC.replace("path: /usr/bin/nvidia-c", "path: usr/bin/nvidia-c"),
        );
    }),
    ("cdi-driver-version", 2, "575.57.08, but", |host| {
        host.file(format!("{LIBRARIES}/libcuda.so.570.1"), "");
        host.file(
            FILE,
            SPEC.replace("libcuda.so.575.57.08", "libcuda.so.570.1"),
        );
    }),
    (
        "cdi-driver-version",
        2,
        "--output /etc/cdi/nvidia.yaml'",
        |host| {
            host.file(format!("{LIBRARIES}/libnvidia-ml.so.570.1"), "");
            host.file(
                FILE,
                SPEC.replace("libcuda.so.575.57.08", "libnvidia-ml.so.570.1"),
            );
        },
    ),
    (
        "cdi-device-duplicate",
        2,
        "a.yaml, /etc/cdi/nvidia.yaml",
        |host| {
            host.file("/etc/cdi/a.yaml", spec("nvidia.com/gpu", "all"));
        },
    ),
    ("cdi-spec-invalid", 2, "'0' occurs twice", |host| {
        host.file(FILE, SPEC.replace("name: all", "name: '0'"));
    }),
    ("cdi-spec-invalid", 2, "needs 0.5.0", |host| {
        host.file(FILE, SPEC.replace("0.5.0", "0.4.0"));
    }),
    ("cdi-spec-invalid", 2, "line 5: ", |host| {
        host.file(FILE, SPEC.replace("devices:\n", "devices: [\n"));
    }),
    (
        "cdi-mig-instance-gone",
        2,
        "/dev/nvidia-caps/nvidia-cap13",
        |host| {
            host.node("/dev/nvidia-caps/nvidia-cap12", &["c", "236", "12"])
                .node("/dev/nvidia-caps/nvidia-cap13", &["c", "236", "13"])
                .node("/dev/nvidia-caps/nvidia-cap1", &["c", "236", "1"])
                .file(
                    "/proc/driver/nvidia/capabilities/gpu0/mig/gi1/access",
                    "DeviceFileMinor: 12\n",
                )
                .file(
                    "/proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci1/access",
                    "",
                );
            let nodes = [1, 12, 13]
                .map(|it| format!("            - path: /dev/nvidia-caps/nvidia-cap{it}\n"));
            let nodes = format!("deviceNodes:\n{}", nodes.concat());
            host.file(FILE, SPEC.replacen("deviceNodes:\n", &nodes, 1));
        },
    ),
    ("cdi-spec-name", 1, "bad key!", |host| {
        let text = SPEC
            .replace("0.5.0", "0.6.0")
            .replace("devices:\n", "annotations: {bad key!: x}\ndevices:\n");
        host.file(FILE, text);
    }),
    ("cdi-spec-name", 1, "nvidia.com/ggg", |host| {
        host.file(FILE, SPEC.replace("/gpu", &format!("/{}", "g".repeat(64))));
    }),
    (
        "cdi-device-overridden",
        1,
        "/var/run/cdi/x.yaml takes precedence",
        |host| {
            host.file("/var/run/cdi/x.yaml", SPEC);
        },
    ),
];

#[test]
fn each_fault_is_found() {
    for (code, exit, part, fault) in FAULTS {
        let Some(host) = healthy() else { return };
        fault(&host);
        assert_eq!(codes(&host, ""), (exit, vec![code.to_owned()]), "{part}");
        let text = check(&host, "").text();
        assert!(text.contains(part), "{part}: {text}");
        // doctor finds the same.
        let report = host.run("doctor --json --root @ROOT@").stdout;
        assert!(report.contains(&format!("\"{code}\"")), "{report}");
    }
}

#[test]
fn files_by_name() {
    let Some(host) = healthy() else { return };
    host.file(FILE, "{")
        .file("/x/a.yaml", SPEC)
        .file("/x/b.json", "{");
    assert_eq!(check(&host, "@ROOT@/x/a.yaml").code, 0);
    assert_eq!(
        codes(&host, "--spec-dir /x"),
        (2, vec!["cdi-spec-invalid".into()])
    );
    let both = codes(&host, "@ROOT@/x/b.json @ROOT@/x/nowhere");
    assert_eq!(both, (2, vec!["cdi-spec-invalid".into(); 2]));
    let missing = (1, vec!["cdi-spec-missing".into()]);
    assert_eq!(codes(&host, "--spec-dir /nowhere"), missing);
    let text = check(&host, "--spec-dir /nowhere").text();
    assert!(text.contains("no CDI spec in /nowhere describes"), "{text}");
}
