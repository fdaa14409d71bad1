//! Files below a root: the only door to what an image's author wrote.
//!
//! Every path is resolved below the root's descriptor, as openat2(2) does it with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`:
//! absolute links and `..` stay inside. From there on work goes on a [`Directory`] and one name in it, which is never followed if
//! it is a link. No path of the root is ever handed to the kernel as a string from `/`.
//!
//! A [`Root`] is any tree, the host's as well. A [`ContainerRoot`] is a container's: whatever is changed below it is changed on
//! the container's own mounts only.

mod cover;
mod directory;
mod gate;
mod lookup;
mod metadata;
mod mount_table;
mod node;
mod replace;
mod walk;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

pub use cover::{Covered, Mounter};
pub use directory::Directory;
pub use gate::{MountNamespace, Surroundings};
pub use metadata::{Entry, FileId, FileVersion, Kind, Metadata};

use gate::Gate;
use mount_table::MountId;

use crate::watchdog::Noted;

/// How many missing directories and dangling links [`Root::create_directory`] goes through.
const MAX_MISSING: usize = 256;

/// A directory from which nothing outside can be reached.
pub struct Root {
    fd: Arc<OwnedFd>,
    /// Where the kernel sees it, once that was asked.
    path: OnceLock<PathBuf>,
    /// Asked before each change, if the root is a container's.
    gate: Option<Arc<Gate>>,
}

/// The root of a container: what is changed below it is changed on the container's own mounts only, which are the root's own and
/// those that the runtime made for this container alone. Elsewhere a change fails as on a read-only file system.
pub struct ContainerRoot {
    root: Root,
    gate: Arc<Gate>,
    mounter: Option<Mounter>,
}

impl ContainerRoot {
    /// Opens the directory `path` of the host as a container's root, for programs that embed the hooks. Nothing is mounted there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = Root::open(path)?;
        Ok(Self::new(root, Surroundings::default()))
    }

    /// Makes a root the container's.
    pub(crate) fn new(root: Root, surroundings: Surroundings) -> Self {
        let gate = Arc::new(Gate::new(root.fd.clone(), surroundings));
        let root = Root {
            gate: Some(gate.clone()),
            ..root
        };
        Self {
            root,
            gate,
            mounter: None,
        }
    }

    /// Reads the regular file that `path` leads to, refusing more than `limit` bytes and what is not the container's own: for
    /// what is written again afterwards, and can be read by everyone then.
    pub fn read_own(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let handle = self.find(path)?;
        self.gate.permit(&handle)?;
        let (file, metadata) = open_file(&handle)?;
        read_bounded(file, metadata.size, limit)
    }

    /// Sets the mode bits 07777 of what `path` leads to; returns whether they were different before.
    pub fn chmod(&self, path: &Path, mode: Mode) -> io::Result<bool> {
        let handle = self.find(path)?;
        if Metadata::of(&handle)?.mode == mode {
            return Ok(false);
        }
        self.gate.permit(&handle)?;
        // The handle is O_PATH, so that no device or FIFO is opened for its mode; fchmod(2) does not take such a descriptor.
        let file = fd_path(&handle);
        fchmodat(AT_FDCWD, file.as_str(), mode, FchmodatFlags::FollowSymlink)
            .map_err(explain_without_proc)?;
        Ok(true)
    }
}

impl Deref for ContainerRoot {
    type Target = Root;

    fn deref(&self) -> &Root {
        &self.root
    }
}

impl Root {
    /// Opens the directory `path` of the host. It may be reached through links: the runtime or the admin named it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(Self {
            fd: Arc::new(fd),
            path: OnceLock::new(),
            gate: None,
        })
    }

    /// Opens the host's root directory.
    pub fn host() -> io::Result<Self> {
        Self::open(Path::new("/"))
    }

    /// Opens the directory `path` below this root as a root of its own.
    pub fn open_root(&self, path: &Path) -> io::Result<Self> {
        let handle = self.find(path)?;
        require_kind(Kind::Directory, Metadata::of(&handle)?.kind)?;
        Ok(Self {
            fd: Arc::new(handle),
            path: OnceLock::new(),
            gate: self.gate.clone(),
        })
    }

    /// Whether something is mounted in the root at `path`, or on the way to it.
    pub(crate) fn has_mount_at(&self, path: &Path) -> bool {
        let mount = self.find(path).and_then(MountId::of);
        mount.is_ok_and(|mount| MountId::of(&self.fd).is_ok_and(|root| root != mount))
    }

    fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        lookup::find(&self.fd, below_root(path))
    }

    /// The identity of the root directory itself.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(Metadata::of(&self.fd)?.id)
    }

    /// What `path` leads to, with links followed inside the root.
    pub fn stat(&self, path: &Path) -> io::Result<Metadata> {
        Metadata::of(self.find(path)?)
    }

    /// What `path` leads to, and its path without links.
    pub fn resolve(&self, path: &Path) -> io::Result<(PathBuf, Metadata)> {
        let handle = self.find(path)?;
        Ok((self.path_of(&handle)?, Metadata::of(&handle)?))
    }

    /// The path without links of what `path` leads to, as [`Root::path_of`] has it.
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        self.path_of(&self.find(path)?)
    }

    /// The path without links of what is open, as seen from this root. To be shown, not to be opened: it may change.
    pub fn path_of(&self, opened: &impl AsFd) -> io::Result<PathBuf> {
        let path = path_of(opened)?;
        let below = path.strip_prefix(self.own_path()?);
        Ok(Path::new("/").join(below.map_err(io::Error::other)?))
    }

    fn own_path(&self) -> io::Result<&Path> {
        if let Some(path) = self.path.get() {
            return Ok(path);
        }
        let path = path_of(&self.fd)?;
        Ok(self.path.get_or_init(|| path))
    }

    /// Opens the directory `path`.
    pub fn directory(&self, path: &Path) -> io::Result<Directory> {
        let fd = lookup::open_directory(&self.fd, below_root(path))?;
        Ok(Directory::new(fd, self.gate.clone()))
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
        directory.make_directory(name)?;
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
    pub fn open_file(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let handle = self.find(path)?;
        let metadata = Metadata::of(&handle)?;
        require_kind(Kind::File, metadata.kind)?;
        // Where nobody changes it meanwhile, a second lookup is faster than the way through /proc.
        if self.gate.as_ref().is_some_and(|gate| gate.is_creating())
            && let Ok(file) = lookup::open_on_root(&self.fd, below_root(path))
        {
            return Ok((file.into(), metadata));
        }
        Ok((reopen(&handle)?, metadata))
    }

    /// Reads the regular file that `path` leads to, refusing more than `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (file, metadata) = self.open_file(path)?;
        read_bounded(file, metadata.size, limit)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for ContainerRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Whether it is what a read-only, full or broken file system, missing privileges or a limit answer: a container must start all the
/// same.
#[must_use]
pub fn is_obstacle(err: &io::Error) -> bool {
    const OBSTACLES: [Errno; 18] = [
        Errno::EPERM,
        Errno::EACCES,
        Errno::EROFS,
        Errno::ENOSPC,
        Errno::EDQUOT,
        Errno::EIO,
        Errno::EAGAIN,
        Errno::EBUSY, // something is mounted over it
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::EOVERFLOW, // its owner cannot be expressed in an idmapped mount
        Errno::ESTALE,
        Errno::ENOTCONN, // the server of the file system is gone
        Errno::ETIMEDOUT,
        Errno::EHOSTDOWN,
        Errno::EUCLEAN, // the file system is damaged
        Errno::ENOKEY,  // and this one encrypted
    ];
    is_read_only(err)
        || OBSTACLES
            .iter()
            .any(|&errno| err.raw_os_error() == Some(errno as i32))
}

/// Whether nothing can be changed there: the file system is read-only, or the mount is not the container's own.
#[must_use]
pub fn is_read_only(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// Whether it is what the lookup of something answers that is not there.
#[must_use]
pub fn is_not_there(err: &io::Error) -> bool {
    const NOT_THERE: [Errno; 4] = [
        Errno::ENOENT,
        Errno::ENOTDIR,
        Errno::ELOOP,
        Errno::ENAMETOOLONG,
    ];
    NOT_THERE
        .iter()
        .any(|&errno| err.raw_os_error() == Some(errno as i32))
}

/// Whether a mount begins at the directory of the host.
pub(crate) fn is_root_of_mount(directory: &Path) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mount = |path: &Path| {
        let directory = openat(AT_FDCWD, path, flags, Mode::empty())?;
        MountId::of(directory)
    };
    let mounts = mount(directory).ok().zip(mount(&directory.join("..")).ok());
    mounts.is_some_and(|(here, above)| here != above)
}

/// Opens what a handle refers to, if it is a regular file.
fn open_file(handle: &OwnedFd) -> io::Result<(File, Metadata)> {
    let metadata = Metadata::of(handle)?;
    require_kind(Kind::File, metadata.kind)?;
    Ok((reopen(handle)?, metadata))
}

/// Opens for reading what a handle refers to.
fn reopen(handle: &OwnedFd) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(AT_FDCWD, fd_path(handle).as_str(), flags, Mode::empty());
    Ok(file.map_err(explain_without_proc)?.into())
}

/// The path under which the kernel opens what a handle refers to, wherever it has been moved to. Threads may have tables of open
/// files of their own.
fn fd_path(handle: &impl AsFd) -> String {
    format!("/proc/thread-self/fd/{}", handle.as_fd().as_raw_fd())
}

/// Where in its mount namespace the kernel sees what a handle refers to.
fn path_of(handle: &impl AsFd) -> io::Result<PathBuf> {
    Ok(readlinkat(AT_FDCWD, fd_path(handle).as_str())?.into())
}

/// What is held open is there: only /proc can be missing.
fn explain_without_proc(errno: Errno) -> io::Error {
    match errno {
        Errno::ENOENT => io::Error::other("/proc is not mounted here"),
        errno => errno.into(),
    }
}

/// The path as it is looked up from the root's descriptor: never from `/`.
fn below_root(path: &Path) -> &Path {
    match path.strip_prefix("/").unwrap_or(path) {
        root if root.as_os_str().is_empty() => Path::new("."),
        path => path,
    }
}

fn require_kind(expected: Kind, found: Kind) -> io::Result<()> {
    match (expected, found) {
        _ if expected == found => Ok(()),
        (Kind::Directory, _) => Err(Errno::ENOTDIR.into()),
        (_, Kind::Directory) => Err(Errno::EISDIR.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

/// Reads a file of about this size.
fn read_bounded(file: File, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(size.min(limit)).unwrap_or(0);
    let mut source = Noted(file).take(limit.saturating_add(1));
    let mut bytes = vec![0; room.saturating_add(1)];
    let read = source.read(&mut bytes)?;
    bytes.truncate(read);
    // There was room for more. What ends where its size says needs no second read that finds the end.
    if u64::try_from(read) != Ok(size) {
        source.read_to_end(&mut bytes)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_is_a_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let root = Root::open(folder.path()).unwrap();
        let kind = |path: &str| root.open_root(Path::new(path)).err().map(|err| err.kind());
        assert_eq!(kind("/"), None);
        assert_eq!(kind("/file"), Some(io::ErrorKind::NotADirectory));
        assert_eq!(kind("/missing"), Some(io::ErrorKind::NotFound));
        let file = Root::open(&folder.path().join("file")).err();
        assert_eq!(file.unwrap().kind(), io::ErrorKind::NotADirectory);
    }
}
