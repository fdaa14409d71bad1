//! The config.json of a bundle: read once, and replaced if it changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::sys;

/// The maximum size of a container's configuration. Kubernetes' are below 1 MiB.
pub(super) const MAX_CONFIG: u64 = 64 << 20;
/// The errors of renaming a file that may be writable: it is a mount point, or its directory is not the caller's.
const IN_PLACE: [Errno; 3] = [Errno::EBUSY, Errno::EACCES, Errno::EPERM];

/// Reads a regular file of the administrator or the engine, in few calls. Fails for other files, without blocking, and for more
/// than `limit` bytes.
#[expect(clippy::disallowed_methods, reason = "the runtime's own file")]
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    // Files in /proc have no size.
    let size = if metadata.len() == 0 {
        limit
    } else {
        metadata.len()
    };
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces the file's content; owner and mode stay. The file is never half written, unless only its content can be changed.
/// Fails if it cannot be written.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // Exceeding the file size limit is an error like a full disk; its signal would end the process.
    let replaced = sys::without_signal(Signal::SIGXFSZ, || match replace_whole(path, bytes) {
        Err(err) if is_refused(&err) => overwrite(path, bytes),
        replaced => replaced,
    });
    replaced.with_context(|| format!("cannot write {}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "the runtime's own file")]
fn replace_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Keep a link.
    let path = fs::canonicalize(path)?;
    let new = temporary(&path);
    let made = make(&path, &new, bytes).and_then(|()| fs::rename(&new, &path));
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

#[expect(clippy::disallowed_methods, reason = "the runtime's own file")]
fn make(path: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = fs::metadata(path)?;
    // A killed process may have left one with this name.
    let _ = fs::remove_file(new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(bytes)?;
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))
}

/// Overwrites the content, and allocates space first so that a full disk leaves the old content.
#[expect(clippy::disallowed_methods, reason = "the runtime's own file")]
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().read(true).write(true).open(path)?;
    let mut old = Vec::new();
    (&mut file).take(MAX_CONFIG).read_to_end(&mut old)?;
    let grow = |file: &File| {
        nix::fcntl::fallocate(
            file,
            nix::fcntl::FallocateFlags::empty(),
            0,
            i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        )
    };
    match grow(&file) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) | Ok(()) => {}
        Err(errno) => {
            file.set_len(u64::try_from(old.len()).unwrap_or(u64::MAX))?;
            return Err(errno.into());
        }
    }
    io::Seek::rewind(&mut file)?;
    file.write_all(bytes)?;
    file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

fn is_refused(err: &io::Error) -> bool {
    let errno = err.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|it| IN_PLACE.contains(&it))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.nvidia-ctk", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "old").unwrap();
        fs::write(temporary(&path), "left").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
