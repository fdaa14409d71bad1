//! Problems of a cache from the perspective of its root's loaders.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::display::Flags;
use super::format::{CacheEntry, HWCAP_EXTENSION, Hwcap, LdCache};
use super::order::compare_keys;
use super::profile::Profile;
use crate::elf::Endian;
use crate::rootfs::{Kind, Root};

/// Returns a sentence for each problem: entries that the root's loaders cannot find or use, and contents that no ldconfig writes.
/// `behind` are the bytes after the cache in its file.
#[must_use]
pub fn problems(root: &Root, profile: &Profile, cache: &LdCache<'_>, behind: &[u8]) -> Vec<String> {
    let check = Check {
        root,
        profile,
        cache,
    };
    let entries = &cache.entries;
    let mut problems = Vec::new();
    problems.extend(check.byte_order());
    problems.extend(check.order());
    problems.extend(duplicates(entries));
    problems.extend(entries.iter().filter_map(|entry| check.flags(entry)));
    problems.extend(entries.iter().filter_map(|entry| check.hwcap(entry)));
    problems.extend(entries.iter().filter_map(|entry| check.path(entry)));
    if !behind.is_empty() {
        problems.push(format!(
            "{} bytes stand behind the end of the cache: no loader reads them",
            behind.len()
        ));
    }
    problems
}

struct Check<'c> {
    root: &'c Root,
    profile: &'c Profile,
    cache: &'c LdCache<'c>,
}

impl Check<'_> {
    fn byte_order(&self) -> Option<String> {
        let name = |endian| match endian {
            Endian::Little => "little",
            Endian::Big => "big",
        };
        (self.cache.endian != self.profile.endian).then(|| {
            format!(
                "the cache is {}-endian, the root's C library {}-endian: its loader ignores the whole file",
                name(self.cache.endian),
                name(self.profile.endian)
            )
        })
    }

    fn order(&self) -> impl Iterator<Item = String> {
        let char_is_signed = self.profile.arch.char_is_signed();
        let neighbours = self
            .cache
            .entries
            .iter()
            .zip(self.cache.entries.iter().skip(1));
        neighbours
            .filter(move |(a, b)| compare_keys(a, b, char_is_signed) == Ordering::Greater)
            .map(|(a, b)| format!("{a}\n  has to stand behind {b}: the loader searches by halves and may miss either"))
    }

    fn flags(&self, entry: &CacheEntry<'_>) -> Option<String> {
        let loaded = self.profile.arch.loaded_flags();
        (!loaded.contains(&entry.flags)).then(|| {
            let known: Vec<_> = loaded
                .iter()
                .map(|&flags| Flags(flags).to_string())
                .collect();
            format!(
                "{entry}\n  has flags that the root's loaders pass over ({:#x}); they take: {}",
                entry.flags,
                known.join("; ")
            )
        })
    }

    fn hwcap(&self, entry: &CacheEntry<'_>) -> Option<String> {
        let reason = match entry.hwcap {
            Hwcap::Bits(bits) if bits & HWCAP_EXTENSION != 0 => {
                "is for a glibc-hwcaps directory whose name is missing: the loader passes it over"
            }
            Hwcap::Bits(bits) if bits != 0 && !self.profile.rules.legacy => {
                "is from an old hwcap directory: loaders since glibc 2.37 pass it over"
            }
            _ => return None,
        };
        Some(format!("{entry}\n  {reason}"))
    }

    fn path(&self, entry: &CacheEntry<'_>) -> Option<String> {
        let found = self.root.stat(Path::new(OsStr::from_bytes(entry.path)));
        let reason = match found.map(|there| there.kind) {
            Ok(Kind::File) => return None,
            Ok(_) => "no regular file".to_owned(),
            Err(err) => err.to_string(),
        };
        Some(format!(
            "{entry}\n  leads to nothing that can be loaded: {reason}"
        ))
    }
}

fn duplicates(entries: &[CacheEntry<'_>]) -> impl Iterator<Item = String> {
    let mut seen = HashSet::new();
    entries
        .iter()
        .filter(move |entry| !seen.insert(**entry))
        .map(|entry| format!("{entry}\n  is there twice"))
}
