//! A tree in which a driver's files are looked for, and what could not be read of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::ldcache::is_failure;
use crate::rootfs::{Entry, Metadata, Root};

/// Largest file of /proc and /sys that is read.
const MAX_PSEUDO_FILE: u64 = 1 << 20;

/// Something that may be there, and could not be read.
#[derive(Debug)]
pub struct Problem {
    /// Where, as the host sees it.
    pub path: PathBuf,
    /// Why not.
    pub error: io::Error,
}

/// All that could not be read.
#[derive(Default, Debug)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

/// A root directory, with the path that it has on the host: links that are followed in it stay inside.
pub(super) struct Tree<'p> {
    pub(super) root: Root,
    path: PathBuf,
    problems: &'p Problems,
    listed: RefCell<BTreeMap<PathBuf, Rc<[Entry]>>>,
}

impl Problems {
    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

impl<'p> Tree<'p> {
    /// The directory `path` of the host. Fails as well where nothing in it may be looked up.
    pub(super) fn open(host: &Root, path: &Path, problems: &'p Problems) -> io::Result<Self> {
        let root = host.open_root(path)?;
        root.stat(Path::new("/"))?;
        Ok(Self {
            root,
            path: Path::new("/").join(path),
            problems,
            listed: RefCell::default(),
        })
    }

    /// The path of this tree on the host.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path on the host of what is at `path` in this tree.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The path in this tree of a path that may be one of the host.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.path).unwrap_or(path))
    }

    /// The text of a file of /proc, /sys or /etc.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = path.as_ref();
        let bytes = self.noted(path, self.root.read(path, MAX_PSEUDO_FILE))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is in a directory, in no order.
    pub(super) fn entries(&self, path: impl AsRef<Path>) -> Vec<Entry> {
        let path = path.as_ref();
        let directory = self.root.directory(path);
        let entries = directory.and_then(|directory| directory.entries());
        self.noted(path, entries).unwrap_or_default()
    }

    /// The same, for directories that are asked for again and again: a distribution's library directory has thousands of names.
    pub(super) fn listed(&self, path: &Path) -> Rc<[Entry]> {
        if let Some(listed) = self.listed.borrow().get(path) {
            return Rc::clone(listed);
        }
        let entries: Rc<[Entry]> = self.entries(path).into();
        let mut listed = self.listed.borrow_mut();
        listed.insert(path.to_owned(), Rc::clone(&entries));
        entries
    }

    /// The names in a directory that begin so, with what is behind that.
    pub(super) fn numbered(&self, path: impl AsRef<Path>, start: &str) -> Vec<u32> {
        let entries = self.entries(path);
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        let mut numbers: Vec<_> = names
            .filter_map(|name| name.strip_prefix(start)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// What a path leads to.
    pub(super) fn stat(&self, path: impl AsRef<Path>) -> Option<Metadata> {
        let path = path.as_ref();
        self.noted(path, self.root.stat(path))
    }

    /// The value, or none and the reason noted, unless nothing is there.
    pub(super) fn noted<T>(&self, path: &Path, result: io::Result<T>) -> Option<T> {
        let note = |error: io::Error| {
            if is_failure(&error) || error.kind() == io::ErrorKind::FileTooLarge {
                self.note(path, error);
            }
        };
        result.map_err(note).ok()
    }

    /// Notes what is wrong with a path.
    pub(super) fn note(&self, path: &Path, error: io::Error) {
        let path = self.on_host(path);
        self.problems.0.borrow_mut().push(Problem { path, error });
    }
}
