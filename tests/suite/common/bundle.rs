//! A bundle in a temporary folder, and the binary run on it as a runtime runs a hook.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nvidia_ctk::names::APPLETS;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::machine::{binary, folder, helper};
use super::outcome::Outcome;
use super::tree::Tree;
use super::wrapper::{HANGS, within};

/// A bundle: a root `rootfs`, empty at first, and a config.json. Beside them lies a folder that stands for the host.
pub(crate) struct Bundle {
    folder: TempDir,
    rootfs: Tree,
}

/// The container's root.
impl Deref for Bundle {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.rootfs
    }
}

impl Bundle {
    /// An empty root with its config.json.
    pub(crate) fn new() -> Self {
        let folder = folder();
        let rootfs = Tree::new(folder.path().join("rootfs"));
        let bundle = Self { folder, rootfs };
        fs::create_dir(bundle.host()).expect("a folder");
        bundle.config(r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{}}"#);
        for applet in APPLETS {
            symlink(binary(), bundle.path().join(applet.name)).expect("a link to the binary");
        }
        bundle
    }

    /// The bundle's folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder outside of the root.
    pub(crate) fn host(&self) -> PathBuf {
        self.path().join("host")
    }

    /// Writes config.json.
    pub(crate) fn config(&self, text: &str) {
        fs::write(self.path().join("config.json"), text).expect("a written config.json");
    }

    /// The state that a runtime would tell.
    pub(crate) fn state(&self) -> Value {
        json!({"ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": 1, "bundle": self.path()})
    }

    /// Runs a command line of `nvidia-cdi-hook`, whose words are parted by blanks.
    pub(crate) fn hook(&self, line: &str) -> Outcome {
        self.hook_in(&[], line)
    }

    /// The same behind other commands.
    pub(crate) fn hook_in(&self, before: &[OsString], line: &str) -> Outcome {
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
    ) -> Outcome {
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
        let mut command = within(seconds, before, self.path().join(name));
        command.args(arguments);
        command
    }
}

/// Waits for a hook.
#[track_caller]
pub(crate) fn end(child: Child) -> Outcome {
    child.wait_with_output().expect("an end").into()
}

/// Someone with write access to the root, from another container: swaps two names all the time.
pub(crate) struct Attacker {
    process: Child,
    _only: MutexGuard<'static, ()>,
}

impl Attacker {
    /// Keeps attackers away. Two would leave no processor for the hooks; and while anything is renamed all the time, no lookup
    /// succeeds that takes long and has `..` in it: openat2(2) gives EAGAIN.
    pub(crate) fn none() -> MutexGuard<'static, ()> {
        static ATTACKER: Mutex<()> = Mutex::new(());
        ATTACKER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to swap these paths of the root.
    pub(crate) fn start(bundle: &Bundle, one: &str, other: &str) -> Self {
        let only = Self::none();
        let mut process = Command::new(helper("exchange.c"))
            .arg(bundle.at(one))
            .arg(bundle.at(other))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a started program");
        let mut ready = [0; 6];
        let stdout = process.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut ready).expect("a line");
        assert_eq!(&ready, b"ready\n");
        Self {
            process,
            _only: only,
        }
    }

    /// Whether it still does.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a state").is_none()
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
