//! What tests need of the machine that they run on: programs, temporary folders, a way to say that something is missing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// How a command ended, and all that it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether the exit code was 0.
    pub(crate) success: bool,
    /// stdout, then stderr.
    pub(crate) text: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Self {
            success: output.status.success(),
            text,
        }
    }
}

/// Whether nothing stands in the way. Otherwise the test fails in CI (`CI=true`); elsewhere it says so past libtest, which
/// would hide it.
pub(crate) fn can_run(obstacle: Option<String>) -> bool {
    let Some(reason) = obstacle else { return true };
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "cannot run here: {reason}"
    );
    skip(&reason);
    false
}

/// Says that a test has nothing to do with what is here, in CI, too.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {reason}");
}

/// Says past libtest how many hostile cases a test had; `tests/run.sh` adds them up.
pub(crate) fn hostile_cases(count: usize) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "hostile cases: {count} in {test}");
}

/// Which of the programs is missing, if any.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing =
        |name: &&&str| !env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let name = programs.iter().find(is_missing)?;
    Some(format!("{name} is not installed (tests/run.sh does that)"))
}

/// Whether someone else than root runs the tests.
pub(crate) fn not_root() -> Option<String> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    (!is_root).then(|| "only root may".to_owned())
}

/// The binary under test: the one that cargo built, or another build of it (`NVIDIA_CTK_BINARY`).
pub(crate) fn binary() -> PathBuf {
    env::var_os("NVIDIA_CTK_BINARY").map_or_else(
        || env!("CARGO_BIN_EXE_nvidia-ctk").into(),
        |path| fs::canonicalize(path).expect("the binary that NVIDIA_CTK_BINARY names"),
    )
}

/// A variable that once turned every error line of the release build into an abort: whatever runs the binary with an environment
/// of its own sets it.
pub(crate) const BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "1");

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name]
        .iter()
        .collect()
}

/// Runs a command that must succeed.
pub(crate) fn must(command: &mut Command) {
    let ended = Ended::from(command.output().expect("the command starts"));
    assert!(ended.success, "{command:?}: {}", ended.text);
}

/// A folder that vanishes with its value. Below the target folder, because programs must be executable there.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

/// Everything below a folder that a hook could change, by path.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let file = fs::symlink_metadata(&path).expect("a file");
        if file.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .expect("a folder")
                    .map(|entry| entry.expect("an entry").path()),
            );
        }
        let (inode, mode, size) = (file.ino(), file.mode(), file.size());
        let modified = (file.mtime(), file.mtime_nsec());
        let changed = (file.ctime(), file.ctime_nsec());
        all.insert(
            path,
            format!(
                "inode {inode}, mode {mode:o}, {size} bytes, modified {modified:?}, changed {changed:?}"
            ),
        );
    }
    all
}
