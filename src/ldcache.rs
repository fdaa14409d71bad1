//! `ld.so.cache`: reading it, and writing it as the root's own ldconfig would.
//!
//! [`mod@format`] is the file's format and does no input or output. The other parts follow the way of the data: what the root's C
//! library writes ([`profile`]), which directories are searched, what is found in them, in which order it is written.

mod alias;
pub mod arch;
mod budget;
mod candidate;
mod check;
pub mod conf;
pub mod display;
pub mod driver_names;
mod files;
pub mod format;
mod legacy_hwcaps;
mod library;
mod listing;
pub mod order;
mod parallel;
mod precedence;
mod previous;
pub mod profile;
mod scan;
mod search_path;
mod search_result;
mod wanted;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use rustc_hash::FxHasher;

use crate::rootfs::{ContainerRoot, Covered, Metadata, Root, is_not_there, is_read_only};
use budget::Budget;
use format::{CacheEntry, LdCache};
use precedence::Owner;
use profile::Profile;
use search_result::Library;
use wanted::Wanted;

pub use check::problems;
pub use search_path::SearchPath;

/// Where the cache is in a root.
pub const PATH: &str = "/etc/ld.so.cache";
/// The directory of the cache file.
const ETC: &str = "/etc";
/// Largest cache that is read; one with ten thousand libraries has 1 MiB.
const MAX_CACHE: u64 = 16 << 20;
/// Largest cache of a container in which a hook looks for the driver.
const MAX_SEARCHED: u64 = 2 << 20;
/// Most directories that a hook takes from it.
const MAX_DIRECTORIES: usize = 64;
/// Longest SONAME: a name in a directory.
const MAX_SONAME: usize = 255;
/// The cache file's name.
const CACHE: &str = "ld.so.cache";
const CACHE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// A root whose libraries are looked after as its own ldconfig would.
pub struct Ldconfig<'r> {
    root: &'r ContainerRoot,
    profile: Profile,
    budget: Rc<Budget>,
}

impl<'r> Ldconfig<'r> {
    /// Finds out what the root's ldconfig does.
    #[must_use]
    pub fn new(root: &'r ContainerRoot) -> Self {
        let budget = Budget::new();
        Self {
            root,
            profile: Profile::of(root),
            budget: Rc::new(budget),
        }
    }

    /// The directories that are searched: `first`, as if named on the command line, then those of ld.so.conf, then the built-in
    /// ones.
    #[must_use]
    pub fn search_path<'f>(&self, first: impl IntoIterator<Item = &'f Path>) -> SearchPath<'r> {
        SearchPath::new(self.root, &self.profile, &self.budget, first)
    }

    /// Makes the SONAME links in these directories, as `ldconfig -n` would, and leaves the cache as it is.
    pub fn link<'f>(&self, directories: impl IntoIterator<Item = &'f Path>) {
        self.link_wanted(directories, &Wanted::All);
    }

    /// Makes these SONAME links where ldconfig would: in whose directories lie libraries with the SONAMEs, in files whose names
    /// begin as these do. Nothing else is changed.
    pub fn link_sonames<'f>(&self, links: impl IntoIterator<Item = &'f Path>) {
        let mut directories: BTreeMap<&Path, HashSet<&OsStr>> = BTreeMap::new();
        for link in links {
            if let (Some(directory), Some(soname)) = (link.parent(), link.file_name()) {
                directories.entry(directory).or_default().insert(soname);
            }
        }
        if directories.len() > MAX_DIRECTORIES {
            log::warn!("SONAME links are missing in more than {MAX_DIRECTORIES} directories");
        }
        for (directory, sonames) in directories.into_iter().take(MAX_DIRECTORIES) {
            self.link_wanted([directory], &Wanted::sonames(&sonames));
        }
    }

    fn link_wanted<'f>(
        &self,
        directories: impl IntoIterator<Item = &'f Path>,
        wanted: &Wanted<'_>,
    ) {
        let mut search_path =
            SearchPath::of_directories(self.root, &self.profile, &self.budget, directories);
        let mut inputs = FxHasher::default();
        let (root, profile) = (self.root, &self.profile);
        scan::libraries(root, profile, &mut search_path, wanted, &mut inputs);
    }

    /// Makes the SONAME links in the directories and writes the cache, as ldconfig would, but for the driver's libraries where the
    /// search path has some: these come before others of the same name. Returns whether it was not right already.
    ///
    /// A cache that was written here has a mark, by which it is known to be right as long as nothing has changed that it depends
    /// on. Whoever forges a mark spoils the cache of his own container, as he could without it.
    pub fn update(&self, mut search_path: SearchPath<'_>) -> Result<bool> {
        let name = OsStr::new(CACHE);
        let etc = self
            .root
            .create_directory(Path::new(ETC))
            .with_context(|| format!("cannot open {ETC}"))?;
        let (root, profile) = (self.root, &self.profile);
        if let Ok((mark, metadata)) = etc.read_mark(name) {
            let mut inputs = self.inputs(&search_path);
            let mut search_path = search_path.clone();
            if scan::identity(root, profile, &mut search_path, &mut inputs)
                && mark == mark_of(&inputs, &metadata)
            {
                return Ok(false);
            }
        }
        let mut inputs = self.inputs(&search_path);
        search_path.find_driver_versions();
        let all = &Wanted::All;
        let mut found = scan::libraries(root, profile, &mut search_path, all, &mut inputs);
        previous::take_over(root, profile, &mut search_path, &mut found);
        let bytes = self.cache(&found.libraries, search_path.hwcap_names())?;
        // What keeps the cache from being complete may be gone at the next run, which has to look again.
        let written = if found.is_complete() {
            etc.write_marked(name, &bytes, CACHE_MODE, |metadata| {
                mark_of(&inputs, metadata)
            })
        } else {
            etc.write(name, &bytes, CACHE_MODE)
        };
        match written {
            Err(err) if is_fixed(&err) && self.root.needs_mount() => self.cover(&bytes, err),
            written => written,
        }
        .with_context(|| format!("cannot write {ETC}/{CACHE}"))
    }

    /// Mounts the new cache over the one that cannot be replaced, for this reason.
    fn cover(&self, bytes: &[u8], reason: io::Error) -> io::Result<bool> {
        match self.root.cover(Covered::LdCache, bytes, CACHE_MODE) {
            Err(err) => {
                if !is_not_there(&err) {
                    log::warn!("{PATH}: cannot mount a new one over it: {err}");
                }
                Err(reason)
            }
            covered => covered,
        }
    }

    /// Begins the hash of what the cache depends on.
    fn inputs(&self, search_path: &SearchPath<'_>) -> FxHasher {
        let mut inputs = FxHasher::default();
        env!("CARGO_PKG_VERSION").hash(&mut inputs);
        self.profile.hash(&mut inputs);
        search_path.hwcap_names().hash(&mut inputs);
        inputs
    }

    fn cache(&self, libraries: &[Library], hwcap_names: &[OsString]) -> Result<Vec<u8>> {
        let mut entries: Vec<_> = libraries.iter().map(Library::as_entry).collect();
        let char_is_signed = self.profile.arch.char_is_signed();
        order::sort(&mut entries, char_is_signed);
        if libraries.iter().any(|it| it.owner == Owner::Driver) {
            let others = libraries.iter().filter(|it| it.owner != Owner::Image);
            let owners = others.map(|it| (it.as_entry(), it.owner));
            let owners: HashMap<_, _> = owners.collect();
            let owner = |entry: &CacheEntry<'_>| *owners.get(entry).unwrap_or(&Owner::Image);
            precedence::move_drivers(&mut entries, char_is_signed, owner);
        }
        let cache = LdCache {
            format: self.profile.rules.format,
            endian: self.profile.endian,
            endian_flag: self.profile.rules.endian_flag,
            entries,
            generator: &self.profile.generator,
            hwcap_names: hwcap_names.iter().map(|name| name.as_bytes()).collect(),
        };
        cache.write().context("cannot make ld.so.cache")
    }
}

/// Whether a file cannot be replaced because of the mount that it lies on, or that lies over it.
fn is_fixed(err: &io::Error) -> bool {
    is_read_only(err) || err.kind() == io::ErrorKind::ResourceBusy
}

/// The mark of a cache file: that of its inputs and of itself. Renaming and marking the file change its ctime only.
fn mark_of(inputs: &FxHasher, cache: &Metadata) -> u64 {
    let mut inputs = inputs.clone();
    (cache.id.inode, cache.size, cache.modified).hash(&mut inputs);
    inputs.finish()
}

/// The bytes of the root's cache.
pub fn read(root: &Root) -> io::Result<Vec<u8>> {
    root.read(Path::new(PATH), MAX_CACHE)
}

/// The paths of the libraries that the root's cache names; empty where it has none that can be read.
#[must_use]
pub fn cached_paths(root: &Root) -> Vec<PathBuf> {
    let bytes = read_or_warn(root, MAX_CACHE);
    LdCache::parse(&bytes).map_or_else(
        |_| Vec::new(),
        |cache| {
            let path = |entry: &CacheEntry<'_>| OsStr::from_bytes(entry.path).into();
            cache.entries.iter().map(path).collect()
        },
    )
}

/// The directories of the root's cache in which files lie whose names `is_wanted`, each of them once; empty where it has none that
/// can be read. Its author may let all entries share one long path, so that no path is copied before it is wanted.
#[must_use]
pub fn cached_directories(root: &Root, is_wanted: impl Fn(&OsStr) -> bool) -> Vec<PathBuf> {
    let bytes = read_or_warn(root, MAX_SEARCHED);
    let Ok(cache) = LdCache::parse(&bytes) else {
        return Vec::new();
    };
    let mut directories: Vec<PathBuf> = Vec::new();
    let paths = cache.entries.iter().map(|entry| entry.path);
    for path in paths.map(|path| Path::new(OsStr::from_bytes(path))) {
        if let (Some(directory), Some(name)) = (path.parent(), path.file_name())
            && directories.len() < MAX_DIRECTORIES
            && is_wanted(name)
            && !directories.iter().any(|it| it == directory)
        {
            directories.push(directory.to_owned());
        }
    }
    directories
}

/// The bytes of the root's cache; none where it has none, or one that is larger. A warning says that it cannot be read.
fn read_or_warn(root: &Root, limit: u64) -> Vec<u8> {
    root.read(Path::new(PATH), limit)
        .inspect_err(|err| {
            if is_failure(err) {
                log::warn!("{PATH}: not looked into: {err}");
            }
        })
        .unwrap_or_default()
}

/// Whether something may be there that could not be read: it is neither missing nor of another kind, nor larger than what is read.
pub(crate) fn is_failure(err: &io::Error) -> bool {
    /// What is no file, no link, or nothing to be opened.
    const OTHER_KIND: [Errno; 3] = [Errno::EISDIR, Errno::EINVAL, Errno::ENXIO];
    match err.raw_os_error() {
        Some(errno) => !is_not_there(err) && OTHER_KIND.iter().all(|&other| errno != other as i32),
        None => err.kind() == io::ErrorKind::Other,
    }
}

/// A SONAME becomes the name of a link and is printed: it must be a plain file name. The error ends a sentence
/// that begins with "its SONAME".
pub fn check_soname(soname: &[u8]) -> Result<(), &'static str> {
    match soname {
        b"" => Err("is empty"),
        b"." | b".." => Err("is a directory"),
        name if name.len() > MAX_SONAME => Err("is longer than 255 bytes"),
        name if name.contains(&b'/') => Err("has a slash in it"),
        name if name.iter().any(u8::is_ascii_control) => Err("has a control character in it"),
        _ => Ok(()),
    }
}

/// Whether the path may be that of a SONAME link: its last name is one of a library.
#[must_use]
pub fn may_be_soname(path: &Path) -> bool {
    library::stem(path).is_some()
}
