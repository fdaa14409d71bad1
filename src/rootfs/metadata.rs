//! What stat(2) and a directory's listing say of a file.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, major, minor, stat};
use rustc_hash::FxHasher;

/// What the kernel says of a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// The mode bits 07777. nix's type: std has only one with the file's kind in it.
    pub mode: Mode,
    /// The user whose file it is.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Which file it is.
    pub id: FileId,
    /// The major and the minor number of a character device.
    pub device_number: Option<(u64, u64)>,
    /// What mknod(1) makes it with: `b`, `c` or `p`, and the major and the minor number. None for what is another kind of file.
    pub node: Option<(&'static str, u64, u64)>,
    /// When its content changed, in seconds and nanoseconds.
    pub modified: (i64, i64),
    /// When its content or anything else of it changed.
    changed: (i64, i64),
}

/// Device and inode: what makes two names the same file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    device: u64,
    /// The inode's number, which the file keeps when its file system is mounted anew.
    pub inode: u64,
}

/// A file at one time: what changes when its content does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileVersion {
    /// Which file.
    pub id: FileId,
    /// A hash of its size and times: thousands of versions are held at a time.
    state: u64,
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
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, without a slash.
    pub name: OsString,
    /// What stands under the name.
    pub kind: Kind,
}

impl Metadata {
    /// Asks for what is open.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from_stat(&fstat(file)?))
    }

    /// Asks for what `name` is in a directory; a link is not followed.
    pub(super) fn of_name(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Self::from_stat(&stat))
    }

    /// The file as it is now.
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
    /// The identity of what a path of the host leads to.
    pub fn of_host(path: &Path) -> io::Result<Self> {
        Ok(Metadata::from_stat(&stat(path)?).id)
    }
}

/// A hash to keep: without the device, whose number may be another one each time a file system is mounted.
impl Hash for FileVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id.inode, self.state).hash(state);
    }
}

/// The letter that mknod(1) has for a device or a FIFO.
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
