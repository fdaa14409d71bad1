//! Options and variables of `cdi generate`.

use std::fs;

use super::{common, device, generate, generate_with, hooks, mounts, names, refuses, spec, values};
use crate::common::cdi_spec::Spec;
use crate::common::elf::library;
use crate::common::gpu_host::{GpuHost, LIBRARIES, VERSION};

const FULL: &str = "full-2gpu.yaml";

#[test]
fn kinds() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    for (options, kind) in [
        ("--vendor example.com --class device", "example.com/device"),
        ("--cdi-vendor example.com", "example.com/gpu"),
        ("--cdi-class g", "nvidia.com/g"),
        ("--vendor v --class c", "v/c"),
    ] {
        let spec = spec(&host, options);
        assert_eq!(spec.value["kind"], kind, "{options}");
        assert_eq!(spec.value["cdiVersion"], "0.7.0", "{options}");
    }
    for (option, value) in [
        ("--vendor", "_v"),
        ("--vendor", "v/v"),
        ("--vendor", "1v"),
        ("--class", "c-"),
        ("--class", "ü"),
    ] {
        refuses(&host, &format!("{option} {value}"), &[value]);
    }
}

#[test]
fn the_device_of_all() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let with = spec(&host, "");
    let without = spec(&host, "--no-all-device");
    assert_eq!([names(&without), vec!["all"]].concat(), names(&with));
}

#[test]
fn groups() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    for option in ["--feature-flag", "--feature-flags"] {
        let spec = spec(
            &host,
            &format!("{option} no-additional-gids-for-device-nodes"),
        );
        assert!(!spec.text.contains("additionalGids"), "{}", spec.text);
        assert_eq!(spec.value["cdiVersion"], "0.5.0");
        let card = &device(&spec, "0")["deviceNodes"][1];
        assert_eq!(
            (&card["path"], &card["gid"]),
            (&"/dev/dri/card1".into(), &44.into())
        );
    }
}

/// glvnd's libraries, which belong to the distribution, come where they are asked for.
#[test]
fn libraries_that_are_not_the_driver_s() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    host.library(&format!("{LIBRARIES}/libGL.so.1.7.0"), "libGL.so.1");
    host.library(&format!("{LIBRARIES}/libOpenCL.so.1.0.0"), "libOpenCL.so.1");
    host.link(format!("{LIBRARIES}/libGL.so"), "libGL.so.1");
    host.link(format!("{LIBRARIES}/libOpenCL.so"), "libOpenCL.so.1");
    host.ldcache();
    let has = |options: &str, name: &str| {
        let path = format!("{LIBRARIES}/{name}");
        mounts(common(&spec(&host, options))).contains(&(&path, &path))
    };
    for name in ["libGL.so.1.7.0", "libOpenCL.so.1.0.0"] {
        assert!(!has("", name), "{name}");
        assert!(
            has("--feature-flag enable-explicit-driver-libraries", name),
            "{name}"
        );
    }
}

/// Libraries that have no version in their names are the driver's as well.
#[test]
fn libraries_without_the_version() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let path = format!("{LIBRARIES}/libnvidia-api.so.1");
    host.file(&path, library("libnvidia-api.so.1"));
    assert!(mounts(common(&spec(&host, ""))).contains(&(&path, &path)));
}

#[test]
fn flags_that_nobody_knows() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let whole = generate(&host, "").stdout;
    for flag in [
        "disable-nvsandboxutils",
        "disable-nvsandbox-utils",
        "disable-multiple-csv-devices",
    ] {
        let outcome = generate(&host, &format!("--feature-flag {flag} --strict"));
        assert_eq!(
            (outcome.code, &outcome.stdout),
            (0, &whole),
            "{flag}: {}",
            outcome.stderr
        );
    }
    let outcome = generate(&host, "--feature-flag fly");
    assert!(outcome.stderr.contains("fly"), "{outcome:?}");
    let text = generate(&host, "--feature-flag disable-ipc-discoverer").stdout;
    assert!(!text.contains("persistenced/socket"), "{text}");
}

/// Specs for GPUs whose memory is part of the host's, and for others.
#[test]
fn coherent_memory() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    host.file(
        "/proc/driver/nvidia/gpus/0000:01:00.0/numa_status",
        "Node: 1\nStatus: online\n",
    );
    let options = "--feature-flag enable-coherent-annotations --output @ROOT@/out/x.yaml";
    let outcome = generate(&host, options);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(
        host.names("/out"),
        ["x.coherent.yaml", "x.noncoherent.yaml", "x.yaml"]
    );
    let again = generate(&host, options);
    assert_eq!(again.stderr, "", "these are no files of others");
    for (class, index) in [("coherent", "0"), ("noncoherent", "1")] {
        let text = host.text(format!("/out/x.{class}.yaml"));
        let spec = Spec::printed(&text);
        assert_eq!(spec.value["kind"], format!("nvidia.com/gpu.{class}"));
        assert_eq!(names(&spec)[0], index);
        assert!(!text.contains("annotations"), "{text}");
    }
}

#[test]
fn ldconfig_of_the_host() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let spec = spec(
        &host,
        "--hooks separate --ldconfig-path /sbin/ldconfig.real",
    );
    let hooks = hooks(common(&spec));
    let update = hooks
        .iter()
        .find(|words| words[1] == "update-ldcache")
        .unwrap();
    assert_eq!(values(update, "--ldconfig-path"), ["/sbin/ldconfig.real"]);
}

/// Where files lie in places that nobody knows.
#[test]
fn other_places() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    let folder = "/opt/driver/lib";
    host.directory("/opt/driver/share/vulkan");
    fs::rename(host.at(LIBRARIES), host.at(folder)).unwrap();
    fs::rename(
        host.at("/usr/share/vulkan/icd.d"),
        host.at("/opt/driver/share/vulkan/icd.d"),
    )
    .unwrap();
    host.remove("/etc/ld.so.cache");
    refuses(&host, "", &[VERSION]);
    let spec = spec(
        &host,
        &format!(
            "--library-search-path {folder} --config-search-path /opt/driver/share --hooks separate"
        ),
    );
    let mounted = mounts(common(&spec));
    let cuda = format!("{folder}/libcuda.so.{VERSION}");
    assert!(mounted.iter().any(|it| it.0 == cuda), "{mounted:?}");
    let icd = (
        "/opt/driver/share/vulkan/icd.d/nvidia_icd.json",
        "/etc/vulkan/icd.d/nvidia_icd.json",
    );
    assert!(mounted.contains(&icd), "{mounted:?}");
}

#[test]
fn variables() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    host.file("/a.csv", "dev, /dev/nvidiactl\n");
    let csv = &host.expand("@ROOT@/a.csv");
    for (name, value, options) in [
        (
            "CDI_GENERATE_CONFIG_SEARCH_PATHS",
            "/opt",
            "--config-search-path /opt",
        ),
        ("CDI_GENERATE_OUTPUT_FORMAT", "json", "--format json"),
        ("CDI_GENERATE_MODE", "management", "--mode management"),
        ("DEV_ROOT", "/", "--dev-root /"),
        (
            "CDI_GENERATE_DEVICE_NAME_STRATEGIES",
            "uuid,type-index",
            "--device-name-strategy uuid,type-index",
        ),
        ("DRIVER_ROOT", "/", "--driver-root /"),
        (
            "CDI_GENERATE_LIBRARY_SEARCH_PATHS",
            LIBRARIES,
            &format!("--library-search-path {LIBRARIES}"),
        ),
        (
            "CDI_HOOK_PATH",
            "/opt/nvidia-ctk",
            "--nvidia-cdi-hook-path /opt/nvidia-ctk",
        ),
        ("CDI_GENERATE_LDCONFIG_PATH", "/l", "--ldconfig-path /l"),
        ("CDI_GENERATE_VENDOR", "v", "--vendor v"),
        ("CDI_GENERATE_CLASS", "c", "--class c"),
        ("CDI_GENERATE_CSV_FILES", csv, &format!("--csv.file {csv}")),
        (
            "CDI_GENERATE_DISABLED_HOOKS",
            "chmod,update-ldcache",
            "--disable-hook chmod,update-ldcache",
        ),
        ("CDI_GENERATE_ENABLED_HOOKS", "chmod", "--enable-hook chmod"),
        (
            "CDI_GENERATE_FEATURE_FLAGS",
            "no-additional-gids-for-device-nodes",
            "--feature-flag no-additional-gids-for-device-nodes",
        ),
        ("CDI_GENERATE_NO_ALL_DEVICE", "true", "--no-all-device"),
        ("CDI_GENERATE_DEVICE_IDS", "1", "--device-id 1"),
    ] {
        let by_option = generate(&host, &format!("--hooks separate {options}"));
        let variable = format!("NVIDIA_CTK_{name}={value}");
        let by_variable = generate_with(&host, &[&variable], "--hooks separate");
        assert_eq!(by_option.code, 0, "{options}: {by_option:?}");
        assert_eq!(by_variable.stdout, by_option.stdout, "{variable}");
    }
    let output = host.expand("NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=@ROOT@/out/x.yaml");
    let outcome = generate_with(&host, &[&output], "");
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    assert_eq!(host.text("/out/x.yaml"), generate(&host, "").stdout);
    // The option wins.
    let outcome = generate_with(&host, &["NVIDIA_CTK_CDI_GENERATE_VENDOR=v"], "--vendor w");
    assert!(outcome.stdout.contains("kind: w/gpu"), "{outcome:?}");
}
