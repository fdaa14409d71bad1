//! Programs of the host: their paths and their output.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::rootfs::{Kind, Root};

/// The directories of programs, in search order; the last one is CRI-O's own.
const DIRECTORIES: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec/crio",
];
/// How long a program may run by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// The interval between checks whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Returns the path of a program below `root`. Searches the usual directories for a name without a slash.
#[must_use]
pub fn find(root: &Root, program: &Path) -> Option<PathBuf> {
    find_in(root, program, DIRECTORIES.map(PathBuf::from))
}

/// Returns the path of a program of this host. Searches PATH, then the usual directories, for a name without a slash.
#[must_use]
pub fn find_here(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).filter(|directory| directory.is_absolute());
    let directories = directories.chain(DIRECTORIES.map(PathBuf::from));
    find_in(&Root::host().ok()?, program, directories)
}

fn find_in(
    root: &Root,
    program: &Path,
    directories: impl IntoIterator<Item = PathBuf>,
) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| is_program(root, path).is_ok();
    if program.components().count() > 1 {
        return Some(program.to_owned()).filter(is_there);
    }
    let mut paths = directories.into_iter().map(|it| it.join(program));
    paths.find(is_there)
}

/// Checks that a file is executable. Fails with the reason if it is not.
pub fn is_program(root: &Root, path: &Path) -> Result<(), String> {
    let program = root.stat(path).map_err(|err| err.to_string())?;
    match program.kind {
        Kind::File if program.mode.bits() & 0o111 != 0 => Ok(()),
        Kind::File => Err("it is not executable".to_owned()),
        _ => Err("it is not a regular file".to_owned()),
    }
}

/// Returns the program's standard output. Fails if the program fails, runs too long, or prints invalid UTF-8.
pub fn ask(program: &str, args: &[&str]) -> Result<String> {
    ask_within(PATIENCE, program, args)
}

/// Returns the program's standard output as [`ask`] does, with another time limit.
pub fn ask_within(patience: Duration, program: &str, args: &[&str]) -> Result<String> {
    let line = [&[program], args].concat().join(" ");
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {line}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let Some(status) = wait(&mut child, patience)? else {
        bail!("{line} did not end within {} s", patience.as_secs_f32());
    };
    // Children of the program may hold the pipes open; they are not waited for.
    let receive = |text: Receiver<Vec<u8>>| text.recv_timeout(patience).unwrap_or_default();
    if !status.success() {
        match String::from_utf8_lossy(&receive(stderr)).trim() {
            "" => bail!("{line} failed with {status} without a message"),
            words => bail!("{line} failed with {status}: {words}"),
        }
    }
    String::from_utf8(receive(stdout)).with_context(|| format!("the output of {line} is not UTF-8"))
}

/// Reads a pipe to its end in a thread, since the program would block on a full pipe.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for the program; kills it after `patience` and returns `None`.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if start.elapsed() > patience => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            None => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(patience: u64, program: &str, args: &[&str]) -> String {
        let patience = Duration::from_millis(patience);
        format!("{:#}", ask_within(patience, program, args).unwrap_err())
    }

    #[test]
    fn programs_answer_or_fail() {
        assert_eq!(ask("echo", &["a", "b"]).unwrap(), "a b\n");
        let much = ask("head", &["-c", "1000000", "/dev/zero"]).unwrap();
        assert_eq!(much.len(), 1_000_000);
        assert_eq!(
            failure(5000, "sh", &["-c", "echo no >&2; exit 3"]),
            "sh -c echo no >&2; exit 3 failed with exit status: 3: no"
        );
        assert_eq!(
            failure(5000, "false", &[]),
            "false failed with exit status: 1 without a message"
        );
        assert_eq!(
            failure(50, "sleep", &["60"]),
            "sleep 60 did not end within 0.05 s"
        );
        assert_eq!(
            failure(5000, "/nowhere/x", &[]),
            "cannot run /nowhere/x: No such file or directory (os error 2)"
        );
    }
}
