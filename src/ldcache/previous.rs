//! What the cache before had of places that cannot be read now: a broken disk must not cost a container libraries that its loader
//! found until then.
//!
//! The cache is the image's. What is taken from it names files of this root, as what is written here does, and nothing more.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::arch::Arch;
use super::budget::Budget;
use super::driver_names;
use super::files::MAX_STRINGS;
use super::format::{CacheEntry, Hwcap, LdCache};
use super::legacy_hwcaps;
use super::listing::MAX_LIBRARIES;
use super::precedence::Owner;
use super::profile::{Format, Profile};
use super::search_path::{HWCAPS, SearchPath};
use super::search_result::{Library, SearchResult};
use super::{MAX_SEARCHED, PATH, check_soname, is_failure, read_or_warn};
use crate::rootfs::{Kind, Root};

/// How far above its directory the place is looked for in which a library for certain processors lies.
const MAX_ABOVE: usize = 4;

/// Adds the libraries of the root's cache that lie in the places which were not read, unless nothing is there any more.
pub(super) fn take_over(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    found: &mut SearchResult,
) {
    if found.unread.is_empty() {
        return;
    }
    let bytes = read_or_warn(root, MAX_SEARCHED);
    let Ok(cache) = LdCache::parse(&bytes) else {
        return;
    };
    if cache.endian != profile.endian {
        return;
    }
    let budget = search_path.budget();
    let mut places = Places::of(found);
    let mut taken = Vec::new();
    let mut strings = found.string_bytes;
    for entry in &cache.entries {
        let Some(place) = places.of_entry(profile, entry) else {
            continue;
        };
        if !may_be_there(root, &budget, path_of(entry)) {
            continue;
        }
        strings += entry.path.len() + entry.soname.len();
        if found.libraries.len() + taken.len() >= MAX_LIBRARIES || strings > MAX_STRINGS {
            log::warn!("{PATH}: not all that it has is taken over, there is too much");
            break;
        }
        log::debug!("{}: taken over from {PATH}", path_of(entry).display());
        taken.push(library_of(entry, place));
        places.known.extend(name_of(entry));
    }
    find_owners(root, search_path, &mut taken);
    found.libraries.extend(taken);
    // Of several libraries with one name, that of the first place counts.
    found.libraries.sort_by_key(|library| library.place);
}

/// Where libraries may be that were not found.
struct Places<'a> {
    searched: &'a HashSet<PathBuf>,
    /// Directories that were not read as a whole, and their numbers in the search path.
    unread: HashMap<&'a Path, u32>,
    /// The number of the first of those that nobody knows.
    unknown: Option<u32>,
    /// Directories and SONAMEs of libraries that are there.
    known: HashSet<(&'a Path, &'a [u8])>,
}

impl<'a> Places<'a> {
    fn of(found: &'a SearchResult) -> Self {
        let mut unread = HashMap::new();
        let mut unknown = None;
        for (number, path) in found.unread.iter().rev() {
            match path {
                Some(path) => drop(unread.insert(path.as_path(), *number)),
                None => unknown = Some(*number),
            }
        }
        let known = found.libraries.iter().filter_map(|library| {
            let directory = library.path.parent()?;
            (unread.contains_key(directory)).then_some((directory, library.soname().as_bytes()))
        });
        Self {
            searched: &found.searched,
            known: known.collect(),
            unread,
            unknown,
        }
    }

    /// The number of the place in which the library of an entry lies that is like those which are written here.
    fn of_entry(&self, profile: &Profile, entry: &CacheEntry<'a>) -> Option<u32> {
        let name = name_of(entry)?;
        let (directory, soname) = name;
        let is_like_ours = directory.is_absolute()
            && check_soname(soname).is_ok()
            && profile.arch.loaded_flags().contains(&entry.flags)
            && (entry.os_version == 0 || profile.rules.os_version)
            && is_hwcap_of(profile, directory, entry.hwcap);
        if !is_like_ours || self.searched.contains(directory) || self.known.contains(&name) {
            return None;
        }
        let levels = match entry.hwcap {
            Hwcap::Bits(0) => 1,
            _ => MAX_ABOVE,
        };
        let mut above = directory.ancestors().take(levels);
        above
            .find_map(|directory| self.unread.get(directory).copied())
            .or(self.unknown)
    }
}

/// Whether libraries in the directory are for these processors.
fn is_hwcap_of(profile: &Profile, directory: &Path, hwcap: Hwcap<'_>) -> bool {
    let rules = &profile.rules;
    match hwcap {
        Hwcap::Directory { name, isa_level } => {
            let has_levels = rules.isa_level && profile.arch == Arch::X86;
            rules.format == Format::Extended
                && directory.ends_with(Path::new(HWCAPS).join(OsStr::from_bytes(name)))
                && (isa_level == 0 || has_levels)
        }
        Hwcap::Bits(0) => true,
        Hwcap::Bits(bits) => {
            let path = directory.as_os_str().as_bytes();
            rules.legacy && legacy_hwcaps::of_path(profile.arch, profile.class, path) == bits
        }
    }
}

/// Whether a library may be there: not, if the path leads to nothing or to something else.
fn may_be_there(root: &Root, budget: &Budget, path: &Path) -> bool {
    budget.is_spent(path)
        || match root.stat(path) {
            Ok(there) => there.kind == Kind::File,
            Err(err) => is_failure(&err),
        }
}

/// Notes whose the libraries are that were taken over. What their links lead to has the driver's version in its name, where the
/// directory cannot be read.
fn find_owners(root: &Root, search_path: &mut SearchPath<'_>, taken: &mut [Library]) {
    if !search_path.owners().have_driver() {
        return;
    }
    let budget = search_path.budget();
    let mut files = Vec::new();
    for library in taken.iter_mut().filter(|it| !budget.is_spent(&it.path)) {
        library.owner = owner_of_directory(root, search_path, library).unwrap_or(Owner::Image);
        if library.owner == Owner::Driver {
            let file = root.real_path(&library.path).unwrap_or_default();
            files.push((library, file.file_name().unwrap_or_default().to_owned()));
        }
    }
    let names = files.iter().map(|(_, name)| name.as_os_str());
    search_path.add_driver_versions(driver_names::driver_version(names).map(OsStr::to_owned));
    for (library, name) in files {
        if !search_path.owners().is_drivers(&name) {
            library.owner = Owner::Image;
        }
    }
}

/// Whose libraries are in the library's directory, if it can be opened.
fn owner_of_directory(
    root: &Root,
    search_path: &SearchPath<'_>,
    library: &Library,
) -> Option<Owner> {
    let above = if library.hwcap_directory.is_some() {
        3
    } else {
        1
    };
    let directory = root.directory(library.path.ancestors().nth(above)?).ok()?;
    Some(search_path.owners().of(directory.id().ok()?))
}

fn path_of<'a>(entry: &CacheEntry<'a>) -> &'a Path {
    Path::new(OsStr::from_bytes(entry.path))
}

/// The directory of an entry, and its SONAME.
fn name_of<'a>(entry: &CacheEntry<'a>) -> Option<(&'a Path, &'a [u8])> {
    Some((path_of(entry).parent()?, entry.soname))
}

fn library_of(entry: &CacheEntry<'_>, place: u32) -> Library {
    let path = path_of(entry);
    let soname = OsStr::from_bytes(entry.soname);
    let (hwcap_directory, isa_level, hwcap_bits) = match entry.hwcap {
        Hwcap::Directory { name, isa_level } => (Some(OsStr::from_bytes(name)), isa_level, 0),
        Hwcap::Bits(bits) => (None, 0, bits),
    };
    Library {
        path: path.to_owned(),
        other_soname: (path.file_name() != Some(soname)).then(|| soname.to_owned()),
        flags: entry.flags,
        os_version: entry.os_version,
        isa_level,
        place,
        hwcap_directory: hwcap_directory.map(OsStr::to_owned),
        hwcap_bits,
        owner: Owner::Image,
    }
}
