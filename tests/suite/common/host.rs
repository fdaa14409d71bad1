//! Trees of a host's files for tests, and the binary that works on them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::machine::binary;

/// A folder for the files of an engine, and one for its programs.
pub(crate) struct Host {
    pub(crate) root: TempDir,
    pub(crate) programs: TempDir,
}

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            root: TempDir::new().unwrap(),
            programs: TempDir::new().unwrap(),
        };
        for version in ["1.7", "2.1"] {
            host.program(
                &format!("containerd-{version}"),
                &format!("echo containerd example.com/containerd v{version}.0 0123456"),
            );
        }
        host
    }

    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.programs.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `nvidia-ctk` with arguments in which `@ROOT@` and `@BIN@` stand for the folders.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.run_by(Command::new(binary()), line)
    }

    /// As a process that permissions hold for: root's privileges are given up.
    pub(crate) fn run_unprivileged(&self, line: &str) -> Run {
        let mut command = Command::new(if is_root() { "setpriv" } else { "env" });
        if is_root() {
            command.args(["--bounding-set=-all", "--inh-caps=-all"]);
        }
        command.arg(binary());
        self.run_by(command, line)
    }

    fn run_by(&self, mut command: Command, line: &str) -> Run {
        let words = line.split_whitespace().map(|word| self.expand(word));
        let output = command.args(words).env_remove("NVIDIA_CTK_DEBUG").output();
        output.unwrap().into()
    }

    pub(crate) fn expand(&self, text: &str) -> String {
        text.replace("@ROOT@", self.root.path().to_str().unwrap())
            .replace("@BIN@", self.programs.path().to_str().unwrap())
    }

    pub(crate) fn succeed(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        run
    }

    pub(crate) fn fail(&self, line: &str, message: &str) {
        let before = tree(self.root.path());
        let run = self.run(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        let message = self.expand(message);
        assert!(run.stderr.contains(&message), "{line}: {}", run.stderr);
        assert_eq!(tree(self.root.path()), before, "{line}");
    }
}

/// All files below a folder, with what they hold.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
            }
        }
    }
    files
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether a test can run. Otherwise it fails in CI (`CI=true`); elsewhere it says so past libtest, which would hide it.
pub(crate) fn can_run(needs: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let is_missing = |name: &&&str| !folders.iter().any(|folder| folder.join(name).is_file());
    let reason = match needs.iter().find(is_missing) {
        Some(name) => format!("{name} is not installed (tests/run.sh does that)"),
        None if !is_root() => "it mounts, as root".to_owned(),
        None => return true,
    };
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "cannot run here: {reason}"
    );
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// A script of the shell in a mount namespace of its own, with the arguments as $1 and so on.
pub(crate) fn private(script: &str, arguments: &[&Path]) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/private.sh"))
        .args(["sh", "-euc", script, "sh"])
        .args(arguments)
        .env_remove("NVIDIA_CTK_DEBUG");
    command
}
