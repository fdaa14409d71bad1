//! What a path leads to below a root: told by openat2(2), or where that is missing by `pathrs`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use pathrs::Root;
use pathrs::error::ErrorKind;
use pathrs::flags::OpenFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// How often a lookup that a rename disturbed is tried again.
const MAX_RETRIES: usize = 64;

/// A handle (`O_PATH`) of what `path` leads to.
pub(super) fn find(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    match by_kernel(root, path, OFlags::PATH) {
        Some(result) => result,
        None => retry(|| root.resolve(path).map(OwnedFd::from)),
    }
}

/// The directory that `path` leads to, open for reading.
pub(super) fn open_directory(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    match by_kernel(root, path, OFlags::DIRECTORY) {
        Some(result) => result,
        None => retry(|| {
            root.open_subpath(path, OpenFlags::O_DIRECTORY)
                .map(OwnedFd::from)
        }),
    }
}

/// `None` where there is no openat2(2), or a seccomp filter hides it. `pathrs` would come to the same, but it looks up details for
/// an error's text each time that something is not there.
fn by_kernel(root: &Root, path: &Path, flags: OFlags) -> Option<io::Result<OwnedFd>> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..MAX_RETRIES {
        result = openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        match result {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return None,
            _ => break,
        }
    }
    Some(result.map_err(io::Error::from))
}

/// Tries a lookup again as long as something moved under it: either the kernel says so, or `pathrs`, which where there is no
/// openat2(2) finds out at the end that it has not come to where it should be. Nothing of a failed lookup is used.
fn retry<T>(lookup: impl Fn() -> Result<T, pathrs::error::Error>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        let err = match lookup() {
            Ok(found) => return Ok(found),
            Err(err) => err,
        };
        let moved = err.kind() == ErrorKind::SafetyViolation;
        if tries < MAX_RETRIES && (moved || err.kind().can_retry()) {
            tries += 1;
            continue;
        }
        return Err(match err.kind() {
            ErrorKind::OsError(Some(errno)) => io::Error::from_raw_os_error(errno),
            _ if moved => io::Error::other("directories on the way to it are being moved"),
            _ => io::Error::other(err.to_string()),
        });
    }
}
