//! The relevant names in a library directory, and their files.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHasher;

use super::budget::Budget;
use super::driver_names;
use super::files::{Files, MAX_LIBRARIES, MAX_STRINGS};
use super::is_failure;
use super::library::{self, Parsed};
use super::order::compare_bytes;
use super::parallel;
use super::profile::Profile;
use super::search_path::LibraryDirectory;
use crate::elf::Head;
use crate::rootfs::{Entry, FileVersion, Kind};

/// The number of names to read before their results are stored.
const BATCH: usize = 1 << 12;
/// The maximum length of a link's target to keep: a longer one usually leads out of the directory.
const MAX_TARGET: usize = 64;

/// How thoroughly files are examined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only their identity.
    Identity,
    /// Everything that the cache contains.
    Content,
}

/// The parameters of reading a directory.
#[derive(Clone, Copy)]
pub(super) struct FileReader<'r> {
    pub(super) profile: &'r Profile,
    pub(super) depth: Depth,
    pub(super) budget: &'r Budget,
}

/// The names of a directory, sorted.
pub(super) struct Listing {
    names: Vec<Name>,
    /// Whether all of their files could be read.
    pub(super) is_complete: bool,
}

/// A name in a directory.
pub(super) struct Name {
    pub(super) text: Box<OsStr>,
    pub(super) kind: Kind,
    /// The target if it is a link, processed by [`shortened`].
    pub(super) target: Box<OsStr>,
    /// The file that it leads to, if known.
    pub(super) file: Option<FileVersion>,
}

/// The result of reading a name.
#[derive(Default)]
struct Contents {
    target: Box<OsStr>,
    file: Option<FileVersion>,
    /// The library, if the file was parsed and is one.
    parsed: Option<Parsed>,
    /// Whether a part could not be read.
    is_unread: bool,
}

impl Listing {
    /// Reads the files and link targets of the names that `is_considered` accepts. Fails for more than `limit` names.
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
        // ldconfig depends on the order of the file system here; this program sorts by name.
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
            // In this order, since zip would consume an element of the first iterator before it finds the second one at its end.
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

    /// Returns the file that the name leads to.
    pub(super) fn file(&self, name: &OsStr) -> Option<FileVersion> {
        self.names.get(self.position(name).ok()?)?.file
    }

    /// Returns the file that the name leads to. It is probably next to `index`, as libfoo.so.1.2 follows libfoo.so.1.
    pub(super) fn file_behind(&self, index: usize, name: &OsStr) -> Option<FileVersion> {
        let behind = self.names.iter().skip(index + 1).take(2);
        let mut named = behind.filter(|it| *it.text == *name);
        named.next().map_or_else(|| self.file(name), |it| it.file)
    }

    /// Returns the target of the name if it is a link.
    pub(super) fn target(&self, name: &OsStr) -> Option<&OsStr> {
        let name = self.names.get(self.position(name).ok()?)?;
        (name.kind == Kind::Link).then_some(&*name.target)
    }

    /// Whether the directory has the name.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.position(name).is_ok()
    }

    /// Returns the version of the driver whose libraries are in the directory.
    pub(super) fn driver_version(&self) -> Option<&OsStr> {
        let files = self.names.iter().filter(|name| name.kind == Kind::File);
        driver_names::driver_version(files.map(|file| &*file.text))
    }

    /// Sets the file that the name at this index leads to.
    pub(super) fn set_file(&mut self, index: usize, file: FileVersion) {
        if let Some(name) = self.names.get_mut(index) {
            name.file = Some(file);
        }
    }

    /// Removes the sorted names `removed`, which no longer exist.
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

    /// Hashes the names including new links; `made` is sorted.
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
        // Separates the names from what follows.
        OsStr::new("").hash(state);
    }
}

/// A new link to a file of the directory.
pub(super) struct MadeLink<'a> {
    pub(super) name: &'a OsStr,
    pub(super) target: &'a OsStr,
    pub(super) file: &'a FileVersion,
}

/// Equal to the hash of a name that was read.
impl Hash for MadeLink<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let target = shortened(self.target);
        (self.name, Kind::Link, target, Some(self.file)).hash(state);
    }
}

impl FileReader<'_> {
    /// Reads a name without following it.
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

    /// Whether a file exists but could not be read; logs a warning if so.
    pub(super) fn is_failure(self, err: &io::Error, path: impl Fn() -> PathBuf) -> bool {
        let is_failure = is_failure(err);
        if is_failure {
            self.warn(&path(), "left out", err);
        } else {
            log::debug!("{}: skipped: {err}", path().display());
        }
        is_failure
    }

    /// Logs a warning, except in a search for identities, after which another search logs the same.
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

/// Replaces a long target with its hash: later runs only need to detect changes.
fn shortened(target: &OsStr) -> Box<OsStr> {
    if target.len() <= MAX_TARGET {
        return target.into();
    }
    let mut hasher = FxHasher::default();
    target.hash(&mut hasher);
    OsString::from(format!("/{:016x}", hasher.finish())).into()
}
