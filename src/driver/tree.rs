//! A tree that contains a driver's files, and the problems of reading it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;

use crate::ldcache::is_failure;
use crate::rootfs::{Directory, Entry, Kind, Metadata, Root, is_not_there};

/// The maximum size of a file in /proc and /sys.
const MAX_PSEUDO_FILE: u64 = 1 << 20;
/// The maximum number of cached directories; existing ones are kept open.
const MAX_FOLDERS: usize = 256;

/// A file or directory that may exist but could not be read.
#[derive(Debug)]
pub struct Problem {
    /// The path on the host.
    pub path: PathBuf,
    /// The error.
    pub error: io::Error,
}

/// All problems of a host.
#[derive(Clone, Default)]
pub(super) struct Problems(Rc<RefCell<Vec<Problem>>>);

/// A root directory with its path on the host: links in it resolve inside.
///
/// A tree serves a single scan of a host: each directory is opened and listed once, and what was missing stays missing.
pub(super) struct Tree {
    pub(super) root: Root,
    path: PathBuf,
    problems: Problems,
    /// The directories by path as given; `None` if there is no directory.
    folders: RefCell<BTreeMap<PathBuf, Option<Rc<Folder>>>>,
}

/// An open directory of a tree.
pub(super) struct Folder {
    /// The path without links.
    pub(super) path: PathBuf,
    pub(super) directory: Directory,
    entries: OnceCell<Rc<[Entry]>>,
}

/// The target of a path.
pub(super) struct Found {
    /// The path without links.
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

impl Problems {
    /// Returns the problems since the last call.
    pub(super) fn take(&self) -> Vec<Problem> {
        self.0.take()
    }
}

impl Tree {
    /// Opens the directory `path` of the host. Fails also if it cannot be searched.
    pub(super) fn open(host: &Root, path: &Path, problems: &Problems) -> io::Result<Self> {
        let root = host.open_root(path)?;
        root.stat(Path::new("/"))?;
        Ok(Self {
            root,
            path: Path::new("/").join(path),
            problems: problems.clone(),
            folders: RefCell::default(),
        })
    }

    /// Returns the problems since the last call.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.take()
    }

    /// Returns the path of this tree on the host.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Converts a path in this tree to a path on the host.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Converts a path that may be one on the host to a path in this tree.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.path).unwrap_or(path))
    }

    /// Returns the text of a file in /proc, /sys or /etc.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = path.as_ref();
        let bytes = self.noted(path, self.root.read(path, MAX_PSEUDO_FILE))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the directory that `path` leads to. Fails as open(2) does.
    pub(super) fn folder(&self, path: &Path) -> io::Result<Rc<Folder>> {
        if let Some(known) = self.folders.borrow().get(path) {
            return known.clone().ok_or_else(|| Errno::ENOENT.into());
        }
        let folder = match self.open_folder(path) {
            Ok(folder) => Some(Rc::new(folder)),
            Err(err) if is_not_there(&err) => None,
            Err(err) => return Err(err),
        };
        let mut folders = self.folders.borrow_mut();
        if folders.len() == MAX_FOLDERS {
            folders.clear();
        }
        folders.insert(path.to_owned(), folder.clone());
        folder.ok_or_else(|| Errno::ENOENT.into())
    }

    fn open_folder(&self, path: &Path) -> io::Result<Folder> {
        let directory = self.root.directory(path)?;
        Ok(Folder {
            path: self.root.path_of(&directory)?,
            directory,
            entries: OnceCell::new(),
        })
    }

    /// Returns the entries of a directory, in no order.
    pub(super) fn entries(&self, path: impl AsRef<Path>) -> Rc<[Entry]> {
        let path = path.as_ref();
        let entries = self.folder(path).and_then(|folder| folder.entries());
        self.noted(path, entries).unwrap_or_default()
    }

    /// Resolves a path. Most names are not links and are in few directories, so that one call suffices.
    pub(super) fn find(&self, path: &Path) -> io::Result<Found> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.follow(path);
        };
        let folder = match self.folder(parent) {
            Ok(folder) => folder,
            Err(err) if is_not_there(&err) => return Err(err),
            // The directory may permit search but not listing.
            Err(_) => return self.follow(path),
        };
        let metadata = folder.directory.stat(name)?;
        if metadata.kind == Kind::Link {
            return self.follow(path);
        }
        let path = folder.path.join(name);
        Ok(Found { path, metadata })
    }

    fn follow(&self, path: &Path) -> io::Result<Found> {
        let (path, metadata) = self.root.resolve(path)?;
        Ok(Found { path, metadata })
    }

    /// Returns the names in a directory that `is_meant` accepts, sorted.
    pub(super) fn names(
        &self,
        path: impl AsRef<Path>,
        is_meant: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let entries = self.entries(path);
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        let names = names.filter(|name| is_meant(name));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Returns the numbers that follow `start` in the names of a directory.
    pub(super) fn numbered(&self, path: impl AsRef<Path>, start: &str) -> Vec<u32> {
        let entries = self.entries(path);
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        let mut numbers: Vec<_> = names
            .filter_map(|name| name.strip_prefix(start)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns the metadata of a path's target.
    pub(super) fn stat(&self, path: impl AsRef<Path>) -> Option<Metadata> {
        let path = path.as_ref();
        Some(self.noted(path, self.find(path))?.metadata)
    }

    /// Returns the value, or notes the error unless the file is missing.
    pub(super) fn noted<T>(&self, path: &Path, result: io::Result<T>) -> Option<T> {
        let note = |error: io::Error| {
            if is_failure(&error) || error.kind() == io::ErrorKind::FileTooLarge {
                self.note(path, error);
            }
        };
        result.map_err(note).ok()
    }

    /// Notes a problem with a path.
    pub(super) fn note(&self, path: &Path, error: io::Error) {
        let path = self.on_host(path);
        self.problems.0.borrow_mut().push(Problem { path, error });
    }
}

impl Folder {
    /// Returns the entries, in no order.
    pub(super) fn entries(&self) -> io::Result<Rc<[Entry]>> {
        if let Some(entries) = self.entries.get() {
            return Ok(Rc::clone(entries));
        }
        let entries = self.directory.entries()?.into();
        Ok(Rc::clone(self.entries.get_or_init(|| entries)))
    }
}
