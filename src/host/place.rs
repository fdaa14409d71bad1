//! The way to a file of the host, past nothing that another user put there.
//!
//! What lies in a directory that others may write to, such as /tmp, is theirs unless it belongs to this user, to root, or to the
//! directory's owner. A link there is not followed, on any part of the way, and a file there is neither read nor replaced: the kernel
//! does the same for last components where `fs.protected_symlinks` and `fs.protected_regular` are on. In a directory that only its
//! owner may write to, all is the owner's will, whoever it belongs to.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::geteuid;

use crate::rootfs::{Directory, Kind, Metadata};

/// How many links are followed, as the kernel's own limit.
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
    /// Where the file lies that `path` leads to; the file itself may be missing.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        Walk::new(false)?.end(path)
    }

    /// The same, and directories that are missing on the way are made.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Walk::new(true)?.end(path)
    }

    /// The name at the end of `path` itself, even if it is a link.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        let mut walk = Walk::new(false)?;
        walk.enter_all(path.parent().ok_or(Errno::EISDIR)?)?;
        walk.end_at(name.to_owned())
    }

    /// Whether there is something that may be used.
    pub(super) fn is_taken(&self) -> io::Result<bool> {
        match refuse_foreign(&self.directory, &self.name) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true),
        }
    }
}

/// Refuses a way to the directory `path` on which another user put a link.
pub fn check_way(path: &Path) -> io::Result<()> {
    Walk::new(false)?.enter_all(path)
}

/// Refuses what another user put into a directory.
pub fn refuse_foreign(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let file = directory.stat(name)?;
    if is_foreign(&Metadata::of(directory)?, &file) {
        return Err(io::Error::other(format!(
            "it belongs to user {} and lies in a directory that others may write to: remove it, or choose another place",
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
    /// Open for nothing but going on: to search it is enough.
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

    /// Follows `path` and its links up to the last name, which it returns.
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

    /// The target of a link; none if it is something else, or nothing. What is checked is what is read, whatever happens to the name.
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
                "the link \"{}\" belongs to user {} and lies in a directory that others may write to: it is not followed; remove it, \
                 or name what it leads to",
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

/// The last step first.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.iter().filter(|step| *step != ".");
    let mut steps: Vec<_> = steps.map(OsStr::to_owned).collect();
    steps.reverse();
    steps
}

/// Opens a directory, without following a link. Unlike stat(2), this starts an automount.
fn open_directory(
    directory: impl std::os::fd::AsFd,
    name: &OsStr,
    access: OFlag,
) -> nix::Result<OwnedFd> {
    let flags = access | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}
