//! The low-level runtime, which replaces this process.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::execv;

use super::settings::Settings;
use crate::host::program::is_program;
use crate::rootfs::Root;

/// The directories to search after PATH.
const DIRECTORIES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
const OWN_PROGRAM: &str = "/proc/self/exe";
const EXECUTABLE: u32 = 0o111;
/// The reason for rejecting a runtime that would call itself endlessly.
const IS_SELF: &str = "it is this program itself";

/// An executable low-level runtime.
pub(super) struct LowLevel(PathBuf);

impl LowLevel {
    /// Finds the first configured runtime that exists. Fails if there is none; skips this program itself and relative paths.
    pub(super) fn find(settings: &Settings) -> Result<Self> {
        let own = metadata(OWN_PROGRAM).context("/proc is missing")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).filter(|it| it.is_absolute());
        let usual = DIRECTORIES.iter().map(PathBuf::from);
        let directories: Vec<_> = in_path.chain(usual).collect();
        match first(&settings.runtimes, &directories, |path| check(path, &own)) {
            Ok(path) => Ok(Self(path)),
            Err(why) => bail!("{why}: {}", advice(settings)),
        }
    }

    /// Executes the runtime with these arguments in place of this process. Returns only on failure.
    pub(super) fn exec(&self, words: &[OsString]) -> Result<Infallible> {
        let text = |word: &OsStr| CString::new(word.as_bytes());
        let program = text(self.0.as_os_str())?;
        let words = words.iter().map(|it| text(it));
        let words: Vec<_> = std::iter::once(Ok(program.clone()))
            .chain(words)
            .collect::<Result<_, _>>()?;
        execv(&program, &words).with_context(|| format!("cannot run {}", self.0.display()))
    }
}

/// Checks that the host below `root` has a low-level runtime. The engine finds programs in the usual directories and in `beside`,
/// and calls this program by the path `own`. Fails with the reason and the remedy.
pub(crate) fn is_below(
    root: &Root,
    settings: &Settings,
    own: &Path,
    beside: &Path,
) -> Result<(), [String; 2]> {
    let usual = DIRECTORIES.iter().map(PathBuf::from);
    let directories: Vec<_> = usual.chain([beside.to_owned()]).collect();
    let id = |path: &Path| root.stat(path).map(|it| it.id).ok();
    let check = |path: &Path| {
        is_program(root, path)?;
        refuse_self(id(path) == id(own))
    };
    let found = first(&settings.runtimes, &directories, check);
    found.map(|_| ()).map_err(|why| [why, advice(settings)])
}

fn advice(settings: &Settings) -> String {
    format!(
        "install runc or crun, or set nvidia-container-runtime.runtimes in {}",
        settings.path.display()
    )
}

/// Returns the first program that `check` accepts. It does not depend on the caller: different programs of an engine create and
/// start a container.
fn first(
    names: &[String],
    directories: &[PathBuf],
    check: impl Fn(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let mut refused = Vec::new();
    for name in names {
        match find(Path::new(name), directories, &check) {
            Ok(path) => return Ok(path),
            Err(why) => refused.push(format!("{name}: {why}")),
        }
    }
    if refused.is_empty() {
        refused.push("the list is empty".to_owned());
    }
    Err(format!(
        "no usable low-level runtime ({})",
        refused.join("; ")
    ))
}

fn find(
    name: &Path,
    directories: &[PathBuf],
    check: impl Fn(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    if name.is_absolute() {
        return check(name).map(|()| name.to_owned());
    }
    if name.components().count() != 1 {
        return Err("a relative path depends on the working directory".to_owned());
    }
    let mut why = "not found".to_owned();
    for path in directories.iter().map(|it| it.join(name)) {
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(err) if err == IS_SELF => why = err,
            Err(_) => {}
        }
    }
    Err(why)
}

fn check(path: &Path, own: &Metadata) -> Result<(), String> {
    let found = metadata(path).map_err(|err| err.to_string())?;
    if !found.is_file() || found.mode() & EXECUTABLE == 0 {
        return Err("it is not an executable file".to_owned());
    }
    refuse_self((found.dev(), found.ino()) == (own.dev(), own.ino()))
}

fn refuse_self(is_self: bool) -> Result<(), String> {
    if is_self {
        return Err(IS_SELF.to_owned());
    }
    Ok(())
}

/// Calls stat(2) once; a walk below an open root takes several calls.
#[expect(clippy::disallowed_methods, reason = "programs of the host")]
fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    std::fs::metadata(path)
}
