//! Changes in a directory: creates links and files under temporary names and renames them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use rustix::fs::{FlockOperation, XattrFlags, fgetxattr, flock, fsetxattr};

use super::directory::{Directory, single_component};
use super::metadata::{Entry, Kind, Metadata};
use super::mount_table::MountId;
use super::require_kind;

/// The prefix of temporary names.
const TEMPORARY: &[u8] = b".nvidia-ctk-";
/// The maximum number of attempts to recreate a temporary name that another hook removed.
const MAX_SWEPT: usize = 8;
/// The extended attribute with the mark of a file.
const MARK: &str = "user.nvidia-ctk";
/// The extended attribute with the SELinux label of a file.
const LABEL: &str = "security.selinux";
const MAX_LABEL: usize = 1024;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

impl Directory {
    /// Whether its mount allows changes.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let is_read_only = |fs: Statvfs| fs.flags().contains(FsFlags::ST_RDONLY);
        self.permit().is_ok() && !fstatvfs(self).is_ok_and(is_read_only)
    }

    /// Creates the directory `name`, unless the name exists.
    pub(super) fn make_directory(&self, name: &OsStr) -> io::Result<()> {
        if self.stat(name).is_ok() {
            return Ok(());
        }
        self.permit()?;
        match mkdirat(self, single_component(name)?, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Checks that `name` may be replaced. Fails if it is a mount point: that is not the directory's own file, and rename(2)
    /// would remove the mount if it belongs to another mount namespace.
    fn permit_replacing(&self, name: &OsStr) -> io::Result<()> {
        self.permit()?;
        let name = single_component(name)?;
        match (MountId::of_name(self, name), MountId::of(self)) {
            (Ok(mount), Ok(own)) if mount != own => Err(Errno::EBUSY.into()),
            _ => Ok(()),
        }
    }

    /// Makes `name` a link to `target`, atomically replacing a file or link; returns whether it changed. Fails for a directory
    /// and where the file system or its mount does not allow it.
    pub fn symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<bool> {
        let is_there = || self.read_link(name).is_ok_and(|there| there == target);
        match self.permit() {
            Err(_) if is_there() => return Ok(false),
            permitted => permitted?,
        }
        match symlinkat(target, &self.fd, single_component(name)?) {
            Ok(()) => return Ok(true),
            Err(_) if is_there() => return Ok(false),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        if self.stat(name)?.kind == Kind::Directory {
            return Err(Errno::EISDIR.into());
        }
        self.permit_replacing(name)?;
        self.swept.call_once(|| self.sweep());
        retry_swept(|| {
            let temporary = temporary_name();
            symlinkat(target, &self.fd, temporary.as_os_str())?;
            self.rename(&temporary, name)
        })?;
        Ok(true)
    }

    /// Makes `name` a file with these bytes and this mode, atomically; returns whether it changed. Fails as rename(2) does.
    pub fn write(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        self.replace(name, bytes, mode, |_| Ok(()))
    }

    /// Writes a file as [`Self::write`] does, after its bytes are on the disk: for the host's own files.
    pub fn write_synced(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        self.replace(name, bytes, mode, File::sync_all)
    }

    /// Writes a file as [`Self::write`] does, and marks it, if its file system supports that.
    pub fn write_marked(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: Mode,
        mark: impl Fn(&Metadata) -> u64,
    ) -> io::Result<bool> {
        self.replace(name, bytes, mode, |file| {
            let mark = mark(&Metadata::of(file)?).to_le_bytes();
            let _ = fsetxattr(file, MARK, &mark, XattrFlags::empty());
            Ok(())
        })
    }

    /// Returns the mark and the metadata of the regular file `name`. Fails if it has none.
    pub fn read_mark(&self, name: &OsStr) -> io::Result<(u64, Metadata)> {
        require_kind(Kind::File, self.stat(name)?.kind)?;
        let (file, metadata) = self.open_file(name)?;
        let mut mark = [0; 8];
        if fgetxattr(&file, MARK, &mut mark)? != mark.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((u64::from_le_bytes(mark), metadata))
    }

    /// Writes a file as [`Self::write`] does, and calls `finish` for it before it gets the name. Fails also if `finish` does.
    pub fn replace(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: Mode,
        finish: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<bool> {
        if self.holds(name, bytes, mode) {
            return Ok(false);
        }
        self.permit_replacing(name)?;
        self.swept.call_once(|| self.sweep());
        retry_swept(|| self.replace_file(name, bytes, mode, &finish))?;
        Ok(true)
    }

    fn replace_file(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: Mode,
        finish: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let temporary = temporary_name();
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.fd, temporary.as_os_str(), flags, private)?);
        // Locked while open, so that it does not count as a leftover. nix's Flock would unlock it with another call.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        self.copy_label(name, &file);
        let written = file
            .write_all(bytes)
            .and_then(|()| Ok(fchmod(&file, mode)?))
            .and_then(|()| finish(&file));
        if let Err(err) = written {
            let _ = self.remove(&temporary);
            return Err(err);
        }
        self.rename(&temporary, name)
    }

    /// Gives a new file the SELinux label of the file that it replaces.
    fn copy_label(&self, name: &OsStr, new: &File) {
        let mut label = [0; MAX_LABEL];
        let is_file = |there: Metadata| there.kind == Kind::File;
        // Opening a device can have side effects.
        if self.stat(name).is_ok_and(is_file)
            && let Ok((old, _)) = self.open_file(name)
            && let Ok(size) = fgetxattr(&old, LABEL, &mut label)
            && let Some(label) = label.get(..size)
        {
            let _ = fsetxattr(new, LABEL, label, XattrFlags::empty());
        }
    }

    /// Removes temporary names that killed hooks left behind, once per directory. A locked file belongs to a running hook; a link
    /// cannot be locked, so its owner recreates it.
    fn sweep(&self) {
        let is_temporary = |entry: &Entry| entry.name.as_bytes().starts_with(TEMPORARY);
        let entries = self.entries().unwrap_or_default();
        for entry in entries.into_iter().filter(is_temporary) {
            let is_leftover = match entry.kind {
                Kind::File => self.is_unlocked(&entry.name),
                kind => kind == Kind::Link,
            };
            if is_leftover {
                let _ = self.remove(&entry.name);
            }
        }
    }

    fn is_unlocked(&self, name: &OsStr) -> bool {
        let file = self
            .permit_replacing(name)
            .and_then(|()| self.open_file(name));
        file.is_ok_and(|(file, _)| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
    }

    /// Whether `name` is a regular file with these bytes and this mode.
    #[must_use]
    pub fn holds(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> bool {
        let Ok(there) = self.stat(name) else {
            return false;
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        there.kind == Kind::File
            && there.mode == mode
            && there.size == size
            && self.read(name, size).is_ok_and(|there| there == bytes)
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        renameat(&self.fd, from, &self.fd, single_component(to)?).map_err(|errno| {
            let _ = self.remove(from);
            errno.into()
        })
    }

    /// Removes `name`, which must not be a directory. Fails as unlinkat(2) does.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.permit_replacing(name)?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// Returns an unpredictable name.
fn temporary_name() -> OsString {
    let random = RandomState::new().build_hasher().finish();
    OsString::from_vec([TEMPORARY, format!("{random:016x}").as_bytes()].concat())
}

/// Repeats `put` if a concurrent hook removed the temporary name as a leftover.
fn retry_swept(put: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut result = put();
    for _ in 0..MAX_SWEPT {
        match result {
            Err(err) if err.kind() == io::ErrorKind::NotFound => result = put(),
            done => return done,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;

    use super::super::Root;
    use super::*;

    const NAME: &str = "file";

    fn directory() -> (TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let directory = root.directory(Path::new("/")).unwrap();
        (folder, directory)
    }

    #[test]
    fn only_what_differs_is_written() {
        let (folder, directory) = directory();
        let path = folder.path().join(NAME);
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let write = |bytes: &[u8], mode| directory.write(OsStr::new(NAME), bytes, mode).unwrap();
        assert!(write(b"one", mode));
        assert!(!write(b"one", mode));
        // Other content of the same size, a longer and a shorter one, and another mode.
        assert!(write(b"two", mode));
        assert!(write(b"three", mode));
        assert!(write(b"four", mode));
        assert!(write(b"four", Mode::S_IRUSR));
        assert!(!write(b"four", Mode::S_IRUSR));
        // A link to a correct file.
        std::fs::rename(&path, folder.path().join("other")).unwrap();
        symlink("other", &path).unwrap();
        assert!(write(b"four", Mode::S_IRUSR));
        assert!(!path.is_symlink());
    }

    #[test]
    fn a_link_takes_the_place_of_what_is_no_directory() {
        let (folder, directory) = directory();
        let link = |target: &str| directory.symlink(OsStr::new(target), OsStr::new(NAME));
        assert!(link("a").unwrap());
        assert!(!link("a").unwrap());
        assert!(link("b").unwrap());
        let path = folder.path().join(NAME);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(link("a").unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let err = link("a").unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn leftovers_of_killed_hooks_are_removed_once() {
        let (folder, directory) = directory();
        let leftover = |name: &str| folder.path().join(format!(".nvidia-ctk-{name}"));
        std::fs::write(leftover("unlocked"), "").unwrap();
        std::fs::write(leftover("locked"), "").unwrap();
        std::fs::create_dir(leftover("directory")).unwrap();
        symlink("t", leftover("link")).unwrap();
        std::fs::write(folder.path().join(".nvidia-ct"), "").unwrap();
        let locked = File::open(leftover("locked")).unwrap();
        flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
        directory
            .write(OsStr::new(NAME), b"", Mode::S_IRUSR)
            .unwrap();
        let mut left: Vec<_> = directory.entries().unwrap().into_iter().collect();
        left.sort_by_key(|it| it.name.clone());
        let left: Vec<_> = left.iter().map(|it| it.name.as_os_str()).collect();
        assert_eq!(
            left,
            [
                ".nvidia-ct",
                ".nvidia-ctk-directory",
                ".nvidia-ctk-locked",
                NAME
            ]
        );
    }

    #[test]
    fn only_a_name_that_was_swept_is_made_again() {
        let run = |failures: usize, kind: io::ErrorKind| {
            let calls = Cell::new(0);
            let result = retry_swept(|| {
                calls.set(calls.get() + 1);
                if calls.get() <= failures {
                    return Err(kind.into());
                }
                Ok(())
            });
            (calls.get(), result.is_ok())
        };
        assert_eq!(run(0, io::ErrorKind::NotFound), (1, true));
        assert_eq!(run(3, io::ErrorKind::NotFound), (4, true));
        assert_eq!(run(100, io::ErrorKind::NotFound), (1 + MAX_SWEPT, false));
        assert_eq!(run(3, io::ErrorKind::StorageFull), (1, false));
    }

    #[test]
    fn a_mark_has_one_size() {
        let (folder, directory) = directory();
        let name = OsStr::new(NAME);
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        directory.write_marked(name, b"x", mode, |_| 7).unwrap();
        let file = File::open(folder.path().join(NAME)).unwrap();
        let set = |mark: &[u8]| fsetxattr(&file, MARK, mark, XattrFlags::empty());
        if set(&7_u64.to_le_bytes()).is_err() {
            return; // the file system does not support them
        }
        assert_eq!(directory.read_mark(name).unwrap().0, 7);
        set(&[7; 4]).unwrap();
        let err = directory.read_mark(name).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidData);
    }
}
