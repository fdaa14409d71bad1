//! Keeps entries of the previous cache for places that cannot be read: a broken disk must not cost a container libraries that its
//! loader found before.
//!
//! The previous cache is the image's. Its entries can only name files of this root, as new entries do.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::arch::Arch;
use super::budget::Budget;
use super::driver_names;
use super::files::{MAX_LIBRARIES, MAX_STRINGS};
use super::format::{CacheEntry, Hwcap, LdCache};
use super::legacy_hwcaps;
use super::precedence::Owner;
use super::profile::{Format, Profile};
use super::search_path::{HWCAPS, SearchPath};
use super::search_result::{Library, SearchResult};
use super::{MAX_SEARCHED, PATH, check_soname, is_failure, read_or_warn};
use crate::rootfs::{Kind, Root};

/// The number of levels above a hwcap directory to search for its place.
const MAX_ABOVE: usize = 4;

/// Adds those libraries of the previous cache whose places were not read, unless they are known not to exist.
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
            log::warn!("{PATH}: not all of its entries are kept, there are too many");
            break;
        }
        log::debug!("{}: kept from {PATH}", path_of(entry).display());
        taken.push(library_of(entry, place));
        places.known.extend(name_of(entry));
    }
    find_owners(root, search_path, &mut taken);
    found.libraries.extend(taken);
    // Of several libraries with one name, the one in the first place takes precedence.
    found.libraries.sort_by_key(|library| library.place);
}

/// The places of libraries that may have been missed.
struct Places<'a> {
    searched: &'a HashSet<PathBuf>,
    /// Directories that were not read completely, and their numbers in the search path.
    unread: HashMap<&'a Path, u32>,
    /// The number of the first unknown directory.
    unknown: Option<u32>,
    /// Directories and SONAMEs of known libraries.
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

    /// Returns the number of an entry's place, if the entry looks like this program's.
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

/// Whether a library may exist: false if the path leads to nothing or to another type of file.
fn may_be_there(root: &Root, budget: &Budget, path: &Path) -> bool {
    budget.is_spent(path)
        || match root.stat(path) {
            Ok(there) => there.kind == Kind::File,
            Err(err) => is_failure(&err),
        }
}

/// Determines the owners of kept libraries. If the directory cannot be read, the target of a link has the driver's version in its
/// name.
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

/// Returns the owner of the libraries in the library's directory, if it can be opened.
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

/// Returns the directory of an entry, and its SONAME.
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
