//! The system that is installed into: puts files in place and removes them, and keeps those of others.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use nix::sys::stat::Mode;
use oci_spec::runtime::Hook;

use super::layout::{PROGRAM, names_in_libexec};
use crate::cdi;
use crate::host::place::{check_way, refuse_foreign};
use crate::printable::escape;
use crate::rootfs::{Directory, Kind, Metadata, Root};
use crate::stdout::output;

/// A text that only this program contains, which identifies its older releases.
const MARK: &str = env!("CARGO_PKG_DESCRIPTION");

const PROGRAM_MODE: Mode = Mode::from_bits_truncate(0o755);
const HOOK_MODE: Mode = Mode::from_bits_truncate(0o644);
/// Largest file that may be a release of this program; one with debugging information has 60 MiB.
const MAX_PROGRAM: u64 = 256 << 20;
/// Bytes of it that are read at once.
const PIECE: usize = 64 << 10;
/// Largest hooks.d file that is compared.
const MAX_HOOK: u64 = 1 << 20;
const MOVE_IT: &str = "move it away, or choose another directory (see --help)";

/// The root directory that is installed into.
pub(super) struct System {
    pub(super) root: Root,
    dry_run: bool,
}

impl System {
    pub(super) fn open(root: &str, dry_run: bool) -> Result<Self> {
        Ok(Self {
            root: check_way(Path::new(root))
                .and_then(|()| Root::open(Path::new(root)))
                .with_context(|| format!("cannot open the root directory {root}"))?,
            dry_run,
        })
    }

    pub(super) fn install_program(&self, path: &Path, program: &[u8]) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| {
            if !is_this_program(directory, name) {
                bail!("{} is another program; {MOVE_IT}", path.display());
            }
            Ok(directory.holds(name, program, PROGRAM_MODE))
        };
        self.install(path, check, |directory, name| {
            directory.write_synced(name, program, PROGRAM_MODE)
        })
    }

    pub(super) fn install_link(&self, path: &Path, target: &Path) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| match directory.read_link(name) {
            Ok(there) if there.file_name() == target.file_name() => Ok(there == target),
            _ => bail!("{} is not a link to {PROGRAM}; {MOVE_IT}", path.display()),
        };
        self.install(path, check, |directory, name| {
            directory.symlink(target.as_os_str(), name)
        })
    }

    pub(super) fn install_hook(&self, path: &Path, text: &str) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| {
            let there = directory
                .read(name, MAX_HOOK)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if there != text.as_bytes() {
                ensure!(
                    calls_us(&there),
                    "{} is another hook; {MOVE_IT}",
                    path.display()
                );
                log::warn!("{}: kept, it has been edited", path.display());
            }
            Ok(true)
        };
        self.install(path, check, |directory, name| {
            directory.write_synced(name, text.as_bytes(), HOOK_MODE)
        })
    }

    /// Puts something in place. `is_there` judges what already has the name: whether it is right or must be kept.
    fn install(
        &self,
        path: &Path,
        is_there: impl Fn(&Directory, &OsStr) -> Result<bool>,
        put: impl Fn(&Directory, &OsStr) -> io::Result<bool>,
    ) -> Result<()> {
        let (parent, name) = split(path)?;
        if let Ok(directory) = self.root.directory(parent)
            && directory.stat(name).is_ok()
        {
            refuse_foreign(&directory, name).with_context(|| path.display().to_string())?;
            if is_there(&directory, name)? {
                return Ok(());
            }
        }
        if !self.dry_run {
            self.root
                .create_directory(parent)
                .and_then(|directory| put(&directory, name))
                .with_context(|| format!("cannot install {}", path.display()))?;
        }
        self.tell("install", path)
    }

    pub(super) fn remove_program(&self, path: &Path) -> Result<()> {
        self.remove_if(path, is_this_program)
    }

    pub(super) fn remove_link(&self, path: &Path, target: &Path) -> Result<()> {
        self.remove_if(path, |directory, name| {
            directory.read_link(name).is_ok_and(|there| there == target)
        })
    }

    pub(super) fn remove_hook(&self, path: &Path, text: &str) -> Result<()> {
        self.remove_if(path, |directory, name| {
            let there = directory.read(name, MAX_HOOK);
            there.is_ok_and(|there| there == text.as_bytes())
        })
    }

    /// Removes CDI specs that have such a hook.
    pub(super) fn remove_specs(&self, has: impl Fn(&cdi::Hook) -> bool) -> Result<()> {
        let is_ours = |spec: &cdi::Spec| spec.edits().flat_map(|it| &it.hooks).any(&has);
        let files = cdi::read_all(&self.root, &cdi::DIRECTORIES.map(PathBuf::from));
        let files = files
            .iter()
            .filter(|it| it.spec.as_ref().is_ok_and(is_ours));
        for file in files {
            self.remove_if(&file.path, |_, _| true)?;
        }
        Ok(())
    }

    /// Removes the file if it is ours.
    fn remove_if(&self, path: &Path, is_ours: impl Fn(&Directory, &OsStr) -> bool) -> Result<()> {
        let (parent, name) = split(path)?;
        let Ok(directory) = self.root.directory(parent) else {
            return Ok(());
        };
        if directory.stat(name).is_err() {
            return Ok(());
        }
        if refuse_foreign(&directory, name).is_err() || !is_ours(&directory, name) {
            log::warn!("{}: kept, it is not as install made it", path.display());
            return Ok(());
        }
        if !self.dry_run {
            directory
                .remove(name)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        self.tell("remove", path)
    }

    fn tell(&self, verb: &str, path: &Path) -> Result<()> {
        let would = if self.dry_run { "would " } else { "" };
        let path = escape(&path.to_string_lossy());
        Ok(output(&format!("{would}{verb} {path}\n"))?)
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent()
        .zip(path.file_name())
        .with_context(|| format!("{} names no file", path.display()))
}

/// Whether the file is some release of this program.
fn is_this_program(directory: &Directory, name: &OsStr) -> bool {
    let is_file = |there: Metadata| there.kind == Kind::File;
    directory.stat(name).is_ok_and(is_file)
        && directory.open_file(name).is_ok_and(|(file, metadata)| {
            metadata.size <= MAX_PROGRAM && has_mark(file.take(MAX_PROGRAM)).unwrap_or(false)
        })
}

/// Reads in bounded pieces: the file may grow or shrink meanwhile, and may be any other program.
fn has_mark(file: impl Read) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(PIECE, file);
    let mut window = Vec::new();
    loop {
        let piece = file.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(false);
        }
        window.extend_from_slice(piece);
        file.consume(length);
        if memmem::find(&window, MARK.as_bytes()).is_some() {
            return Ok(true);
        }
        // The mark may begin at the end of one piece and go on in the next.
        window.drain(..window.len().saturating_sub(MARK.len()));
    }
}

/// Whether a hooks.d file is for one of the names in libexec.
fn calls_us(text: &[u8]) -> bool {
    let hook = |mut file: serde_json::Value| {
        let hook = file.get_mut("hook").map(serde_json::Value::take)?;
        serde_json::from_value::<Hook>(hook).ok()
    };
    serde_json::from_slice(text)
        .ok()
        .and_then(hook)
        .is_some_and(|hook| {
            let name = hook.path().file_name().unwrap_or_default();
            names_in_libexec().any(|it| it.as_bytes() == name.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_of_ours_are_known_by_their_program() {
        for (path, is_ours) in [
            ("/usr/libexec/nvidia-ctk-chmod", true),
            ("/opt/x/nvidia-ctk-ldcache", true),
            ("/usr/bin/nvidia-ctk", false),
            ("/usr/bin/other", false),
        ] {
            let text = format!("{{\"hook\": {{\"path\": \"{path}\"}}}}");
            assert_eq!(calls_us(text.as_bytes()), is_ours, "{path}");
        }
        assert!(!calls_us(b"{}"));
        assert!(!calls_us(b"not JSON"));
    }
}
