//! What stat(2) and a directory's listing tell of a file.

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use nix::sys::stat::{FileStat, SFlag};

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
    /// The identity of what a path of the host leads to.
    pub fn of_host(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&nix::sys::stat::stat(path)?))
    }

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
