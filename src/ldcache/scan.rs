//! Searching the directories: which libraries enter the cache, and which SONAME links are made.

use std::cell::Cell;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use memchr::memmem;

use super::alias::aliases;
use super::budget::Budget;
use super::candidate::{Candidate, best_of};
use super::files::{Files, MAX_STRINGS};
use super::found::{Found, Library};
use super::legacy_hwcaps;
use super::library::{self, is_library_name, is_package_temporary, is_prelink_temporary};
use super::listing::{Depth, Link, Listing, MAX_LIBRARIES, Name, Reader, too_many_libraries};
use super::profile::Profile;
use super::search_path::{LibraryDirectory, Place, SearchPath};
use crate::elf::Head;
use crate::rootfs::{Entry, FileVersion, Kind, Root, is_not_there, is_obstacle, is_read_only};

/// The dynamic loaders whose links Debian's ldconfig leaves as they are.
const LOADERS: [&[u8]; 9] = [
    b"ld-linux.so.2",
    b"ld-linux.so.3",
    b"ld-linux-armhf.so.3",
    b"ld-linux-aarch64.so.1",
    b"ld-linux-x86-64.so.2",
    b"ld-linux-ia64.so.2",
    b"ld.so.1",
    b"ld64.so.1",
    b"ld64.so.2",
];

/// Searches all directories for files and links whose names `is_wanted`, makes the SONAME links in them, and feeds `inputs` with
/// everything that the result depends on, as it is afterwards.
pub(super) fn libraries(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    is_wanted: &dyn Fn(&OsStr) -> bool,
    inputs: &mut impl Hasher,
) -> Found {
    let budget = search_path.budget();
    let mut scan = Scan::new(root, profile, &budget, Depth::Content, is_wanted);
    let mut found = Found::default();
    let mut number = 0;
    while let Some(place) = search_path.next() {
        let unread = match place {
            Place::Directory(directory) => {
                if scan.add_libraries(number, &directory, search_path, &mut found, inputs) {
                    found.searched.insert(directory.path);
                    None
                } else {
                    Some(Some(directory.path))
                }
            }
            Place::Unread(path) => Some(path),
        };
        found.unread.extend(unread.map(|path| (number, path)));
        if found.strings > MAX_STRINGS {
            break;
        }
        number += 1;
    }
    found
}

/// Feeds `inputs` as [`libraries`] does, without looking into any file, and without changing anything. Returns whether everything
/// could be read.
pub(super) fn identity(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    inputs: &mut impl Hasher,
) -> bool {
    let budget = search_path.budget();
    let mut scan = Scan::new(root, profile, &budget, Depth::Identity, &|_| true);
    while let Some(place) = search_path.next() {
        let Place::Directory(directory) = place else {
            return false;
        };
        match scan.directory(&directory, search_path) {
            Some(listing) if listing.is_complete => {
                hash_directory(&directory, &listing, [].into_iter(), inputs);
            }
            _ => return false,
        }
    }
    true
}

fn hash_directory<'c>(
    directory: &LibraryDirectory,
    listing: &Listing,
    made: impl Iterator<Item = Link<'c>>,
    inputs: &mut impl Hasher,
) {
    directory.path.hash(inputs);
    directory.libc_flag.hash(inputs);
    listing.hash_with(made, inputs);
}

struct Scan<'s> {
    root: &'s Root,
    reader: Reader<'s>,
    is_wanted: &'s dyn Fn(&OsStr) -> bool,
    /// How many more names of libraries there may be.
    names_left: usize,
    files: Files,
    /// Whether a link could not be made or removed that another run may make or remove.
    has_failed: Cell<bool>,
}

impl<'s> Scan<'s> {
    fn new(
        root: &'s Root,
        profile: &'s Profile,
        budget: &'s Budget,
        depth: Depth,
        is_wanted: &'s dyn Fn(&OsStr) -> bool,
    ) -> Self {
        Self {
            root,
            reader: Reader {
                profile,
                depth,
                budget,
            },
            is_wanted,
            names_left: MAX_LIBRARIES,
            files: Files::default(),
            has_failed: Cell::new(false),
        }
    }

    /// Searches one directory and makes the SONAME links in it. Returns whether it was read as a whole.
    fn add_libraries(
        &mut self,
        place: u32,
        directory: &LibraryDirectory,
        search_path: &mut SearchPath<'_>,
        found: &mut Found,
        inputs: &mut impl Hasher,
    ) -> bool {
        let Some(listing) = self.directory(directory, search_path) else {
            return false;
        };
        let (mut best, are_all) = best_of(self.reader.profile, directory, &listing, &self.files);
        found.is_lacking |= !are_all;
        let path = directory.path.as_os_str();
        found.strings += best
            .iter()
            .map(|it| path.len() + it.soname.len() + it.name.len())
            .sum::<usize>();
        if found.strings > MAX_STRINGS {
            log::warn!(
                "{}: left out, the names of the libraries take more than {MAX_STRINGS} bytes",
                path.display()
            );
            return false;
        }
        let names_left = self.make_links(directory, &mut best, &listing);
        let hwcap_bits = self.legacy_hwcap(directory);
        let enter = |it: &Candidate<'_>| Library::new(it, place, directory, hwcap_bits);
        found.libraries.extend(best.iter().map(enter));
        let aliases = aliases(&best, place, directory, &listing);
        found.strings += aliases.len() * path.len();
        found.libraries.extend(aliases);
        // What a later run will not look at must not count now.
        let counts = |it: &&Candidate<'_>| {
            it.is_made && self.is_considered(directory, it.soname, Kind::Link)
        };
        let made = best.iter().filter(counts).map(Candidate::as_link);
        hash_directory(directory, &listing, made, inputs);
        self.names_left = names_left;
        found.is_lacking |= self.has_failed.get();
        listing.is_complete
    }

    /// Reads a directory, removes stale links from it, and queues those inside of it that are for certain processors. Returns
    /// what its names lead to.
    fn directory(
        &mut self,
        directory: &LibraryDirectory,
        search_path: &mut SearchPath<'_>,
    ) -> Option<Listing> {
        let mut files = std::mem::take(&mut self.files);
        let is_considered = |entry: &Entry| {
            (self.is_wanted)(&entry.name) && self.is_considered(directory, &entry.name, entry.kind)
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
        // From the last name to the first, so that libfoo.so finds what libfoo.so.1 leads to.
        for index in (0..listing.names().len()).rev() {
            let Some(name) = listing.names().get(index) else {
                continue;
            };
            match name.kind {
                Kind::Link => match self.link_target(directory, name, &listing, search_path) {
                    Target::File(version) => listing.set_file(index, version),
                    Target::Nowhere => stale.push(name.text.clone()),
                    Target::Unread => listing.is_complete = false,
                    Target::Other => {}
                },
                Kind::Directory => self.legacy_directory(directory, &name.text, search_path),
                _ => {}
            }
        }
        if self.reader.depth == Depth::Content {
            stale.reverse();
            stale.retain(|name| self.remove_stale(directory, name));
            listing.remove(&stale);
        }
        Some(listing)
    }

    fn is_spent(&self, directory: &LibraryDirectory) -> bool {
        self.reader.budget.is_spent(&directory.path)
    }

    /// Whether the name may be a library's, or a directory's for certain processors. Links in glibc-hwcaps directories may have
    /// any name.
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

    /// The bits that a directory's path stands for, where it is one for certain processors.
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

    /// What the link leads to. A file that was not seen before is looked into.
    fn link_target(
        &mut self,
        directory: &LibraryDirectory,
        link: &Name,
        listing: &Listing,
        search_path: &mut SearchPath<'_>,
    ) -> Target {
        if let Some(version) = listing.file(link.target.as_os_str()) {
            return Target::File(version);
        }
        if self.is_spent(directory) {
            return Target::Unread;
        }
        let path = directory.path.join(&link.text);
        let there = match self.root.stat(&path) {
            Ok(there) => there,
            Err(err) if is_not_there(&err) => return Target::Nowhere,
            Err(err) => return self.unread(&path, &err),
        };
        let version = there.version();
        match there.kind {
            Kind::File if self.reader.depth == Depth::Identity || self.files.has(version.id) => {
                Target::File(version)
            }
            Kind::File => match self.read_elsewhere(&path) {
                Ok(version) => Target::File(version),
                Err(err) => self.unread(&path, &err),
            },
            Kind::Directory => {
                self.legacy_directory(directory, &link.text, search_path);
                Target::Other
            }
            _ => Target::Other,
        }
    }

    fn unread(&self, path: &Path, err: &io::Error) -> Target {
        if self.reader.is_failure(err, || path.to_owned()) {
            Target::Unread
        } else {
            Target::Other
        }
    }

    /// Reads a file outside of the directories that were searched so far.
    fn read_elsewhere(&mut self, path: &Path) -> io::Result<FileVersion> {
        let (file, metadata) = self.root.open_file(path)?;
        let version = metadata.version();
        let mut head = Head::default();
        let (profile, size) = (self.reader.profile, metadata.size);
        let parsed = library::read(profile, file, size, &mut head, || path.into())?;
        self.files.insert(version.id, parsed);
        Ok(version)
    }

    /// Makes the SONAME links that are missing or wrong; there are none in glibc-hwcaps directories. Where they cannot be made, the
    /// libraries count as not linked. Returns how many more names there may be.
    fn make_links(
        &self,
        directory: &LibraryDirectory,
        libraries: &mut [Candidate<'_>],
        listing: &Listing,
    ) -> usize {
        let mut names_left = self.names_left;
        let mut obstacle = None;
        for library in libraries.iter_mut().filter(|it| it.is_linked) {
            let (soname, target) = (library.soname, library.name);
            let path = directory.path.join(soname);
            match self.is_link_missing(directory, library, listing) {
                Ok(true) if obstacle.is_none() && !self.is_spent(directory) => {}
                Ok(is_missing) => {
                    // Without an obstacle it is the time that is up.
                    self.has_failed
                        .set(self.has_failed.get() || is_missing && obstacle.is_none());
                    library.is_linked = !is_missing;
                    continue;
                }
                Err(err) => {
                    self.has_failed.set(true);
                    log::warn!("{}: cannot make it a link: {err}", path.display());
                    library.is_linked = false;
                    continue;
                }
            }
            let is_new = !listing.has(soname) && self.is_considered(directory, soname, Kind::Link);
            let made = if is_new && names_left == 0 {
                Err(too_many_libraries())
            } else {
                directory.directory.symlink(target, soname)
            };
            match made {
                // Another hook may have been faster.
                Ok(_) => {
                    log::debug!("{} -> {}", path.display(), target.display());
                    library.is_made = true;
                    names_left = names_left.saturating_sub(usize::from(is_new));
                }
                Err(err) if is_obstacle(&err) || err.kind() == io::ErrorKind::FileTooLarge => {
                    library.is_linked = false;
                    obstacle = Some(err);
                }
                Err(err) => {
                    self.has_failed.set(true);
                    log::warn!(
                        "{}: cannot make it a link to {}: {err}",
                        path.display(),
                        target.display()
                    );
                }
            }
        }
        if let Some(err) = obstacle {
            // Where links are never made the cache replaces them, and nobody need know.
            let level = if is_read_only(&err) {
                log::Level::Debug
            } else {
                self.has_failed.set(true);
                log::Level::Warn
            };
            let path = directory.path.display();
            log::log!(
                level,
                "{path}: SONAME links are missing, the cache names the files: {err}"
            );
        }
        names_left
    }

    /// Whether SONAME does not lead to the library, and nothing is there that must stay.
    fn is_link_missing(
        &self,
        directory: &LibraryDirectory,
        library: &Candidate<'_>,
        listing: &Listing,
    ) -> io::Result<bool> {
        let soname = library.soname;
        if library.is_link
            || soname == library.name
            || listing.file(soname).as_ref() == Some(library.file)
        {
            return Ok(false);
        }
        if self.is_spent(directory) {
            return Ok(true);
        }
        let there = match directory.directory.stat(soname) {
            Ok(there) => there,
            Err(err) if is_not_there(&err) => return Ok(true),
            Err(err) => return Err(err),
        };
        let path = directory.path.join(soname);
        if there.kind != Kind::Link {
            log::debug!("{}: not a symbolic link, kept", path.display());
            return Ok(false);
        }
        let rules = &self.reader.profile.rules;
        if rules.keep_loader_links && LOADERS.contains(&soname.as_bytes()) {
            return Ok(false);
        }
        match self.root.stat(&path) {
            // What could not be read may be better than the library.
            Ok(there) => Ok(listing.is_complete && there.id != library.file.id),
            Err(err) if is_not_there(&err) => Ok(true),
            Err(err) => Err(err),
        }
    }

    /// Removes a link that leads nowhere if it has a version in its name. Returns whether it is gone.
    fn remove_stale(&self, directory: &LibraryDirectory, name: &OsStr) -> bool {
        if memmem::find(name.as_bytes(), b".so.").is_none() {
            return false;
        }
        let path = directory.path.join(name);
        match directory.directory.remove(name) {
            Ok(()) => {
                log::debug!("{}: a stale link, removed", path.display());
                true
            }
            // Another hook was faster.
            Err(err) if err.kind() == io::ErrorKind::NotFound => true,
            // It does no harm.
            Err(err) if is_read_only(&err) => false,
            Err(err) => {
                self.has_failed.set(true);
                log::warn!("{}: a stale link, not removed: {err}", path.display());
                false
            }
        }
    }
}

/// Where a link leads to.
enum Target {
    File(FileVersion),
    /// Not to a library.
    Other,
    /// To nothing.
    Nowhere,
    /// To something that cannot be read.
    Unread,
}
