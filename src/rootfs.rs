//! Files below a root: the only access to files that an image's author wrote.
//!
//! Every path is resolved below the root's descriptor, as openat2(2) does with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`:
//! absolute links and `..` stay inside. All further calls use a [`Directory`] and a single name in it, and do not follow links.
//! No path of the root is passed to the kernel as a string from `/`.
//!
//! A [`Root`] is any tree, including the host's. A [`ContainerRoot`] is a container's: changes below it are made on the
//! container's own mounts only.

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

/// The maximum number of missing directories and dangling links that [`Root::create_directory`] resolves.
const MAX_MISSING: usize = 256;

/// A directory from which nothing outside can be reached.
pub struct Root {
    fd: Arc<OwnedFd>,
    /// The path by which the kernel knows it, once requested.
    path: OnceLock<PathBuf>,
    /// The check before each change, if the root is a container's.
    gate: Option<Arc<Gate>>,
}

/// The root of a container. Changes below it are made on the container's own mounts only: the root's own and those that the
/// runtime created for this container alone. On other mounts a change fails as on a read-only file system.
pub struct ContainerRoot {
    root: Root,
    gate: Arc<Gate>,
    mounter: Option<Mounter>,
}

impl ContainerRoot {
    /// Opens the directory `path` of the host as a container's root, for programs that embed the hooks. This root mounts nothing.
    /// Fails if the directory cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = Root::open(path)?;
        Ok(Self::new(root, Surroundings::default()))
    }

    /// Turns a root into a container's.
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

    /// Reads the regular file that `path` leads to. Fails for more than `limit` bytes, and for a file on a mount that is not the
    /// container's own: its content may be written to a file that everyone can read.
    pub fn read_own(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let handle = self.find(path)?;
        self.gate.permit(&handle)?;
        let (file, metadata) = open_file(&handle)?;
        read_bounded(file, metadata.size, limit)
    }

    /// Sets the mode bits 07777 of the file that `path` leads to; returns whether they changed. Fails for a file that is not on
    /// the container's own mounts.
    pub fn chmod(&self, path: &Path, mode: Mode) -> io::Result<bool> {
        let handle = self.find(path)?;
        if Metadata::of(&handle)?.mode == mode {
            return Ok(false);
        }
        self.gate.permit(&handle)?;
        // The handle is O_PATH, so that no device or FIFO is opened for its mode; fchmod(2) does not accept such a descriptor.
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
    /// Opens the directory `path` of the host, through links as well: the runtime or the administrator named it. Fails as open(2)
    /// does.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(Self {
            fd: Arc::new(fd),
            path: OnceLock::new(),
            gate: None,
        })
    }

    /// Opens the host's root directory. Fails as open(2) does.
    pub fn host() -> io::Result<Self> {
        Self::open(Path::new("/"))
    }

    /// Opens the directory `path` below this root as a root of its own. Fails if there is none.
    pub fn open_root(&self, path: &Path) -> io::Result<Self> {
        let handle = self.find(path)?;
        require_kind(Kind::Directory, Metadata::of(&handle)?.kind)?;
        Ok(Self {
            fd: Arc::new(handle),
            path: OnceLock::new(),
            gate: self.gate.clone(),
        })
    }

    /// Whether there is a mount at `path` or above it in the root.
    pub(crate) fn has_mount_at(&self, path: &Path) -> bool {
        let mount = self.find(path).and_then(MountId::of);
        mount.is_ok_and(|mount| MountId::of(&self.fd).is_ok_and(|root| root != mount))
    }

    fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        lookup::find(&self.fd, below_root(path))
    }

    /// Returns the identity of the root directory itself. Fails as fstat(2) does.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(Metadata::of(&self.fd)?.id)
    }

    /// Returns the metadata of the file that `path` leads to; links are followed inside the root. Fails if it cannot be resolved.
    pub fn stat(&self, path: &Path) -> io::Result<Metadata> {
        Metadata::of(self.find(path)?)
    }

    /// Returns the path without links and the metadata of the file that `path` leads to. Fails if it cannot be resolved.
    pub fn resolve(&self, path: &Path) -> io::Result<(PathBuf, Metadata)> {
        let handle = self.find(path)?;
        Ok((self.path_of(&handle)?, Metadata::of(&handle)?))
    }

    /// Returns the path without links of the file that `path` leads to, as [`Root::path_of`] does. Fails if it cannot be
    /// resolved.
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        self.path_of(&self.find(path)?)
    }

    /// Returns the path without links of an open file, as seen from this root. It is for display, not for opening: it may change.
    /// Fails if /proc is missing or the file is not below the root.
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

    /// Opens the directory `path`. Fails if there is none.
    pub fn directory(&self, path: &Path) -> io::Result<Directory> {
        let fd = lookup::open_directory(&self.fd, below_root(path))?;
        Ok(Directory::new(fd, self.gate.clone()))
    }

    /// Opens the directory `path` and creates missing directories with mode 0755, including the targets of dangling links. Fails
    /// if one cannot be created.
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
                // Another file has been created there meanwhile.
                Err(_) => self.create_missing(path, left),
            },
            result => result,
        }
    }

    /// Opens the regular file that `path` leads to, for reading. Fails for other files, without opening them.
    pub fn open_file(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let handle = self.find(path)?;
        let metadata = Metadata::of(&handle)?;
        require_kind(Kind::File, metadata.kind)?;
        // If nobody else can change it, a second lookup is possible, which is faster than the way through /proc.
        if self.gate.as_ref().is_some_and(|gate| gate.is_creating())
            && let Ok(file) = lookup::open_on_root(&self.fd, below_root(path))
        {
            let metadata = Metadata::of(&file)?;
            require_kind(Kind::File, metadata.kind)?;
            return Ok((file.into(), metadata));
        }
        Ok((reopen(&handle)?, metadata))
    }

    /// Reads the regular file that `path` leads to. Fails for other files, and for more than `limit` bytes.
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

/// Whether the error comes from a read-only, full or broken file system, missing privileges or a limit, despite which a container
/// must start.
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
        Errno::EBUSY, // it is a mount point
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::EOVERFLOW, // its owner cannot be expressed in an idmapped mount
        Errno::ESTALE,
        Errno::ENOTCONN, // the server of the file system does not run
        Errno::ETIMEDOUT,
        Errno::EHOSTDOWN,
        Errno::EUCLEAN, // the file system is damaged
        Errno::ENOKEY,  // the file system is encrypted
    ];
    is_read_only(err)
        || OBSTACLES
            .iter()
            .any(|&errno| err.raw_os_error() == Some(errno as i32))
}

/// Whether the file system is read-only, or the mount is not the container's own.
#[must_use]
pub fn is_read_only(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// Whether the error means that a file does not exist.
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

/// Whether the directory of the host is a mount point.
pub(crate) fn is_root_of_mount(directory: &Path) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mount = |path: &Path| {
        let directory = openat(AT_FDCWD, path, flags, Mode::empty())?;
        MountId::of(directory)
    };
    let mounts = mount(directory).ok().zip(mount(&directory.join("..")).ok());
    mounts.is_some_and(|(here, above)| here != above)
}

/// Opens the file of a handle, if it is a regular one.
fn open_file(handle: &OwnedFd) -> io::Result<(File, Metadata)> {
    let metadata = Metadata::of(handle)?;
    require_kind(Kind::File, metadata.kind)?;
    Ok((reopen(handle)?, metadata))
}

/// Opens the file of a handle for reading.
fn reopen(handle: &OwnedFd) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(AT_FDCWD, fd_path(handle).as_str(), flags, Mode::empty());
    Ok(file.map_err(explain_without_proc)?.into())
}

/// Returns the path by which the kernel opens the file of a handle, wherever it was moved to. It names the thread, since threads
/// may have separate descriptor tables.
fn fd_path(handle: &impl AsFd) -> String {
    format!("/proc/thread-self/fd/{}", handle.as_fd().as_raw_fd())
}

/// Returns the path of a handle's file in its mount namespace.
fn path_of(handle: &impl AsFd) -> io::Result<PathBuf> {
    Ok(readlinkat(AT_FDCWD, fd_path(handle).as_str())?.into())
}

/// Explains ENOENT: an open file exists, so that only /proc can be missing.
fn explain_without_proc(errno: Errno) -> io::Error {
    match errno {
        Errno::ENOENT => io::Error::other("/proc is not mounted here"),
        errno => errno.into(),
    }
}

/// Makes a path relative to the root's descriptor.
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

/// Reads a file of about the given size. Fails for more than `limit` bytes.
fn read_bounded(file: File, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(size.min(limit)).unwrap_or(0);
    let mut source = Noted(file).take(limit.saturating_add(1));
    let mut bytes = vec![0; room.saturating_add(1)];
    let read = source.read(&mut bytes)?;
    bytes.truncate(read);
    // There was room for one more byte: a file of the expected size needs no second read to find its end.
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
