//! The container's root: the only door to files that an image's author wrote.
//!
//! Every path is resolved below the root's descriptor, by openat2(2) with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`: absolute
//! links and `..` stay inside. From there on work goes on a [`Directory`] and one name in it,
//! which is never followed if it is a link. No path of the root is ever handed to the kernel as a string from `/`.

mod directory;
mod lookup;
mod mount;
mod stat;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, mkdirat};
use rustix::fs::{StatVfsMountFlags, fstatvfs};

pub use directory::Directory;
pub use stat::{Entry, FileId, FileVersion, Kind};

/// How many missing directories and dangling links [`ContainerRoot::create_directory`] goes through.
const MAX_MISSING: usize = 256;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

/// A directory descriptor from which nothing outside can be reached.
pub struct ContainerRoot {
    root: pathrs::Root,
    may_mount: bool,
}

impl ContainerRoot {
    /// Opens the directory `path` of the host. It may be reached through links: the runtime named it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(Self {
            root: pathrs::Root::from_fd(fd),
            may_mount: false,
        })
    }

    /// Opens the directory `path` below this root as a root of its own.
    pub fn open_root(&self, path: &Path) -> io::Result<Self> {
        let handle = lookup::find(&self.root, inside(path))?;
        require(&fstat(&handle)?, Kind::Directory)?;
        Ok(Self {
            root: pathrs::Root::from_fd(handle),
            may_mount: false,
        })
    }

    /// Says that this process is in the container's own mount namespace, so that what is mounted here is the container's alone.
    #[must_use]
    pub fn in_own_mount_namespace(self) -> Self {
        Self {
            may_mount: true,
            ..self
        }
    }

    /// Whether [`Self::cover`] can be used.
    #[must_use]
    pub fn may_mount(&self) -> bool {
        self.may_mount
    }

    /// Whether files in the directory `path` can only be changed by [`Self::cover`].
    #[must_use]
    pub fn must_mount(&self, path: &Path) -> bool {
        let is_read_only = |directory| {
            let fs = fstatvfs(&directory);
            fs.is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
        };
        self.may_mount && lookup::find(&self.root, inside(path)).is_ok_and(is_read_only)
    }

    /// Mounts a read-only file with these bytes over the regular file `path`; returns whether it did not have them already.
    pub fn cover(&self, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.read(path, size).is_ok_and(|there| there == bytes) {
            return Ok(false);
        }
        let target = lookup::find(&self.root, inside(path))?;
        require(&fstat(&target)?, Kind::File)?;
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let parent = self.directory(path.parent().ok_or(Errno::EINVAL)?)?;
        mount::cover(target, parent, name, bytes, mode.bits())?;
        Ok(true)
    }

    /// The identity of the root directory itself.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&fstat(&self.root)?))
    }

    /// What `path` leads to, with links followed inside the root.
    pub fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let handle = lookup::find(&self.root, inside(path))?;
        Ok(fstat(&handle)?)
    }

    /// The path without links of what `path` leads to, as seen from this root. To be shown, not to be opened: it may change.
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let handle = lookup::find(&self.root, inside(path))?;
        let on_host = |fd: BorrowedFd<'_>| {
            let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
            readlinkat(AT_FDCWD, itself.as_str()).map(PathBuf::from)
        };
        let (root, path) = (on_host(self.root.as_fd())?, on_host(handle.as_fd())?);
        let below = path.strip_prefix(&root).map_err(io::Error::other)?;
        Ok(Path::new("/").join(below))
    }

    /// Opens the directory `path`.
    pub fn directory(&self, path: &Path) -> io::Result<Directory> {
        let fd = lookup::open_directory(&self.root, inside(path))?;
        Ok(Directory::new(fd))
    }

    /// Opens the directory `path`, making what is missing with mode 0755; where a link dangles, what it points to is made.
    pub fn create_directory(&self, path: &Path) -> io::Result<Directory> {
        let mut left = MAX_MISSING;
        self.create_missing(path, &mut left)
    }

    fn create_missing(&self, path: &Path, left: &mut usize) -> io::Result<Directory> {
        match self.directory(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        *left = left.checked_sub(1).ok_or(Errno::ELOOP)?;
        let (Some(parent), Some(Component::Normal(name))) =
            (path.parent(), path.components().next_back())
        else {
            return Err(Errno::ENOENT.into());
        };
        let directory = self.create_missing(parent, left)?;
        match mkdirat(&directory, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        match directory.open_directory(name) {
            Err(err) if is_no_directory(&err) => match directory.read_link(name) {
                Ok(target) => self.create_missing(&parent.join(target), left),
                // Something else has come to stand there meanwhile.
                Err(_) => self.create_missing(path, left),
            },
            result => result,
        }
    }

    /// Opens the regular file that `path` leads to, for reading. Anything else is refused without being opened.
    pub fn open_file(&self, path: &Path) -> io::Result<(File, FileStat)> {
        let handle = lookup::find(&self.root, inside(path))?;
        let stat = fstat(&handle)?;
        require(&stat, Kind::File)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(AT_FDCWD, itself(&handle).as_str(), flags, Mode::empty());
        Ok((File::from(file.map_err(without_proc)?), stat))
    }

    /// Reads the regular file that `path` leads to, refusing more than `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (file, stat) = self.open_file(path)?;
        read_bounded(file, &stat, limit)
    }

    /// Sets the mode bits 07777 of what `path` leads to; returns whether they were different before.
    pub fn chmod(&self, path: &Path, mode: Mode) -> io::Result<bool> {
        let handle = lookup::find(&self.root, inside(path))?;
        let stat = fstat(&handle)?;
        if stat.st_mode & 0o7777 == mode.bits() {
            return Ok(false);
        }
        // The handle is O_PATH, so that no device or FIFO is opened for its mode; fchmod(2) does not take such a descriptor.
        let itself = itself(&handle);
        fchmodat(
            AT_FDCWD,
            itself.as_str(),
            mode,
            FchmodatFlags::FollowSymlink,
        )
        .map_err(without_proc)?;
        Ok(true)
    }
}

impl AsFd for ContainerRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Whether it is what a read-only, full or broken file system or missing privileges answer: a container must start all the same.
#[must_use]
pub fn is_obstacle(err: &io::Error) -> bool {
    const OBSTACLES: [Errno; 6] = [
        Errno::EPERM,
        Errno::EACCES,
        Errno::EROFS,
        Errno::ENOSPC,
        Errno::EDQUOT,
        Errno::EIO,
    ];
    OBSTACLES
        .iter()
        .any(|&errno| err.raw_os_error() == Some(errno as i32))
}

/// The path that the kernel takes for what a handle stands for, wherever it has been moved to.
fn itself(handle: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}

/// What is held open is there: only /proc can be missing.
fn without_proc(errno: Errno) -> io::Error {
    match errno {
        Errno::ENOENT => io::Error::other("/proc is not mounted here"),
        errno => errno.into(),
    }
}

/// The path as it is looked up from the root's descriptor: never from `/`.
fn inside(path: &Path) -> &Path {
    match path.strip_prefix("/").unwrap_or(path) {
        root if root.as_os_str().is_empty() => Path::new("."),
        path => path,
    }
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

fn is_no_directory(err: &io::Error) -> bool {
    [Errno::ENOTDIR, Errno::ENOENT]
        .iter()
        .any(|&errno| err.raw_os_error() == Some(errno as i32))
}
