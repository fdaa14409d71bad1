//! The directories that are searched for libraries: those of ld.so.conf, then the built-in ones.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::conf::{self, Line};
use super::profile::{Format, Profile};
use crate::rootfs::{Directory, Entry, FileId, Kind, Root, is_obstacle};

const CONF: &str = "/etc/ld.so.conf";
const HWCAPS: &str = "glibc-hwcaps";
/// Most configuration, in bytes, of all files together.
const MAX_CONF: u64 = 1 << 20;
/// Most configuration files; one that includes itself would otherwise be read for ever.
const MAX_CONFS: usize = 1024;
/// Most lines, patterns, and names that are compared with a pattern.
const MAX_STEPS: usize = 1 << 14;
/// Longest component of a pattern, which is compared with many names.
const MAX_PATTERN: usize = 255;
/// Deepest nesting of `include`.
const MAX_DEPTH: usize = 16;
/// Most directories; each is held open until it has been searched.
const MAX_DIRECTORIES: usize = 512;

/// A directory to search.
pub struct LibraryDirectory {
    /// The path as it enters the cache.
    pub path: PathBuf,
    /// The open directory.
    pub directory: Directory,
    /// The C library that its line in ld.so.conf claims.
    pub(super) libc_flag: Option<u32>,
    /// Its name below `glibc-hwcaps`, if it is one of these.
    pub(super) hwcap: Option<OsString>,
}

/// All directories, each of them once, in the order in which they were found.
#[derive(Clone)]
pub struct SearchPath<'r> {
    root: &'r Root,
    has_hwcaps: bool,
    has_types: bool,
    directories: VecDeque<Rc<LibraryDirectory>>,
    seen: HashSet<FileId>,
    hwcap_names: Vec<OsString>,
    confs: usize,
    bytes_left: u64,
    steps_left: usize,
    /// Whether a warning told that files include each other.
    is_nested: bool,
}

impl<'r> SearchPath<'r> {
    /// The directories that the root's own ldconfig searches.
    #[must_use]
    pub fn of(root: &'r Root) -> Self {
        Self::new(root, &Profile::of(root), [])
    }

    /// The directories of the root's configuration and the profile, after those of `first`.
    pub(super) fn new<'f>(
        root: &'r Root,
        profile: &Profile,
        first: impl IntoIterator<Item = &'f Path>,
    ) -> Self {
        let mut this = Self::only(root, profile, first);
        this.add_conf(Path::new(CONF), 0);
        for path in &profile.system_directories {
            this.add(path, None);
        }
        this
    }

    /// These directories, and no others.
    pub(super) fn only<'f>(
        root: &'r Root,
        profile: &Profile,
        directories: impl IntoIterator<Item = &'f Path>,
    ) -> Self {
        let mut this = Self {
            root,
            has_hwcaps: profile.rules.format == Format::Extended,
            has_types: profile.rules.legacy,
            directories: VecDeque::new(),
            seen: HashSet::new(),
            hwcap_names: Vec::new(),
            confs: 0,
            bytes_left: MAX_CONF,
            steps_left: MAX_STEPS,
            is_nested: false,
        };
        for path in directories {
            this.add(path, None);
        }
        this
    }

    /// Whether the directory is one of them, under whatever name.
    #[must_use]
    pub fn contains(&self, directory: &Directory) -> bool {
        directory.id().is_ok_and(|id| self.seen.contains(&id))
    }

    /// The directories that are still to be searched.
    pub fn directories(&self) -> impl Iterator<Item = &LibraryDirectory> {
        self.directories.iter().map(Rc::as_ref)
    }

    /// The next directory to search.
    pub(super) fn next(&mut self) -> Option<Rc<LibraryDirectory>> {
        self.directories.pop_front()
    }

    /// Names of all glibc-hwcaps directories that were seen, of empty ones, too.
    pub(super) fn hwcap_names(&self) -> &[OsString] {
        &self.hwcap_names
    }

    /// Adds a directory at the end, unless it is one of those before under another name.
    pub(super) fn add(&mut self, path: &Path, libc_flag: Option<u32>) {
        let opened = self.root.directory(path).inspect_err(|err| {
            if is_obstacle(err) {
                log::warn!("{}: not searched: {err}", path.display());
            }
        });
        if let Some(directory) = self.push(path, opened.ok(), libc_flag, None)
            && self.has_hwcaps
        {
            self.add_hwcaps(path, &directory);
        }
    }

    /// Returns the listed `glibc-hwcaps` directory inside of a directory that is new.
    fn push(
        &mut self,
        path: &Path,
        directory: Option<Directory>,
        libc_flag: Option<u32>,
        hwcap: Option<OsString>,
    ) -> Option<Directory> {
        let directory = directory?;
        let id = directory.id().ok()?;
        if self.seen.contains(&id) {
            return None;
        }
        if self.seen.len() >= MAX_DIRECTORIES {
            // Said once; more of the configuration would be of no use.
            if mem::take(&mut self.steps_left) > 0 {
                log::warn!(
                    "{}: not searched, there are {MAX_DIRECTORIES} library directories before it",
                    path.display()
                );
            }
            return None;
        }
        self.seen.insert(id);
        let inner = if self.has_hwcaps && hwcap.is_none() {
            self.open_hwcaps(path, &directory)
        } else {
            None
        };
        self.directories.push_back(Rc::new(LibraryDirectory {
            path: path.to_owned(),
            directory,
            libc_flag,
            hwcap,
        }));
        inner
    }

    fn open_hwcaps(&self, path: &Path, directory: &Directory) -> Option<Directory> {
        match Kind::of(&directory.stat(OsStr::new(HWCAPS)).ok()?) {
            Kind::Directory | Kind::Link => self.root.directory(&path.join(HWCAPS)).ok(),
            _ => None,
        }
    }

    /// Adds the directories inside of a `glibc-hwcaps` directory, in the order of their names.
    fn add_hwcaps(&mut self, parent: &Path, hwcaps: &Directory) {
        let path = parent.join(HWCAPS);
        let mut names: Vec<_> = entries(hwcaps, &path)
            .into_iter()
            .filter(|entry| entry.kind == Kind::Directory || entry.kind == Kind::Link)
            .map(|entry| entry.name)
            .filter(|name| !name.as_bytes().starts_with(b".") && !name.as_bytes().contains(&b':'))
            .collect();
        names.sort_unstable();
        for name in names {
            if self.hwcap_names.len() >= MAX_DIRECTORIES {
                log::warn!("{}: more than {MAX_DIRECTORIES} names", path.display());
                return;
            }
            let path = path.join(&name);
            let Ok(directory) = self.root.directory(&path) else {
                continue;
            };
            self.hwcap_names.push(name.clone());
            self.push(&path, Some(directory), None, Some(name));
        }
    }

    fn add_conf(&mut self, file: &Path, depth: usize) {
        let text = match self.root.read(file, self.bytes_left) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => return,
            Err(err) if err.kind() == ErrorKind::FileTooLarge => {
                log::warn!(
                    "{}: not read, and nothing behind it, the configuration is larger than {MAX_CONF} bytes",
                    file.display()
                );
                self.steps_left = 0;
                return;
            }
            Err(err) => {
                log::warn!("{}: not read: {err}", file.display());
                return;
            }
        };
        self.confs += 1;
        self.bytes_left = self.bytes_left.saturating_sub(text.len() as u64);
        for line in text.split(|&byte| byte == b'\n') {
            match conf::parse_line(line) {
                Line::Blank => {}
                Line::Hwcap => log::debug!("{}: hwcap line ignored", file.display()),
                Line::Include(patterns) => {
                    for pattern in patterns {
                        if !self.spend(1, file) {
                            return;
                        }
                        self.include(file, OsStr::from_bytes(pattern), depth + 1);
                    }
                }
                Line::Directory(line) => {
                    if !self.spend(1, file) {
                        return;
                    }
                    self.add_line(line);
                }
            }
        }
    }

    /// Whether so many steps are left; says once that they are not.
    fn spend(&mut self, steps: usize, file: &Path) -> bool {
        if self.steps_left == 0 {
            return false;
        }
        self.steps_left = self.steps_left.saturating_sub(steps);
        if self.steps_left == 0 {
            log::warn!(
                "{}: the rest of the configuration is not read, it has more than {MAX_STEPS} lines, patterns and names",
                file.display()
            );
        }
        self.steps_left > 0
    }

    fn add_line(&mut self, line: &[u8]) {
        let (directory, libc_flag) = if self.has_types {
            conf::split_type(line)
        } else {
            (line, None)
        };
        let path = conf::trim_directory(directory);
        if !path.is_empty() {
            self.add(Path::new(OsStr::from_bytes(path)), libc_flag);
        }
    }

    fn include(&mut self, from: &Path, pattern: &OsStr, depth: usize) {
        let pattern = conf::base_of(from).join(pattern);
        for file in self.glob(&pattern) {
            if depth > MAX_DEPTH || self.confs >= MAX_CONFS {
                if !mem::replace(&mut self.is_nested, true) {
                    log::warn!(
                        "{}: not read, files include each other more than {MAX_DEPTH} deep or there are more than {MAX_CONFS}",
                        file.display()
                    );
                }
                return;
            }
            self.add_conf(&file, depth);
        }
    }

    /// The files that a pattern stands for, in the order of their names, as glob(3) gives them.
    fn glob(&mut self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::new()];
        for component in pattern {
            if !conf::is_pattern(component) {
                for path in &mut found {
                    path.push(component);
                }
                continue;
            }
            found = found
                .iter()
                .flat_map(|parent| self.list(parent, component))
                .take(MAX_CONFS)
                .collect();
        }
        found
    }

    fn list(&mut self, parent: &Path, pattern: &OsStr) -> Vec<PathBuf> {
        let Ok(directory) = self.root.directory(parent) else {
            return Vec::new();
        };
        let entries = entries(&directory, parent);
        if pattern.len() > MAX_PATTERN || !self.spend(entries.len() + 1, parent) {
            return Vec::new();
        }
        let mut names: Vec<_> = entries
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| conf::matches(pattern, name))
            .collect();
        names.sort_unstable();
        names.iter().map(|name| parent.join(name)).collect()
    }
}

/// The names in a directory; where they cannot be told there are none.
fn entries(directory: &Directory, path: &Path) -> Vec<Entry> {
    directory.entries().unwrap_or_else(|err| {
        log::warn!("{}: not looked into: {err}", path.display());
        Vec::new()
    })
}
