//! The metadata of a file: from stat(2) and a directory's listing.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, major, minor, stat};
use rustc_hash::FxHasher;

/// The metadata of a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// The type.
    pub kind: Kind,
    /// The mode bits 07777. nix's type: std has only one that includes the file type.
    pub mode: Mode,
    /// The owner.
    pub owner: u32,
    /// The group.
    pub group: u32,
    /// The size in bytes.
    pub size: u64,
    /// The identity.
    pub id: FileId,
    /// The major and the minor number of a character device.
    pub device_number: Option<(u64, u64)>,
    /// The arguments of mknod(1): `b`, `c` or `p`, and the major and the minor number. `None` for other types.
    pub node: Option<(&'static str, u64, u64)>,
    /// The time of the last change of its content, in seconds and nanoseconds.
    pub modified: (i64, i64),
    /// The time of the last change of its content or metadata.
    changed: (i64, i64),
}

/// Device and inode, which identify a file under any name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    device: u64,
    /// The inode number, which stays the same when its file system is remounted.
    pub inode: u64,
}

/// A version of a file, which changes with its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileVersion {
    /// The file.
    pub id: FileId,
    /// A hash of its size and times: thousands of versions are in memory at a time.
    state: u64,
}

/// The type of a file.
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

/// A name in a directory, and its type.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, without a slash.
    pub name: OsString,
    /// The type of the file.
    pub kind: Kind,
}

impl Metadata {
    /// Reads the metadata of an open file. Fails as fstat(2) does.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from_stat(&fstat(file)?))
    }

    /// Reads the metadata of `name` in a directory; a link is not followed. Fails as fstatat(2) does.
    pub(super) fn of_name(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Self::from_stat(&stat))
    }

    /// Returns the version of the file.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        let mut state = FxHasher::default();
        (self.size, self.modified, self.changed).hash(&mut state);
        FileVersion {
            id: self.id,
            state: state.finish(),
        }
    }

    fn from_stat(stat: &FileStat) -> Self {
        let kind = Kind::of_mode(stat.st_mode);
        let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
        Self {
            kind,
            mode: Mode::from_bits_truncate(stat.st_mode),
            owner: stat.st_uid,
            group: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            id: FileId {
                device: stat.st_dev,
                inode: stat.st_ino,
            },
            device_number: (kind == Kind::CharacterDevice).then_some((major, minor)),
            node: node_type(stat.st_mode).map(|letter| (letter, major, minor)),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl FileId {
    /// Returns the identity of the file that a path on the host leads to. Fails as stat(2) does.
    pub fn of_host(path: &Path) -> io::Result<Self> {
        Ok(Metadata::from_stat(&stat(path)?).id)
    }
}

/// A persistent hash: without the device, whose number may change with each mount of a file system.
impl Hash for FileVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id.inode, self.state).hash(state);
    }
}

/// Returns the letter of mknod(1) for a device or a FIFO.
fn node_type(mode: u32) -> Option<&'static str> {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFBLK => Some("b"),
        SFlag::S_IFCHR => Some("c"),
        SFlag::S_IFIFO => Some("p"),
        _ => None,
    }
}

impl Kind {
    fn of_mode(mode: u32) -> Self {
        match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFCHR => Self::CharacterDevice,
            _ => Self::Other,
        }
    }
}
