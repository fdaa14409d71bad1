//! The path to a file of the host, avoiding files and links that another user may have put there.
//!
//! In a directory that others can write to, such as /tmp, a file is trusted only if it belongs to this user, to root, or to the
//! directory's owner. A link that is not trusted is not followed, in any component of the path, and a file that is not trusted is
//! neither read nor replaced: the kernel does the same for last components if `fs.protected_symlinks` and `fs.protected_regular`
//! are on. In a directory that only its owner can write to, everything is trusted, whoever owns it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::geteuid;

use crate::rootfs::{Directory, Kind, Metadata};

/// The maximum number of links to follow, as in the kernel.
const MAX_LINKS: usize = 40;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);
const ROOT: &str = "/";
const PARENT: &str = "..";

/// A name in an open directory.
pub(super) struct Place {
    pub(super) directory: Directory,
    pub(super) name: OsString,
}

impl Place {
    /// Resolves `path` and its links to a directory and a name; the file itself may be missing.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        Walk::new(false)?.end(path)
    }

    /// Resolves `path` as [`Self::find`] does, and creates missing directories.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Walk::new(true)?.end(path)
    }

    /// Resolves all of `path` but its last component, even if that is a link.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        let mut walk = Walk::new(false)?;
        walk.enter_all(path.parent().ok_or(Errno::EISDIR)?)?;
        walk.end_at(name.to_owned())
    }

    /// Whether there is a file that may be used. Fails if there is one that is not trusted.
    pub(super) fn is_taken(&self) -> io::Result<bool> {
        match refuse_foreign(&self.directory, &self.name) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true),
        }
    }
}

/// Checks the path to a directory. Fails if another user put a link on it.
pub fn check_way(path: &Path) -> io::Result<()> {
    Walk::new(false)?.enter_all(path)
}

/// Checks a name in a directory. Fails if another user put it there.
pub fn refuse_foreign(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let file = directory.stat(name)?;
    if is_foreign(&Metadata::of(directory)?, &file) {
        return Err(io::Error::other(format!(
            "it belongs to user {} and is in a directory that others can write to: remove it, or choose another place",
            file.owner
        )));
    }
    Ok(())
}

fn is_foreign(directory: &Metadata, file: &Metadata) -> bool {
    let mode = directory.mode;
    let sticky_for_group = Mode::S_ISVTX | Mode::S_IWGRP;
    let is_shared = mode.contains(Mode::S_IWOTH) || mode.contains(sticky_for_group);
    is_shared && ![0, geteuid().as_raw(), directory.owner].contains(&file.owner)
}

/// A walk along a path, one directory at a time.
struct Walk {
    /// Opened with `O_PATH`, which needs only search permission.
    directory: OwnedFd,
    links: usize,
    makes_directories: bool,
}

impl Walk {
    fn new(makes_directories: bool) -> io::Result<Self> {
        Ok(Self {
            directory: open_directory(AT_FDCWD, OsStr::new(ROOT), OFlag::O_PATH)?,
            links: 0,
            makes_directories,
        })
    }

    fn end(mut self, path: &Path) -> io::Result<Place> {
        let name = self.go(path)?.ok_or(Errno::EISDIR)?;
        self.end_at(name)
    }

    fn enter_all(&mut self, path: &Path) -> io::Result<()> {
        match self.go(path)? {
            Some(name) => self.enter(&name),
            None => Ok(()),
        }
    }

    fn end_at(self, name: OsString) -> io::Result<Place> {
        let here = open_directory(&self.directory, OsStr::new("."), OFlag::O_RDONLY)?;
        Ok(Place {
            directory: Directory::of_host(here),
            name,
        })
    }

    /// Follows `path` and its links up to the last name, and returns that.
    fn go(&mut self, path: &Path) -> io::Result<Option<OsString>> {
        let mut ahead = steps(&std::path::absolute(path)?);
        while let Some(step) = ahead.pop() {
            if step == ROOT {
                self.directory = open_directory(AT_FDCWD, &step, OFlag::O_PATH)?;
            } else if step == PARENT {
                self.directory = open_directory(&self.directory, &step, OFlag::O_PATH)?;
            } else if let Some(target) = self.link(&step)? {
                self.links += 1;
                if self.links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                ahead.extend(steps(Path::new(&target)));
            } else if ahead.is_empty() {
                return Ok(Some(step));
            } else {
                self.enter(&step)?;
            }
        }
        Ok(None)
    }

    /// Returns the target of a link, or `None` for any other file or none. The link that is checked is the one that is read, even
    /// if the name changes meanwhile.
    fn link(&self, name: &OsStr) -> io::Result<Option<OsString>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let link = match openat(&self.directory, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            link => link?,
        };
        let metadata = Metadata::of(&link)?;
        if metadata.kind != Kind::Link {
            return Ok(None);
        }
        if is_foreign(&Metadata::of(&self.directory)?, &metadata) {
            return Err(io::Error::other(format!(
                "the link \"{}\" belongs to user {} and is in a directory that others can write to: it is not followed; remove it, \
                 or name its target",
                name.display(),
                metadata.owner
            )));
        }
        Ok(Some(readlinkat(&link, "")?))
    }

    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        self.directory = match open_directory(&self.directory, name, OFlag::O_PATH) {
            Err(Errno::ENOENT) if self.makes_directories => {
                match mkdirat(&self.directory, name, DIRECTORY_MODE) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                open_directory(&self.directory, name, OFlag::O_PATH)
            }
            directory => directory,
        }?;
        Ok(())
    }
}

/// Splits a path into components, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.iter().filter(|step| *step != ".");
    let mut steps: Vec<_> = steps.map(OsStr::to_owned).collect();
    steps.reverse();
    steps
}

/// Opens a directory without following a link. Unlike stat(2), this triggers an automount.
fn open_directory(
    directory: impl std::os::fd::AsFd,
    name: &OsStr,
    access: OFlag,
) -> nix::Result<OwnedFd> {
    let flags = access | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}
