//! Changing what is in a directory: links and files are made under temporary names and take their places by rename(2).

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

/// How temporary names begin.
const TEMPORARY: &[u8] = b".nvidia-ctk-";
/// How often a temporary name is made again that another hook swept away.
const MAX_SWEPT: usize = 8;
/// Extended attribute that holds the mark of a file.
const MARK: &str = "user.nvidia-ctk";
/// Extended attribute that holds the SELinux label of a file.
const LABEL: &str = "security.selinux";
const MAX_LABEL: usize = 1024;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

impl Directory {
    /// Whether names in it can be changed, as far as its mount goes.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let is_read_only = |fs: Statvfs| fs.flags().contains(FsFlags::ST_RDONLY);
        self.permit().is_ok() && !fstatvfs(self).is_ok_and(is_read_only)
    }

    /// Makes the directory `name`, unless something is there.
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

    /// Refuses to change `name` where something is mounted over it: it is not what the directory holds, and rename(2) would take
    /// the mount away if it is one of another mount namespace.
    fn permit_replacing(&self, name: &OsStr) -> io::Result<()> {
        self.permit()?;
        let name = single_component(name)?;
        match (MountId::of_name(self, name), MountId::of(self)) {
            (Ok(mount), Ok(own)) if mount != own => Err(Errno::EBUSY.into()),
            _ => Ok(()),
        }
    }

    /// Makes `name` a link to `target`, atomically in the place of a file or link that is there; returns whether it was not
    /// already.
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

    /// Makes `name` a file with these bytes and this mode, atomically; returns whether it was not already.
    pub fn write(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        self.replace(name, bytes, mode, |_| Ok(()))
    }

    /// The same, and the bytes are on the disk before the name is: for the host's own files.
    pub fn write_synced(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        self.replace(name, bytes, mode, File::sync_all)
    }

    /// The same as [`Self::write`], and the new file gets a mark, where its file system can hold one.
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

    /// The mark of the regular file `name`, and what the kernel says of the file.
    pub fn read_mark(&self, name: &OsStr) -> io::Result<(u64, Metadata)> {
        require_kind(Kind::File, self.stat(name)?.kind)?;
        let (file, metadata) = self.open_file(name)?;
        let mut mark = [0; 8];
        if fgetxattr(&file, MARK, &mut mark)? != mark.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((u64::from_le_bytes(mark), metadata))
    }

    /// The same, with what `finish` still does to the file before it takes the name.
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
        // Locked as long as it is open: so it is no leftover. nix's Flock would unlock it by a call of its own.
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

    /// Gives a new file the SELinux label of the one whose place it takes.
    fn copy_label(&self, name: &OsStr, new: &File) {
        let mut label = [0; MAX_LABEL];
        let is_file = |there: Metadata| there.kind == Kind::File;
        // To open a device can have effects.
        if self.stat(name).is_ok_and(is_file)
            && let Ok((old, _)) = self.open_file(name)
            && let Ok(size) = fgetxattr(&old, LABEL, &mut label)
            && let Some(label) = label.get(..size)
        {
            let _ = fsetxattr(new, LABEL, label, XattrFlags::empty());
        }
    }

    /// Removes temporary names that hooks left which were killed, once for all that is replaced here. A file that is locked belongs
    /// to a hook at work; a link cannot be locked, so its owner makes it again.
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

    /// Removes `name`, which is no directory.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.permit_replacing(name)?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// A name that nothing in the image can foresee.
fn temporary_name() -> OsString {
    let random = RandomState::new().build_hasher().finish();
    OsString::from_vec([TEMPORARY, format!("{random:016x}").as_bytes()].concat())
}

/// Does it again where a hook that runs at the same time took a temporary name for a leftover.
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
        // Another content of the same size, a longer and a shorter one, and another mode.
        assert!(write(b"two", mode));
        assert!(write(b"three", mode));
        assert!(write(b"four", mode));
        assert!(write(b"four", Mode::S_IRUSR));
        assert!(!write(b"four", Mode::S_IRUSR));
        // A link to a file that is right.
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
            return; // the file system holds none
        }
        assert_eq!(directory.read_mark(name).unwrap().0, 7);
        set(&[7; 4]).unwrap();
        let err = directory.read_mark(name).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidData);
    }
}
