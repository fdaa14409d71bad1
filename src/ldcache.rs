//! `ld.so.cache`: reading it, and writing it as the root's own ldconfig would.
//!
//! [`format`] is the file's format and does no input or output. The other parts follow the way of the data: what the root's C
//! library writes ([`profile`]), which directories are searched, what is found in them, in which order it is written.

pub mod arch;
mod conf;
pub mod format;
mod legacy_hwcaps;
pub mod order;
pub mod profile;
mod scan;
mod search_path;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::stat::Mode;

use crate::rootfs::ContainerRoot;
use format::{CacheEntry, Hwcap, LdCache};
use profile::Profile;
use scan::Library;

pub use search_path::SearchPath;

/// The directory of the cache file.
const ETC: &str = "/etc";
/// Largest cache that is read; one with ten thousand libraries has 1 MiB.
const MAX_CACHE: u64 = 16 << 20;
/// Longest SONAME: a name in a directory.
const MAX_SONAME: usize = 255;
/// The cache file's name.
const CACHE: &str = "ld.so.cache";
const CACHE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// A root whose libraries are looked after as its own ldconfig would.
pub struct Ldconfig<'r> {
    root: &'r ContainerRoot,
    profile: Profile,
}

impl<'r> Ldconfig<'r> {
    /// Finds out what the root's ldconfig does.
    #[must_use]
    pub fn new(root: &'r ContainerRoot) -> Self {
        Self {
            root,
            profile: Profile::of(root),
        }
    }

    /// The directories that are searched: `first`, as if named on the command line, then those of ld.so.conf, then the built-in
    /// ones.
    #[must_use]
    pub fn search_path<'f>(&self, first: impl IntoIterator<Item = &'f Path>) -> SearchPath<'r> {
        SearchPath::new(self.root, &self.profile, first)
    }

    /// Makes the SONAME links in the directories and writes the cache. Returns whether it was not right already.
    pub fn update(&self, mut search_path: SearchPath<'_>) -> Result<bool> {
        let libraries = scan::libraries(self.root, &self.profile, &mut search_path);
        let hwcap_names = search_path.into_hwcap_names();
        let mut entries: Vec<_> = libraries.iter().map(Library::as_entry).collect();
        order::sort(&mut entries, self.profile.arch.char_is_signed());
        let cache = LdCache {
            format: self.profile.rules.format,
            endian: self.profile.endian,
            endian_flag: self.profile.rules.endian_flag,
            entries,
            generator: &self.profile.generator,
            hwcap_names: hwcap_names.iter().map(|name| name.as_bytes()).collect(),
        };
        let bytes = cache.write().context("cannot write ld.so.cache")?;
        self.root
            .create_directory(Path::new(ETC))
            .and_then(|etc| etc.write(OsStr::new(CACHE), &bytes, CACHE_MODE))
            .with_context(|| format!("cannot write {ETC}/{CACHE}"))
    }
}

/// The paths of the libraries that the root's cache names; empty where it has none that can be read.
#[must_use]
pub fn cached_paths(root: &ContainerRoot) -> Vec<PathBuf> {
    let Ok(bytes) = root.read(&Path::new(ETC).join(CACHE), MAX_CACHE) else {
        return Vec::new();
    };
    LdCache::parse(&bytes).map_or_else(
        |_| Vec::new(),
        |cache| {
            let path = |entry: &CacheEntry<'_>| OsStr::from_bytes(entry.path).into();
            cache.entries.iter().map(path).collect()
        },
    )
}

/// A SONAME becomes the name of a link and is printed: it must be a plain file name. The error ends a sentence
/// that begins with "its SONAME".
pub fn check_soname(soname: &[u8]) -> Result<(), &'static str> {
    match soname {
        b"" => Err("is empty"),
        b"." | b".." => Err("is a directory"),
        name if name.len() > MAX_SONAME => Err("is longer than 255 bytes"),
        name if name.contains(&b'/') => Err("has a slash in it"),
        name if name.iter().any(u8::is_ascii_control) => Err("has a control character in it"),
        _ => Ok(()),
    }
}

impl Library {
    fn as_entry(&self) -> CacheEntry<'_> {
        CacheEntry {
            soname: self.soname.as_bytes(),
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
