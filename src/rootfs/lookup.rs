//! Path lookup below a root: by openat2(2), or without it by [`walk`].

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use super::walk;
use crate::watchdog;

/// The maximum number of attempts for a lookup that a rename disturbed.
const MAX_RETRIES: usize = 64;
const IN_ROOT: ResolveFlag = ResolveFlag::RESOLVE_IN_ROOT.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

/// Returns a handle (`O_PATH`) of the file that `path` leads to. Fails if it cannot be resolved.
pub(super) fn find(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    by_kernel(&root, path, OFlag::O_PATH).unwrap_or_else(|| walk::find(root.as_fd(), path))
}

/// Opens the directory that `path` leads to, for reading. Fails if there is none.
pub(super) fn open_directory(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    if let Some(result) = by_kernel(&root, path, OFlag::O_DIRECTORY) {
        return result;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let handle = walk::find(root.as_fd(), path)?;
    Ok(openat(&handle, ".", flags, Mode::empty())?)
}

/// Opens for reading a file that the directory's listing reported as regular. Fails if it is a mount point: the listing reports
/// the file below.
pub(super) fn open_listed(directory: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_NO_XDEV;
    let file = openat2(directory, name, open_how(OFlag::O_RDONLY | flags, resolve));
    watchdog::progress();
    Ok(file?)
}

/// Opens a file for reading that was found to be regular. Fails if it is not on the root's own mount.
pub(super) fn open_on_root(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let resolve = IN_ROOT | ResolveFlag::RESOLVE_NO_XDEV;
    let file = openat2(root, path, open_how(flags, resolve));
    watchdog::progress();
    Ok(file?)
}

/// Returns `None` if openat2(2) does not exist or a seccomp filter hides it.
fn by_kernel(root: impl AsFd, path: &Path, flags: OFlag) -> Option<io::Result<OwnedFd>> {
    let mut result = Err(Errno::EAGAIN);
    for _ in 0..MAX_RETRIES {
        result = openat2(&root, path, open_how(flags | OFlag::O_CLOEXEC, IN_ROOT));
        watchdog::progress();
        match result {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::ENOSYS | Errno::EPERM) => return None,
            _ => break,
        }
    }
    Some(result.map_err(io::Error::from))
}

fn open_how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new().flags(flags).resolve(resolve)
}
