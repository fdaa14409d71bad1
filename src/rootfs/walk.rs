//! What openat2(2) does with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`, for kernels and seccomp filters without it.
//!
//! The path is walked one name at a time, each opened with `O_PATH` and `O_NOFOLLOW` in the directory before it. `..` goes back to
//! a directory that is still open from the way down, so that the kernel is never asked for the parent of anything: whatever is
//! moved meanwhile, nothing is reached but what was below the root when the walk came to it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::Kind;

/// How many links are followed: the kernel's own limit, `path_resolution(7)`.
const MAX_LINKS: usize = 40;

/// A handle (`O_PATH`) of what `path` leads to, with links followed inside the root.
pub(super) fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut walk = Walk {
        root,
        above: Vec::new(),
        end: None,
        left: VecDeque::new(),
        links: 0,
    };
    walk.insert(path.as_os_str());
    while let Some(name) = walk.left.pop_front() {
        walk.step(&name)?;
    }
    match walk.end {
        Some(end) => Ok(end),
        None => Ok(walk.here().try_clone_to_owned()?),
    }
}

struct Walk<'r> {
    root: BorrowedFd<'r>,
    /// The directories between the root and where the walk is, which is the last of them.
    above: Vec<OwnedFd>,
    /// What the walk has come to that is no directory: nothing may follow it.
    end: Option<OwnedFd>,
    /// The names that are still to be walked.
    left: VecDeque<OsString>,
    links: usize,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.above.last().map_or(self.root, AsFd::as_fd)
    }

    /// Puts the names of a path before those that are left. An empty name stands for the directory before it: that of `a/`.
    fn insert(&mut self, path: &OsStr) {
        if path.as_bytes().starts_with(b"/") {
            self.above.clear();
        }
        for name in path.as_bytes().rsplit(|&byte| byte == b'/') {
            self.left.push_front(OsStr::from_bytes(name).to_owned());
        }
    }

    /// Walks on by one name.
    fn step(&mut self, name: &OsStr) -> io::Result<()> {
        if self.end.is_some() {
            return Err(Errno::ENOTDIR.into());
        }
        match name.as_bytes() {
            b"" | b"." => return Ok(()),
            b".." => {
                self.above.pop();
                return Ok(());
            }
            _ => {}
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(self.here(), name, flags, Mode::empty())?;
        match Kind::of(&fstat(&found)?) {
            Kind::Directory => self.above.push(found),
            Kind::Link => {
                self.links += 1;
                if self.links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                let target = target(&found)?;
                self.insert(&target);
            }
            _ => self.end = Some(found),
        }
        Ok(())
    }
}

/// Where a link points to. Links of procfs whose text is not what they lead to are refused, as `RESOLVE_NO_MAGICLINKS` does it.
fn target(link: &OwnedFd) -> io::Result<OsString> {
    let target = readlinkat(link, "")?;
    // Their text is an absolute path, or a type and what it names, such as "net:[4026531840]".
    let is_odd = |text: &[u8]| text.starts_with(b"/") || text.contains(&b':');
    if is_odd(target.as_bytes()) && fstatfs(link)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Err(Errno::ELOOP.into());
    }
    Ok(OsString::from_vec(target.into_vec()))
}
