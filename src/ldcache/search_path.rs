//! The directories that are searched for libraries: those of ld.so.conf, then the built-in ones.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::conf::{self, Line};
use super::profile::{Format, Profile};
use crate::rootfs::{ContainerRoot, Directory, FileId, Kind, is_obstacle};

const CONF: &str = "/etc/ld.so.conf";
const HWCAPS: &str = "glibc-hwcaps";
/// Largest configuration file.
const MAX_CONF: u64 = 1 << 20;
/// Most configuration files; one that includes itself would otherwise be read for ever.
const MAX_CONFS: usize = 1024;
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
    root: &'r ContainerRoot,
    has_hwcaps: bool,
    has_types: bool,
    directories: VecDeque<Rc<LibraryDirectory>>,
    seen: HashSet<FileId>,
    hwcap_names: Vec<OsString>,
    confs: usize,
}

impl<'r> SearchPath<'r> {
    /// The directories of the root's configuration and the profile, after those of `first`.
    pub(super) fn new<'f>(
        root: &'r ContainerRoot,
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
        root: &'r ContainerRoot,
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
        if self.directories.len() >= MAX_DIRECTORIES {
            log::warn!(
                "{}: not searched, there are {MAX_DIRECTORIES} library directories before it",
                path.display()
            );
            return None;
        }
        if !self.seen.insert(directory.id().ok()?) {
            return None;
        }
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
        let mut names: Vec<_> = hwcaps
            .entries()
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.kind == Kind::Directory || entry.kind == Kind::Link)
            .map(|entry| entry.name)
            .filter(|name| !name.as_bytes().starts_with(b".") && !name.as_bytes().contains(&b':'))
            .collect();
        names.sort_unstable();
        for name in names {
            let path = parent.join(HWCAPS).join(&name);
            let Ok(directory) = self.root.directory(&path) else {
                continue;
            };
            self.hwcap_names.push(name.clone());
            self.push(&path, Some(directory), None, Some(name));
        }
    }

    fn add_conf(&mut self, file: &Path, depth: usize) {
        let text = match self.root.read(file, MAX_CONF) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return,
            Err(err) => {
                log::warn!("{}: not read: {err}", file.display());
                return;
            }
        };
        self.confs += 1;
        for line in text.split(|&byte| byte == b'\n') {
            match conf::parse_line(line) {
                Line::Blank => {}
                Line::Hwcap => log::debug!("{}: hwcap line ignored", file.display()),
                Line::Include(patterns) => {
                    for pattern in patterns {
                        self.include(file, OsStr::from_bytes(pattern), depth + 1);
                    }
                }
                Line::Directory(line) => self.add_line(line),
            }
        }
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
                log::warn!(
                    "{}: not read, files include each other more than {MAX_DEPTH} deep or there are more than {MAX_CONFS}",
                    file.display()
                );
                return;
            }
            self.add_conf(&file, depth);
        }
    }

    /// The files that a pattern stands for, in the order of their names, as glob(3) gives them.
    fn glob(&self, pattern: &Path) -> Vec<PathBuf> {
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

    fn list(&self, parent: &Path, pattern: &OsStr) -> Vec<PathBuf> {
        let entries = self.root.directory(parent).and_then(|it| it.entries());
        let mut names: Vec<_> = entries
            .unwrap_or_default()
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| conf::matches(pattern, name))
            .collect();
        names.sort_unstable();
        names.iter().map(|name| parent.join(name)).collect()
    }
}
