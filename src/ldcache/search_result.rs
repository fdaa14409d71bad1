//! The result of a search.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::candidate::Candidate;
use super::format::{CacheEntry, Hwcap};
use super::precedence::Owner;
use super::search_path::LibraryDirectory;

/// The libraries, and the places that may contain more.
#[derive(Default)]
pub(super) struct SearchResult {
    pub(super) libraries: Vec<Library>,
    /// The number of bytes in their names and paths.
    pub(super) string_bytes: usize,
    /// The directories that were read completely.
    pub(super) searched: HashSet<PathBuf>,
    /// The places that were not: each is a directory, or all directories of an unreadable part of the configuration.
    pub(super) unread: Vec<(u32, Option<PathBuf>)>,
    /// Whether a library was left out, or a link could not be created or removed, for a reason that may be gone at the next run.
    pub(super) is_lacking: bool,
    /// Whether the driver's directories contain its libraries.
    pub(super) has_driver: bool,
}

impl SearchResult {
    /// Whether the next run would have the same result.
    pub(super) fn is_complete(&self) -> bool {
        self.unread.is_empty() && !self.is_lacking
    }
}

/// A library that enters the cache.
pub(super) struct Library {
    pub(super) path: PathBuf,
    /// The SONAME, if it differs from the file name in the path.
    pub(super) other_soname: Option<OsString>,
    pub(super) flags: u32,
    pub(super) os_version: u32,
    pub(super) isa_level: u32,
    /// The number of its place in the search path.
    pub(super) place: u32,
    /// The name of its glibc-hwcaps directory.
    pub(super) hwcap_directory: Option<OsString>,
    /// The sum of the bits of old hwcap directories.
    pub(super) hwcap_bits: u64,
    /// The owner.
    pub(super) owner: Owner,
}

impl Library {
    pub(super) fn new(
        candidate: &Candidate<'_>,
        place: u32,
        directory: &LibraryDirectory,
        hwcap_bits: u64,
    ) -> Self {
        let file_name = if candidate.is_linked {
            candidate.soname
        } else {
            candidate.name
        };
        // In one piece: join makes room for the name by a second allocation.
        let mut path =
            PathBuf::with_capacity(directory.path.as_os_str().len() + 1 + file_name.len());
        path.push(&directory.path);
        path.push(file_name);
        Self {
            path,
            other_soname: (file_name != candidate.soname).then(|| candidate.soname.to_owned()),
            flags: candidate.flags,
            os_version: candidate.parsed.os_version,
            isa_level: candidate.parsed.isa_level,
            place,
            hwcap_directory: directory.hwcap.clone(),
            hwcap_bits,
            owner: candidate.owner,
        }
    }

    /// Returns the SONAME.
    pub(super) fn soname(&self) -> &OsStr {
        let file_name = || self.path.file_name().unwrap_or_default();
        self.other_soname.as_deref().unwrap_or_else(file_name)
    }

    /// Returns the entry of the cache.
    pub(super) fn as_entry(&self) -> CacheEntry<'_> {
        CacheEntry {
            soname: self.soname().as_bytes(),
            path: self.path.as_os_str().as_bytes(),
            flags: self.flags,
            os_version: self.os_version,
            hwcap: match &self.hwcap_directory {
                Some(name) => Hwcap::Directory {
                    name: name.as_bytes(),
                    isa_level: self.isa_level,
                },
                None => Hwcap::Bits(self.hwcap_bits),
            },
        }
    }
}
