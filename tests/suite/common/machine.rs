//! What tests need of the machine that they run on: programs, temporary folders, a way to say that something is missing.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::outcome::Outcome;

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
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    tell(&format!("SKIPPED {test}: {reason}"));
}

/// Says past libtest how many hostile cases a test had; `tests/run.sh` adds them up.
pub(crate) fn hostile_cases(count: usize) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    tell(&format!("hostile cases: {count} in {test}"));
}

/// Prints a line past libtest. At once, so that nothing of another thread gets between.
pub(crate) fn tell(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
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

/// Whether the binary is of aarch64: its ELF header says so.
pub(crate) fn is_of_aarch64() -> bool {
    let bytes = fs::read(binary()).expect("the binary");
    let header = goblin::elf::Elf::parse_header(&bytes).expect("an ELF file");
    header.e_machine == goblin::elf::header::EM_AARCH64
}

/// The program that runs the binary, which is of another architecture (`NVIDIA_CTK_EMULATOR`).
pub(crate) fn emulator() -> Option<PathBuf> {
    env::var_os("NVIDIA_CTK_EMULATOR").map(PathBuf::from)
}

/// Memory in KiB that is taken beside what the binary works with: an emulator translates its code, and that of the development
/// build is not optimised, and many times as long.
pub(crate) fn memory_of_code() -> u64 {
    match (emulator(), env::var_os("NVIDIA_CTK_BINARY")) {
        (Some(_), _) => 12 << 10,
        (None, Some(_)) => 0,
        (None, None) => 3 << 10,
    }
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
#[track_caller]
pub(crate) fn must(command: &mut Command) {
    let outcome = Outcome::of(command);
    assert!(outcome.success(), "{command:?}: {}", outcome.text());
}

/// A folder that vanishes with its value. Below the target folder, because programs must be executable there.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

/// Whether these programs are there, and root runs the tests.
pub(crate) fn has(programs: &[&str]) -> bool {
    can_run(missing(programs).or_else(not_root))
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

/// Compiles a shared library of the fixtures.
pub(crate) fn compile(source: &str, to: &Path, flags: &[String]) {
    must(
        Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(to)
            .arg(fixture(source))
            .args(flags),
    );
}

/// Writes a program. Not by this process: a thread that starts another one at this moment would hand it the open file, and nobody
/// can run what is open for writing (`ETXTBSY`).
pub(crate) fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut stdin = writer.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("a pipe");
    drop(stdin);
    assert!(
        writer.wait().expect("an end").success(),
        "{}",
        path.display()
    );
}

/// Copies a program, for the same reason not by this process.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    must(Command::new("cp").args([from, to]));
}

/// A command in a mount namespace where runtimes work.
pub(crate) fn private(program: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(fixture("private.sh"))
        .arg(program)
        .env_remove("NVIDIA_CTK_DEBUG");
    command
}
