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
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;

use crate::rootfs::ContainerRoot;
use format::{CacheEntry, Hwcap, LdCache};
use profile::Profile;
use scan::Library;
use search_path::SearchPath;

/// The directory of the cache file.
const ETC: &str = "/etc";
/// The cache file's name.
const CACHE: &str = "ld.so.cache";
const CACHE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// Makes the SONAME links and the cache of the root, as its own ldconfig would. `folders` are searched before the configured
/// directories, as if they were named on ldconfig's command line. Returns whether the cache was not right already.
pub fn update(root: &ContainerRoot, folders: &[&Path]) -> Result<bool> {
    let profile = Profile::of(root);
    let mut search_path = SearchPath::new(root, &profile, folders.iter().copied());
    let libraries = scan::libraries(root, &profile, &mut search_path);
    let hwcap_names = search_path.into_hwcap_names();
    let mut entries: Vec<_> = libraries.iter().map(Library::as_entry).collect();
    order::sort(&mut entries, profile.arch.char_is_signed());
    let cache = LdCache {
        format: profile.rules.format,
        endian: profile.endian,
        endian_flag: profile.rules.endian_flag,
        entries,
        generator: &profile.generator,
        hwcap_names: hwcap_names.iter().map(|name| name.as_bytes()).collect(),
    };
    let bytes = cache.write().context("cannot write ld.so.cache")?;
    root.create_directory(Path::new(ETC))
        .and_then(|etc| etc.write(OsStr::new(CACHE), &bytes, CACHE_MODE))
        .with_context(|| format!("cannot write {ETC}/{CACHE}"))
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
