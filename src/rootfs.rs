//! The container's root: the only door to files that an image's author wrote.
//!
//! Every path is resolved below the root's descriptor by `pathrs`, as openat2(2) does with `RESOLVE_IN_ROOT` and
//! `RESOLVE_NO_MAGICLINKS`: absolute links and `..` stay inside. From there on work goes on a [`Directory`] and one name in it,
//! which is never followed if it is a link. No path of the root is ever handed to the kernel as a string from `/`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag};
use nix::sys::stat::{fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use pathrs::flags::OpenFlags;
use rustix::fs::{FileType, RawDir, SeekFrom, XattrFlags, fgetxattr, fsetxattr};

/// How often a lookup that a rename disturbed is tried again.
const MAX_RETRIES: usize = 64;
/// How many dangling links [`ContainerRoot::create_directory`] goes through, as the kernel's own limit.
const MAX_LINKS: usize = 40;
/// Extended attribute that holds the mark of a file.
const MARK: &str = "user.nvidia-ctk";
/// Bytes of a directory's listing that are read at once.
const LISTING: usize = 32 << 10;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

/// A directory descriptor from which nothing outside can be reached.
pub struct ContainerRoot {
    root: pathrs::Root,
}

/// One open directory below a [`ContainerRoot`].
pub struct Directory {
    fd: OwnedFd,
}

/// Device and inode: what makes two names the same file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// A file at one time: what changes when its content does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileVersion {
    /// Which file.
    pub id: FileId,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a directory entry is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device.
    CharacterDevice,
    /// A FIFO, socket or block device.
    Other,
}

/// A name in a directory, and what it is.
#[derive(Debug)]
pub struct Entry {
    /// The name, without a slash.
    pub name: OsString,
    /// What stands under the name.
    pub kind: Kind,
}

impl FileId {
    /// The identity in what stat(2) tells.
    #[must_use]
    pub fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

impl FileVersion {
    /// The version in what stat(2) tells.
    #[must_use]
    pub fn of(stat: &FileStat) -> Self {
        Self {
            id: FileId::of(stat),
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A hash to keep: without the device, whose number may be another one each time a file system is mounted.
impl Hash for FileVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id.inode, self.size, self.modified, self.changed).hash(state);
    }
}

impl Kind {
    /// The type in what stat(2) tells.
    #[must_use]
    pub fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFCHR => Self::CharacterDevice,
            _ => Self::Other,
        }
    }
}

impl ContainerRoot {
    /// Opens the directory `path` of the host. It may be reached through links: the runtime named it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(Self {
            root: pathrs::Root::from_fd(fd),
        })
    }

    /// Opens the directory `path` below this root as a root of its own.
    pub fn open_root(&self, path: &Path) -> io::Result<Self> {
        let handle = retry(|| self.root.resolve(inside(path)))?;
        require(&fstat(&handle)?, Kind::Directory)?;
        Ok(Self {
            root: pathrs::Root::from_fd(handle),
        })
    }

    /// The identity of the root directory itself.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&fstat(&self.root)?))
    }

    /// What `path` leads to, with links followed inside the root.
    pub fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let handle = retry(|| self.root.resolve(inside(path)))?;
        Ok(fstat(&handle)?)
    }

    /// Opens the directory `path`.
    pub fn directory(&self, path: &Path) -> io::Result<Directory> {
        let file = retry(|| self.root.open_subpath(inside(path), OpenFlags::O_DIRECTORY))?;
        Ok(Directory { fd: file.into() })
    }

    /// Opens the directory `path`, making what is missing with mode 0755; where a link dangles, what it points to is made.
    pub fn create_directory(&self, path: &Path) -> io::Result<Directory> {
        self.create_directory_through(path, MAX_LINKS)
    }

    fn create_directory_through(&self, path: &Path, links: usize) -> io::Result<Directory> {
        match self.directory(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (Some(parent), Some(Component::Normal(name))) =
            (path.parent(), path.components().next_back())
        else {
            return Err(Errno::ENOENT.into());
        };
        let directory = self.create_directory_through(parent, links)?;
        match mkdirat(&directory, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        match directory.open_directory(name) {
            Err(err) if err.raw_os_error() == Some(Errno::ENOTDIR as i32) => {
                let links = links.checked_sub(1).ok_or(Errno::ELOOP)?;
                let target = directory.read_link(name)?;
                self.create_directory_through(&parent.join(target), links)
            }
            result => result,
        }
    }

    /// Opens the regular file that `path` leads to, for reading. Anything else is refused without being opened.
    pub fn open_file(&self, path: &Path) -> io::Result<(File, FileStat)> {
        let before = self.stat(path)?;
        require(&before, Kind::File)?;
        let flags = OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
        let file = retry(|| self.root.open_subpath(inside(path), flags))?;
        let after = fstat(&file)?;
        require(&after, Kind::File)?;
        Ok((file, after))
    }

    /// Reads the regular file that `path` leads to, refusing more than `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (file, stat) = self.open_file(path)?;
        read_bounded(file, &stat, limit)
    }

    /// Sets the mode bits 07777 of what `path` leads to; returns whether they were different before.
    pub fn chmod(&self, path: &Path, mode: Mode) -> io::Result<bool> {
        let handle = retry(|| self.root.resolve(inside(path)))?;
        let stat = fstat(&handle)?;
        if stat.st_mode & 0o7777 == mode.bits() {
            return Ok(false);
        }
        // The handle is O_PATH, so that no device or FIFO is opened for its mode; fchmod(2) does not take such a descriptor.
        let itself = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
        fchmodat(
            AT_FDCWD,
            itself.as_str(),
            mode,
            FchmodatFlags::FollowSymlink,
        )?;
        Ok(true)
    }
}

impl Directory {
    /// The names in the directory, in no order; `.` and `..` are left out.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(LISTING);
        let mut listing = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        let mut entries = Vec::new();
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

    fn open_directory(&self, name: &OsStr) -> io::Result<Self> {
        let fd = self.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Self { fd })
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
        Ok(readlinkat(&self.fd, single_component(name)?)?.into())
    }

    /// Makes `name` a link to `target`, atomically in the place of a file or link that is there; returns whether it was not
    /// already.
    pub fn symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<bool> {
        if self
            .read_link(name)
            .is_ok_and(|there| there.as_os_str() == target)
        {
            return Ok(false);
        }
        match symlinkat(target, &self.fd, single_component(name)?) {
            Ok(()) => return Ok(true),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        if Kind::of(&self.stat(name)?) == Kind::Directory {
            return Err(Errno::EISDIR.into());
        }
        let temporary = temporary_name();
        symlinkat(target, &self.fd, temporary.as_os_str())?;
        self.rename(&temporary, name)?;
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

    fn replace(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: Mode,
        finish: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<bool> {
        if self.holds(name, bytes, mode) {
            return Ok(false);
        }
        let temporary = temporary_name();
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.fd, temporary.as_os_str(), flags, private)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| Ok(fchmod(&file, mode)?))
            .and_then(|()| finish(&file));
        if let Err(err) = written {
            let _ = self.remove(&temporary);
            return Err(err);
        }
        self.rename(&temporary, name)?;
        Ok(true)
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

/// Whether it is what a read-only file system or missing privileges answer: a container must start all the same.
#[must_use]
pub fn is_denied(err: &io::Error) -> bool {
    [Errno::EPERM, Errno::EACCES, Errno::EROFS]
        .iter()
        .any(|&errno| err.raw_os_error() == Some(errno as i32))
}

/// The path as it is looked up from the root's descriptor: never from `/`.
fn inside(path: &Path) -> &Path {
    match path.strip_prefix("/").unwrap_or(path) {
        root if root.as_os_str().is_empty() => Path::new("."),
        path => path,
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

fn require(stat: &FileStat, kind: Kind) -> io::Result<()> {
    match (kind, Kind::of(stat)) {
        (expected, found) if expected == found => Ok(()),
        (Kind::Directory, _) => Err(Errno::ENOTDIR.into()),
        (_, Kind::Directory) => Err(Errno::EISDIR.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

fn read_bounded(file: File, stat: &FileStat, limit: u64) -> io::Result<Vec<u8>> {
    let size = u64::try_from(stat.st_size).unwrap_or(0).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read > limit) {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// A name that nothing in the image can foresee.
fn temporary_name() -> OsString {
    let random = RandomState::new().build_hasher().finish();
    OsString::from_vec(format!(".nvidia-ctk-{random:016x}").into_bytes())
}

/// Tries a lookup again as long as the kernel says that something moved under it.
fn retry<T>(lookup: impl Fn() -> Result<T, pathrs::error::Error>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        match lookup() {
            Ok(found) => return Ok(found),
            Err(err) if err.kind().can_retry() && tries < MAX_RETRIES => tries += 1,
            Err(err) => {
                return Err(match err.kind() {
                    pathrs::error::ErrorKind::OsError(Some(errno)) => {
                        io::Error::from_raw_os_error(errno)
                    }
                    _ => io::Error::other(err.to_string()),
                });
            }
        }
    }
}
