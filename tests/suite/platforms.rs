//! `info` and `doctor` on hosts of many kinds: where distributions, clouds, Windows and Jetson put a driver.
//!
//! The trees are in `tests/fixtures/platforms`, one line for each thing: `file PATH TEXT`, `dir PATH`, `link PATH TARGET`, `node PATH
//! MAJOR MINOR`, `elf PATH SONAME`, `library PATH SONAME` (with its SONAME link), `cache ROOT` (ld.so.cache, as ldconfig writes it);
//! `set NAME VALUE` for `@NAME@` in later lines, `include FILE`. None was copied from a host: each says from which public list it is.

use std::collections::BTreeMap;
use std::fs;

use crate::common::elf::library as shared_object;
use crate::common::host::Host;
use crate::common::machine::{fixture, has};
use crate::common::outcome::Outcome;
use crate::common::wrapper::{each_kernel, without_privileges};
use nvidia_ctk::ldcache::Ldconfig;
use nvidia_ctk::rootfs::ContainerRoot;
use serde_json::Value;

type Names = BTreeMap<String, String>;

/// The tree of a fixture; none where no device nodes can be made.
pub(crate) fn tree(name: &str) -> Option<Host> {
    let host = Host::new();
    add(&host, &format!("{name}.txt"), &mut Names::new()).then_some(host)
}

fn add(host: &Host, file: &str, names: &mut Names) -> bool {
    let text = fs::read_to_string(fixture("platforms").join(file)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let line = names.iter().fold(line.to_owned(), |line, (name, value)| {
            line.replace(&format!("@{name}@"), value)
        });
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (verb, path, rest) = (word(), word(), word());
        match verb {
            "set" => drop(names.insert(path.to_owned(), rest.to_owned())),
            "include" => {
                if !add(host, path, names) {
                    return false;
                }
            }
            "file" => {
                host.file(path, unescape(rest));
            }
            "program" => {
                host.file(path, unescape(rest)).set_mode(path, 0o755);
            }
            "dir" => {
                host.directory(path);
            }
            "link" => {
                host.link(path, rest);
            }
            "node" => {
                let (major, minor) = rest.split_once(' ').unwrap();
                if !has_node(host, path, major, minor) {
                    return false;
                }
            }
            "elf" => {
                host.file(path, shared_object(rest));
            }
            "library" => {
                host.file(path, shared_object(rest));
                let (folder, file) = path.rsplit_once('/').unwrap();
                host.link(format!("{folder}/{rest}"), file);
            }
            "cache" => {
                let root = ContainerRoot::open(&host.at(path)).unwrap();
                let ldconfig = Ldconfig::new(&root);
                ldconfig.update(ldconfig.search_path([])).unwrap();
            }
            _ => panic!("{file}: {line}"),
        }
    }
    true
}

fn unescape(text: &str) -> String {
    let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t")];
    escapes
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Makes a node; where none can be made, the test is skipped.
pub(crate) fn has_node(host: &Host, path: &str, major: &str, minor: &str) -> bool {
    let can_make = has(&["mknod"]);
    if can_make {
        host.node(path, &["c", major, minor]);
    }
    can_make
}

fn run(host: &Host, args: &[&str]) -> Outcome {
    host.run(&format!("{} --root @ROOT@", args.join(" ")))
}

fn json(host: &Host, args: &[&str]) -> (i32, Value) {
    let outcome = run(host, args);
    assert!(outcome.stderr.is_empty(), "{outcome:?}");
    (outcome.code, serde_json::from_str(&outcome.stdout).unwrap())
}

fn text(host: &Host, args: &[&str]) -> String {
    run(host, args).stdout
}

/// The codes of what doctor finds, with the sentences, and its exit code.
fn findings(host: &Host, options: &[&str]) -> (i32, Vec<(String, String)>) {
    let (exit, report) = json(host, &[&["doctor", "--json"], options].concat());
    let findings = report["findings"].as_array().unwrap().iter();
    let part = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    (
        exit,
        findings
            .map(|it| {
                (
                    part(it, "code"),
                    part(it, "finding") + " " + &part(it, "fix"),
                )
            })
            .collect(),
    )
}

struct Case {
    tree: &'static str,
    /// What info calls it: for programs, and for people.
    platform: &'static str,
    title: &'static str,
    version: &'static str,
    directory: &'static str,
    /// Something that is broken, the code of the finding, and words of it.
    fault: fn(&Host),
    code: &'static str,
    words: &'static [&'static str],
}

const CASES: [Case; 13] = [
    Case {
        tree: "debian",
        platform: "linux",
        title: "Debian GNU/Linux 13 (trixie)",
        version: "550.163.01",
        directory: "/usr/lib/x86_64-linux-gnu/nvidia/current",
        fault: |host| load_module(host, "535.261.03"),
        code: "driver-version-mismatch",
        words: &["535.261.03", "550.163.01"],
    },
    Case {
        tree: "ubuntu",
        platform: "linux",
        title: "Ubuntu 24.04.3 LTS",
        version: "535.261.03",
        directory: "/usr/lib/x86_64-linux-gnu",
        fault: |host| {
            host.remove("/etc/ld.so.cache");
        },
        code: "ldcache-lacks-libcuda",
        words: &["/usr/lib/x86_64-linux-gnu"],
    },
    Case {
        tree: "fedora",
        platform: "linux",
        title: "Fedora Linux 42 (Server Edition)",
        version: "580.95.05",
        directory: "/usr/lib64",
        fault: |host| {
            host.remove("/dev/nvidia-uvm");
        },
        code: "device-node-missing",
        words: &["/dev/nvidia-uvm"],
    },
    Case {
        tree: "run",
        platform: "linux",
        title: "Linux",
        version: "575.57.08",
        directory: "/usr/lib64",
        fault: |host| {
            host.link("/usr/lib64/libnvidia-old.so.1", "libnvidia-old.so.470.1");
        },
        code: "library-link-dangling",
        words: &["/usr/lib64/libnvidia-old.so.1"],
    },
    Case {
        tree: "gke",
        platform: "gke",
        title: "GKE, Container-Optimized OS from Google",
        version: "550.163.01",
        directory: "/home/kubernetes/bin/nvidia/lib64",
        fault: |host| load_module(host, "580.95.05"),
        code: "driver-version-mismatch",
        words: &[
            "580.95.05",
            "550.163.01",
            "/home/kubernetes/bin/nvidia/lib64",
        ],
    },
    Case {
        tree: "nixos",
        platform: "nixos",
        title: "NixOS 25.05 (Warbler)",
        version: "550.163.01",
        directory: "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nvidia-x11-550.163.01-6.12.41/lib",
        fault: |host| {
            host.remove("/run/opengl-driver");
        },
        code: "libcuda-missing",
        words: &["550.163.01", "--driver-root"],
    },
    Case {
        tree: "talos",
        platform: "talos",
        title: "Talos (v1.11.2)",
        version: "550.163.01",
        directory: "/usr/local/glibc/usr/lib",
        fault: |host| {
            host.remove("/proc/driver/nvidia/version");
        },
        code: "driver-not-loaded",
        words: &["modprobe nvidia"],
    },
    Case {
        tree: "gpu-operator",
        platform: "gpu-operator",
        title: "GPU operator, Ubuntu 22.04.5 LTS",
        version: "550.163.01",
        directory: "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/nvidia/current",
        fault: |host| {
            host.remove("/run/nvidia/driver/dev/nvidia0");
        },
        code: "device-node-missing",
        words: &["/run/nvidia/driver/dev/nvidia0"],
    },
    Case {
        tree: "bottlerocket",
        platform: "bottlerocket",
        title: "Bottlerocket OS 1.44.0 (aws-k8s-1.33-nvidia)",
        version: "535.261.03",
        directory: "/x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla",
        fault: |host| {
            host.remove("/dev/nvidia-uvm");
            assert!(has_node(host, "/dev/nvidia-uvm", "509", "0"));
        },
        code: "device-node-wrong",
        words: &["/dev/nvidia-uvm"],
    },
    Case {
        tree: "wsl",
        platform: "wsl",
        title: "WSL, Ubuntu 24.04.3 LTS",
        version: "566.36",
        directory: "/usr/lib/wsl/lib",
        fault: |host| {
            host.remove("/dev/dxg");
        },
        code: "device-node-missing",
        words: &["/dev/dxg", "on Windows"],
    },
    Case {
        tree: "jetson-32",
        platform: "jetson",
        title: "Jetson, L4T 32.7.4, Ubuntu 18.04.6 LTS",
        version: "32.7.4",
        directory: "/usr/lib/aarch64-linux-gnu/tegra",
        fault: |host| {
            for name in [
                "tegra/libcuda.so.1.1",
                "tegra/libcuda.so.1",
                "tegra/libcuda.so",
                "libcuda.so",
            ] {
                host.remove(format!("/usr/lib/aarch64-linux-gnu/{name}"));
            }
            host.remove("/etc/ld.so.cache");
        },
        code: "libcuda-missing",
        words: &["nvidia-l4t-cuda"],
    },
    Case {
        tree: "jetson-35",
        platform: "jetson",
        title: "Jetson, L4T 35.5.0, Ubuntu 20.04.6 LTS",
        version: "35.5.0",
        directory: "/usr/lib/aarch64-linux-gnu/tegra",
        fault: |host| {
            host.remove("/usr/lib/aarch64-linux-gnu/tegra/libnvidia-nvvm.so.35.5.0");
        },
        code: "library-link-dangling",
        words: &["/usr/lib/aarch64-linux-gnu/tegra/libnvidia-nvvm.so.4"],
    },
    Case {
        tree: "jetson-36",
        platform: "jetson",
        title: "Jetson, L4T 36.4.3, Ubuntu 22.04.5 LTS",
        version: "540.4.0",
        directory: "/usr/lib/aarch64-linux-gnu/nvidia",
        fault: |host| {
            host.remove("/dev/nvmap");
        },
        code: "device-node-missing",
        words: &["/dev/nvmap", "nvgpu"],
    },
];

fn load_module(host: &Host, version: &str) {
    let text = format!("NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Thu\n");
    host.file("/proc/driver/nvidia/version", text);
}

#[test]
fn all_is_well_on_each_platform() {
    for case in &CASES {
        let Some(host) = tree(case.tree) else { return };
        assert_eq!(findings(&host, &[]), (0, vec![]), "{}", case.tree);
        let (exit, info) = json(&host, &["info", "--json"]);
        assert_eq!(exit, 0);
        assert_eq!(info["platform"]["name"], case.platform, "{info:#}");
        assert_eq!(info["driver"]["version"], case.version, "{info:#}");
        assert_eq!(info["driver"]["libraryVersion"], case.version, "{info:#}");
        let directory = &info["driver"]["directories"][0];
        assert_eq!(directory["path"], case.directory, "{info:#}");
        assert_eq!(directory["version"], case.version, "{info:#}");
        let text = text(&host, &["info"]);
        for line in [
            format!("\nPlatform   {}\n", case.title),
            format!("\nDriver     {}, ", case.version),
            format!("libraries {} in {}", case.version, case.directory),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}

#[test]
fn a_fault_of_each_platform_is_named() {
    for case in &CASES {
        let Some(host) = tree(case.tree) else { return };
        (case.fault)(&host);
        let (_, findings) = findings(&host, &[]);
        let codes: Vec<_> = findings.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, [case.code], "{}: {findings:?}", case.tree);
        for word in case.words {
            assert!(findings[0].1.contains(word), "{}: {findings:?}", case.tree);
        }
    }
}

/// Where NixOS has links, both directories are told.
#[test]
fn links_to_a_store() {
    let Some(host) = tree("nixos") else { return };
    let (_, info) = json(&host, &["info", "--json"]);
    let place = &info["driver"]["directories"][0]["place"];
    assert_eq!(place, "/run/opengl-driver/lib", "{info:#}");
    let text = text(&host, &["info"]);
    assert!(text.contains("/lib, by /run/opengl-driver/lib\n"), "{text}");
}

/// The newest package of Windows' store is told as well; what Windows kept of older drivers is not.
#[test]
fn packages_of_windows() {
    let Some(host) = tree("wsl") else { return };
    let (_, info) = json(&host, &["info", "--json"]);
    let directories = info["driver"]["directories"].as_array().unwrap();
    let paths: Vec<_> = directories
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/usr/lib/wsl/lib",
            "/usr/lib/wsl/drivers/nv_dispi.inf_amd64_c5b5db3e12daa5e3"
        ]
    );
    assert_eq!(info["deviceNodes"][0]["path"], "/dev/dxg");
}

/// With the root of a driver's container, /proc and /sys are still the host's.
#[test]
fn the_roots_that_are_asked_for() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    let options = ["--driver-root", "/run/nvidia/driver"];
    assert_eq!(findings(&host, &options), (0, vec![]));
    let (_, info) = json(&host, &[&["info", "--json"], &options[..]].concat());
    for (name, value) in [
        ("root", "/run/nvidia/driver"),
        ("devRoot", "/run/nvidia/driver"),
        ("version", "550.163.01"),
    ] {
        assert_eq!(info["driver"][name], value, "{info:#}");
    }
    assert_eq!(info["gpus"][0]["minor"], 0);
    assert_eq!(info["gpus"][0]["drm"][1], "renderD128");
    let node = &info["deviceNodes"][0]["path"];
    assert_eq!(node, "/run/nvidia/driver/dev/nvidia0");
    let library = &info["libraries"][0]["path"];
    let path = "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.550.163.01";
    assert_eq!(library, path, "{info:#}");

    let (exit, found) = findings(&host, &[&options[..], &["--dev-root", "/"]].concat());
    assert_eq!(exit, 2);
    assert_eq!(found[0].0, "device-node-missing");
    assert!(
        found[0]
            .1
            .contains("/dev/nvidiactl, /dev/nvidia-uvm, /dev/nvidia0"),
        "{found:?}"
    );
    let (_, found) = findings(&host, &["--driver-root", "/"]);
    let codes: Vec<_> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["libcuda-missing", "device-node-missing"]);

    // A driver whose root has no /dev: the nodes are the host's.
    let Some(host) = tree("gke") else { return };
    let options = ["--driver-root", "/home/kubernetes/bin/nvidia"];
    assert_eq!(findings(&host, &options), (0, vec![]));
}

#[test]
fn roots_that_are_not_there() {
    let host = Host::new();
    for command in ["info", "doctor"] {
        for option in ["--driver-root", "--dev-root"] {
            let outcome = run(&host, &[command, option, "/gone"]);
            assert_eq!(outcome.code, 1, "{command} {option}");
            let stderr = outcome.stderr;
            assert!(stderr.contains("/gone: No such file"), "{stderr}");
        }
    }
}

/// The operator's driver counts where the host has another one than the loaded module's.
#[test]
fn the_driver_that_is_loaded_counts() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    let old = "/usr/lib/x86_64-linux-gnu/libcuda.so.470.256.02";
    host.file(old, shared_object("libcuda.so.1"));
    assert_eq!(findings(&host, &[]), (0, vec![]));
    let (_, info) = json(&host, &["info", "--json"]);
    assert_eq!(info["driver"]["root"], "/run/nvidia/driver");
    load_module(&host, "470.256.02");
    let (_, info) = json(&host, &["info", "--json"]);
    assert_eq!(info["driver"]["root"], "/");
    assert_eq!(info["platform"]["name"], "linux");
    // None of both: the host's is told.
    load_module(&host, "580.95.05");
    let (_, found) = findings(&host, &[]);
    assert_eq!(found[0].0, "driver-version-mismatch");
    assert!(
        found[0]
            .1
            .contains("580.95.05, the libraries are 470.256.02"),
        "{found:?}"
    );
}

/// Files of another driver in the same directory change nothing.
#[test]
fn what_another_driver_left() {
    let Some(host) = tree("talos") else { return };
    for version in ["535.1.1", "590.1.1"] {
        let path = format!("/usr/local/glibc/usr/lib/libcuda.so.{version}");
        host.file(&path, shared_object("libcuda.so.1"));
    }
    assert_eq!(findings(&host, &[]), (0, vec![]));
    let (_, info) = json(&host, &["info", "--json"]);
    assert_eq!(info["driver"]["libraryVersion"], "550.163.01");
}

/// A driver in a place that nobody knows but a CDI spec.
#[test]
fn a_spec_names_the_libraries() {
    let Some(host) = tree("nixos") else { return };
    host.remove("/run/opengl-driver");
    let spec = |path: &str| {
        serde_json::json!({
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}],
            "containerEdits": {"mounts": [{"hostPath": path, "containerPath": "/libcuda.so.1"}]},
        })
        .to_string()
    };
    let library = "/opt/vendor/driver/libcuda.so.550.163.01";
    host.file("/var/run/cdi/nvidia.json", spec(library));
    let (_, found) = findings(&host, &[]);
    let codes: Vec<_> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["libcuda-missing", "cdi-path-missing"]);
    host.file(library, shared_object("libcuda.so.1"));
    assert_eq!(findings(&host, &[]), (0, vec![]));
}

#[test]
fn instances_of_mig() {
    let Some(host) = tree("ubuntu") else { return };
    let capabilities = "/proc/driver/nvidia/capabilities";
    for (path, minor) in [
        ("mig/config", 1),
        ("gpu0/mig/gi1/access", 12),
        ("gpu0/mig/gi1/ci0/access", 13),
        ("gpu0/mig/gi10/access", 93),
        ("gpu0/mig/gi10/ci0/access", 94),
        ("gpu0/mig/gi2/access", 21),
        ("gpu0/mig/gi2/ci0/access", 22),
    ] {
        let text = format!("DeviceFileMinor: {minor}\nDeviceFileMode: 292\nDeviceFileModify: 1\n");
        host.file(format!("{capabilities}/{path}"), text);
        if minor != 94 {
            let node = format!("/dev/nvidia-caps/nvidia-cap{minor}");
            assert!(has_node(&host, &node, "510", &minor.to_string()));
        }
    }
    let (_, info) = json(&host, &["info", "--json"]);
    let instances = info["migInstances"].as_array().unwrap();
    let numbers: Vec<_> = instances
        .iter()
        .map(|it| it["gpuInstance"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 10]);
    assert_eq!(instances[2]["computeInstanceCapability"], 94);
    let text = text(&host, &["info"]);
    let line = "\nMIG        /dev/nvidia0  GI 1   CI 0  nvidia-cap12, nvidia-cap13\n";
    assert!(text.contains(line), "{text}");
    let (_, found) = findings(&host, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "device-node-missing");
    assert!(
        found[0].1.contains("/dev/nvidia-caps/nvidia-cap94"),
        "{found:?}"
    );
}

/// What may be there and cannot be read is told, and not taken for missing.
#[test]
fn what_cannot_be_read_is_told() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    host.set_mode("/run/nvidia/driver", 0o000);
    each_kernel(|kernel| {
        let before = [&without_privileges(), kernel].concat();
        let outcome = host.run_in(&before, "doctor --json --root @ROOT@");
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let finding = &report["findings"][0];
        assert_eq!(finding["code"], "driver-unreadable", "{report:#}");
        let what = finding["finding"].as_str().unwrap();
        assert!(
            what.contains("/run/nvidia/driver: Permission denied"),
            "{what}"
        );
    });
    host.set_mode("/run/nvidia/driver", 0o755);
}

/// Systems whose loader does not know the driver, on hosts where others' does.
#[test]
fn what_is_not_in_the_cache_by_intent() {
    let Some(host) = tree("wsl") else { return };
    host.remove("/etc/ld.so.cache");
    let (_, found) = findings(&host, &[]);
    assert_eq!(found[0].0, "ldcache-lacks-libcuda");
    host.file("/etc/os-release", "ID=nixos\n");
    assert_eq!(findings(&host, &[]), (0, vec![]));
    let Some(host) = tree("gke") else { return };
    host.directory("/var/lib");
    fs::rename(
        host.at("/home/kubernetes/bin/nvidia"),
        host.at("/var/lib/nvidia"),
    )
    .unwrap();
    assert_eq!(findings(&host, &[]), (0, vec![]));
}

/// Nothing of a driver's tree is reached through links that lead out of it.
#[test]
fn links_stay_in_the_driver_s_root() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    let library = "/opt/libcuda.so.550.163.01";
    host.file(library, shared_object("libcuda.so.1"));
    let link = "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-out.so.1";
    host.link(link, format!("../../../../../..{library}"));
    let (_, found) = findings(&host, &[]);
    assert_eq!(found[0].0, "library-link-dangling");
    assert!(found[0].1.contains(link), "{found:?}");
}
