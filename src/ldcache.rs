//! `ld.so.cache`: reads it, and writes it as the root's own ldconfig would.
//!
//! [`mod@format`] is the file's format and does no I/O. The other modules follow the data: the conventions of the root's C
//! library ([`profile`]), the search path, the libraries in it, and their order in the cache.

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

/// The path of the cache in a root.
pub const PATH: &str = "/etc/ld.so.cache";
/// The directory of the cache file.
const ETC: &str = "/etc";
/// The maximum size of a cache; one with ten thousand libraries has 1 MiB.
const MAX_CACHE: u64 = 16 << 20;
/// The maximum size of a container's cache in which a hook searches for the driver.
const MAX_SEARCHED: u64 = 2 << 20;
/// The maximum number of directories that a hook reads from it.
const MAX_DIRECTORIES: usize = 64;
/// The maximum length of a SONAME: that of a file name.
const MAX_SONAME: usize = 255;
/// The name of the cache file.
const CACHE: &str = "ld.so.cache";
const CACHE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// A root, with the operations of its own ldconfig.
pub struct Ldconfig<'r> {
    root: &'r ContainerRoot,
    profile: Profile,
    budget: Rc<Budget>,
}

impl<'r> Ldconfig<'r> {
    /// Determines the conventions of the root's ldconfig.
    #[must_use]
    pub fn new(root: &'r ContainerRoot) -> Self {
        let budget = Budget::new();
        Self {
            root,
            profile: Profile::of(root),
            budget: Rc::new(budget),
        }
    }

    /// Returns the search path: `first`, as if named on the command line, then the directories of ld.so.conf, then the built-in
    /// ones.
    #[must_use]
    pub fn search_path<'f>(&self, first: impl IntoIterator<Item = &'f Path>) -> SearchPath<'r> {
        SearchPath::new(self.root, &self.profile, &self.budget, first)
    }

    /// Creates the SONAME links in these directories, as `ldconfig -n` would; the cache stays.
    pub fn link<'f>(&self, directories: impl IntoIterator<Item = &'f Path>) {
        self.link_wanted(directories, &Wanted::All);
    }

    /// Creates these SONAME links, as ldconfig would: only if their directories contain libraries with the SONAMEs, in files with
    /// a matching name. Nothing else changes.
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

    /// Creates the SONAME links in the search path and writes the cache, as ldconfig would, except that the driver's libraries
    /// precede others of the same name. Returns whether the cache changed. Fails if it cannot be written.
    ///
    /// The cache gets a mark, which shows that it is current as long as nothing that it depends on has changed. Whoever forges a
    /// mark damages the cache of their own container, which is possible without a mark as well.
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
        // The reason for an incomplete cache may be gone at the next run, which must search again.
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

    /// Begins the hash of the cache's inputs.
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

/// Whether a file cannot be replaced because of its mount, or because it is a mount point.
fn is_fixed(err: &io::Error) -> bool {
    is_read_only(err) || err.kind() == io::ErrorKind::ResourceBusy
}

/// Returns the mark of a cache file: a hash of its inputs and its metadata. Renaming and marking the file change its ctime only.
fn mark_of(inputs: &FxHasher, cache: &Metadata) -> u64 {
    let mut inputs = inputs.clone();
    (cache.id.inode, cache.size, cache.modified).hash(&mut inputs);
    inputs.finish()
}

/// Returns the bytes of the root's cache. Fails if it cannot be read.
pub fn read(root: &Root) -> io::Result<Vec<u8>> {
    root.read(Path::new(PATH), MAX_CACHE)
}

/// Returns the paths of the libraries in the root's cache; empty without a readable cache.
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

/// Returns the directories in the root's cache with a file name that `is_wanted`, without repetitions; empty without a readable
/// cache. Paths are copied only if wanted, since an image's author may let all entries share one long path.
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

/// Returns the bytes of the root's cache; empty if there is none or a larger one. Logs a warning if it cannot be read.
fn read_or_warn(root: &Root, limit: u64) -> Vec<u8> {
    root.read(Path::new(PATH), limit)
        .inspect_err(|err| {
            if is_failure(err) {
                log::warn!("{PATH}: not read: {err}");
            }
        })
        .unwrap_or_default()
}

/// Whether a file may exist but could not be read: it is neither missing, nor of another type, nor too large.
pub(crate) fn is_failure(err: &io::Error) -> bool {
    /// The errors for a file of another type.
    const OTHER_KIND: [Errno; 3] = [Errno::EISDIR, Errno::EINVAL, Errno::ENXIO];
    match err.raw_os_error() {
        Some(errno) => !is_not_there(err) && OTHER_KIND.iter().all(|&other| errno != other as i32),
        None => err.kind() == io::ErrorKind::Other,
    }
}

/// Checks that a SONAME is a plain file name, since it becomes the name of a link and is printed. The error completes a sentence
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

/// Whether the path may be that of a SONAME link: its last component is a library name.
#[must_use]
pub fn may_be_soname(path: &Path) -> bool {
    library::stem(path).is_some()
}
