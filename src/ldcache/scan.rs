//! Searching the directories: which libraries enter the cache, and which SONAME links are made.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::thread::{self, available_parallelism};

use memchr::memmem;
use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::arch::{Abi, Arch, FLAG_ELF, FLAG_ELF_LIBC6};
use super::check_soname;
use super::legacy_hwcaps;
use super::order::compare_names;
use super::profile::Profile;
use super::search_path::{LibraryDirectory, SearchPath};
use crate::elf::{self, Class, Head, Names, Object, OpenFile, Source};
use crate::rootfs::{ContainerRoot, Entry, FileId, Kind};

/// Most libraries; honest images have some thousands.
const MAX_LIBRARIES: usize = 1 << 17;

/// From this many files in a directory on, several threads read them.
const MANY_FILES: usize = 256;
const MAX_THREADS: usize = 4;

/// The C libraries and loaders whose names tell that a library is for glibc; looked at up to glibc 2.36.
const LIBC_NAMES: [&[u8]; 2] = [b"libc.so.6", b"libm.so.6"];
const INTERPRETERS: [&[u8]; 10] = [
    b"/lib/ld-linux.so.2",
    b"/lib/ld-linux.so.3",
    b"/lib/ld-linux-armhf.so.3",
    b"/lib/ld-linux-aarch64.so.1",
    b"/lib64/ld-linux-x86-64.so.2",
    b"/lib/ld-linux-x86-64.so.2",
    b"/libx32/ld-linux-x32.so.2",
    b"/lib/ld.so.1",
    b"/lib/ld64.so.1",
    b"/lib64/ld64.so.2",
];
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
    pub(super) soname: OsString,
    pub(super) path: PathBuf,
    pub(super) flags: u32,
    pub(super) os_version: u32,
    pub(super) isa_level: u32,
    /// The glibc-hwcaps directory that it lies in.
    pub(super) hwcap_directory: Option<OsString>,
    /// The sum of the bits of old hwcap directories.
    pub(super) hwcap_bits: u64,
}

/// What a library's file tells, under whatever name it was found.
struct Parsed {
    soname: Option<OsString>,
    flags: u32,
    os_version: u32,
    isa_level: u32,
}

/// The best file for one SONAME in one directory.
struct Candidate {
    soname: OsString,
    name: OsString,
    id: FileId,
    is_link: bool,
    flags: u32,
    os_version: u32,
    isa_level: u32,
}

/// Searches all directories and makes the SONAME links in them.
pub(super) fn libraries(
    root: &ContainerRoot,
    profile: &Profile,
    search_path: &mut SearchPath<'_>,
) -> Vec<Library> {
    let mut scan = Scan {
        root,
        profile,
        parsed: HashMap::new(),
    };
    let mut libraries = Vec::new();
    while let Some(directory) = search_path.next() {
        let found = scan.directory(&directory, search_path);
        let bits = if profile.rules.legacy && directory.hwcap.is_none() {
            let path = directory.path.as_os_str().as_bytes();
            legacy_hwcaps::of_path(profile.arch, profile.class, path)
        } else {
            0
        };
        for candidate in found {
            if libraries.len() == MAX_LIBRARIES {
                log::warn!("more than {MAX_LIBRARIES} libraries: the rest is left out");
                return libraries;
            }
            let file_name = match &directory.hwcap {
                // Links are not made there, so the file itself is named.
                Some(_) => &candidate.name,
                None => &candidate.soname,
            };
            libraries.push(Library {
                path: directory.path.join(file_name),
                soname: candidate.soname,
                flags: candidate.flags,
                os_version: candidate.os_version,
                isa_level: candidate.isa_level,
                hwcap_directory: directory.hwcap.clone(),
                hwcap_bits: bits,
            });
        }
    }
    libraries
}

struct Scan<'s> {
    root: &'s ContainerRoot,
    profile: &'s Profile,
    /// Every file is read once, however many names it has.
    parsed: HashMap<FileId, Option<Parsed>>,
}

impl Scan<'_> {
    /// Returns the directory's libraries, each SONAME once, and makes their links.
    fn directory(
        &mut self,
        directory: &LibraryDirectory,
        search_path: &mut SearchPath<'_>,
    ) -> Vec<Candidate> {
        let mut entries = match directory.directory.entries() {
            Ok(entries) => entries,
            Err(err) => {
                log::debug!("{}: not searched: {err}", directory.path.display());
                return Vec::new();
            }
        };
        entries.retain(|entry| self.is_considered(directory, entry));
        // What ldconfig leaves to the file system's order is decided by name here.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut listing = Listing::new(&entries);
        let mut candidates = Vec::new();
        for (index, id) in self.read_files(directory, &entries) {
            listing.set(index, id);
            candidates.extend(self.candidate(directory, &entries, index, id));
        }
        // From the last name to the first, so that libfoo.so finds what libfoo.so.1 leads to.
        for (index, entry) in entries.iter().enumerate().rev() {
            match entry.kind {
                Kind::Link => {
                    if let Some(id) = self.link_target(directory, entry, &listing, search_path) {
                        listing.set(index, id);
                        candidates.extend(self.candidate(directory, &entries, index, id));
                    }
                }
                Kind::Directory => self.legacy_directory(directory, &entry.name, search_path),
                _ => {}
            }
        }
        let best = self.best_of(candidates);
        if directory.hwcap.is_none() {
            for candidate in &best {
                self.make_link(directory, candidate, &listing);
            }
        }
        best
    }

    /// Reads the regular files of a directory, on several processors where that pays; returns their places in the list and
    /// their identities.
    fn read_files(
        &mut self,
        directory: &LibraryDirectory,
        entries: &[Entry],
    ) -> Vec<(usize, FileId)> {
        let files: Vec<_> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.kind == Kind::File)
            .collect();
        let profile = self.profile;
        let read = |files: &[(usize, &Entry)]| -> Vec<(usize, FileId, Option<Parsed>)> {
            let mut head = Head::default();
            files
                .iter()
                .filter_map(|(index, entry)| {
                    let (id, parsed) = read_file(profile, directory, &entry.name, &mut head)?;
                    Some((*index, id, parsed))
                })
                .collect()
        };
        let threads = if files.len() < MANY_FILES {
            1
        } else {
            available_parallelism().map_or(1, |it| it.get().min(MAX_THREADS))
        };
        let (ours, theirs) = files.split_at(files.len().div_ceil(threads));
        let results = thread::scope(|scope| {
            let helpers: Vec<_> = theirs
                .chunks(ours.len().max(1))
                .map(|files| {
                    let helper = thread::Builder::new().spawn_scoped(scope, move || read(files));
                    (files, helper)
                })
                .collect();
            let mut results = read(ours);
            for (files, helper) in helpers {
                // Where the kernel grants no thread, or one failed, this one does the work.
                let theirs = helper.ok().and_then(|helper| helper.join().ok());
                results.extend(theirs.unwrap_or_else(|| read(files)));
            }
            results
        });
        results
            .into_iter()
            .map(|(index, id, parsed)| {
                self.parsed.insert(id, parsed);
                (index, id)
            })
            .collect()
    }

    /// Whether the name may be a library's, or a directory's for certain processors. Links in glibc-hwcaps directories may have
    /// any name.
    fn is_considered(&self, directory: &LibraryDirectory, entry: &Entry) -> bool {
        let rules = &self.profile.rules;
        let name = entry.name.as_bytes();
        if !is_library_name(name, rules.loader_names) {
            let by_hwcap = directory.hwcap.is_some() || self.is_legacy(name);
            if entry.kind == Kind::File || !by_hwcap {
                return false;
            }
        }
        !(is_prelink_temporary(name) || rules.skip_temporary && is_package_temporary(name))
    }

    fn is_legacy(&self, name: &[u8]) -> bool {
        self.profile.rules.legacy
            && legacy_hwcaps::is_searched(self.profile.arch, self.profile.class, name)
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

    /// Reads the file that the link leads to and returns its identity. A link that leads nowhere is removed if it has a
    /// version in its name.
    fn link_target(
        &mut self,
        directory: &LibraryDirectory,
        entry: &Entry,
        listing: &Listing<'_>,
        search_path: &mut SearchPath<'_>,
    ) -> Option<FileId> {
        let name = &entry.name;
        let target = directory.directory.read_link(name).ok()?;
        if let Some(id) = listing.id(target.as_os_str()) {
            return Some(id);
        }
        let path = directory.path.join(name);
        let stat = match self.root.stat(&path) {
            Ok(stat) => stat,
            Err(err) => {
                if leads_nowhere(&err) && memmem::find(name.as_bytes(), b".so.").is_some() {
                    log::debug!("{}: a stale link, removed", path.display());
                    let _ = directory.directory.remove(name);
                }
                return None;
            }
        };
        let id = FileId::of(&stat);
        match Kind::of(&stat) {
            Kind::File if self.parsed.contains_key(&id) => Some(id),
            Kind::File => {
                let (file, stat) = self.root.open_file(&path).ok()?;
                let id = FileId::of(&stat);
                let parsed = parse(
                    self.profile,
                    || path.clone(),
                    file,
                    &stat,
                    &mut Head::default(),
                );
                self.parsed.insert(id, parsed);
                Some(id)
            }
            Kind::Directory => {
                self.legacy_directory(directory, name, search_path);
                None
            }
            _ => None,
        }
    }

    /// The file under the SONAME that it counts for in this directory.
    fn candidate(
        &self,
        directory: &LibraryDirectory,
        entries: &[Entry],
        index: usize,
        id: FileId,
    ) -> Option<Candidate> {
        let entry = entries.get(index)?;
        let parsed = self.parsed.get(&id)?.as_ref()?;
        let name = &entry.name;
        let soname = parsed.soname.as_ref().unwrap_or(name);
        // A link counts as one only under the SONAME, or as libfoo.so for the linker: that one gets an entry of its own.
        let is_link = entry.kind == Kind::Link
            && (soname == name || is_linker_name(name.as_bytes(), soname.as_bytes()));
        let soname = if is_link { name } else { soname };
        if let Err(reason) = check_soname(soname.as_bytes()) {
            let path = directory.path.join(name);
            log::warn!("{}: left out, its SONAME {reason}", path.display());
            return None;
        }
        Some(Candidate {
            soname: soname.clone(),
            name: name.clone(),
            id,
            is_link,
            flags: match directory.libc_flag {
                Some(claimed) if parsed.flags == FLAG_ELF => claimed,
                _ => parsed.flags,
            },
            os_version: parsed.os_version,
            isa_level: parsed.isa_level,
        })
    }

    /// Leaves one candidate for each SONAME, in the order of the SONAMEs.
    fn best_of(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        candidates.sort_by(|a, b| a.soname.cmp(&b.soname));
        let mut best: Vec<Candidate> = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            match best.last_mut().filter(|it| it.soname == candidate.soname) {
                None => best.push(candidate),
                Some(there) if self.is_better(&candidate, there) => {
                    // ldconfig keeps the flags of the first one it saw.
                    let flags = there.flags;
                    *there = Candidate { flags, ..candidate };
                }
                Some(_) => {}
            }
        }
        best
    }

    /// A file is better than a link, a higher name better than a lower one.
    fn is_better(&self, new: &Candidate, old: &Candidate) -> bool {
        if new.is_link != old.is_link {
            return old.is_link;
        }
        let (new, old) = (new.name.as_bytes(), old.name.as_bytes());
        compare_names(new, old, self.profile.arch.char_is_signed()).is_gt()
    }

    /// Makes SONAME a link to the library, unless something is there that must stay.
    fn make_link(&self, directory: &LibraryDirectory, library: &Candidate, listing: &Listing<'_>) {
        let soname = &library.soname;
        if library.is_link || soname == &library.name || listing.id(soname) == Some(library.id) {
            return;
        }
        let path = directory.path.join(soname);
        if let Ok(there) = directory.directory.stat(soname) {
            let leads_to_library = || {
                let stat = self.root.stat(&path);
                stat.is_ok_and(|stat| FileId::of(&stat) == library.id)
            };
            if Kind::of(&there) != Kind::Link {
                log::debug!("{}: not a symbolic link, kept", path.display());
                return;
            }
            let is_kept =
                self.profile.rules.keep_loader_links && LOADERS.contains(&soname.as_bytes());
            if is_kept || leads_to_library() {
                return;
            }
        }
        match directory.directory.symlink(&library.name, soname) {
            Ok(_) => log::debug!("{} -> {}", path.display(), library.name.display()),
            Err(err) => log::warn!(
                "{}: cannot make it a link to {}: {err}",
                path.display(),
                library.name.display()
            ),
        }
    }
}

/// What a directory's names lead to, as far as that is known.
struct Listing<'e> {
    /// Sorted by name.
    entries: &'e [Entry],
    ids: Vec<Option<FileId>>,
}

impl<'e> Listing<'e> {
    fn new(entries: &'e [Entry]) -> Self {
        Self {
            entries,
            ids: vec![None; entries.len()],
        }
    }

    fn set(&mut self, index: usize, id: FileId) {
        if let Some(slot) = self.ids.get_mut(index) {
            *slot = Some(id);
        }
    }

    fn id(&self, name: &OsStr) -> Option<FileId> {
        let index = self
            .entries
            .binary_search_by(|entry| entry.name.as_os_str().cmp(name));
        *self.ids.get(index.ok()?)?
    }
}

/// Opens and reads a regular file of the directory.
fn read_file(
    profile: &Profile,
    directory: &LibraryDirectory,
    name: &OsStr,
    head: &mut Head,
) -> Option<(FileId, Option<Parsed>)> {
    let path = || directory.path.join(name);
    match directory.directory.open_file(name) {
        Ok((file, stat)) => Some((FileId::of(&stat), parse(profile, path, file, &stat, head))),
        Err(err) => {
            log::debug!("{}: passed over: {err}", path().display());
            None
        }
    }
}

/// Reads what the cache holds of a library; `None` for a file that is none.
fn parse(
    profile: &Profile,
    path: impl Fn() -> PathBuf,
    file: File,
    stat: &FileStat,
    head: &mut Head,
) -> Option<Parsed> {
    try_parse(profile, &OpenFile::new(file, stat), head)
        .inspect_err(|err| log::debug!("{}: no library: {err}", path().display()))
        .ok()
}

fn try_parse(profile: &Profile, source: &OpenFile, head: &mut Head) -> Result<Parsed, elf::Error> {
    let rules = &profile.rules;
    let smallest = match profile.class {
        Class::Bits32 => 52,
        Class::Bits64 => 64,
    };
    if source.size() < smallest {
        return Err(elf::Error::Malformed("too small"));
    }
    let object = Object::read(source, head)?;
    if object.endian() != profile.endian {
        return Err(elf::Error::Malformed("byte order"));
    }
    if profile.arch == Arch::Other && object.class() != profile.class {
        return Err(elf::Error::Malformed("word size"));
    }
    let dynamic = object.dynamic()?;
    if rules.naive_strings && !object.strings_in_first_segment(&dynamic) {
        return Err(elf::Error::Malformed("string table"));
    }
    let (soname, base) = if rules.legacy {
        let Names { soname, needed } = object.soname_and_needed(&dynamic)?;
        let interpreter = object.interpreter()?.unwrap_or_default();
        let is_for_glibc = INTERPRETERS.contains(&interpreter.as_slice())
            || needed
                .iter()
                .any(|name| LIBC_NAMES.contains(&name.as_slice()));
        let base = if is_for_glibc {
            FLAG_ELF_LIBC6
        } else {
            FLAG_ELF
        };
        (soname, base)
    } else {
        (object.soname(&dynamic)?, FLAG_ELF_LIBC6)
    };
    Ok(Parsed {
        soname: soname.map(OsString::from_vec),
        flags: profile
            .arch
            .flag(Abi::of(&object), base)
            .ok_or(elf::Error::Malformed("machine"))?,
        os_version: if rules.os_version {
            object.os_version()?
        } else {
            0
        },
        isa_level: if rules.isa_level && profile.arch == Arch::X86 {
            object.isa_level()?
        } else {
            0
        },
    })
}

fn is_library_name(name: &[u8], loader_names: bool) -> bool {
    let is_library = name.starts_with(b"lib") || name.starts_with(b"ld-");
    let is_loader = name.starts_with(b"ld.so.") || name.starts_with(b"ld64.so.");
    is_library && memmem::find(name, b".so").is_some() || loader_names && is_loader
}

/// Whether a link of this name is the one that the linker looks for: it ends in `.so` and begins the SONAME.
fn is_linker_name(name: &[u8], soname: &[u8]) -> bool {
    name.ends_with(b".so") && soname.starts_with(name)
}

fn is_prelink_temporary(name: &[u8]) -> bool {
    const MARK: &[u8] = b".#prelink#";
    let without_suffix = name.len().checked_sub(".XXXXXX".len());
    name.ends_with(MARK)
        || without_suffix
            .and_then(|end| name.get(..=end))
            .is_some_and(|start| start.ends_with(b".#prelink#."))
}

fn is_package_temporary(name: &[u8]) -> bool {
    name.contains(&b';') || name.ends_with(b".dpkg-new") || name.ends_with(b".dpkg-tmp")
}

fn leads_nowhere(err: &io::Error) -> bool {
    [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP]
        .iter()
        .any(|&errno| err.raw_os_error() == Some(errno as i32))
}
