//! Searching the directories: which libraries enter the cache, and which SONAME links are made.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::arch::{Abi, Arch, FLAG_ELF, FLAG_ELF_LIBC6};
use super::check_soname;
use super::legacy_hwcaps;
use super::order::compare_names;
use super::profile::Profile;
use super::search_path::{LibraryDirectory, SearchPath};
use crate::elf::{self, Class, Names, Object, OpenFile, Source};
use crate::rootfs::{ContainerRoot, Entry, FileId, Kind};

/// Most libraries; honest images have some thousands.
const MAX_LIBRARIES: usize = 1 << 17;

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
        for (soname, candidate) in found {
            if libraries.len() == MAX_LIBRARIES {
                log::warn!("more than {MAX_LIBRARIES} libraries: the rest is left out");
                return libraries;
            }
            let file_name = match &directory.hwcap {
                // Links are not made there, so the file itself is named.
                Some(_) => &candidate.name,
                None => &soname,
            };
            libraries.push(Library {
                path: directory.path.join(file_name),
                soname,
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
    /// Returns the directory's libraries by SONAME, and makes their links.
    fn directory(
        &mut self,
        directory: &LibraryDirectory,
        search_path: &mut SearchPath<'_>,
    ) -> Vec<(OsString, Candidate)> {
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
        let mut ids = HashMap::new();
        let mut best = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::File) {
            if let Some(id) = self.file(directory, &entry.name) {
                ids.insert(entry.name.as_os_str(), id);
                self.consider(directory, &mut best, &entry.name, id, false);
            }
        }
        // From the last name to the first, so that libfoo.so finds what libfoo.so.1 leads to.
        for entry in entries.iter().rev().filter(|it| it.kind == Kind::Link) {
            if let Some(id) = self.link_target(directory, &entry.name, &ids, search_path) {
                ids.insert(entry.name.as_os_str(), id);
                self.consider(directory, &mut best, &entry.name, id, true);
            }
        }
        for entry in entries.iter().filter(|it| it.kind == Kind::Directory) {
            self.legacy_directory(directory, &entry.name, search_path);
        }
        let mut found: Vec<_> = best.into_iter().collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if directory.hwcap.is_none() {
            for (soname, candidate) in &found {
                self.make_link(directory, soname, candidate, &ids);
            }
        }
        found
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

    /// Reads the regular file and returns its identity.
    fn file(&mut self, directory: &LibraryDirectory, name: &OsStr) -> Option<FileId> {
        match directory.directory.open_file(name) {
            Ok((file, stat)) => Some(self.parse_once(&directory.path.join(name), file, &stat)),
            Err(err) => {
                log::debug!(
                    "{}: passed over: {err}",
                    directory.path.join(name).display()
                );
                None
            }
        }
    }

    /// Reads the file that the link leads to and returns its identity. A link that leads nowhere is removed if it has a
    /// version in its name.
    fn link_target(
        &mut self,
        directory: &LibraryDirectory,
        name: &OsStr,
        ids: &HashMap<&OsStr, FileId>,
        search_path: &mut SearchPath<'_>,
    ) -> Option<FileId> {
        let target = directory.directory.read_link(name).ok()?;
        if let Some(id) = ids.get(target.as_os_str()) {
            return Some(*id);
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
                Some(self.parse_once(&path, file, &stat))
            }
            Kind::Directory => {
                self.legacy_directory(directory, name, search_path);
                None
            }
            _ => None,
        }
    }

    /// Parses a file unless that was done under another name.
    fn parse_once(&mut self, path: &Path, file: File, stat: &FileStat) -> FileId {
        let id = FileId::of(stat);
        if let Slot::Vacant(slot) = self.parsed.entry(id) {
            let parsed = parse(self.profile, &OpenFile::new(file, stat))
                .inspect_err(|err| log::debug!("{}: no library: {err}", path.display()))
                .ok();
            slot.insert(parsed);
        }
        id
    }

    /// Enters the file under its SONAME, if there is no better one: a file is better than a link, a higher name than a lower.
    fn consider(
        &self,
        directory: &LibraryDirectory,
        best: &mut HashMap<OsString, Candidate>,
        name: &OsStr,
        id: FileId,
        mut is_link: bool,
    ) {
        let Some(Some(parsed)) = self.parsed.get(&id) else {
            return;
        };
        let soname = parsed.soname.as_deref().unwrap_or(name);
        // A link counts as one only under the SONAME, or as libfoo.so for the linker: that one gets an entry of its own.
        is_link &= soname == name || is_linker_name(name.as_bytes(), soname.as_bytes());
        let soname = if is_link { name } else { soname };
        if let Err(reason) = check_soname(soname.as_bytes()) {
            let path = directory.path.join(name);
            log::warn!("{}: left out, its SONAME {reason}", path.display());
            return;
        }
        let candidate = Candidate {
            name: name.to_owned(),
            id,
            is_link,
            flags: match directory.libc_flag {
                Some(claimed) if parsed.flags == FLAG_ELF => claimed,
                _ => parsed.flags,
            },
            os_version: parsed.os_version,
            isa_level: parsed.isa_level,
        };
        match best.entry(soname.to_owned()) {
            Slot::Vacant(slot) => {
                slot.insert(candidate);
            }
            Slot::Occupied(mut slot) => {
                let there = slot.get();
                let is_newer = || {
                    let (old, new) = (there.name.as_bytes(), name.as_bytes());
                    compare_names(old, new, self.profile.arch.char_is_signed()).is_lt()
                };
                let is_better = match (is_link, there.is_link) {
                    (false, true) => true,
                    (true, false) => false,
                    _ => is_newer(),
                };
                if is_better {
                    // ldconfig keeps the flags of the first one it saw.
                    let flags = there.flags;
                    slot.insert(Candidate { flags, ..candidate });
                }
            }
        }
    }

    /// Makes SONAME a link to the library, unless something is there that must stay.
    fn make_link(
        &self,
        directory: &LibraryDirectory,
        soname: &OsStr,
        library: &Candidate,
        ids: &HashMap<&OsStr, FileId>,
    ) {
        if library.is_link || soname == library.name || ids.get(soname) == Some(&library.id) {
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

/// Reads what the cache holds of a library.
fn parse(profile: &Profile, source: &OpenFile) -> Result<Parsed, elf::Error> {
    let rules = &profile.rules;
    let smallest = match profile.class {
        Class::Bits32 => 52,
        Class::Bits64 => 64,
    };
    if source.size() < smallest {
        return Err(elf::Error::Malformed("too small"));
    }
    let object = Object::read(source)?;
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
