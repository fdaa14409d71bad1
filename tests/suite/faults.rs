//! Faults in the middle of a hook: it is killed, the disk is full or broken, several hooks run at once. Nothing is lost, and
//! nothing stays behind.
//!
//! strace tampers with one system call after the other, so that each moment of a hook's life has its turn, on any machine.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::bundle::{Bundle, end};
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::tree::{Entry, contents};
use crate::common::wrapper::{with_mounts, words};

const DRIVER: &str = "/usr/local/nvidia/lib64";
/// How temporary names begin.
const TEMPORARY: &str = ".nvidia-ctk-";

/// One of each kind of work; each replaces something in [`updated_root`].
const LINES: [&str; 4] = [
    "update-ldcache --folder /usr/local/nvidia/lib64,/opt/new",
    "create-symlinks",
    "create-symlinks --link new::/replaced --link new::/file --link x::/fresh/folder/l --link x::/l",
    "chmod --mode 751 --path /file,/opt/new",
];

/// A root in which hooks have been, whose driver was updated since.
fn updated_root() -> Bundle {
    let bundle = Bundle::new();
    bundle.file("lib/ld-musl-x86_64.so.1", "");
    for name in ["libcuda.so.1", "libnvidia-ml.so.1", "libother.so.1"] {
        bundle.file(format!("{DRIVER}/{name}.570.1.1"), library(name));
        bundle.link(format!("{DRIVER}/{name}"), format!("{name}.570.1.1"));
    }
    for version in ["570.1.1", "575.57.08"] {
        let path = format!("{DRIVER}/libcuda.so.{version}");
        bundle.file(path, library("libcuda.so.1"));
        if version == "570.1.1" {
            bundle
                .hook(&format!("update-ldcache --folder {DRIVER}"))
                .silent();
            bundle.hook("create-symlinks").silent();
        }
    }
    bundle.file("opt/new/libnew.so.1.2", library("libnew.so.1"));
    bundle.link(format!("{DRIVER}/libstale.so.1"), "libstale.so.1.2");
    bundle.link("replaced", "old").file("file", "");
    bundle.set_mode("file", 0o600).set_mode("opt/new", 0o700);
    bundle
}

/// A root without configuration.
fn fresh_root() -> Bundle {
    let bundle = Bundle::new();
    bundle.file("lib/ld-musl-x86_64.so.1", "");
    let name = format!("{DRIVER}/libcuda.so.575.57.08");
    bundle.file(name, library("libcuda.so.1"));
    bundle
        .file("opt/new/libnew.so.1.2", library("libnew.so.1"))
        .file("file", "");
    bundle.set_mode("file", 0o600).set_mode("opt/new", 0o700);
    bundle
}

fn temporary(tree: &BTreeMap<PathBuf, Entry>) -> Vec<&Path> {
    let is_temporary = |path: &&Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(TEMPORARY)
    };
    let paths = tree.keys().map(PathBuf::as_path);
    paths.filter(is_temporary).collect()
}

/// A root before a hook and after it, if nothing gets between.
struct Change {
    line: &'static str,
    root: fn() -> Bundle,
    before: BTreeMap<PathBuf, Entry>,
    after: BTreeMap<PathBuf, Entry>,
    calls: Vec<Call>,
}

/// One system call of a hook: the `number`th of its name.
#[derive(Debug)]
struct Call {
    name: String,
    number: usize,
    text: String,
}

impl Change {
    fn of(line: &'static str, root: fn() -> Bundle) -> Self {
        let bundle = root();
        let before = contents(&bundle.root());
        let calls = bundle.path().join("calls");
        let strace = words(&["strace", "-o", &calls.display().to_string()]);
        bundle.hook_in(&strace, line).silent();
        let after = contents(&bundle.root());
        assert_ne!(before, after, "{line} does nothing");
        Self {
            line,
            root,
            before,
            after,
            calls: Call::all(&fs::read_to_string(calls).unwrap()),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let fresh = [LINES[0], LINES[2]].map(|line| (line, fresh_root as fn() -> Bundle));
        let updated = LINES.map(|line| (line, updated_root as fn() -> Bundle));
        let all = fresh.into_iter().chain(updated);
        all.map(|(line, root)| Self::of(line, root))
    }

    /// The calls after the root was opened and the sandbox entered.
    fn effect(&self) -> &[Call] {
        let entered = self.calls.iter().rposition(|it| it.name == "prlimit64");
        &self.calls[entered.expect("limits are set") + 1..]
    }

    /// Calls that change something and those behind them, and some of those between which nothing changes.
    fn moments(&self) -> impl Iterator<Item = &Call> {
        let calls = self.effect();
        let behind = |index: usize| index.checked_sub(1).is_some_and(|it| calls[it].writes());
        let counts = move |(index, call): &(usize, &Call)| {
            call.writes() || behind(*index) || index.is_multiple_of(4)
        };
        let moments = calls.iter().enumerate().filter(counts);
        moments.map(|(_, call)| call)
    }

    /// Everything is as it was, or as it shall be.
    fn is_old_or_new(&self, bundle: &Bundle, case: &str) {
        let now = contents(&bundle.root());
        let paths = [&self.before, &self.after, &now].into_iter().flatten();
        for path in paths.map(|(path, _)| path) {
            let is_temporary = temporary(&now).contains(&path.as_path());
            let [before, after, now] = [&self.before, &self.after, &now].map(|it| it.get(path));
            assert!(
                now == before || now == after || is_temporary,
                "{case}: {} is neither the old nor the new one: {now:?}",
                path.display()
            );
        }
    }

    /// The next run does what this one has not done.
    fn is_made_good(&self, bundle: &Bundle, case: &str) {
        let ran = bundle.hook(self.line);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{case}");
        assert_eq!(contents(&bundle.root()), self.after, "{case}");
    }
}

impl Call {
    fn all(trace: &str) -> Vec<Self> {
        // How often more memory is asked for depends on where the kernel has put it, how often the clock is and the watchdog is set
        // again on how long a run takes.
        let varying = [
            "execve",
            "getrandom",
            "brk",
            "mmap",
            "munmap",
            "mremap",
            "madvise",
            "clock_gettime",
            "alarm",
            "setitimer",
        ];
        let mut numbers = HashMap::new();
        let mut calls = Vec::new();
        for text in trace.lines() {
            let Some((name, _)) = text.split_once('(').filter(|it| !varying.contains(&it.0)) else {
                continue;
            };
            let number: &mut usize = numbers.entry(name).or_default();
            *number += 1;
            if !name.starts_with("exit") {
                calls.push(Self {
                    name: name.to_owned(),
                    number: *number,
                    text: text.to_owned(),
                });
            }
        }
        calls
    }

    /// Whether it changes something.
    fn writes(&self) -> bool {
        let writing = [
            "write",
            "fchmod",
            "fchmodat",
            "symlinkat",
            "renameat",
            "mkdirat",
            "unlinkat",
        ];
        writing.contains(&self.name.as_str()) || self.text.contains("O_CREAT")
    }

    /// Runs a hook with which this call meets a fault.
    fn with(&self, fault: &str) -> Vec<OsString> {
        let Self { name, number, .. } = self;
        let inject = format!("inject={name}:{fault}:when={number}");
        let trace = format!("trace={name}");
        // strace ends as its child did; a shell tells that by its exit code.
        words(&[
            "sh",
            "-c",
            "\"$@\"; exit $?",
            "sh",
            "strace",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ])
    }
}

/// Guards: `Directory::replace_file` and `symlink` give a name to what is finished only; `sweep`.
#[test]
fn a_hook_killed_at_any_moment_loses_nothing() {
    if !has(&["strace"]) {
        return;
    }
    let mut moments = 0;
    let mut leftovers = 0;
    for change in Change::all() {
        for call in change.moments() {
            let case = format!("{}: killed at {call:?}", change.line);
            let bundle = (change.root)();
            let ran = bundle.hook_in(&call.with("signal=KILL"), change.line);
            assert_eq!(ran.code, 128 + 9, "{case}: {ran:?}");
            leftovers += temporary(&contents(&bundle.root())).len();
            change.is_old_or_new(&bundle, &case);
            change.is_made_good(&bundle, &case);
            moments += 1;
        }
    }
    assert!(moments >= 200, "{moments} moments");
    assert!(leftovers > 0, "no moment leaves anything to be removed");
}

/// Guard: `is_obstacle`, and `remove` where a new file cannot be finished.
#[test]
fn a_full_or_broken_disk_is_a_warning_and_the_old_file_stays() {
    if !has(&["strace"]) {
        return;
    }
    let mut count = 0;
    for change in Change::all() {
        for call in change.effect().iter().filter(|it| it.writes()) {
            for fault in ["EIO", "ENOSPC", "EDQUOT", "EBUSY", "EOVERFLOW", "ESTALE"] {
                let case = format!("{}: {fault} at {call:?}", change.line);
                let before = call.with(&format!("error={fault}"));
                let bundle = (change.root)();
                let ran = bundle.hook_in(&before, change.line);
                assert_eq!(ran.code, 0, "{case}: {ran:?}");
                let now = contents(&bundle.root());
                assert_eq!(
                    ran.stderr.is_empty(),
                    now == change.after,
                    "{case}: {ran:?}"
                );
                assert!(temporary(&now).is_empty(), "{case}: {now:?}");
                // With a link missing it is right as well, but another one.
                if !ran.stderr.contains("the cache names the files") {
                    change.is_old_or_new(&bundle, &case);
                }
                change.is_made_good(&bundle, &case);
                count += 1;
            }
        }
    }
    assert!(count >= 60, "{count} faults");
}

/// A part of a disk that cannot be read is not taken for one that is empty. Guards: the warnings of `SearchPath`, `Scan`, `Listing`
/// and `directories::find`; `add_to_conf`, which keeps the drop-in.
#[test]
fn what_cannot_be_read_is_a_warning() {
    if !has(&["strace"]) {
        return;
    }
    let drop_in = "etc/ld.so.conf.d/00-nvidia-ctk.conf";
    let library = "usr/local/nvidia/lib64/libcuda.so.575.57.08";
    // what is broken, system calls that tell so, hook
    for (path, calls, line) in [
        ("etc/ld.so.conf", "read", LINES[0]),
        (drop_in, "read", LINES[0]),
        ("usr/local/nvidia/lib64", "getdents64", LINES[0]),
        (library, "pread64", LINES[0]),
        ("usr/local/nvidia/lib64", "getdents64", LINES[1]),
        (library, "pread64", LINES[1]),
        ("file", "fchmodat,fstat,newfstatat", LINES[3]),
    ] {
        for strict in ["", "--strict "] {
            let bundle = updated_root();
            let before = contents(&bundle.root());
            let path = bundle.at(path).display().to_string();
            let inject = format!("inject={calls}:error=EIO");
            let strace = words(&[
                "strace",
                "-f",
                "-o",
                "/dev/null",
                "-P",
                &path,
                "-e",
                &inject,
            ]);
            let ran = bundle.hook_in(&strace, &format!("{strict}{line}"));
            let case = format!("{strict}{line}: {path} is broken: {ran:?}");
            assert_eq!(ran.code, i32::from(!strict.is_empty()), "{case}");
            assert!(ran.stderr.contains("warning"), "{case}");
            assert!(ran.stderr.contains("(os error 5)"), "{case}");
            let now = contents(&bundle.root());
            assert!(temporary(&now).is_empty(), "{case}: {now:?}");
            if path.ends_with(drop_in) {
                let [before, now] = [&before, &now].map(|it| it.get(Path::new(drop_in)));
                assert_eq!(now, before, "{case}");
            }
        }
    }
}

/// Not one lookup of a path works. Guard: `is_obstacle`.
#[test]
fn a_root_that_cannot_be_read_at_all_is_a_warning() {
    if !has(&["strace"]) {
        return;
    }
    for line in LINES.iter().filter(|line| **line != "create-symlinks") {
        for strict in ["", "--strict "] {
            let bundle = updated_root();
            let before = contents(&bundle.root());
            let strace = words(&[
                "strace",
                "-o",
                "/dev/null",
                "-e",
                "inject=openat2:error=EIO",
            ]);
            let ran = bundle.hook_in(&strace, &format!("{strict}{line}"));
            assert_eq!(ran.code, i32::from(!strict.is_empty()), "{line}: {ran:?}");
            assert!(ran.stderr.contains("(os error 5)"), "{line}: {ran:?}");
            assert_eq!(contents(&bundle.root()), before, "{line}");
        }
    }
}

/// What cannot be looked up may be there: nobody is left in the belief that it is not. Guard: `is_not_there`.
#[test]
fn no_lookup_fails_in_silence() {
    const MORE: [&str; 3] = [
        "enable-cuda-compat --host-driver-version 570.1",
        "update-application-profile",
        "create-soname-symlinks --folder /opt/new",
    ];
    if !has(&["strace"]) {
        return;
    }
    for (fault, text) in [
        ("EIO", "(os error 5)"),
        ("EAGAIN", "Resource temporarily unavailable"),
    ] {
        for line in LINES.iter().chain(&MORE) {
            let bundle = updated_root();
            let inject = format!("inject=openat2:error={fault}");
            let strace = words(&["strace", "-f", "-o", "/dev/null", "-e", &inject]);
            let ran = bundle.hook_in(&strace, line);
            assert!(ran.stderr.contains(text), "{fault}, {line}: {ran:?}");
        }
    }
}

/// A file system without a free block, or without a free inode. Guard: `is_obstacle`.
#[test]
fn a_file_system_that_is_really_full_is_a_warning() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    for (options, fill) in [
        (
            "size=4m",
            "head -c 8M /dev/zero >\"$root/full\" 2>/dev/null || true",
        ),
        (
            "nr_inodes=100",
            "i=0; while mkdir \"$root/full$i\" 2>/dev/null; do i=$((i+1)); done",
        ),
    ] {
        for line in LINES {
            for strict in ["", "--strict "] {
                let bundle = updated_root();
                // To remove it would make room.
                fs::remove_file(bundle.at(format!("{DRIVER}/libstale.so.1"))).unwrap();
                let before = contents(&bundle.root());
                let setup = format!(
                    "cp -a \"$root\" \"$host/image\"; mount -t tmpfs -o {options} tmpfs \"$root\"; \
                     cp -a \"$host/image/.\" \"$root\"; {fill}"
                );
                // What it left there is copied to where it can be seen.
                let after = words(&[
                    "sh",
                    "-c",
                    "\"$@\"; code=$?; rm -rf \"$0\"/rootfs/full*; cp -a \"$0/rootfs\" \"$0/host/after\"; exit $code",
                    &bundle.path().display().to_string(),
                ]);
                let full = [with_mounts(&bundle, &setup), after].concat();
                let ran = bundle.hook_in(&full, &format!("{strict}{line}"));
                let case = format!("{strict}{line}, {options}: {ran:?}");
                let now = contents(&bundle.host().join("after"));
                assert!(temporary(&now).is_empty(), "{case}: {now:?}");
                // Modes need no room, and short links an inode only.
                if line.starts_with("chmod")
                    || line.contains("symlinks") && options.contains("size")
                {
                    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{case}");
                    continue;
                }
                assert_eq!(ran.code, i32::from(!strict.is_empty()), "{case}");
                assert!(ran.stderr.contains("No space left on device"), "{case}");
                for path in [
                    "etc/ld.so.cache",
                    "etc/ld.so.conf.d/00-nvidia-ctk.conf",
                    "replaced",
                ] {
                    assert_eq!(
                        now.get(Path::new(path)),
                        before.get(Path::new(path)),
                        "{case}"
                    );
                }
            }
        }
    }
}

/// Guards: `retry_swept`, and the lock by which `sweep` knows a file that is being written.
#[test]
fn hooks_at_the_same_time_leave_one_complete_result() {
    for change in Change::all() {
        for hooks in [2, 8] {
            for round in 0..3 {
                let bundle = (change.root)();
                let words: Vec<_> = change.line.split(' ').collect();
                let start = |_| {
                    let mut child = bundle.spawn(&[], "nvidia-cdi-hook", &words, Stdio::piped());
                    (child.stdin.take().unwrap(), child)
                };
                let started: Vec<_> = (0..hooks).map(start).collect();
                let state = bundle.state().to_string();
                // All of them are there before the first may begin.
                let children = started.into_iter().map(|(mut stdin, child)| {
                    stdin.write_all(state.as_bytes()).unwrap();
                    child
                });
                for child in children.collect::<Vec<_>>() {
                    end(child).silent();
                }
                let case = format!("{}: {hooks} hooks, round {round}", change.line);
                assert_eq!(contents(&bundle.root()), change.after, "{case}");
            }
        }
    }
}

/// Whoever renames something, anywhere on the machine, makes openat2(2) fail for the moment. Guard: `by_kernel` tries again.
#[test]
fn a_lookup_that_was_disturbed_is_tried_again() {
    if !has(&["strace"]) {
        return;
    }
    for fault in ["EAGAIN", "EINTR"] {
        for line in LINES {
            let bundle = updated_root();
            let inject = format!("inject=openat2:error={fault}:when=1+2");
            let strace = words(&["strace", "-f", "-o", "/dev/null", "-e", &inject]);
            bundle.hook_in(&strace, line).silent();
            let after = contents(&bundle.root());
            bundle.hook(line).silent();
            assert_eq!(contents(&bundle.root()), after, "{fault}: {line}");
        }
    }
}
