//! Commands before a program: what it finds around it, or lacks.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::bundle::Bundle;
use super::machine::{BACKTRACE, binary, emulator, helper, not_root};

/// Far more than any program may take, on any machine, in seconds; who passes it hangs.
pub(crate) const HANGS: &str = "60";

/// A command that is killed after so many seconds, behind others; it has an environment of its own.
pub(crate) fn within(seconds: &str, before: &[OsString], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", seconds])
        .args(before)
        .arg(program)
        .env_clear()
        .envs([BACKTRACE])
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Words of a command.
pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Runs a program with this umask.
pub(crate) fn with_umask(umask: &str) -> Vec<OsString> {
    words(&["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"])
}

/// Runs a program as a process that permissions hold for: root's privileges are given up.
pub(crate) fn without_privileges() -> Vec<OsString> {
    if not_root().is_some() {
        return Vec::new();
    }
    words(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
}

/// Runs a hook in a mount namespace of its own, after a shell script that has `$root`, `$host` and `$bundle`.
pub(crate) fn with_mounts(bundle: &Bundle, script: &str) -> Vec<OsString> {
    let path = bundle.path().display();
    let script = format!(
        "set -e; bundle='{path}'; root=$bundle/rootfs; host=$bundle/host; {script}; exec \"$@\""
    );
    words(&[
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
        "sh",
    ])
}

/// Makes the root read-only, for [`with_mounts`].
pub(crate) const READ_ONLY: &str =
    "mount --bind \"$root\" \"$root\"; mount -o remount,bind,ro \"$root\"";

const LANDLOCK: &str = "landlock_create_ruleset";

/// Calls that a kernel may lack which is still in use, or that an engine's seccomp filter may not know yet.
pub(crate) const OLD_KERNEL: [&str; 17] = [
    "openat2",
    "faccessat2",
    "fchmodat2",
    "close_range",
    "statx",
    "clone3",
    "renameat2",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fspick",
    "fsmount",
    "mount_setattr",
    "memfd_create",
    "copy_file_range",
    LANDLOCK,
];

/// What is said to a call that a kernel lacks, and what filters say to one that they do not know.
pub(crate) const REFUSALS: [&str; 2] = ["ENOSYS", "EPERM"];

/// Runs a hook for which the kernel does not have these system calls, each named in `without.c`.
pub(crate) fn without(calls: &[&str]) -> Vec<OsString> {
    refused("ENOSYS", calls)
}

/// Runs a hook to which these system calls are refused in one of the [`REFUSALS`].
pub(crate) fn refused(refusal: &str, calls: &[&str]) -> Vec<OsString> {
    let helper = helper("without.c").into();
    let errno = format!("--errno={refusal}");
    let mut calls = calls.to_vec();
    // Where clone3(2) is refused with EPERM glibc makes no thread at all: because of it filters say ENOSYS.
    if refusal == "EPERM" && is_of_glibc() {
        calls.retain(|call| *call != "clone3");
    }
    [
        vec![helper],
        words(&[&errno]),
        words(&calls),
        words(&["--"]),
    ]
    .concat()
}

/// Whether the binary has glibc in it, as the development build has, or what runs it.
fn is_of_glibc() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let search = || {
        let grep = Command::new("grep")
            .args(["-q", "GLIBC_TUNABLES"])
            .arg(binary())
            .args(emulator())
            .status();
        grep.expect("grep").success()
    };
    *FOUND.get_or_init(search)
}

/// Does the same on this kernel and on old ones.
pub(crate) fn each_kernel(mut test: impl FnMut(&[OsString])) {
    test(&[]);
    for refusal in REFUSALS {
        test(&refused(refusal, &OLD_KERNEL));
    }
}

/// The same without Landlock, which would hide what `ContainerRoot` lets through.
pub(crate) fn each_kernel_without_landlock(mut test: impl FnMut(&[OsString])) {
    test(&without_landlock());
    for refusal in REFUSALS {
        test(&refused(refusal, &OLD_KERNEL));
    }
}

/// Runs a hook without the wall behind `ContainerRoot`.
pub(crate) fn without_landlock() -> Vec<OsString> {
    without(&[LANDLOCK])
}

/// Runs a program and measures what it takes (`peak.c`).
pub(crate) struct Meter {
    file: PathBuf,
}

/// What a program took.
pub(crate) struct Measured {
    /// The peak of its memory, in KiB.
    pub(crate) peak: u64,
    /// Its processor time.
    pub(crate) processor_ms: u64,
}

impl Meter {
    /// One that keeps its figures in a bundle.
    pub(crate) fn new(bundle: &Bundle) -> Self {
        Self {
            file: bundle.path().join("measured"),
        }
    }

    /// The words before the program.
    pub(crate) fn before(&self) -> Vec<OsString> {
        vec![helper("peak.c").into(), self.file.clone().into()]
    }

    /// What the last program took.
    pub(crate) fn read(&self) -> Measured {
        let text = fs::read_to_string(&self.file).expect("a file with figures");
        let mut numbers = text
            .split_whitespace()
            .map(|it| it.parse().expect("a number"));
        Measured {
            peak: numbers.next().expect("the peak"),
            processor_ms: numbers.next().expect("the time"),
        }
    }
}
