//! Hosts with odd names, numbers and files: a spec is right and valid, or there is none.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{
    common, device, generate, hooks, mounts, names, nodes, refuses, said, spec, texts, values,
};
use crate::common::cdi_spec::Spec;
use crate::common::elf::{library, library_of_32_bits};
use crate::common::gpu_host::{Gpu, GpuHost, LIBRARIES, VERSION};
use crate::common::tree::Tree;

const SMALL: &str = "small-2gpu.yaml";
const GPUS: &str = "/proc/driver/nvidia/gpus";

/// A GPU that cannot be described is named, and the others keep their indices.
#[test]
fn descriptions_that_cannot_be_read() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let [first, second] = Gpu::two();
    let information = format!("{GPUS}/{}/information", first.bus_id);
    let broken: [fn(&Tree, &str); 4] = [
        |_, _| {},
        |host, path| {
            host.file(path, "");
        },
        |host, path| {
            host.file(path, vec![b'x'; 2 << 20]);
        },
        |host, path| {
            host.link(path, path);
        },
    ];
    for (case, make) in broken.iter().enumerate() {
        let _ = fs::remove_file(host.at(&information));
        make(&host, &information);
        let outcome = generate(&host, "");
        assert_eq!(outcome.code, 0, "{case}: {outcome:?}");
        let errors = said(&outcome, "error");
        assert!(
            errors.iter().any(|it| it.contains(first.bus_id)),
            "{case}: {errors:?}"
        );
        let printed = Spec::printed(&outcome.stdout);
        assert_eq!(names(&printed), ["1", second.uuid(), "all"], "{case}");
    }
}

#[test]
fn names_that_no_device_can_have() {
    let [first, second] = Gpu::two();
    let uuid = Some("GPU-1 1\"".to_owned());
    let Some(host) = GpuHost::new(SMALL, &[Gpu { uuid, ..first }, second.clone()]) else {
        return;
    };
    for name in ["odd name", "..0000:01:00.0", "a:b:c.d.e", "-"] {
        host.file(format!("{GPUS}/{name}/information"), "Device Minor: 0\n");
    }
    let outcome = generate(&host, "");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("0000:01:00.0"), "{outcome:?}");
    let printed = Spec::printed(&outcome.stdout);
    let instead = "pci-0000-01-00.0";
    assert_eq!(names(&printed), ["0", "1", second.uuid(), "all", instead]);
}

/// Nobody knows which of them a container would get.
#[test]
fn gpus_with_the_same_node() {
    let [first, second] = Gpu::two();
    let third = Gpu::new("0000:81:00.0", 2, 5);
    let Some(host) = GpuHost::new(SMALL, &[first, Gpu { minor: 0, ..second }, third.clone()])
    else {
        return;
    };
    let outcome = generate(&host, "");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for bus_id in ["0000:01:00.0", "0000:41:00.0"] {
        assert!(outcome.stderr.contains(bus_id), "{outcome:?}");
    }
    let printed = Spec::printed(&outcome.stdout);
    assert_eq!(names(&printed), ["2", third.uuid(), "all"]);
}

/// What is left out is said also where nothing is left.
#[test]
fn no_device_is_left() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    host.remove("/dev/nvidia0").remove("/dev/nvidia1");
    let outcome = generate(&host, "");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for path in ["/dev/nvidia0", "/dev/nvidia1"] {
        assert!(outcome.stderr.contains(path), "{outcome:?}");
    }
}

/// A list that says two things of one index says nothing.
#[test]
fn lists_that_contradict_themselves() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let plain = generate(&host, "").stdout;
    let list = GpuHost::smi_list(&Gpu::two());
    for (case, list) in [
        ("index", list.replace("GPU 1:", "GPU 0:")),
        ("UUID", format!("{list}{}", list.replace("GPU 0", "GPU 7"))),
    ] {
        host.file("/list", list);
        let outcome = generate(&host, "--nvidia-smi-list @ROOT@/list");
        assert_eq!(outcome.stdout, plain, "{case}: {outcome:?}");
        assert_eq!(said(&outcome, "warning").len(), 1, "{case}: {outcome:?}");
    }
}

/// Libraries for programs of 32 bits are neither mounted nor is their directory named.
#[test]
fn libraries_of_32_bits() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let plain = generate(&host, "").stdout;
    for name in ["libcuda", "libnvidia-ml"] {
        let bytes = library_of_32_bits(&format!("{name}.so.1"));
        host.file(format!("/usr/lib/{name}.so.{VERSION}"), bytes);
    }
    assert_eq!(spec(&host, "--strict").text, plain);
}

/// The name of a library is that of a file in its directory, whatever the library says.
#[test]
fn sonames_that_lead_elsewhere() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let plain = spec(&host, "").text;
    for soname in ["/etc/passwd", "../../etc/x", "a\nb", "..", "a::b", "a/b"] {
        let path = format!("{LIBRARIES}/libnvidia-odd.so.{VERSION}");
        host.file(&path, library(soname));
        for style in ["apply", "separate"] {
            let printed = spec(&host, &format!("--hooks {style}"));
            assert!(mounts(common(&printed)).contains(&(&path, &path)));
            let links = printed.text.matches("libnvidia-odd").count();
            assert_eq!(links, 2, "{soname}: {}", printed.text);
        }
        host.remove(&path);
    }
    assert_eq!(spec(&host, "").text, plain);
}

/// The hook refuses all of its work for a word of another form.
#[test]
fn directories_that_hooks_cannot_be_told() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let plain = generate(&host, "").stdout;
    let nvidia = format!("{LIBRARIES}/nvidia");
    for name in [&b"a#b"[..], b"a:b", b"a::b", b"a\nb", b"\xff"] {
        let name = Path::new(OsStr::from_bytes(name));
        let directory = Path::new(&nvidia).join(name);
        host.file(
            directory.join(format!("libcuda.so.{VERSION}")),
            library("libcuda.so.1"),
        );
        let outcome = generate(&host, "");
        assert_eq!(outcome.stdout, plain, "{name:?}");
        assert_eq!(said(&outcome, "warning").len(), 1, "{name:?}: {outcome:?}");
        fs::remove_dir_all(host.at(&directory)).unwrap();
    }
    let odd = OsStr::from_bytes(b"odd\xff");
    host.file(Path::new("/opt").join(odd), "x")
        .set_mode(Path::new("/opt").join(odd), 0o755);
    host.remove("/usr/bin/nvidia-smi");
    host.link("/usr/bin/nvidia-smi", Path::new("/opt").join(odd));
    assert!(!generate(&host, "").stdout.contains("/usr/bin/nvidia-smi"));
}

/// Names with colons are mounted, but no link is asked for that the hook would take for another one.
#[test]
fn names_with_colons() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    let path = format!("{LIBRARIES}/libnvidia-a::b.so.{VERSION}");
    host.file(&path, library("libnvidia-ab.so.1"));
    let printed = spec(&host, "");
    assert!(mounts(common(&printed)).contains(&(&path, &path)));
    for link in values(&hooks(common(&printed))[0], "--link") {
        assert_eq!(link.matches("::").count(), 1, "{link}");
    }
}

#[test]
fn thousands_of_libraries() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for number in 0..20_000 {
        host.file(format!("{LIBRARIES}/libnvidia-{number}.so.{VERSION}"), "");
    }
    let outcome = generate(&host, "");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1024"), "{}", outcome.stderr);
}

/// Nodes with numbers of another device are left out for managers as well.
#[test]
fn nodes_of_other_devices() {
    let Some(host) = GpuHost::of("full-mig.yaml") else {
        return;
    };
    host.node("/dev/nvidia-uvm", (511, 0), 0o666, 0);
    host.node("/dev/nvidia-caps/nvidia-cap1", (237, 12), 0o400, 0);
    for mode in ["management", "mig-caps"] {
        let outcome = generate(&host, &format!("--mode {mode}"));
        assert_eq!(outcome.code, 0, "{mode}: {outcome:?}");
        let printed = Spec::printed(&outcome.stdout);
        let all = nodes(device(&printed, "all"));
        for path in ["/dev/nvidia-uvm", "/dev/nvidia-caps/nvidia-cap1"] {
            assert!(!all.contains(&path.to_owned()), "{mode}: {all:?}");
        }
        assert!(
            outcome.stderr.contains("nvidia-cap1"),
            "{mode}: {outcome:?}"
        );
    }
}

/// The admin has to know which file names a directory that is not there.
#[test]
fn roots_that_are_not_there() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    refuses(&host, "--driver-root /gone", &["driver's root /gone"]);
    refuses(&host, "--dev-root /gone", &["/dev, /gone"]);
    let options = "--library-search-path /opt";
    refuses(&host, options, &["--library-search-path names no"]);
    let config = "/etc/nvidia-container-runtime/config.toml";
    host.file(config, "[nvidia-container-cli]\nroot = \"/gone\"\n");
    refuses(&host, "", &[config, "driver's root /gone"]);
    assert_eq!(generate(&host, "--driver-root /").code, 0);
    host.remove(config).directory(config);
    refuses(&host, "", &[config]);
}

/// Lists of a Jetson with patterns that lead everywhere.
#[test]
fn lists_without_an_end() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for number in 0..100 {
        host.file(format!("/many/{number}/{number}/x"), "");
    }
    let everywhere = "lib, /*/*/*/*\n".repeat(50_000);
    let names: Vec<_> = (0..20_000).map(|it| format!("lib, /none/{it}\n")).collect();
    let names = names.concat();
    for list in [everywhere, names] {
        host.file("/list.csv", list);
        refuses(
            &host,
            "--mode csv --csv.file @ROOT@/list.csv",
            &["CSV files", "4096"],
        );
    }
    let chain = "/opt/a:b/libodd.so.1";
    host.file(chain, library("libodd.so.1"));
    host.file("/list.csv", format!("lib, {chain}\ndev, /dev/nvidia0\n"));
    let printed = spec(&host, "--mode csv --csv.file @ROOT@/list.csv");
    assert!(!printed.text.contains("a:b"), "{}", printed.text);
    assert_eq!(
        texts(&common(&printed)["env"]),
        ["NVIDIA_VISIBLE_DEVICES=void"]
    );
}
