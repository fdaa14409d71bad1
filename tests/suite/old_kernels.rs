//! Whatever system call is missing, the program does the same: the same files, the same exit code, the same words.
//!
//! `without.c` proves that a call is refused before the hook starts, and a filter stays for good: where nothing differs, something
//! else has done the work of the call. For those that hooks make ([`MADE`]) that is `rootfs::walk` for openat2(2), close(2) of each
//! descriptor for `close_range(2)`, fdinfo for statx(2), mount(2) for those that mount, and nothing for Landlock, which is the second
//! wall only. libc and std try clone3(2) and statx(2) by themselves, and have the older calls. The others no hook makes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::gpu_host::GpuHost;
use crate::common::machine::{copy_program, folder, has, helper};
use crate::common::shim::Shim;
use crate::common::tree::{Entry, contents};
use crate::common::wrapper::{OLD_KERNEL, READ_ONLY, REFUSALS, refused, with_mounts, words};

/// The calls of [`OLD_KERNEL`] that hooks make where they can.
const MADE: [&str; 10] = [
    "close_range",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "landlock_create_ruleset",
    "move_mount",
    "open_tree",
    "openat2",
    "statx",
];

/// A driver on the host, and a container that sees a file of procfs in the place of its parameters.
const PARAMS: &str = "mount -t tmpfs tmpfs /proc/driver; mkdir /proc/driver/nvidia; \
    echo ModifyDeviceFiles: 1 >/proc/driver/nvidia/params; params=$root/proc/driver/nvidia/params; mkdir -p ${params%/*}; \
    touch $params; mount --bind /proc/sys/kernel/ostype $params";
/// A volume of the host in the container.
const VOLUME: &str = "mkdir $root/vol; mount --bind $host $root/vol";

/// Each hook, and what is mounted before it.
const HOOKS: [Case; 9] = [
    (
        "chmod --mode 751 --path /dir --path /away/f --path /loop/x --path /missing",
        "",
    ),
    (
        "create-symlinks --link t::/away/l --link t::/new/folder/l --link t::/loop/l --link t::/dir",
        "",
    ),
    (
        "create-soname-symlinks --folder /opt/lib --folder /away",
        "",
    ),
    ("update-ldcache --folder /opt/lib", ""),
    ("update-ldcache --folder /opt/lib", READ_ONLY),
    ("enable-cuda-compat --host-driver-version=570.211.01", ""),
    ("disable-device-node-modification", PARAMS),
    ("update-application-profile", ""),
    (APPLY, PARAMS),
];
/// What else differs where a call is missing.
const FURTHER: [Case; 4] = [
    ("chmod --mode 751 --path /vol/f --path /dir", VOLUME),
    ("create-symlinks --link t::/vol/l --link t::/l", VOLUME),
    ("create-symlinks", ""),
    (
        "update-ldcache --folder /opt/lib",
        "mount --bind $host $root/etc",
    ),
];
type Case = (&'static str, &'static str);
const APPLY: &str = "apply --host-driver-version 570.211.01 --link libcuda.so.1::/usr/lib/nvidia/libcuda.so --chmod 755:/dir \
    --folder /usr/lib/nvidia --disable-device-node-modification --update-application-profile";

fn container() -> Bundle {
    let bundle = Bundle::new();
    let mut newer = library("libcuda.so.1");
    newer.extend([0; 64]);
    bundle
        .directory("dir")
        .file("usr/share/f", "")
        .link("away", "../../usr/share")
        .link("loop", "loop")
        .file("etc/ld.so.cache", "old")
        .file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")
        .file("opt/lib/liba.so.1.2", library("liba.so.1"))
        .file("usr/local/cuda/compat/libcuda.so.575.57.08", newer)
        .file(
            "usr/lib/nvidia/libcuda.so.570.211.01",
            library("libcuda.so.1"),
        )
        .node("dev/nvidia0", &["c", "195", "0"]);
    fs::write(bundle.host().join("ld.so.cache"), "the host's").unwrap();
    fs::write(bundle.host().join("f"), "").unwrap();
    bundle
}

/// All that a hook brings about.
#[derive(Debug, PartialEq)]
struct Result {
    code: i32,
    stderr: String,
    /// What is seen in the container's mount namespace.
    seen: String,
    /// The files of the root and of the host.
    files: [BTreeMap<PathBuf, Entry>; 2],
}

/// Runs a hook as at createContainer, behind `kernel`.
fn run((line, mounts): Case, kernel: &[OsString]) -> Result {
    const LOOK: &str = "cat $root/etc/ld.so.cache $root/proc/driver/nvidia/params 2>/dev/null | od -c; \
        stat -c %a $root/etc/ld.so.cache; findmnt -R -n -o FSTYPE,OPTIONS -T $root/etc/ld.so.cache; grep -c . /proc/self/mountinfo";
    let bundle = container();
    let mounts = if mounts.is_empty() { "true" } else { mounts };
    let mounts = format!("mount --bind $root $root; {mounts}; export root host");
    let mut before = with_mounts(&bundle, &mounts);
    let script = format!("\"$@\"; code=$?; {LOOK}; exit $code");
    before.extend(words(&["sh", "-c", &script, "sh"]));
    before.extend(words(&["unshare", "--pid", "--fork"]));
    before.extend_from_slice(kernel);
    let state = bundle.path().join("state");
    fs::write(&state, bundle.state().to_string()).unwrap();
    let ran = bundle.hook_in(
        &before,
        &format!("{line} --container-spec {}", state.display()),
    );
    let path = bundle.path().display().to_string();
    Result {
        code: ran.code,
        stderr: ran.stderr.replace(&path, "$bundle"),
        seen: ran.stdout.replace(&path, "$bundle"),
        files: [bundle.root(), bundle.host()].map(|it| contents(&it)),
    }
}

/// Runs the cases behind each of the kernels, and compares with what they do here.
fn same_behind(kernels: &[Vec<OsString>], cases: &[Case]) {
    if !has(&["unshare", "mount", "mknod", "gcc"]) {
        return;
    }
    for &case in cases {
        let here = run(case, &[]);
        for kernel in kernels {
            assert_eq!(run(case, kernel), here, "{case:?} {kernel:?}");
        }
    }
}

#[test]
fn all_calls_are_missing() {
    let kernels = REFUSALS.map(|refusal| refused(refusal, &OLD_KERNEL));
    same_behind(&kernels, &HOOKS);
    same_behind(&kernels, &FURTHER);
}

#[test]
fn one_call_is_missing() {
    same_behind(&OLD_KERNEL.map(|call| refused("ENOSYS", &[call])), &HOOKS);
}

#[test]
fn one_call_is_refused() {
    same_behind(&OLD_KERNEL.map(|call| refused("EPERM", &[call])), &HOOKS);
}

/// What the generator writes and the runtime puts into a container's configuration.
#[test]
fn commands_of_the_host() {
    if !has(&["unshare", "mount", "chroot", "gcc"]) {
        return;
    }
    let Some(host) = GpuHost::of("full-mig.yaml") else {
        return;
    };
    let shim = Shim::on(&host);
    copy_program(&helper("without.c"), &shim.at("without"));
    shim.variables(&["NVIDIA_VISIBLE_DEVICES=all"]);
    let asked = shim.text();
    let mut seen = None;
    for kernel in [vec![]]
        .into_iter()
        .chain(REFUSALS.map(|refusal| refused(refusal, &OLD_KERNEL)))
    {
        let line = "cdi generate --root @ROOT@ --output @ROOT@/spec.yaml";
        let generated = host.run_in(&kernel, line);
        let spec = fs::read_to_string(host.at("/spec.yaml")).unwrap();
        fs::remove_file(host.at("/spec.yaml")).unwrap();
        // On the host the helper is elsewhere.
        let mut inside = kernel.clone();
        if let Some(helper) = inside.first_mut() {
            *helper = shim.inside("without").into();
        }
        shim.file("bundle/config.json", &asked);
        let created = shim.create_in(&inside);
        assert!(created.success(), "{kernel:?}: {created:?}");
        let result = (generated, spec, created, shim.text());
        let shown = format!("{result:?}");
        assert_eq!(seen.get_or_insert(shown.clone()), &shown, "{kernel:?}");
    }
    assert_ne!(shim.text(), asked);
}

/// Else to refuse them would show nothing.
#[test]
fn the_calls_are_made_where_they_are_there() {
    if !has(&["unshare", "mount", "mknod", "strace"]) {
        return;
    }
    let trace = folder();
    let file = trace.path().join("trace").display().to_string();
    let made = format!("trace={}", MADE.join(","));
    let strace = words(&["strace", "-f", "-qq", "-A", "-o", &file, "-e", &made]);
    for case in HOOKS {
        run(case, &strace);
    }
    let trace = fs::read_to_string(file).unwrap();
    let name = |line: &str| Some(line.split_once('(')?.0.rsplit(' ').next()?.to_owned());
    let found: BTreeSet<_> = trace.lines().filter_map(name).collect();
    let missing: Vec<_> = MADE.iter().filter(|it| !found.contains(**it)).collect();
    assert!(missing.is_empty(), "{missing:?} of {found:?}");
}
