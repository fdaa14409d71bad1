//! Searching the directories: which libraries enter the cache, and which SONAME links are made.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::arch::FLAG_ELF;
use super::check_soname;
use super::driver_names;
use super::legacy_hwcaps;
use super::library::{
    Parsed, is_library_name, is_linker_name, is_package_temporary, is_prelink_temporary, parse,
};
use super::listing::{Depth, Listing, MAX_LIBRARIES, Name};
use super::order::compare_names;
use super::profile::Profile;
use super::search_path::{LibraryDirectory, SearchPath};
use crate::elf::{Head, OpenFile};
use crate::rootfs::{
    Entry, FileId, FileVersion, Kind, Root, is_not_there, is_obstacle, is_read_only,
};

/// Most bytes for names and paths in the cache; ten thousand libraries have 1 MiB.
const MAX_STRINGS: usize = 2 << 20;

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

/// A library that enters the cache.
pub(super) struct Library {
    pub(super) path: PathBuf,
    /// The SONAME, where it is not the file name in the path.
    other_soname: Option<OsString>,
    pub(super) flags: u32,
    pub(super) os_version: u32,
    pub(super) isa_level: u32,
    /// The glibc-hwcaps directory that it lies in.
    pub(super) hwcap_directory: Option<OsString>,
    /// The sum of the bits of old hwcap directories.
    pub(super) hwcap_bits: u64,
}

/// The best file for one SONAME in one directory.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    soname: &'a OsStr,
    name: &'a OsStr,
    file: FileVersion,
    is_link: bool,
    /// Whether SONAME leads to the file; in glibc-hwcaps directories no links are made.
    is_linked: bool,
    flags: u32,
    os_version: u32,
    isa_level: u32,
}

/// A SONAME link that was made.
struct Made {
    soname: OsString,
    target: OsString,
    file: FileVersion,
}

/// Searches all directories for files and links whose names `is_wanted`, makes the SONAME links in them, and feeds `inputs` with
/// everything that the result depends on, as it is afterwards.
pub(super) fn libraries(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    is_wanted: &dyn Fn(&OsStr) -> bool,
    inputs: &mut impl Hasher,
) -> Vec<Library> {
    let mut scan = Scan::new(root, profile, Depth::Content, is_wanted);
    let mut libraries = Vec::new();
    let mut strings = 0;
    while let Some(directory) = search_path.next() {
        let Some(mut listing) = scan.directory(&directory, search_path) else {
            continue;
        };
        let mut best = scan.best_of(&directory, &listing);
        let path = directory.path.as_os_str();
        strings += best
            .iter()
            .map(|it| path.len() + it.soname.len() + it.name.len())
            .sum::<usize>();
        if strings > MAX_STRINGS {
            log::warn!(
                "{}: left out, the names of the libraries take more than {MAX_STRINGS} bytes",
                path.display()
            );
            break;
        }
        let made = scan.make_links(&directory, &mut best, &listing);
        let hwcap_bits = scan.legacy_hwcap(&directory);
        let enter = |candidate: &Candidate<'_>| Library::new(candidate, &directory, hwcap_bits);
        libraries.extend(best.iter().map(enter));
        libraries.extend(aliases(&directory, &best, &listing));
        for Made {
            soname,
            target,
            file,
        } in made
        {
            // What a later run will not look at must not count now.
            if scan.is_considered(&directory, &soname, Kind::Link) {
                listing.put_link(&soname, &target, file);
            }
        }
        hash_directory(&directory, &listing, inputs);
    }
    libraries
}

/// Feeds `inputs` as [`libraries`] does, without looking into any file, and without changing anything.
pub(super) fn identity(
    root: &Root,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
    inputs: &mut impl Hasher,
) {
    let mut scan = Scan::new(root, profile, Depth::Identity, &|_| true);
    while let Some(directory) = search_path.next() {
        if let Some(listing) = scan.directory(&directory, search_path) {
            hash_directory(&directory, &listing, inputs);
        }
    }
}

fn hash_directory(directory: &LibraryDirectory, listing: &Listing, inputs: &mut impl Hasher) {
    directory.path.hash(inputs);
    directory.libc_flag.hash(inputs);
    listing.hash(inputs);
}

impl Library {
    fn new(candidate: &Candidate<'_>, directory: &LibraryDirectory, hwcap_bits: u64) -> Self {
        let file_name = if candidate.is_linked {
            candidate.soname
        } else {
            candidate.name
        };
        Self {
            path: directory.path.join(file_name),
            other_soname: (file_name != candidate.soname).then(|| candidate.soname.to_owned()),
            flags: candidate.flags,
            os_version: candidate.os_version,
            isa_level: candidate.isa_level,
            hwcap_directory: directory.hwcap.clone(),
            hwcap_bits,
        }
    }

    /// The name that programs ask for.
    pub(super) fn soname(&self) -> &OsStr {
        let file_name = || self.path.file_name().unwrap_or_default();
        self.other_soname.as_deref().unwrap_or_else(file_name)
    }
}

struct Scan<'s> {
    root: &'s Root,
    profile: &'s Profile,
    depth: Depth,
    is_wanted: &'s dyn Fn(&OsStr) -> bool,
    /// How many more names of libraries there may be.
    names_left: usize,
    /// Every file is looked into once, however many names lead to it.
    parsed: HashMap<FileId, Option<Parsed>>,
}

impl<'s> Scan<'s> {
    fn new(
        root: &'s Root,
        profile: &'s Profile,
        depth: Depth,
        is_wanted: &'s dyn Fn(&OsStr) -> bool,
    ) -> Self {
        Self {
            root,
            profile,
            depth,
            is_wanted,
            names_left: MAX_LIBRARIES,
            parsed: HashMap::new(),
        }
    }

    /// Reads a directory, removes stale links from it, and queues those inside of it that are for certain processors. Returns
    /// what its names lead to.
    fn directory(
        &mut self,
        directory: &LibraryDirectory,
        search_path: &mut SearchPath<'_>,
    ) -> Option<Listing> {
        let is_considered = |entry: &Entry| {
            (self.is_wanted)(&entry.name) && self.is_considered(directory, &entry.name, entry.kind)
        };
        let read = Listing::read(
            self.profile,
            directory,
            self.depth,
            self.names_left,
            is_considered,
        );
        let (mut listing, files) = read
            .inspect_err(|err| log::warn!("{}: not searched: {err}", directory.path.display()))
            .ok()?;
        self.names_left = self.names_left.saturating_sub(listing.names().len());
        let files = files.into_iter();
        self.parsed
            .extend(files.map(|(version, parsed)| (version.id, parsed)));
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
                    Target::Other => {}
                },
                Kind::Directory => self.legacy_directory(directory, &name.text, search_path),
                _ => {}
            }
        }
        if self.depth == Depth::Content {
            for name in stale {
                remove_stale(directory, &name, &mut listing);
            }
        }
        Some(listing)
    }

    /// Whether the name may be a library's, or a directory's for certain processors. Links in glibc-hwcaps directories may have
    /// any name.
    fn is_considered(&self, directory: &LibraryDirectory, name: &OsStr, kind: Kind) -> bool {
        let rules = &self.profile.rules;
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
        self.profile.rules.legacy
            && legacy_hwcaps::is_searched(self.profile.arch, self.profile.class, name)
    }

    /// The bits that a directory's path stands for, where it is one for certain processors.
    fn legacy_hwcap(&self, directory: &LibraryDirectory) -> u64 {
        if !self.profile.rules.legacy || directory.hwcap.is_some() {
            return 0;
        }
        let path = directory.path.as_os_str().as_bytes();
        legacy_hwcaps::of_path(self.profile.arch, self.profile.class, path)
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
        let path = directory.path.join(&link.text);
        let stat = match self.root.stat(&path) {
            Ok(stat) => stat,
            Err(err) if is_not_there(&err) => return Target::Nowhere,
            Err(_) => return Target::Other,
        };
        let version = FileVersion::of(&stat);
        match Kind::of(&stat) {
            Kind::File
                if self.depth == Depth::Identity || self.parsed.contains_key(&version.id) =>
            {
                Target::File(version)
            }
            Kind::File => self
                .read_elsewhere(&path)
                .map_or(Target::Other, Target::File),
            Kind::Directory => {
                self.legacy_directory(directory, &link.text, search_path);
                Target::Other
            }
            _ => Target::Other,
        }
    }

    /// Reads a file outside of the directories that were searched so far.
    fn read_elsewhere(&mut self, path: &Path) -> Option<FileVersion> {
        let (file, stat) = self.root.open_file(path).ok()?;
        let version = FileVersion::of(&stat);
        let parsed = parse(
            self.profile,
            &OpenFile::new(file, &stat),
            &mut Head::default(),
        );
        self.parsed.insert(version.id, parsed.ok());
        Some(version)
    }

    /// The best candidate for each SONAME, in the order of the SONAMEs.
    fn best_of<'a>(
        &'a self,
        directory: &LibraryDirectory,
        listing: &'a Listing,
    ) -> Vec<Candidate<'a>> {
        let mut candidates: Vec<_> = listing
            .names()
            .iter()
            .filter_map(|name| self.candidate(directory, name))
            .collect();
        candidates.sort_by(|a, b| a.soname.cmp(b.soname));
        candidates.dedup_by(|candidate, there| {
            let is_same = candidate.soname == there.soname;
            if is_same && self.is_better(candidate, there) {
                // ldconfig keeps the flags of the first one it saw.
                let flags = there.flags;
                *there = Candidate {
                    flags,
                    ..*candidate
                };
            }
            is_same
        });
        candidates
    }

    /// The file under the SONAME that it counts for in this directory.
    fn candidate<'a>(
        &'a self,
        directory: &LibraryDirectory,
        name: &'a Name,
    ) -> Option<Candidate<'a>> {
        let file = name.file?;
        let parsed = self.parsed.get(&file.id)?.as_ref()?;
        let soname = parsed.soname.as_ref().unwrap_or(&name.text);
        // A link counts as one only under the SONAME, or as libfoo.so for the linker: that one gets an entry of its own.
        let is_link = name.kind == Kind::Link
            && (*soname == name.text || is_linker_name(name.text.as_bytes(), soname.as_bytes()));
        let soname = if is_link { &name.text } else { soname };
        if let Err(reason) = check_soname(soname.as_bytes()) {
            let path = directory.path.join(&name.text);
            log::warn!("{}: left out, its SONAME {reason}", path.display());
            return None;
        }
        Some(Candidate {
            soname,
            name: &name.text,
            file,
            is_link,
            is_linked: directory.hwcap.is_none(),
            flags: match directory.libc_flag {
                Some(claimed) if parsed.flags == FLAG_ELF => claimed,
                _ => parsed.flags,
            },
            os_version: parsed.os_version,
            isa_level: parsed.isa_level,
        })
    }

    /// A file is better than a link, a higher name better than a lower one.
    fn is_better(&self, new: &Candidate<'_>, old: &Candidate<'_>) -> bool {
        if new.is_link != old.is_link {
            return old.is_link;
        }
        let (new, old) = (new.name.as_bytes(), old.name.as_bytes());
        compare_names(new, old, self.profile.arch.char_is_signed()).is_gt()
    }

    /// Makes the SONAME links that are missing or wrong; there are none in glibc-hwcaps directories. Where the directory cannot be
    /// written to, libraries whose links are missing count as not linked.
    fn make_links(
        &self,
        directory: &LibraryDirectory,
        libraries: &mut [Candidate<'_>],
        listing: &Listing,
    ) -> Vec<Made> {
        let mut made = Vec::new();
        let mut obstacle = None;
        for library in libraries.iter_mut().filter(|it| it.is_linked) {
            if !self.is_link_missing(directory, library, listing) {
                continue;
            }
            let (soname, target) = (library.soname, library.name);
            if obstacle.is_some() {
                library.is_linked = false;
                continue;
            }
            let path = directory.path.join(soname);
            match directory.directory.symlink(target, soname) {
                // Another hook may have been faster.
                Ok(_) => {
                    log::debug!("{} -> {}", path.display(), target.display());
                    made.push(Made {
                        soname: soname.to_owned(),
                        target: target.to_owned(),
                        file: library.file,
                    });
                }
                Err(err) if is_obstacle(&err) => {
                    library.is_linked = false;
                    obstacle = Some(err);
                }
                Err(err) => log::warn!(
                    "{}: cannot make it a link to {}: {err}",
                    path.display(),
                    target.display()
                ),
            }
        }
        if let Some(err) = obstacle {
            // Where links are never made the cache replaces them, and nobody need know.
            let level = if is_read_only(&err) {
                log::Level::Debug
            } else {
                log::Level::Warn
            };
            let path = directory.path.display();
            log::log!(
                level,
                "{path}: SONAME links are missing, the cache names the files: {err}"
            );
        }
        made
    }

    /// Whether SONAME does not lead to the library, and nothing is there that must stay.
    fn is_link_missing(
        &self,
        directory: &LibraryDirectory,
        library: &Candidate<'_>,
        listing: &Listing,
    ) -> bool {
        let soname = library.soname;
        if library.is_link || soname == library.name || listing.file(soname) == Some(library.file) {
            return false;
        }
        let Ok(there) = directory.directory.stat(soname) else {
            return true;
        };
        let path = directory.path.join(soname);
        if Kind::of(&there) != Kind::Link {
            log::debug!("{}: not a symbolic link, kept", path.display());
            return false;
        }
        let is_kept = self.profile.rules.keep_loader_links && LOADERS.contains(&soname.as_bytes());
        let leads_to_library = || {
            let stat = self.root.stat(&path);
            stat.is_ok_and(|stat| FileId::of(&stat) == library.file.id)
        };
        !is_kept && !leads_to_library()
    }
}

/// Entries of the names without a version under which programs look for the driver's libraries, if these names are missing in the
/// driver's directory and cannot be made links there. They name the files.
fn aliases(
    directory: &LibraryDirectory,
    libraries: &[Candidate<'_>],
    listing: &Listing,
) -> Vec<Library> {
    let Some(version) = listing.driver_version() else {
        return Vec::new();
    };
    let suffix = [b".so.", version].concat();
    let is_missing = |name: &str| !listing.has(OsStr::new(name));
    let mut aliases = Vec::new();
    for library in libraries {
        if library.is_link || !library.name.as_bytes().ends_with(&suffix) {
            continue;
        }
        let names = driver_names::of(library.soname).map(|(name, _)| name);
        aliases.extend(names.filter(|name| is_missing(name)).map(|name| Library {
            path: directory.path.join(library.name),
            other_soname: Some(name.into()),
            flags: library.flags,
            os_version: library.os_version,
            isa_level: library.isa_level,
            hwcap_directory: directory.hwcap.clone(),
            hwcap_bits: 0,
        }));
    }
    if aliases.is_empty() || directory.directory.is_writable() {
        return Vec::new();
    }
    aliases
}

/// Where a link leads to.
enum Target {
    File(FileVersion),
    /// Not to a library.
    Other,
    /// To nothing.
    Nowhere,
}

/// Removes a link that leads nowhere if it has a version in its name.
fn remove_stale(directory: &LibraryDirectory, name: &OsStr, listing: &mut Listing) {
    if memmem::find(name.as_bytes(), b".so.").is_none() {
        return;
    }
    let path = directory.path.join(name);
    match directory.directory.remove(name) {
        Ok(()) => {
            log::debug!("{}: a stale link, removed", path.display());
            listing.remove(name);
        }
        // Another hook was faster.
        Err(err) if err.kind() == io::ErrorKind::NotFound => listing.remove(name),
        // It does no harm.
        Err(err) if is_read_only(&err) => {}
        Err(err) => log::warn!("{}: a stale link, not removed: {err}", path.display()),
    }
}
