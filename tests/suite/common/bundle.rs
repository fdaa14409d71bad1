//! A bundle in a temporary folder, and the binary run on it as a runtime runs a hook.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::machine::{BACKTRACE, binary, can_run, fixture, folder, missing, must, not_root};

/// Far more than any hook may take, on any machine; who passes it hangs.
const HANGS: &str = "60";

/// A bundle: a folder `rootfs`, empty at first, and a config.json. Beside them lies a folder that stands for the host.
pub(crate) struct Bundle {
    folder: TempDir,
}

/// What `peak.c` wrote of a command.
pub(crate) struct Measured {
    /// The peak of its memory, in KiB.
    pub(crate) peak: u64,
    /// Its processor time.
    pub(crate) processor_ms: u64,
}

/// Reads the file that `peak.c` wrote.
pub(crate) fn measured(file: &Path) -> Measured {
    let text = fs::read_to_string(file).expect("a file with measures");
    let mut numbers = text
        .split_whitespace()
        .map(|it| it.parse().expect("a number"));
    Measured {
        peak: numbers.next().expect("the peak"),
        processor_ms: numbers.next().expect("the time"),
    }
}

/// How a hook ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed on standard output.
    pub(crate) stdout: String,
    /// What it printed on standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// It did its work and said nothing.
    #[track_caller]
    pub(crate) fn silent(&self) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (0, "", "")
        );
    }

    /// It let the container start, and warned.
    #[track_caller]
    pub(crate) fn warns(&self, parts: &[&str]) {
        assert_eq!(self.code, 0, "{self:?}");
        self.says("warning", parts);
    }

    /// It failed, and said why.
    #[track_caller]
    pub(crate) fn fails(&self, parts: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        self.says("error", parts);
    }

    #[track_caller]
    fn says(&self, level: &str, parts: &[&str]) {
        assert_eq!(self.stdout, "", "{self:?}");
        for part in parts {
            let mut lines = self.stderr.lines();
            let is_there =
                |it: &str| it.starts_with(&format!("level={level} ")) && it.contains(part);
            assert!(lines.any(is_there), "no {level} with {part:?}: {self:?}");
        }
        for line in self.stderr.lines() {
            assert!(
                line.starts_with("level=warning msg=\"") || line.starts_with("level=error msg=\""),
                "{self:?}"
            );
        }
    }
}

impl Bundle {
    /// An empty root with its config.json.
    pub(crate) fn new() -> Self {
        let bundle = Self { folder: folder() };
        fs::create_dir(bundle.root()).expect("a root");
        fs::create_dir(bundle.host()).expect("a folder");
        bundle.config(r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{}}"#);
        for name in [
            "nvidia-ctk",
            "nvidia-cdi-hook",
            "nvidia-ctk-chmod",
            "nvidia-ctk-symlinks",
            "nvidia-ctk-ldcache",
            "nvidia-ctk-soname-symlinks",
            "nvidia-ctk-cuda-compat",
            "nvidia-ctk-params",
            "nvidia-ctk-application-profile",
            "nvidia-ctk-apply",
        ] {
            symlink(binary(), bundle.path().join(name)).expect("a link to the binary");
        }
        bundle
    }

    /// The bundle's folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The container's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// A folder outside of the root.
    pub(crate) fn host(&self) -> PathBuf {
        self.path().join("host")
    }

    /// Where a path of the container is on the host, if there are no links in it.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Writes config.json.
    pub(crate) fn config(&self, text: &str) {
        fs::write(self.path().join("config.json"), text).expect("a written config.json");
    }

    /// Makes a folder in the container.
    pub(crate) fn directory(&self, path: impl AsRef<Path>) -> &Self {
        fs::create_dir_all(self.at(path)).expect("a folder in the root");
        self
    }

    /// Writes a file in the container, and makes the folders above it.
    pub(crate) fn file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders in the root");
        fs::write(path, bytes).expect("a file in the root");
        self
    }

    /// Makes a link in the container, and the folders above it.
    pub(crate) fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders in the root");
        symlink(target, path).expect("a link in the root");
        self
    }

    /// Makes a FIFO in the container, or a device if there are numbers.
    pub(crate) fn node(&self, path: impl AsRef<Path>, kind: &[&str]) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders in the root");
        let made = Command::new("mknod").arg(path).args(kind).status();
        assert!(made.expect("mknod").success(), "mknod {kind:?}");
        self
    }

    /// The mode of a file in the container.
    pub(crate) fn mode(&self, path: impl AsRef<Path>) -> u32 {
        let file = fs::symlink_metadata(self.at(path)).expect("a file");
        file.mode() & 0o7777
    }

    /// Sets the mode of a file in the container.
    pub(crate) fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    /// The target of a link in the container; empty where there is none.
    pub(crate) fn target(&self, path: impl AsRef<Path>) -> String {
        let target = fs::read_link(self.at(path)).unwrap_or_default();
        target.to_string_lossy().into_owned()
    }

    /// The text of a file in the container; empty where there is none.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> String {
        let bytes = fs::read(self.at(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The state that a runtime would tell.
    pub(crate) fn state(&self) -> Value {
        json!({"ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": 1, "bundle": self.path()})
    }

    /// Runs a command line of `nvidia-cdi-hook`, whose words are parted by blanks.
    pub(crate) fn hook(&self, line: &str) -> Ran {
        self.hook_in(&[], line)
    }

    /// The same behind other commands.
    pub(crate) fn hook_in(&self, before: &[OsString], line: &str) -> Ran {
        let words: Vec<_> = line.split_whitespace().collect();
        self.run(before, "nvidia-cdi-hook", &words, self.state().to_string())
    }

    /// Runs the binary under one of its names. Its standard input stays open, as runtimes may leave it.
    pub(crate) fn run(
        &self,
        before: &[OsString],
        name: &str,
        arguments: &[impl AsRef<OsStr>],
        state: impl AsRef<[u8]>,
    ) -> Ran {
        let mut child = self.spawn(before, name, arguments, Stdio::piped());
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who does not read it, as after a usage error, need not.
        let _ = stdin.write_all(state.as_ref());
        let ran = end(child);
        drop(stdin);
        ran
    }

    /// Starts the binary with another standard input.
    pub(crate) fn spawn(
        &self,
        before: &[OsString],
        name: &str,
        arguments: &[impl AsRef<OsStr>],
        stdin: Stdio,
    ) -> Child {
        self.command(before, name, arguments)
            .stdin(stdin)
            .spawn()
            .expect("timeout starts")
    }

    /// The command that starts the binary.
    pub(crate) fn command(
        &self,
        before: &[OsString],
        name: &str,
        arguments: &[impl AsRef<OsStr>],
    ) -> Command {
        self.command_within(HANGS, before, name, arguments)
    }

    /// The same with another number of seconds after which it hangs.
    pub(crate) fn command_within(
        &self,
        seconds: &str,
        before: &[OsString],
        name: &str,
        arguments: &[impl AsRef<OsStr>],
    ) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--signal=KILL", seconds])
            .args(before)
            .arg(self.path().join(name))
            .args(arguments)
            .env_clear()
            .envs([BACKTRACE])
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Waits for a hook.
#[track_caller]
pub(crate) fn end(child: Child) -> Ran {
    let output = child.wait_with_output().expect("an end");
    assert_ne!(output.status.signal(), Some(9), "the hook hangs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Commands before a hook, for [`Bundle::hook_in`].
pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Runs a hook with this umask.
pub(crate) fn with_umask(umask: &str) -> Vec<OsString> {
    words(&["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"])
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

/// Whether the binary has glibc in it, as the development build has.
fn is_of_glibc() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let search = || {
        let grep = Command::new("grep")
            .args(["-q", "GLIBC_TUNABLES"])
            .arg(binary())
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

/// The bytes of a shared library of x86-64 with this SONAME, and nothing else.
pub(crate) fn library(soname: impl AsRef<[u8]>) -> Vec<u8> {
    const HEADERS: u64 = 64 + 2 * 56;
    const DYNAMIC: u64 = 4 * 16;
    let strings = [b"\0", soname.as_ref(), b"\0"].concat();
    let length = strings.len() as u64;
    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |width: usize, values: &[u64]| {
        for value in values {
            file.extend(value.to_le_bytes().iter().take(width));
        }
    };
    put(2, &[3, 62]); // ET_DYN, EM_X86_64
    put(4, &[1]);
    put(8, &[0, 64, 0]);
    put(4, &[0]);
    put(2, &[64, 56, 2, 64, 0, 0]);
    let size = HEADERS + DYNAMIC + length;
    put(4, &[1, 4]); // PT_LOAD of everything
    put(8, &[0, 0, 0, size, size, 4096]);
    put(4, &[2, 4]); // PT_DYNAMIC
    put(8, &[HEADERS, HEADERS, HEADERS, DYNAMIC, DYNAMIC, 8]);
    put(8, &[5, HEADERS + DYNAMIC]); // DT_STRTAB
    put(8, &[10, length]); // DT_STRSZ
    put(8, &[14, 1]); // DT_SONAME
    put(8, &[0, 0]);
    file.extend(strings);
    file
}

/// The bytes of an ELF file of x86-64 with a section of notes, in which this owner says this.
pub(crate) fn with_note(section: &str, owner: &str, text: &[u8]) -> Vec<u8> {
    let names = format!("\0{section}\0.shstrtab\0");
    let pad = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let word = |value: usize| u32::try_from(value).expect("a small number").to_le_bytes();
    let owner = [owner.as_bytes(), b"\0"].concat();
    let note = [
        &word(owner.len())[..],
        &word(text.len()),
        &word(1),
        &pad(&owner),
        &pad(text),
    ]
    .concat();
    let (note_at, names_at) = (64, 64 + note.len());
    let table = names_at + names.len();
    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |width: usize, values: &[usize]| {
        for value in values {
            file.extend(value.to_le_bytes().iter().take(width));
        }
    };
    put(2, &[3, 62]); // ET_DYN, EM_X86_64
    put(4, &[1]);
    put(8, &[0, 0, table]);
    put(4, &[0]);
    put(2, &[64, 56, 0, 64, 3, 2]);
    put(1, &note.iter().map(|&byte| byte.into()).collect::<Vec<_>>());
    put(1, &names.bytes().map(usize::from).collect::<Vec<_>>());
    put(8, &[0; 8]);
    for (name, kind, at, size) in [
        (1, 7, note_at, note.len()),                   // SHT_NOTE
        (2 + section.len(), 3, names_at, names.len()), // SHT_STRTAB
    ] {
        put(4, &[name, kind]);
        put(8, &[0, 0, at, size]);
        put(4, &[0, 0]);
        put(8, &[4, 0]);
    }
    file
}

/// A libcuda of NVIDIA's compatibility package, as far as the hook looks at it.
pub(crate) fn compat_libcuda(note: &str) -> Vec<u8> {
    with_note(
        ".note.cuda.fwd_compatibility",
        "NVIDIA Corporation",
        note.as_bytes(),
    )
}

/// A helper program of the fixtures, compiled when it is needed first.
pub(crate) fn helper(source: &str) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock();
    let new = folder();
    let (made, program) = (
        new.path().join("made"),
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(source.trim_end_matches(".c")),
    );
    let is_older = |than: &Path| {
        let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
        changed(&program).map_or(true, |it| changed(than).is_ok_and(|than| it < than))
    };
    if is_older(&fixture(source)) {
        must(
            Command::new("gcc")
                .args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o"])
                .arg(&made)
                .arg(fixture(source)),
        );
        fs::rename(made, &program).expect("the program in its place");
    }
    program
}

/// Whether these programs are there, and root runs the tests.
pub(crate) fn has(programs: &[&str]) -> bool {
    can_run(missing(programs).or_else(not_root))
}
