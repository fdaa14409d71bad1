//! What a path leads to below a root: found by openat2(2), or where that is missing by [`walk`].

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode as NixMode;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::walk;
use crate::watchdog;

/// How often a lookup that a rename disturbed is tried again.
const MAX_RETRIES: usize = 64;

/// A handle (`O_PATH`) of what `path` leads to.
pub(super) fn find(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    by_kernel(&root, path, OFlags::PATH).unwrap_or_else(|| walk::find(root.as_fd(), path))
}

/// The directory that `path` leads to, open for reading.
pub(super) fn open_directory(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    if let Some(result) = by_kernel(&root, path, OFlags::DIRECTORY) {
        return result;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let handle = walk::find(root.as_fd(), path)?;
    Ok(openat(&handle, ".", flags, NixMode::empty())?)
}

/// Opens for reading what the directory's listing showed as a regular file. Where something is mounted over it, that is refused:
/// the listing shows what is below.
pub(super) fn open_listed(directory: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_XDEV;
    let file = openat2(
        directory,
        name,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    );
    watchdog::progress();
    Ok(file?)
}

/// `None` where there is no openat2(2), or a seccomp filter hides it.
fn by_kernel(root: impl AsFd, path: &Path, flags: OFlags) -> Option<io::Result<OwnedFd>> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..MAX_RETRIES {
        result = openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        watchdog::progress();
        match result {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return None,
            _ => break,
        }
    }
    Some(result.map_err(io::Error::from))
}
