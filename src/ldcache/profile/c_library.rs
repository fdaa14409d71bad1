//! The root's C library, which contains its version in a banner, and its dynamic loader, which contains the built-in directories
//! as a sequence of strings.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::arch::all::memchr::One;

use super::CURRENT_MINOR;
use crate::elf::{ElfError, Endian, Head, Object, OpenFile};
use crate::ldcache::arch::Abi;
use crate::ldcache::is_failure;
use crate::rootfs::{Entry, FileId, Root};

/// The directories to search for `libc.so.6`; the last two include their multiarch subdirectories.
const LIBC_DIRECTORIES: [&str; 4] = ["/usr/lib64", "/lib64", "/usr/lib", "/lib"];
const LIBC: &str = "libc.so.6";
/// The maximum number of multiarch directories in one of them; Debian has a dozen architectures.
const MAX_MULTIARCH: usize = 16;
/// The maximum length of the banner.
const MAX_BANNER: usize = 256;

/// A `libc.so.6` of the root.
pub(super) struct Libc {
    pub(super) abi: Abi,
    pub(super) endian: Endian,
    /// The directory where it was found.
    directory: PathBuf,
    /// From `(` to the version number: `(Debian GLIBC 2.36-9) stable release version 2.36`.
    pub(super) banner: Vec<u8>,
    interpreter: PathBuf,
}

/// The properties of the dynamic loader.
#[derive(Default)]
pub(super) struct Loader {
    /// The built-in library directories.
    pub(super) directories: Option<Vec<PathBuf>>,
    pub(super) knows_hwcaps: bool,
}

impl Loader {
    /// Searches a piece of the loader for its properties; returns `Some` once all are found.
    fn learn(&mut self, bytes: &[u8], firsts: usize) -> Option<()> {
        let holds = |needle| find_iter(bytes, needle).next().is_some();
        self.knows_hwcaps |= holds(b"--glibc-hwcaps-mask") || holds(b"ld.so (");
        let is_row = |row: &Vec<PathBuf>| row.len() > 1;
        if !self.directories.as_ref().is_some_and(is_row) {
            let row = directory_row(bytes, firsts, 2);
            // A single directory counts only if there is no sequence at all.
            self.directories = row.or_else(|| {
                self.directories
                    .take()
                    .or_else(|| directory_row(bytes, firsts, 1))
            });
        }
        (self.knows_hwcaps && self.directories.as_ref().is_some_and(is_row)).then_some(())
    }
}

impl Libc {
    /// Reads a C library; `None` if it is not glibc. Fails if it cannot be read.
    fn read(root: &Root, directory: PathBuf) -> Result<Option<Self>, ElfError> {
        let (file, metadata) = root
            .open_file(&directory.join(LIBC))
            .map_err(ElfError::Io)?;
        let source = OpenFile::new(file, metadata.size);
        let mut head = Head::default();
        let object = Object::read(&source, &mut head)?;
        let (Some(interpreter), Some(offset)) =
            (object.interpreter()?, object.interpreter_offset())
        else {
            return Ok(None);
        };
        // In the libc of all distributions seen the banner is before the interpreter, by up to 220 KiB.
        let banner = object.find_constant_before(offset, find_banner)?;
        Ok(banner.map(|banner| Self {
            abi: Abi::of(&object),
            endian: object.endian(),
            directory,
            banner,
            interpreter: OsStr::from_bytes(&interpreter).into(),
        }))
    }

    /// Reads the loader that libc names, if it has libc's architecture.
    pub(super) fn read_loader(&self, root: &Root, problems: &mut Problems) -> Loader {
        let mut loader = Loader::default();
        let path = &self.interpreter;
        problems.note(path, self.learn_loader(root, &mut loader));
        loader
    }

    fn learn_loader(&self, root: &Root, loader: &mut Loader) -> Result<(), ElfError> {
        let (file, metadata) = root.open_file(&self.interpreter).map_err(ElfError::Io)?;
        let source = OpenFile::new(file, metadata.size);
        let mut head = Head::default();
        let object = Object::read(&source, &mut head)?;
        if (object.class(), object.machine(), object.endian())
            == (self.abi.class, self.abi.machine, self.endian)
        {
            object.find_constant(|bytes, firsts| loader.learn(bytes, firsts))?;
        }
        Ok(())
    }

    /// Returns the usual built-in directories, for a loader in which none were found.
    pub(super) fn usual_directories(&self) -> Vec<PathBuf> {
        let multiarch = self
            .directory
            .file_name()
            .filter(|_| is_multiarch(&self.directory));
        let own = multiarch
            .into_iter()
            .flat_map(|triplet| ["/lib", "/usr/lib"].map(|parent| Path::new(parent).join(triplet)));
        own.chain(["/lib".into(), "/usr/lib".into()]).collect()
    }
}

/// Whether all sources of the profile could be read.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) are_there: bool,
}

impl Problems {
    /// Returns the value of a file or directory, if it has one. Logs a warning if the file cannot be read.
    pub(super) fn note<T>(&mut self, path: &Path, result: Result<T, ElfError>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(ElfError::Io(err)) if is_failure(&err) => {
                let path = path.display();
                log::warn!(
                    "{path}: cannot be read, so the behaviour of the root's ldconfig is a guess: {err}"
                );
                self.are_there = true;
            }
            Err(err) => log::debug!("{}: skipped: {err}", path.display()),
        }
        None
    }
}

/// Returns all C libraries of the root, in search order.
pub(super) fn find_libcs(root: &Root, problems: &mut Problems) -> Vec<Libc> {
    let mut seen = Vec::new();
    let mut libcs = Vec::new();
    for path in LIBC_DIRECTORIES.map(Path::new) {
        let listed = list(root, path, &mut seen).map_err(ElfError::Io);
        let entries = problems.note(path, listed).unwrap_or_default();
        let mut directories: Vec<_> = entries
            .iter()
            .filter(|entry| is_triplet(&entry.name))
            .map(|entry| path.join(&entry.name))
            .collect();
        directories.sort_unstable();
        if directories.len() > MAX_MULTIARCH {
            let path = path.display();
            log::warn!(
                "{path}: more than {MAX_MULTIARCH} multiarch directories, the rest is skipped"
            );
            directories.truncate(MAX_MULTIARCH);
        }
        if entries.iter().any(|entry| entry.name == LIBC) {
            directories.insert(0, path.into());
        }
        for directory in directories {
            let file = directory.join(LIBC);
            let libc = Libc::read(root, directory);
            libcs.extend(problems.note(&file, libc).flatten());
        }
    }
    libcs
}

/// Returns the names in a directory, unless it was seen before: with a merged /usr, /lib is /usr/lib.
fn list(root: &Root, path: &Path, seen: &mut Vec<FileId>) -> io::Result<Vec<Entry>> {
    let directory = root.directory(path)?;
    let id = directory.id()?;
    if seen.contains(&id) {
        return Ok(Vec::new());
    }
    seen.push(id);
    directory.entries()
}

/// Returns the positions of the needle. memmem would first query the processor's features, which takes longer than the whole
/// search if a hypervisor intercepts the query.
fn find_iter(bytes: &[u8], needle: &'static [u8]) -> impl Iterator<Item = usize> {
    let first = needle.first().copied().unwrap_or_default();
    let is_there = move |&at: &usize| {
        let rest = bytes.get(at..);
        rest.is_some_and(|rest| rest.starts_with(needle))
    };
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + One::new(first).find(bytes.get(from..)?)?;
        from = at + 1;
        Some(at)
    })
    .filter(is_there)
}

/// Finds `GNU C Library (…) … release version 2.N` and returns it from the parenthesis on.
fn find_banner(bytes: &[u8], firsts: usize) -> Option<Vec<u8>> {
    const START: &[u8] = b"GNU C Library (";
    const VERSION: &[u8] = b"release version ";
    let mut starts = find_iter(bytes, START).take_while(|&start| start < firsts);
    starts.find_map(|start| {
        let from = start + START.len() - 1;
        let text = bytes.get(from..)?;
        let text = text.get(..MAX_BANNER).unwrap_or(text);
        let number = find_iter(text, VERSION).next()? + VERSION.len();
        let length = text
            .get(number..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count();
        let banner = text.get(..number + length)?;
        Some(banner.strip_suffix(b".").unwrap_or(banner).to_vec())
    })
}

/// Returns the first sequence of at least `least` NUL-terminated strings that name library directories with a trailing slash.
fn directory_row(bytes: &[u8], firsts: usize, least: usize) -> Option<Vec<PathBuf>> {
    let mut starts = find_iter(bytes, b"/lib").take_while(|&start| start < firsts);
    starts.find_map(|found| {
        let with_usr = found.checked_sub(4).filter(|&start| {
            bytes
                .get(start..)
                .is_some_and(|bytes| bytes.starts_with(b"/usr"))
        });
        let mut rest = bytes.get(with_usr.unwrap_or(found)..)?;
        let mut row = Vec::new();
        while let Some((directory, behind)) = split_directory(rest) {
            row.push(PathBuf::from(OsStr::from_bytes(directory)));
            rest = behind;
        }
        (row.len() >= least).then_some(row)
    })
}

/// Splits off a string like `/usr/lib64/` or `/lib/x86_64-linux-gnu/` and its NUL; returns it without the trailing slash.
fn split_directory(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const LONGEST: usize = 64;
    let end = bytes.iter().take(LONGEST).position(|&byte| byte == 0)?;
    let (string, behind) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let directory = string.strip_suffix(b"/")?;
    let inner = directory.strip_prefix(b"/usr").unwrap_or(directory);
    let mut parts = inner.strip_prefix(b"/lib")?.split(|&byte| byte == b'/');
    let qualifier = parts.next()?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let valid = qualifier
        .iter()
        .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        && parts
            .next()
            .is_none_or(|triplet| !triplet.is_empty() && triplet.iter().all(is_plain))
        && parts.next().is_none();
    valid.then_some((directory, behind))
}

/// Whether the path is like `/lib/x86_64-linux-gnu`.
pub(super) fn is_multiarch(path: &Path) -> bool {
    path.file_name().is_some_and(is_triplet)
}

fn is_triplet(name: &OsStr) -> bool {
    find_iter(name.as_bytes(), b"-linux-gnu").next().is_some()
}

/// Returns `N` of the version `2.N` at the end of the banner.
pub(super) fn minor_version(banner: &[u8]) -> u32 {
    let version = banner.rsplit(|&byte| byte == b' ').next();
    version
        .and_then(|version| std::str::from_utf8(version).ok())
        .and_then(|version| version.split('.').nth(1))
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(CURRENT_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_are_cut_behind_the_version() {
        for (text, banner, minor) in [
            (
                "..GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright",
                "(Debian GLIBC 2.36-9+deb12u14) stable release version 2.36",
                36,
            ),
            (
                "GNU C Library (GNU libc) stable release version 2.39 (git ID).\n",
                "(GNU libc) stable release version 2.39",
                39,
            ),
            (
                "GNU C Library (x) stable release version 2.17, by Roland McGrath et al.",
                "(x) stable release version 2.17",
                17,
            ),
        ] {
            let found = find_banner(text.as_bytes(), text.len()).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), banner);
            assert_eq!(minor_version(&found), minor);
        }
        assert_eq!(find_banner(b"GNU C Library (x) release version", 100), None);
    }

    #[test]
    fn directories_are_a_row_of_strings() {
        let row = |bytes: &[u8], least| {
            directory_row(bytes, bytes.len(), least).map(|row| {
                row.iter()
                    .map(|path| path.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
                    .join(":")
            })
        };
        let debian =
            b"\x80\x01/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\x05";
        assert_eq!(
            row(debian, 2).unwrap(),
            "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib:/usr/lib"
        );
        assert_eq!(row(b"/usr/lib/\0/lib64", 2), None);
        assert_eq!(row(b"/usr/lib/\0/lib64", 1).unwrap(), "/usr/lib");
        assert_eq!(
            row(b"/usr/lib/gcc/arm/\0/lib/\0/lib/a b/\0", 1).unwrap(),
            "/lib"
        );
    }
}
