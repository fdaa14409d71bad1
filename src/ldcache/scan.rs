//! The search for libraries that enter the cache.

mod soname_links;

use std::cell::Cell;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::alias::aliases;
use super::budget::Budget;
use super::candidate::{Candidate, best_of};
use super::files::{Files, MAX_LIBRARIES, MAX_STRINGS};
use super::legacy_hwcaps;
use super::library::{self, is_library_name, is_package_temporary, is_prelink_temporary};
use super::listing::{Depth, FileReader, Listing, MadeLink, Name};
use super::precedence::Owner;
use super::profile::Profile;
use super::search_path::{LibraryDirectory, Place, SearchPath};
use super::search_result::{Library, SearchResult};
use super::wanted::Wanted;
use crate::elf::Head;
use crate::rootfs::{Entry, FileVersion, Kind, Root, is_not_there};

/// Searches all directories for `wanted` libraries, creates the SONAME links in them, and hashes everything that the result
/// depends on, as it is afterwards, into `inputs`.
pub(super) fn libraries(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    wanted: &Wanted<'_>,
    inputs: &mut impl Hasher,
) -> SearchResult {
    let budget = search_path.budget();
    let mut scan = Scan::new(root, profile, &budget, Depth::Content, wanted);
    let mut found = SearchResult::default();
    let mut number = 0;
    while let Some(place) = search_path.next() {
        let unread = match place {
            Place::Directory(mut directory) => {
                if scan.add_libraries(number, &mut directory, search_path, &mut found, inputs) {
                    found.searched.insert(directory.path);
                    None
                } else {
                    Some(Some(directory.path))
                }
            }
            Place::Unread(path) => Some(path),
        };
        found.unread.extend(unread.map(|path| (number, path)));
        if found.string_bytes > MAX_STRINGS {
            break;
        }
        number += 1;
    }
    if found.has_driver {
        search_path.owners().hash(inputs);
    }
    found
}

/// Hashes into `inputs` as [`libraries`] does, without parsing files and without changes. Returns whether everything could be
/// read.
pub(super) fn identity(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    inputs: &mut impl Hasher,
) -> bool {
    let budget = search_path.budget();
    let mut scan = Scan::new(root, profile, &budget, Depth::Identity, &Wanted::All);
    let mut found_driver = false;
    while let Some(place) = search_path.next() {
        let Place::Directory(mut directory) = place else {
            return false;
        };
        match scan.directory(&mut directory, search_path) {
            Some(listing) if listing.is_complete => {
                hash_directory(&directory, &listing, [].into_iter(), inputs);
                found_driver |= has_driver(&directory, &listing);
            }
            _ => return false,
        }
    }
    if found_driver {
        search_path.owners().hash(inputs);
    }
    true
}

/// Whether a directory that may contain libraries of the driver does.
fn has_driver(directory: &LibraryDirectory, listing: &Listing) -> bool {
    directory.owner == Owner::Driver && listing.driver_version().is_some()
}

fn hash_directory<'c>(
    directory: &LibraryDirectory,
    listing: &Listing,
    made: impl Iterator<Item = MadeLink<'c>>,
    inputs: &mut impl Hasher,
) {
    directory.path.hash(inputs);
    directory.libc_flag.hash(inputs);
    listing.hash_with(made, inputs);
}

struct Scan<'s> {
    root: &'s Root,
    reader: FileReader<'s>,
    wanted: &'s Wanted<'s>,
    /// The number of library names that are left.
    names_left: usize,
    files: Files,
    /// Whether a link could not be created or removed, which another run may do.
    has_failed: Cell<bool>,
}

impl<'s> Scan<'s> {
    fn new(
        root: &'s Root,
        profile: &'s Profile,
        budget: &'s Budget,
        depth: Depth,
        wanted: &'s Wanted<'s>,
    ) -> Self {
        Self {
            root,
            reader: FileReader {
                profile,
                depth,
                budget,
            },
            wanted,
            names_left: MAX_LIBRARIES,
            files: Files::default(),
            has_failed: Cell::new(false),
        }
    }

    /// Searches one directory and creates the SONAME links in it. Returns whether it was read completely.
    fn add_libraries(
        &mut self,
        place: u32,
        directory: &mut LibraryDirectory,
        search_path: &mut SearchPath<'_>,
        found: &mut SearchResult,
        inputs: &mut impl Hasher,
    ) -> bool {
        let Some(listing) = self.directory(directory, search_path) else {
            return false;
        };
        let directory = &*directory;
        let (profile, owners) = (self.reader.profile, search_path.owners());
        let (mut best, are_all) = best_of(profile, directory, owners, &listing, &self.files);
        found.is_lacking |= !are_all;
        let path = directory.path.as_os_str();
        found.string_bytes += best
            .iter()
            .map(|it| path.len() + it.soname.len() + it.name.len())
            .sum::<usize>();
        if found.string_bytes > MAX_STRINGS {
            log::warn!(
                "{}: left out, the names of the libraries take more than {MAX_STRINGS} bytes",
                path.display()
            );
            return false;
        }
        found.has_driver |= has_driver(directory, &listing);
        let names_left = self.make_links(directory, &mut best, &listing);
        let hwcap_bits = self.legacy_hwcap(directory);
        let enter = |it: &Candidate<'_>| Library::new(it, place, directory, hwcap_bits);
        found.libraries.extend(best.iter().map(enter));
        let aliases = aliases(&best, place, directory, &listing);
        found.string_bytes += aliases.len() * path.len();
        found.libraries.extend(aliases);
        // Names that a later run will not consider must not affect the hash.
        let counts = |it: &&Candidate<'_>| {
            it.is_made && self.is_considered(directory, it.soname, Kind::Link)
        };
        let made = best.iter().filter(counts).map(Candidate::as_link);
        hash_directory(directory, &listing, made, inputs);
        self.names_left = names_left;
        found.is_lacking |= self.has_failed.get();
        listing.is_complete
    }

    /// Reads a directory, removes its stale links, and queues its hwcap subdirectories. Returns its names with their files.
    fn directory(
        &mut self,
        directory: &mut LibraryDirectory,
        search_path: &mut SearchPath<'_>,
    ) -> Option<Listing> {
        let mut files = std::mem::take(&mut self.files);
        let is_considered = |directory: &LibraryDirectory, entry: &Entry| {
            self.wanted.has_name(&entry.name)
                && self.is_considered(directory, &entry.name, entry.kind)
        };
        let read = Listing::read(
            self.reader,
            directory,
            self.names_left,
            is_considered,
            &mut files,
        );
        self.files = files;
        let mut listing = read
            .inspect_err(|err| self.reader.warn(&directory.path, "not searched", err))
            .ok()?;
        self.names_left = self.names_left.saturating_sub(listing.names().len());
        let mut stale = Vec::new();
        // In reverse, so that libfoo.so finds the file of libfoo.so.1.
        for index in (0..listing.names().len()).rev() {
            let Some(name) = listing.names().get(index) else {
                continue;
            };
            match name.kind {
                Kind::Link => match self.link_target(directory, index, name, &listing, search_path)
                {
                    LinkTarget::File(version) => listing.set_file(index, version),
                    LinkTarget::Nowhere => stale.push(name.text.clone()),
                    LinkTarget::Unread => listing.is_complete = false,
                    LinkTarget::Other => {}
                },
                Kind::Directory => self.legacy_directory(directory, &name.text, search_path),
                _ => {}
            }
        }
        if self.reader.depth == Depth::Content && self.wanted.is_all() {
            stale.reverse();
            stale.retain(|name| self.remove_stale(directory, name));
            listing.remove(&stale);
        }
        Some(listing)
    }

    fn is_spent(&self, directory: &LibraryDirectory) -> bool {
        self.reader.budget.is_spent(&directory.path)
    }

    /// Whether the name may be that of a library, or of a hwcap directory. Links in glibc-hwcaps directories can have any name.
    fn is_considered(&self, directory: &LibraryDirectory, name: &OsStr, kind: Kind) -> bool {
        let rules = &self.reader.profile.rules;
        let name = name.as_bytes();
        if !is_library_name(name, rules.loader_names) {
            let by_hwcap = directory.hwcap.is_some() || self.is_legacy(name);
            if kind == Kind::File || !by_hwcap {
                return false;
            }
        }
        !(is_prelink_temporary(name) || rules.skip_temporary && is_package_temporary(name))
    }

    fn is_legacy(&self, name: &[u8]) -> bool {
        let profile = self.reader.profile;
        profile.rules.legacy && legacy_hwcaps::is_searched(profile.arch, profile.class, name)
    }

    /// Returns the bits of a hwcap directory's path, or 0.
    fn legacy_hwcap(&self, directory: &LibraryDirectory) -> u64 {
        let profile = self.reader.profile;
        if !profile.rules.legacy || directory.hwcap.is_some() {
            return 0;
        }
        let path = directory.path.as_os_str().as_bytes();
        legacy_hwcaps::of_path(profile.arch, profile.class, path)
    }

    fn legacy_directory(
        &self,
        parent: &LibraryDirectory,
        name: &OsStr,
        search_path: &mut SearchPath<'_>,
    ) {
        if parent.hwcap.is_none() && self.is_legacy(name.as_bytes()) {
            search_path.add(&parent.path.join(name), parent.libc_flag);
        }
    }

    /// Returns the target of the link. Parses a file that was not seen before.
    fn link_target(
        &mut self,
        directory: &LibraryDirectory,
        index: usize,
        link: &Name,
        listing: &Listing,
        search_path: &mut SearchPath<'_>,
    ) -> LinkTarget {
        if let Some(version) = listing.file_behind(index, &link.target) {
            return LinkTarget::File(version);
        }
        if self.is_spent(directory) {
            return LinkTarget::Unread;
        }
        let path = directory.path.join(&*link.text);
        let there = match self.root.stat(&path) {
            Ok(there) => there,
            Err(err) if is_not_there(&err) => return LinkTarget::Nowhere,
            Err(err) => return self.failed_target(&path, &err),
        };
        let version = there.version();
        match there.kind {
            Kind::File if self.reader.depth == Depth::Identity || self.files.has(version.id) => {
                LinkTarget::File(version)
            }
            Kind::File => match self.read_elsewhere(&path) {
                Ok(version) => LinkTarget::File(version),
                Err(err) => self.failed_target(&path, &err),
            },
            Kind::Directory => {
                self.legacy_directory(directory, &link.text, search_path);
                LinkTarget::Other
            }
            _ => LinkTarget::Other,
        }
    }

    fn failed_target(&self, path: &Path, err: &io::Error) -> LinkTarget {
        if self.reader.is_failure(err, || path.to_owned()) {
            LinkTarget::Unread
        } else {
            LinkTarget::Other
        }
    }

    /// Reads a file outside the directories that were searched so far.
    fn read_elsewhere(&mut self, path: &Path) -> io::Result<FileVersion> {
        let (file, metadata) = self.root.open_file(path)?;
        let version = metadata.version();
        let mut head = Head::default();
        let (profile, size) = (self.reader.profile, metadata.size);
        let parsed = library::read(profile, file, size, &mut head, || path.into())?;
        self.files.insert(version.id, parsed);
        Ok(version)
    }
}

/// The target of a link.
enum LinkTarget {
    File(FileVersion),
    /// Not a library.
    Other,
    /// A missing file.
    Nowhere,
    /// An unreadable file.
    Unread,
}
