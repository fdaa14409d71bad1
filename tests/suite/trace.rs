//! What the hooks ask of the kernel, and that a second run finds nothing to do.

use std::fs;
use std::path::Path;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::{REFUSALS, each_kernel, words};

const DRIVER: &str = "/usr/local/nvidia/lib64";

/// One of each kind of work.
const LINES: [&str; 13] = [
    "noop",
    "enable-cuda-compat --host-driver-version 550.1",
    "chmod --mode 1751 --path /dev/nvidia-caps,/usr/missing --path /linked",
    "create-symlinks --link ../a::/new/b/l --link /x::/linked/l --link t::/replaced",
    "create-symlinks --link libcuda.so.1::/usr/local/nvidia/lib64/libcuda.so",
    "create-symlinks",
    "update-ldcache",
    "update-ldcache --folder /usr/local/nvidia/lib64 --folder /opt/missing,/linked",
    "update-ldcache --find-driver",
    "create-soname-symlinks --folder /usr/local/nvidia/lib64",
    "update-application-profile",
    "apply --find-driver --chmod 1751:/dev/nvidia-caps",
    "apply --host-driver-version 550.1 --link t::/new/l --chmod 1751:/dev/nvidia-caps --folder /usr/local/nvidia/lib64
     --disable-device-node-modification --update-application-profile",
];

/// A root with work for every hook: a driver, links, musl beside an ld.so.conf with an include, a stale link.
fn root() -> Bundle {
    let bundle = Bundle::new();
    for name in ["libcuda.so.575.57.08", "libnvidia-ml.so.575.57.08"] {
        let soname = format!("{}.1", name.split_once(".575").unwrap().0);
        bundle.file(format!("{DRIVER}/{name}"), library(soname));
    }
    for number in 0..20 {
        let soname = format!("libfoo{number}.so.1");
        bundle.file(format!("usr/lib/{soname}.2.3"), library(soname));
    }
    bundle.link("usr/lib/libstale.so.1", "libstale.so.1.2");
    bundle.file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
    bundle.file("etc/ld.so.conf.d/a.conf", "/usr/local/lib\n");
    bundle
        .file("lib/ld-musl-x86_64.so.1", "")
        .file("replaced", "");
    bundle
        .directory("dev/nvidia-caps")
        .set_mode("dev/nvidia-caps", 0o700);
    bundle.directory("opt/real").link("linked", "/opt/real");
    bundle.file(
        "usr/local/cuda/compat/libcuda.so.560.1",
        library("libcuda.so.1"),
    );
    bundle
}

#[test]
fn after_the_second_run_nothing_changes() {
    for line in LINES {
        let bundle = root();
        for _ in 0..2 {
            bundle.hook(line).silent();
        }
        let before = snapshot(bundle.path());
        for run in 2..100 {
            bundle.hook(line).silent();
            assert_eq!(snapshot(bundle.path()), before, "{line}: run {run}");
        }
    }
}

#[test]
fn the_second_run_writes_nothing_whatever_the_hooks_order() {
    each_kernel(|kernel| {
        let bundle = root();
        let all = || {
            for line in LINES {
                bundle.hook_in(kernel, line).silent();
            }
        };
        all();
        let before = snapshot(bundle.path());
        all();
        assert_eq!(snapshot(bundle.path()), before);
    });
}

/// Runs a hook under strace; returns its system calls, one a line, without the process id.
fn trace(bundle: &Bundle, kernel: &[std::ffi::OsString], line: &str) -> (Outcome, Vec<String>) {
    let file = bundle.path().join("trace");
    let strace = [
        "strace",
        "-f",
        "-v",
        "-s",
        "4096",
        "-o",
        &file.display().to_string(),
    ];
    let ran = bundle.hook_in(&[&words(&strace), kernel].concat(), line);
    let text = fs::read_to_string(&file).unwrap();
    let without_id = |line: &str| {
        let start = line.trim_start_matches(|c: char| c.is_ascii_digit());
        start.trim_start().to_owned()
    };
    (ran, text.lines().map(without_id).collect())
}

/// The name of a system call.
fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

#[test]
fn a_hook_is_one_process_that_goes_by_descriptors() {
    if !has(&["strace"]) {
        return;
    }
    each_kernel(|kernel| {
        for line in LINES {
            let bundle = root();
            let (ran, calls) = trace(&bundle, kernel, line);
            ran.silent();
            let wrappers = usize::from(!kernel.is_empty());
            check(&bundle, line, &calls, wrappers);
            let is_refused = |it: &str| REFUSALS.iter().any(|refusal| it.contains(refusal));
            let mut lookups = calls.iter().filter(|it| name(it) == "openat2");
            let hidden = lookups.clone().any(|it| is_refused(it));
            let works = lookups.any(|it| !is_refused(it));
            if line != "noop" {
                assert_eq!((hidden, works), (wrappers > 0, wrappers == 0), "{line}");
            }
        }
    });
}

fn check(bundle: &Bundle, line: &str, calls: &[String], wrappers: usize) {
    let root = bundle.root().display().to_string();
    let config = bundle.path().join("config.json").display().to_string();
    let path = bundle.path().display().to_string();
    let executed = calls.iter().filter(|it| name(it) == "execve").count();
    assert_eq!(executed, 1 + wrappers, "{line}: {calls:#?}");
    let start = calls.iter().rposition(|it| name(it) == "execve").unwrap();
    for call in calls.iter().skip(start + 1) {
        let is_thread = || name(call).starts_with("clone") && call.contains("CLONE_THREAD");
        let forbidden = [
            "fork",
            "vfork",
            "clone",
            "clone3",
            "execveat",
            "ptrace",
            "chroot",
            "chdir",
            "fchdir",
            "mount",
            "umount2",
            "unshare",
            "setns",
            "pivot_root",
            "fsopen",
            "fsmount",
            "open_tree",
            "move_mount",
        ];
        assert!(
            !forbidden.contains(&name(call)) && !is_thread(),
            "{line}: {call}"
        );
        // Engines read its messages, whatever standard error is. Guard: `is_of_hook`, without which the call is made.
        assert!(!call.starts_with("ioctl(2,"), "{line}: {call}");
        // The last string of a readlink is what the kernel answers.
        let strings = call.split('"').skip(1).step_by(2);
        let given = if name(call).starts_with("readlink") {
            1
        } else {
            9
        };
        for string in strings.take(given) {
            assert!(
                !string.starts_with(&format!("{root}/")),
                "{line}, below the root: {call}"
            );
        }
        // What names a path from the process's own root or folder.
        let by_path = call.contains("(AT_FDCWD, ") || name(call) == "open" || name(call) == "stat";
        if by_path {
            let string = call.split('"').nth(1).unwrap_or_default();
            let known = [config.as_str(), &root, &path, "/", "/dev/log"].contains(&string);
            let is_proc = string.starts_with("/proc/");
            // std asks whether there is the system call.
            let is_probe = call.starts_with("statx(AT_FDCWD, NULL, ");
            assert!(known || is_proc || is_probe, "{line}: {call}");
        }
    }
}

/// The hook of hooks.d sees every container of a host: most have no GPU.
#[test]
fn a_container_without_a_gpu_costs_few_calls() {
    if !has(&["strace"]) {
        return;
    }
    let bundle = root();
    bundle.config(r#"{"root": {"path": "rootfs"}, "mounts": [{"destination": "/proc"}]}"#);
    each_kernel(|kernel| {
        let (ran, calls) = trace(&bundle, kernel, "apply --find-driver");
        ran.silent();
        // Before that it is what every program of this kind does at its start.
        let start = calls.iter().position(|it| name(it) == "umask").unwrap();
        let calls = &calls[start..];
        assert!(calls.len() <= 24, "{}: {calls:#?}", calls.len());
        let root = bundle.root().display().to_string();
        assert!(!calls.iter().any(|it| it.contains(&root)), "{calls:#?}");
    });
}

/// Many libraries are read by several threads, which are no processes.
#[test]
fn threads_are_for_many_libraries_only() {
    if !has(&["strace"]) {
        return;
    }
    for (count, many) in [(20, false), (600, true)] {
        let bundle = Bundle::new();
        for number in 0..count {
            let soname = format!("libfoo{number}.so.1");
            bundle.file(
                Path::new("usr/lib").join(format!("{soname}.2")),
                library(soname),
            );
        }
        let (ran, calls) = trace(&bundle, &[], "update-ldcache");
        ran.silent();
        let clones: Vec<_> = calls
            .iter()
            .filter(|it| name(it).starts_with("clone"))
            .collect();
        assert!(
            clones.iter().all(|it| it.contains("CLONE_THREAD")),
            "{clones:?}"
        );
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        assert_eq!(!clones.is_empty(), many && processors > 1, "{clones:?}");
    }
}

/// A second run opens nothing for writing.
#[test]
fn a_run_without_work_writes_nothing() {
    if !has(&["strace"]) {
        return;
    }
    for line in LINES {
        let bundle = root();
        bundle.hook(line).silent();
        let (ran, calls) = trace(&bundle, &[], line);
        ran.silent();
        let writes = |call: &&String| {
            let name = name(call);
            let changes = [
                "rename",
                "unlink",
                "symlink",
                "mkdir",
                "chmod",
                "fsync",
                "ftruncate",
            ];
            let opens = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
            // Another call's "File exists" is no change.
            !call.contains(" = -1 ")
                && (changes.iter().any(|it| name.contains(it))
                    || opens.iter().any(|it| call.contains(it)))
        };
        let found: Vec<_> = calls.iter().filter(writes).collect();
        assert!(found.is_empty(), "{line}: {found:?}");
    }
}

/// Guard: `Directory::swept`.
#[test]
fn directories_are_listed_as_often_for_many_links_as_for_one() {
    if !has(&["strace"]) {
        return;
    }
    let listings = |links: usize| {
        let bundle = Bundle::new();
        for number in 0..links {
            let soname = format!("libfoo{number}.so.1");
            bundle.file(format!("usr/lib/{soname}.2"), library(&soname));
            bundle.file(format!("usr/lib/{soname}.1"), library(&soname));
            bundle.link(format!("usr/lib/{soname}"), format!("{soname}.1"));
        }
        let (ran, calls) = trace(&bundle, &[], "update-ldcache");
        ran.silent();
        assert_eq!(bundle.target("usr/lib/libfoo0.so.1"), "libfoo0.so.1.2");
        calls.iter().filter(|it| name(it) == "getdents64").count()
    };
    assert_eq!(listings(1), listings(30));
}
