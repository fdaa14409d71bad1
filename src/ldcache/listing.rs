//! One library directory: the names in it that matter, and what is under them.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHasher;

use super::budget::Budget;
use super::driver_names;
use super::files::{Files, MAX_STRINGS};
use super::is_failure;
use super::library::{self, Parsed};
use super::order::compare_bytes;
use super::parallel;
use super::profile::Profile;
use super::search_path::LibraryDirectory;
use crate::elf::Head;
use crate::rootfs::{Entry, FileVersion, Kind};

/// Most names of libraries in all directories, SONAME links that are made included. Honest images have some thousands; all library
/// packages of Debian that are no larger than 350 kB have ten thousand.
pub(super) const MAX_LIBRARIES: usize = 14_000;
/// How many names are read before what was found in their files is put away.
const BATCH: usize = 1 << 12;
/// Longest target of a link that is kept: that of a longer one leads out of the directory, as a rule.
const MAX_TARGET: usize = 64;

/// How far files are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only whether they are the same as before.
    Identity,
    /// All that the cache holds of them.
    Content,
}

/// What a directory is read with.
#[derive(Clone, Copy)]
pub(super) struct FileReader<'r> {
    pub(super) profile: &'r Profile,
    pub(super) depth: Depth,
    pub(super) budget: &'r Budget,
}

/// The names of a directory, sorted.
pub(super) struct Listing {
    names: Vec<Name>,
    /// Whether everything under them could be read.
    pub(super) is_complete: bool,
}

/// One of the names.
pub(super) struct Name {
    pub(super) text: Box<OsStr>,
    pub(super) kind: Kind,
    /// Where it points to, if it is a link, as [`shortened`] has it.
    pub(super) target: Box<OsStr>,
    /// The file that it leads to in the end, as far as that is known.
    pub(super) file: Option<FileVersion>,
}

/// What is under one name.
#[derive(Default)]
struct Contents {
    target: Box<OsStr>,
    file: Option<FileVersion>,
    /// The library that the file is, where it was looked into.
    parsed: Option<Parsed>,
    /// Whether there is more, which could not be read.
    is_unread: bool,
}

impl Listing {
    /// Of the names that `is_considered` lets pass, reads the files and where links point to. More than `limit` names are refused.
    pub(super) fn read(
        reader: FileReader<'_>,
        directory: &mut LibraryDirectory,
        limit: usize,
        is_considered: impl Fn(&LibraryDirectory, &Entry) -> bool,
        files: &mut Files,
    ) -> io::Result<Self> {
        let mut entries = match directory.listed.take() {
            Some(entries) => entries,
            None => directory.directory.entries()?,
        };
        entries.retain(|entry| is_considered(directory, entry));
        if entries.len() > limit {
            return Err(too_many_libraries());
        }
        // What ldconfig leaves to the file system's order is decided by name here.
        entries.sort_by(|a, b| compare_bytes(a.name.as_bytes(), b.name.as_bytes()));
        let directory = &*directory;
        let read = |entries: &[Entry]| {
            let mut head = Head::default();
            let read = |entry| reader.read(directory, entry, &mut head);
            entries.iter().map(read).collect()
        };
        let mut listing = Self {
            names: Vec::with_capacity(entries.len()),
            is_complete: true,
        };
        let mut left = entries.into_iter();
        while !left.as_slice().is_empty() {
            let count = left.len().min(BATCH);
            let batch = left.as_slice().get(..count).unwrap_or_default();
            let found = parallel::map(batch, read);
            // In this order, for zip takes one of the first before it sees that the second has no more.
            for (found, entry) in found.zip(left.by_ref()) {
                if let (Depth::Content, Some(file)) = (reader.depth, &found.file) {
                    files.insert(file.id, found.parsed);
                    if files.soname_bytes > MAX_STRINGS {
                        return Err(too_long_names());
                    }
                }
                listing.is_complete &= !found.is_unread;
                listing.names.push(Name {
                    text: entry.name.into_boxed_os_str(),
                    kind: entry.kind,
                    target: found.target,
                    file: found.file,
                });
            }
        }
        Ok(listing)
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// The file that the name leads to.
    pub(super) fn file(&self, name: &OsStr) -> Option<FileVersion> {
        self.names.get(self.position(name).ok()?)?.file
    }

    /// The file that the name leads to, which is probably one of those behind `index`: libfoo.so.1.2 follows on libfoo.so.1.
    pub(super) fn file_behind(&self, index: usize, name: &OsStr) -> Option<FileVersion> {
        let behind = self.names.iter().skip(index + 1).take(2);
        let mut named = behind.filter(|it| *it.text == *name);
        named.next().map_or_else(|| self.file(name), |it| it.file)
    }

    /// Where the name points to, if it is a link.
    pub(super) fn target(&self, name: &OsStr) -> Option<&OsStr> {
        let name = self.names.get(self.position(name).ok()?)?;
        (name.kind == Kind::Link).then_some(&*name.target)
    }

    /// Whether the directory has the name.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.position(name).is_ok()
    }

    /// The version of the driver whose libraries lie in the directory.
    pub(super) fn driver_version(&self) -> Option<&OsStr> {
        let files = self.names.iter().filter(|name| name.kind == Kind::File);
        driver_names::driver_version(files.map(|file| &*file.text))
    }

    /// Notes which file the name at this place leads to.
    pub(super) fn set_file(&mut self, index: usize, file: FileVersion) {
        if let Some(name) = self.names.get_mut(index) {
            name.file = Some(file);
        }
    }

    /// Forgets names that were removed; they are sorted.
    pub(super) fn remove(&mut self, removed: &[Box<OsStr>]) {
        if !removed.is_empty() {
            self.names
                .retain(|name| removed.binary_search(&name.text).is_err());
        }
    }

    fn position(&self, name: &OsStr) -> Result<usize, usize> {
        self.names
            .binary_search_by(|it| compare_bytes(it.text.as_bytes(), name.as_bytes()))
    }

    /// Feeds `state` with the names as they are now that these links were made, which are sorted.
    pub(super) fn hash_with<'c>(
        &self,
        made: impl Iterator<Item = MadeLink<'c>>,
        state: &mut impl Hasher,
    ) {
        let mut made = made.peekable();
        for name in &self.names {
            while let Some(link) = made.next_if(|link| link.name < &*name.text) {
                link.hash(state);
            }
            match made.next_if(|link| link.name == &*name.text) {
                Some(link) => link.hash(state),
                None => (&name.text, name.kind, &name.target, &name.file).hash(state),
            }
        }
        made.for_each(|link| link.hash(state));
        // What comes next is no name.
        OsStr::new("").hash(state);
    }
}

/// A link to a file of the directory that was made just now.
pub(super) struct MadeLink<'a> {
    pub(super) name: &'a OsStr,
    pub(super) target: &'a OsStr,
    pub(super) file: &'a FileVersion,
}

/// As a name that was read.
impl Hash for MadeLink<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let target = shortened(self.target);
        (self.name, Kind::Link, target, Some(self.file)).hash(state);
    }
}

impl FileReader<'_> {
    /// Reads what is under one name, without following it.
    fn read(self, directory: &LibraryDirectory, entry: &Entry, head: &mut Head) -> Contents {
        if self.budget.is_spent(&directory.path) {
            return Contents {
                is_unread: true,
                ..Contents::default()
            };
        }
        let found = match (entry.kind, self.depth) {
            (Kind::Link, _) => directory
                .directory
                .read_link(&entry.name)
                .map(|target| Contents {
                    target: shortened(target.as_os_str()),
                    ..Contents::default()
                }),
            (Kind::File, Depth::Identity) => {
                directory
                    .directory
                    .stat(&entry.name)
                    .map(|metadata| Contents {
                        file: Some(metadata.version()),
                        ..Contents::default()
                    })
            }
            (Kind::File, Depth::Content) => self.parse(directory, &entry.name, head),
            _ => Ok(Contents::default()),
        };
        found.unwrap_or_else(|err| Contents {
            is_unread: self.is_failure(&err, || directory.path.join(&entry.name)),
            ..Contents::default()
        })
    }

    fn parse(
        self,
        directory: &LibraryDirectory,
        name: &OsStr,
        head: &mut Head,
    ) -> io::Result<Contents> {
        let (file, metadata) = directory.directory.open_file(name)?;
        let path = || directory.path.join(name);
        Ok(Contents {
            file: Some(metadata.version()),
            parsed: library::read(self.profile, file, metadata.size, head, path)?,
            ..Contents::default()
        })
    }

    /// Whether something is there that could not be read, of which a warning tells.
    pub(super) fn is_failure(self, err: &io::Error, path: impl Fn() -> PathBuf) -> bool {
        let is_failure = is_failure(err);
        if is_failure {
            self.warn(&path(), "left out", err);
        } else {
            log::debug!("{}: passed over: {err}", path().display());
        }
        is_failure
    }

    /// Where only identities are looked at, another search follows, which will tell the same.
    pub(super) fn warn(self, path: &Path, what: &str, err: &io::Error) {
        if self.depth == Depth::Content {
            log::warn!("{}: {what}: {err}", path.display());
        }
    }
}

fn too_long_names() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the names of the libraries take more than {MAX_STRINGS} bytes"),
    )
}

pub(super) fn too_many_libraries() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("more than {MAX_LIBRARIES} libraries"),
    )
}

/// A long target is replaced by its hash: later on only whether it is another one must be seen.
fn shortened(target: &OsStr) -> Box<OsStr> {
    if target.len() <= MAX_TARGET {
        return target.into();
    }
    let mut hasher = FxHasher::default();
    target.hash(&mut hasher);
    OsString::from(format!("/{:016x}", hasher.finish())).into()
}
