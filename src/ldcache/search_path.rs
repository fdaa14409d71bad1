//! The search path for libraries: the directories of ld.so.conf, then the built-in ones.

mod configuration;

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::budget::Budget;
use super::driver_names;
use super::files::MAX_LIBRARIES;
use super::is_failure;
use super::precedence::{Owner, Owners};
use super::profile::{Format, Profile};
use crate::rootfs::{Directory, Entry, FileId, Kind, Root};

const CONF: &str = "/etc/ld.so.conf";
pub(super) const HWCAPS: &str = "glibc-hwcaps";
/// The maximum number of directories.
const MAX_DIRECTORIES: usize = 512;
/// The maximum number of directories that are kept open.
const MAX_HELD: usize = 2;

/// A directory to search.
pub(super) struct LibraryDirectory {
    /// The path in the cache.
    pub(super) path: PathBuf,
    /// The open directory.
    pub(super) directory: Arc<Directory>,
    /// Its entries, if it was listed before.
    pub(super) listed: Option<Vec<Entry>>,
    /// The C library that its line in ld.so.conf claims.
    pub(super) libc_flag: Option<u32>,
    /// Its name below `glibc-hwcaps`, if it is such a directory.
    pub(super) hwcap: Option<OsString>,
    /// The owner of its libraries.
    pub(super) owner: Owner,
}

/// The next place to search.
pub(super) enum Place {
    Directory(LibraryDirectory),
    /// A directory that cannot be read, or all directories of an unreadable part of the configuration.
    Unread(Option<PathBuf>),
}

/// A place in the queue. Only the first directories are kept open in it: a process may have fewer descriptors than there are
/// directories.
enum Queued {
    Directory {
        path: PathBuf,
        id: FileId,
        held: Option<Arc<Directory>>,
        libc_flag: Option<u32>,
        hwcap: Option<Hwcaps>,
    },
    Unread(Option<PathBuf>),
}

/// A directory below `glibc-hwcaps`.
#[derive(Clone)]
struct Hwcaps {
    name: OsString,
    /// The directory that contains `glibc-hwcaps`.
    parent: FileId,
}

/// All directories without repetitions, in the order in which they were found.
#[derive(Clone)]
pub struct SearchPath<'r> {
    root: &'r Root,
    budget: Rc<Budget>,
    has_hwcaps: bool,
    has_types: bool,
    queue: VecDeque<Rc<Queued>>,
    seen: FxHashSet<FileId>,
    /// The paths that were added: the configuration and the profile often contain the same ones.
    paths: HashSet<PathBuf>,
    /// The entries of the directories that were listed for the driver's version.
    listed: FxHashMap<FileId, Vec<Entry>>,
    hwcap_names: Vec<OsString>,
    conf: configuration::Bounds,
    owners: Owners,
}

impl<'r> SearchPath<'r> {
    /// Returns the search path of the root's own ldconfig.
    #[must_use]
    pub fn of(root: &'r Root) -> Self {
        Self::new(root, &Profile::of(root), &Rc::new(Budget::new()), [])
    }

    /// Returns the directories `first`, then those of the root's configuration and of the profile.
    pub(super) fn new<'f>(
        root: &'r Root,
        profile: &Profile,
        budget: &Rc<Budget>,
        first: impl IntoIterator<Item = &'f Path>,
    ) -> Self {
        let mut this = Self::of_directories(root, profile, budget, first);
        this.add_conf(Path::new(CONF), 0);
        for path in &profile.system_directories {
            this.add(path, None);
        }
        if !profile.is_certain {
            this.add_unread(None);
        }
        this
    }

    /// Returns a search path of these directories only.
    pub(super) fn of_directories<'f>(
        root: &'r Root,
        profile: &Profile,
        budget: &Rc<Budget>,
        directories: impl IntoIterator<Item = &'f Path>,
    ) -> Self {
        let mut this = Self {
            root,
            budget: Rc::clone(budget),
            has_hwcaps: profile.rules.format == Format::Extended,
            has_types: profile.rules.legacy,
            queue: VecDeque::new(),
            seen: FxHashSet::default(),
            paths: HashSet::new(),
            listed: FxHashMap::default(),
            hwcap_names: Vec::new(),
            conf: configuration::Bounds::default(),
            owners: Owners::default(),
        };
        for path in directories {
            this.add(path, None);
        }
        this
    }

    /// Whether the search path contains the directory, under any name.
    #[must_use]
    pub fn contains(&self, directory: FileId) -> bool {
        self.seen.contains(&directory)
    }

    /// Sets the directories that contain the driver's libraries. In the cache these precede others of the same name, except those
    /// in `preferred` directories.
    pub fn set_drivers(&mut self, drivers: Vec<(FileId, PathBuf)>, preferred: Vec<FileId>) {
        self.owners = Owners::new(preferred, drivers);
    }

    pub(super) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Determines the versions of the drivers in their directories.
    pub(super) fn find_driver_versions(&mut self) {
        let mut names_left = MAX_LIBRARIES;
        let mut versions = Vec::new();
        for (id, path) in self.owners.drivers() {
            let directory = match self.held(*id) {
                Some(directory) => Ok(directory),
                None => self.root.directory(path).map(Arc::new),
            };
            // Errors are left to the search, which reports them.
            let Ok(entries) = directory.and_then(|it| it.entries()) else {
                continue;
            };
            let files = entries.iter().filter(|it| it.kind == Kind::File);
            let version = driver_names::driver_version(files.map(|it| it.name.as_os_str()));
            versions.extend(version.map(OsStr::to_owned));
            if let Some(left) = names_left.checked_sub(entries.len()) {
                names_left = left;
                self.listed.insert(*id, entries);
            }
        }
        self.owners.add_versions(versions);
    }

    /// Returns the directory if it is kept open.
    fn held(&self, directory: FileId) -> Option<Arc<Directory>> {
        self.queue.iter().find_map(|queued| match queued.as_ref() {
            Queued::Directory { id, held, .. } if *id == directory => held.clone(),
            _ => None,
        })
    }

    /// Adds versions that were found elsewhere.
    pub(super) fn add_driver_versions(&mut self, versions: impl IntoIterator<Item = OsString>) {
        self.owners.add_versions(versions);
    }

    /// Returns the paths of the directories that are still to be searched.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.queue
            .iter()
            .filter_map(|queued| match queued.as_ref() {
                Queued::Directory { path, .. } => Some(path.as_path()),
                Queued::Unread(_) => None,
            })
    }

    /// Returns the time limit of the search.
    pub(super) fn budget(&self) -> Rc<Budget> {
        Rc::clone(&self.budget)
    }

    /// Returns the next place to search.
    pub(super) fn next(&mut self) -> Option<Place> {
        loop {
            let queued = self.queue.pop_front()?;
            let (path, id, held, libc_flag, hwcap) = match queued.as_ref() {
                Queued::Unread(path) => return Some(Place::Unread(path.clone())),
                Queued::Directory {
                    path,
                    id,
                    held,
                    libc_flag,
                    hwcap,
                } => (path, *id, held, *libc_flag, hwcap),
            };
            if self.budget.is_spent(path) {
                return Some(Place::Unread(Some(path.clone())));
            }
            let opened = match held {
                Some(directory) => Ok(Some(Arc::clone(directory))),
                None => self.reopen(path, id),
            };
            match opened {
                Ok(None) => {}
                Ok(Some(directory)) => {
                    return Some(Place::Directory(LibraryDirectory {
                        path: path.clone(),
                        directory,
                        listed: self.listed.remove(&id),
                        libc_flag,
                        hwcap: hwcap.as_ref().map(|it| it.name.clone()),
                        owner: self.owners.of(hwcap.as_ref().map_or(id, |it| it.parent)),
                    }));
                }
                Err(err) if is_failure(&err) => {
                    log::warn!("{}: not searched: {err}", path.display());
                    return Some(Place::Unread(Some(path.clone())));
                }
                Err(err) => log::debug!("{}: skipped: {err}", path.display()),
            }
        }
    }

    /// Reopens a directory. A directory that replaced it is searched instead, unless it has a place of its own.
    fn reopen(&mut self, path: &Path, id: FileId) -> io::Result<Option<Arc<Directory>>> {
        let directory = self.root.directory(path)?;
        let now = directory.id()?;
        if now != id {
            // The listing is of the other directory.
            self.listed.remove(&id);
        }
        Ok((now == id || self.seen.insert(now)).then(|| Arc::new(directory)))
    }

    /// Returns the names of all glibc-hwcaps directories, including empty ones.
    pub(super) fn hwcap_names(&self) -> &[OsString] {
        &self.hwcap_names
    }

    /// Appends a directory, unless the search path already contains it under another name.
    pub(super) fn add(&mut self, path: &Path, libc_flag: Option<u32>) {
        if self.paths.insert(path.to_owned())
            && let Some(directory) = self.open(path)
            && let Some(id) = self.push(path, &directory, libc_flag, None)
            && self.has_hwcaps
        {
            self.add_hwcaps(path, &directory, id);
        }
    }

    /// Opens a directory; queues it as unread if that fails.
    fn open(&mut self, path: &Path) -> Option<Arc<Directory>> {
        let opened = self.root.directory(path).map(Arc::new);
        opened.map_err(|err| self.queue_unread(path, &err)).ok()
    }

    /// Queues an unread place, unless it does not exist.
    fn queue_unread(&mut self, path: &Path, err: &io::Error) {
        if is_failure(err) {
            log::warn!("{}: not searched: {err}", path.display());
            self.add_unread(Some(path));
        }
    }

    fn add_unread(&mut self, path: Option<&Path>) {
        if self.queue.len() < 2 * MAX_DIRECTORIES {
            let unread = Queued::Unread(path.map(Path::to_owned));
            self.queue.push_back(Rc::new(unread));
        }
    }

    /// Appends a directory and returns its identity, if it is new.
    fn push(
        &mut self,
        path: &Path,
        directory: &Arc<Directory>,
        libc_flag: Option<u32>,
        hwcap: Option<Hwcaps>,
    ) -> Option<FileId> {
        let id = match directory.id() {
            Ok(id) if !self.seen.contains(&id) => id,
            Ok(_) => return None,
            Err(err) => {
                self.queue_unread(path, &err);
                return None;
            }
        };
        if self.seen.len() >= MAX_DIRECTORIES {
            // Logged once; reading more of the configuration would be useless.
            if mem::take(&mut self.conf.steps_left) > 0 {
                log::warn!(
                    "{}: not searched, there are {MAX_DIRECTORIES} library directories before it",
                    path.display()
                );
                self.add_unread(None);
            }
            return None;
        }
        self.seen.insert(id);
        self.queue.push_back(Rc::new(Queued::Directory {
            path: path.to_owned(),
            id,
            held: (self.queue.len() < MAX_HELD).then(|| Arc::clone(directory)),
            libc_flag,
            hwcap,
        }));
        Some(id)
    }

    /// Appends the subdirectories of the directory's `glibc-hwcaps`, sorted by name.
    fn add_hwcaps(&mut self, parent: &Path, directory: &Directory, parent_id: FileId) {
        let path = parent.join(HWCAPS);
        let hwcaps = match directory.stat(OsStr::new(HWCAPS)) {
            Ok(there) if matches!(there.kind, Kind::Directory | Kind::Link) => self.open(&path),
            Ok(_) => None,
            Err(err) => {
                self.queue_unread(&path, &err);
                None
            }
        };
        let Some(hwcaps) = hwcaps else { return };
        let mut names: Vec<_> = entries(&hwcaps, &path)
            .unwrap_or_else(|| {
                self.add_unread(Some(&path));
                Vec::new()
            })
            .into_iter()
            .filter(|entry| entry.kind == Kind::Directory || entry.kind == Kind::Link)
            .map(|entry| entry.name)
            .filter(|name| !name.as_bytes().starts_with(b".") && !name.as_bytes().contains(&b':'))
            .collect();
        names.sort_unstable();
        for name in names {
            if self.hwcap_names.len() >= MAX_DIRECTORIES {
                log::warn!("{}: more than {MAX_DIRECTORIES} names", path.display());
                return self.add_unread(Some(&path));
            }
            let path = path.join(&name);
            if let Some(directory) = self.open(&path) {
                self.hwcap_names.push(name.clone());
                let parent = parent_id;
                self.push(&path, &directory, None, Some(Hwcaps { name, parent }));
            }
        }
    }
}

/// Returns the names in a directory; `None`, with a warning, if they cannot be read.
fn entries(directory: &Directory, path: &Path) -> Option<Vec<Entry>> {
    directory
        .entries()
        .inspect_err(|err| log::warn!("{}: not read: {err}", path.display()))
        .ok()
}
