//! One directory of a root, and single names in it: nothing here follows a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Once;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use rustix::fs::{
    FileType, FlockOperation, RawDir, SeekFrom, XattrFlags, fgetxattr, flock, fsetxattr,
    readlinkat_raw, seek,
};

use super::stat::{Entry, FileId, Kind};
use super::{read_bounded, require};

/// How temporary names begin.
const TEMPORARY: &[u8] = b".nvidia-ctk-";
/// How often a temporary name is made again that another hook swept away.
const MAX_SWEPT: usize = 8;
/// Extended attribute that holds the mark of a file.
const MARK: &str = "user.nvidia-ctk";
/// Extended attribute that holds the SELinux label of a file.
const LABEL: &str = "security.selinux";
const MAX_LABEL: usize = 1024;
/// Bytes of a directory's listing that are read at once.
const LISTING: usize = 32 << 10;
/// Most memory for the names of one directory: 70,000 of usual length.
const MAX_LISTING: usize = 4 << 20;

/// One open directory below a [`super::ContainerRoot`].
pub struct Directory {
    fd: OwnedFd,
    swept: Once,
}

impl Directory {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            swept: Once::new(),
        }
    }

    /// The names in the directory, in no order; `.` and `..` are left out. A directory with more than anyone's names is refused.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        seek(&self.fd, SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(LISTING);
        let mut listing = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        let mut entries = Vec::new();
        let mut left = MAX_LISTING;
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Link,
                FileType::CharacterDevice => Kind::CharacterDevice,
                FileType::Unknown => match self.stat(name) {
                    Ok(stat) => Kind::of(&stat),
                    Err(_) => continue, // gone since it was listed
                },
                _ => Kind::Other,
            };
            left = left
                .checked_sub(name.len() + size_of::<Entry>())
                .ok_or_else(too_many_names)?;
            let name = name.to_owned();
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    /// What stands under `name`; a link is not followed.
    pub fn stat(&self, name: &OsStr) -> io::Result<FileStat> {
        let name = single_component(name)?;
        Ok(fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// The identity of the directory itself.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&fstat(&self.fd)?))
    }

    /// Opens the regular file `name` for reading; a link or anything else is refused.
    pub fn open_file(&self, name: &OsStr) -> io::Result<(File, FileStat)> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(self.open(name, flags)?);
        let stat = fstat(&file)?;
        require(&stat, Kind::File)?;
        Ok((file, stat))
    }

    pub(super) fn open_directory(&self, name: &OsStr) -> io::Result<Self> {
        let fd = self.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Self::new(fd))
    }

    fn open(&self, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(
            &self.fd,
            single_component(name)?,
            flags,
            Mode::empty(),
        )?)
    }

    /// Reads the regular file `name`, refusing more than `limit` bytes.
    pub fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        require(&self.stat(name)?, Kind::File)?;
        let (file, stat) = self.open_file(name)?;
        read_bounded(file, &stat, limit)
    }

    /// The target of the link `name`.
    pub fn read_link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let mut room = [MaybeUninit::uninit(); libc::PATH_MAX as usize];
        let (target, _) = readlinkat_raw(&self.fd, single_component(name)?, &mut room)?;
        Ok(OsStr::from_bytes(target).into())
    }

    /// Makes `name` a link to `target`, atomically in the place of a file or link that is there; returns whether it was not
    /// already.
    pub fn symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<bool> {
        let is_there = || self.read_link(name).is_ok_and(|there| there == target);
        match symlinkat(target, &self.fd, single_component(name)?) {
            Ok(()) => return Ok(true),
            Err(_) if is_there() => return Ok(false),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        if Kind::of(&self.stat(name)?) == Kind::Directory {
            return Err(Errno::EISDIR.into());
        }
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
        mark: impl Fn(&FileStat) -> u64,
    ) -> io::Result<bool> {
        self.replace(name, bytes, mode, |file| {
            let mark = mark(&fstat(file)?).to_le_bytes();
            let _ = fsetxattr(file, MARK, &mark, XattrFlags::empty());
            Ok(())
        })
    }

    /// The mark of the regular file `name`, and what stat(2) tells of it.
    pub fn read_mark(&self, name: &OsStr) -> io::Result<(u64, FileStat)> {
        require(&self.stat(name)?, Kind::File)?;
        let (file, stat) = self.open_file(name)?;
        let mut mark = [0; 8];
        if fgetxattr(&file, MARK, &mut mark)? != mark.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((u64::from_le_bytes(mark), stat))
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
        // Locked as long as it is open: so it is no leftover.
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
        let is_file = |stat: FileStat| Kind::of(&stat) == Kind::File;
        // To open a device can have effects.
        if self.stat(name).is_ok_and(is_file)
            && let Ok((old, _)) = self.open_file(name)
            && let Ok(size) = fgetxattr(&old, LABEL, &mut label)
            && let Some(label) = label.get(..size)
        {
            let _ = fsetxattr(new, LABEL, label, XattrFlags::empty());
        }
    }

    /// Removes temporary names that hooks left which were killed, once for all that is replaced here. A file that is locked belongs to a hook at work; a link cannot
    /// be locked, so its owner makes it again.
    fn sweep(&self) {
        let is_temporary = |entry: &Entry| entry.name.as_bytes().starts_with(TEMPORARY);
        let entries = self.entries().unwrap_or_default();
        for entry in entries.into_iter().filter(is_temporary) {
            let is_leftover = match entry.kind {
                Kind::File => self.open_file(&entry.name).is_ok_and(|(file, _)| {
                    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                }),
                kind => kind == Kind::Link,
            };
            if is_leftover {
                let _ = self.remove(&entry.name);
            }
        }
    }

    /// Whether `name` is a regular file with these bytes and this mode.
    #[must_use]
    pub fn holds(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> bool {
        let Ok(stat) = self.stat(name) else {
            return false;
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Kind::of(&stat) == Kind::File
            && stat.st_mode & 0o7777 == mode.bits()
            && u64::try_from(stat.st_size) == Ok(size)
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
        let name = single_component(name)?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Refuses what is not one name in a directory: from here on the kernel resolves it without a root.
fn single_component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno::EINVAL.into());
    }
    Ok(name)
}

fn too_many_names() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the names in this directory take more than {MAX_LISTING} bytes"),
    )
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
