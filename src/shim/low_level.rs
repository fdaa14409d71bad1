//! The low-level runtime, which takes this program's place.

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

/// Where a runtime is that PATH does not have.
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

/// A program that can be run.
pub(super) struct LowLevel(PathBuf);

impl LowLevel {
    /// Finds the first of the configured ones that is there. Refuses this program itself, and names that are relative paths.
    pub(super) fn find(settings: &Settings) -> Result<Self> {
        let own = metadata(OWN_PROGRAM).context("/proc is missing")?;
        let mut refused = Vec::new();
        // In this order whoever calls: different programs of an engine make a container and start it.
        for name in &settings.runtimes {
            match find(Path::new(name), &own) {
                Ok(path) => return Ok(Self(path)),
                Err(why) => refused.push(format!("{name}: {why}")),
            }
        }
        bail!(
            "no low-level runtime can be run ({}): install runc or crun, or set nvidia-container-runtime.runtimes in {}",
            if refused.is_empty() {
                "the list is empty".to_owned()
            } else {
                refused.join("; ")
            },
            settings.path.display()
        );
    }

    /// Runs it with these words, in the place of this process.
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

fn find(name: &Path, own: &Metadata) -> Result<PathBuf, String> {
    if name.is_absolute() {
        return check(name.to_owned(), own);
    }
    if name.components().count() != 1 {
        return Err("a relative path leads somewhere else from each directory".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).filter(|it| it.is_absolute());
    let usual = DIRECTORIES.iter().map(PathBuf::from);
    let mut why = "not found".to_owned();
    for directory in in_path.chain(usual) {
        match check(directory.join(name), own) {
            Ok(path) => return Ok(path),
            Err(err) if err == IS_SELF => why = err,
            Err(_) => {}
        }
    }
    Err(why)
}

const IS_SELF: &str = "it is this program itself";

fn check(path: PathBuf, own: &Metadata) -> Result<PathBuf, String> {
    let found = metadata(&path).map_err(|err| err.to_string())?;
    if !found.is_file() || found.mode() & EXECUTABLE == 0 {
        return Err("it is no program".to_owned());
    }
    if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
        return Err(IS_SELF.to_owned());
    }
    Ok(path)
}

/// One call, where a walk below an open root takes several.
#[expect(clippy::disallowed_methods, reason = "programs of the host")]
fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    std::fs::metadata(path)
}
