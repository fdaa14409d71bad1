//! The precedence of the driver's libraries over others of the same name.
//!
//! ldconfig keeps the order of the directories. If the driver is mounted into a directory of the image, and ld.so.conf names
//! another one with an older libcuda before it, a loader would use the older libcuda, which the host's kernel module rejects.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use super::driver_names;
use super::format::CacheEntry;
use super::order::compare_keys;
use crate::rootfs::FileId;

/// The owner of a library, in order of precedence among those with one name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Owner {
    /// The image, in a directory that was chosen to precede the driver's.
    Preferred,
    /// The driver; for a directory: it may contain the driver's libraries.
    Driver,
    /// The image.
    Image,
}

/// The directories that do not belong to the image alone.
#[derive(Clone, Default)]
pub(super) struct Owners {
    preferred: Vec<FileId>,
    drivers: Vec<(FileId, PathBuf)>,
    /// The versions of the drivers in these directories, once determined.
    versions: Vec<OsString>,
}

impl Owners {
    pub(super) fn new(preferred: Vec<FileId>, mut drivers: Vec<(FileId, PathBuf)>) -> Self {
        drivers.sort_unstable_by_key(|(id, _)| id.inode);
        drivers.dedup_by_key(|(id, _)| *id);
        Self {
            preferred,
            drivers,
            versions: Vec::new(),
        }
    }

    /// Returns the directories that may contain libraries of a driver.
    pub(super) fn drivers(&self) -> &[(FileId, PathBuf)] {
        &self.drivers
    }

    pub(super) fn add_versions(&mut self, versions: impl IntoIterator<Item = OsString>) {
        self.versions.extend(versions);
    }

    /// Returns the owner of the libraries in a directory.
    pub(super) fn of(&self, directory: FileId) -> Owner {
        if self.preferred.contains(&directory) {
            Owner::Preferred
        } else if self.drivers.iter().any(|(id, _)| *id == directory) {
            Owner::Driver
        } else {
            Owner::Image
        }
    }

    /// Whether a driver's directory contains libraries of one.
    pub(super) fn have_versions(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Whether a file of this name in a driver's directory belongs to the driver.
    pub(super) fn is_drivers(&self, file: &OsStr) -> bool {
        let version = driver_names::version_of(file);
        version.is_some_and(|version| self.versions.iter().any(|it| it == version))
    }

    /// Whether there are directories of the driver.
    pub(super) fn have_driver(&self) -> bool {
        !self.drivers.is_empty()
    }
}

/// A persistent hash: without devices, as that of [`crate::rootfs::FileVersion`], and without the versions from file names.
impl Hash for Owners {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let inodes = |ids: &mut dyn Iterator<Item = FileId>| ids.map(|id| id.inode).collect();
        let inodes: [Vec<u64>; 2] = [
            inodes(&mut self.preferred.iter().copied()),
            inodes(&mut self.drivers.iter().map(|(id, _)| *id)),
        ];
        inodes.hash(state);
    }
}

/// Moves the driver's entries before others that the loader compares with them, whatever their processors are, and preferred
/// entries before the driver's. The entries are in the cache's order; names without an entry of the driver keep it.
pub(super) fn move_drivers(
    entries: &mut [CacheEntry<'_>],
    char_is_signed: bool,
    owner: impl Fn(&CacheEntry<'_>) -> Owner,
) {
    let alike = entries.chunk_by_mut(|a, b| compare_keys(a, b, char_is_signed).is_eq());
    for entries in alike.filter(|entries| entries.len() > 1) {
        if entries.iter().any(|entry| owner(entry) == Owner::Driver) {
            entries.sort_by_key(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldcache::format::Hwcap;

    fn entry(
        soname: &'static str,
        path: &'static str,
        hwcap: Hwcap<'static>,
    ) -> CacheEntry<'static> {
        CacheEntry {
            soname: soname.as_bytes(),
            path: path.as_bytes(),
            flags: 0x303,
            os_version: 0,
            hwcap,
        }
    }

    #[test]
    fn only_names_that_the_driver_has_change_their_order() {
        let plain = Hwcap::Bits(0);
        let level = Hwcap::Directory {
            name: b"x86-64-v3",
            isa_level: 2,
        };
        let other_flags = CacheEntry {
            flags: 3,
            ..entry("libcuda.so.1", "/image/32", plain)
        };
        let mut entries = vec![
            entry("libz.so.1", "/image/z", plain),
            entry("libz.so.1", "/compat/z", plain),
            entry("libcuda.so.1", "/image/v3", level),
            entry("libcuda.so.01", "/image/01", plain),
            entry("libcuda.so.1", "/compat", plain),
            entry("libcuda.so.1", "/driver/1", plain),
            entry("libcuda.so.1", "/driver/2", plain),
            other_flags,
        ];
        move_drivers(&mut entries, true, |entry| {
            if entry.path.starts_with(b"/driver/") {
                Owner::Driver
            } else if entry.path.starts_with(b"/compat") {
                Owner::Preferred
            } else {
                Owner::Image
            }
        });
        let paths: Vec<_> = entries.iter().map(|entry| entry.path).collect();
        let expected = [
            "/image/z",
            "/compat/z",
            "/compat",
            "/driver/1",
            "/driver/2",
            "/image/v3",
            "/image/01",
            "/image/32",
        ];
        assert_eq!(paths, expected.map(str::as_bytes));
    }
}
