//! What the root's own ldconfig would do: architecture, built-in directories, and what its version of glibc writes.
//!
//! All of it is read from the root's `libc.so.6` and dynamic loader, without running them. libc holds its version in a banner;
//! the loader holds the built-in directories as a row of strings.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::arch::{Abi, Arch};
use crate::elf::{Class, Endian, Head, Object, OpenFile};
use crate::rootfs::ContainerRoot;

/// Everything that the cache depends on beside the files themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The family of machines.
    pub arch: Arch,
    /// The word size of ldconfig itself.
    pub class: Class,
    /// The byte order of the cache.
    pub endian: Endian,
    /// What this glibc reads and writes.
    pub rules: Rules,
    /// The text by which a cache says who wrote it.
    pub generator: Vec<u8>,
    /// The directories that are searched after those of ld.so.conf, in this order; any of them may be missing.
    pub system_directories: Vec<PathBuf>,
}

/// The arrangement of a cache file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// `ld.so-1.7.0` with the new format behind it: glibc up to 2.31.
    Compat,
    /// `glibc-ld.so.cache1.1` alone: glibc 2.32.
    New,
    /// The same with shared strings and extensions, for glibc-hwcaps directories: since glibc 2.33.
    Extended,
}

/// What changed from one glibc to the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the changes are independent of each other"
)]
pub struct Rules {
    /// The cache's arrangement.
    pub format: Format,
    /// The header tells the byte order.
    pub endian_flag: bool,
    /// glibc-hwcaps entries hold the ISA level that the library needs.
    pub isa_level: bool,
    /// Entries hold the kernel version that the library needs.
    pub os_version: bool,
    /// Directories named after processors are searched, `dir=TYPE` lines are obeyed, and a library's C library is looked at.
    pub legacy: bool,
    /// `ld.so.*` and `ld64.so.*` are libraries' names, too.
    pub loader_names: bool,
    /// Names of half-installed files are passed over.
    pub skip_temporary: bool,
    /// A string table outside the first loaded segment is not found.
    pub naive_strings: bool,
    /// An existing link of the dynamic loader is never changed.
    pub keep_loader_links: bool,
}

/// What tells one glibc from another.
#[derive(Clone, Copy, Default)]
struct Glibc {
    /// `N` of version `2.N`.
    minor: u32,
    /// Debian's own build: its 2.31 writes the format of 2.32.
    is_debian: bool,
    /// Its loader knows glibc-hwcaps, by version or because they were backported, as in RHEL 8.
    knows_hwcaps: bool,
    /// Its built-in directories are multiarch ones, as with Debian's patches.
    is_multiarch: bool,
}

/// A `libc.so.6` of the root.
struct Libc {
    abi: Abi,
    endian: Endian,
    /// Directory in which it was found.
    directory: PathBuf,
    /// From `(` to the version number: `(Debian GLIBC 2.36-9) stable release version 2.36`.
    banner: Vec<u8>,
    interpreter: PathBuf,
}

/// What the dynamic loader tells.
#[derive(Default)]
struct Loader {
    /// The built-in library directories.
    directories: Option<Vec<PathBuf>>,
    knows_hwcaps: bool,
}

impl Loader {
    /// Looks for what is known of a loader in a piece of it; returns something when nothing is left to look for.
    fn learn(&mut self, bytes: &[u8], firsts: usize) -> Option<()> {
        let holds = |needle: &[u8]| memmem::find(bytes, needle).is_some();
        self.knows_hwcaps |= holds(b"--glibc-hwcaps-mask") || holds(b"ld.so (");
        let is_row = |row: &Vec<PathBuf>| row.len() > 1;
        if !self.directories.as_ref().is_some_and(is_row) {
            let row = directory_row(bytes, firsts, 2);
            // One directory alone counts where there is no row at all.
            self.directories = row.or_else(|| {
                self.directories
                    .take()
                    .or_else(|| directory_row(bytes, firsts, 1))
            });
        }
        (self.knows_hwcaps && self.directories.as_ref().is_some_and(is_row)).then_some(())
    }
}

/// Where a `libc.so.6` is looked for, together with the multiarch directories in the last two.
const LIBC_DIRECTORIES: [&str; 4] = ["/usr/lib64", "/lib64", "/usr/lib", "/lib"];
/// The ldconfig that tells which of several C libraries is the system's own.
const LDCONFIG: &str = "/sbin/ldconfig";
/// Longest banner.
const MAX_BANNER: usize = 256;
/// The glibc whose ways are taken where there is none.
const CURRENT_MINOR: u32 = 43;
const NATIVE_MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    goblin::elf::header::EM_AARCH64
} else {
    goblin::elf::header::EM_X86_64
};

/// Goblin's byte order has no hash of its own.
impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.arch, self.class, self.rules).hash(state);
        (self.endian == Endian::Little).hash(state);
        (&self.generator, &self.system_directories).hash(state);
    }
}

impl Profile {
    /// The profile of the root. Without a glibc in it: this program's own architecture, the format of a current glibc, and
    /// upstream's directories.
    #[must_use]
    pub fn of(root: &ContainerRoot) -> Self {
        let mut libcs = find_libcs(root);
        if libcs.len() > 1 {
            let machine = machine_of(root, Path::new(LDCONFIG));
            // The first one stays first among equals.
            libcs.sort_by_key(|libc| {
                (
                    Some(libc.abi.machine) != machine,
                    libc.abi.class != Class::Bits64,
                )
            });
        }
        libcs
            .first()
            .map_or_else(Self::without_glibc, |libc| Self::of_libc(root, libc))
    }

    fn without_glibc() -> Self {
        let abi = Abi {
            class: Class::Bits64,
            machine: NATIVE_MACHINE,
            flags: 0,
        };
        let glibc = Glibc {
            minor: CURRENT_MINOR,
            ..Glibc::default()
        };
        let generator = concat!("nvidia-ctk ", env!("CARGO_PKG_VERSION")).into();
        let upstream = ["/lib".into(), "/usr/lib".into()];
        Self::new(abi, Endian::default(), glibc, generator, &upstream)
    }

    fn of_libc(root: &ContainerRoot, libc: &Libc) -> Self {
        let loader = libc.read_loader(root);
        let built_in = loader
            .directories
            .unwrap_or_else(|| libc.usual_directories());
        let glibc = Glibc {
            minor: minor_version(&libc.banner),
            is_debian: libc.banner.starts_with(b"(Debian"),
            knows_hwcaps: loader.knows_hwcaps,
            is_multiarch: built_in.first().is_some_and(|first| is_multiarch(first)),
        };
        let generator = [b"ldconfig ", libc.banner.as_slice()].concat();
        Self::new(libc.abi, libc.endian, glibc, generator, &built_in)
    }

    fn new(
        abi: Abi,
        endian: Endian,
        glibc: Glibc,
        generator: Vec<u8>,
        built_in: &[PathBuf],
    ) -> Self {
        let arch = Arch::of(abi.machine);
        let siblings = if glibc.is_multiarch {
            &[]
        } else {
            arch.sibling_directories(abi.class, glibc.minor)
        };
        Self {
            arch,
            class: abi.class,
            endian,
            rules: Rules::of(glibc),
            generator,
            system_directories: built_in
                .iter()
                .flat_map(|directory| with_siblings(directory, siblings))
                .collect(),
        }
    }
}

impl Rules {
    fn of(glibc: Glibc) -> Self {
        let Glibc {
            minor,
            is_debian,
            knows_hwcaps,
            is_multiarch,
        } = glibc;
        let extended = minor >= 33 || knows_hwcaps;
        let debian_11 = minor == 31 && is_debian;
        Self {
            format: if extended {
                Format::Extended
            } else if minor == 32 || debian_11 {
                Format::New
            } else {
                Format::Compat
            },
            endian_flag: extended || debian_11,
            isa_level: minor >= 33,
            os_version: minor < 36,
            legacy: minor <= 36,
            loader_names: minor >= 34,
            skip_temporary: minor >= 39,
            naive_strings: minor < 31 && !knows_hwcaps,
            keep_loader_links: is_multiarch,
        }
    }
}

impl Libc {
    fn read(root: &ContainerRoot, directory: PathBuf) -> Option<Self> {
        let (file, stat) = root.open_file(&directory.join("libc.so.6")).ok()?;
        let source = OpenFile::new(file, &stat);
        let mut head = Head::default();
        let object = Object::read(&source, &mut head).ok()?;
        let banner = object.find_constant(find_banner)?;
        let interpreter = object.interpreter().ok()??;
        Some(Self {
            abi: Abi::of(&object),
            endian: object.endian(),
            directory,
            banner,
            interpreter: OsStr::from_bytes(&interpreter).into(),
        })
    }

    /// Reads the loader that libc names, if that one is of libc's own kind.
    fn read_loader(&self, root: &ContainerRoot) -> Loader {
        let mut loader = Loader::default();
        let Ok((file, stat)) = root.open_file(&self.interpreter) else {
            return loader;
        };
        let source = OpenFile::new(file, &stat);
        let mut head = Head::default();
        let Ok(object) = Object::read(&source, &mut head) else {
            return loader;
        };
        if (object.class(), object.machine(), object.endian())
            == (self.abi.class, self.abi.machine, self.endian)
        {
            object.find_constant(|bytes, firsts| loader.learn(bytes, firsts));
        }
        loader
    }

    /// The built-in directories of a loader that does not tell them.
    fn usual_directories(&self) -> Vec<PathBuf> {
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

fn find_libcs(root: &ContainerRoot) -> Vec<Libc> {
    let mut seen = Vec::new();
    let mut libcs = Vec::new();
    for path in LIBC_DIRECTORIES.map(Path::new) {
        let Ok(directory) = root.directory(path) else {
            continue;
        };
        // With a merged /usr, /lib is /usr/lib.
        let Ok(id) = directory.id() else { continue };
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        let Ok(entries) = directory.entries() else {
            continue;
        };
        if entries.iter().any(|entry| entry.name == "libc.so.6") {
            libcs.extend(Libc::read(root, path.into()));
        }
        let mut multiarch: Vec<_> = entries
            .into_iter()
            .filter(|entry| is_triplet(&entry.name))
            .map(|entry| path.join(entry.name))
            .collect();
        multiarch.sort_unstable();
        libcs.extend(
            multiarch
                .into_iter()
                .filter_map(|path| Libc::read(root, path)),
        );
    }
    libcs
}

fn machine_of(root: &ContainerRoot, path: &Path) -> Option<u16> {
    let (file, stat) = root.open_file(path).ok()?;
    let source = OpenFile::new(file, &stat);
    let mut head = Head::default();
    Object::read(&source, &mut head)
        .ok()
        .map(|object| object.machine())
}

/// Finds `GNU C Library (…) … release version 2.N` and returns it from the parenthesis on.
fn find_banner(bytes: &[u8], firsts: usize) -> Option<Vec<u8>> {
    const START: &[u8] = b"GNU C Library (";
    const VERSION: &[u8] = b"release version ";
    let mut starts = memmem::find_iter(bytes, START).take_while(|&start| start < firsts);
    starts.find_map(|start| {
        let from = start + START.len() - 1;
        let text = bytes.get(from..)?;
        let text = text.get(..MAX_BANNER).unwrap_or(text);
        let number = memmem::find(text, VERSION)? + VERSION.len();
        let length = text
            .get(number..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count();
        let banner = text.get(..number + length)?;
        Some(banner.strip_suffix(b".").unwrap_or(banner).to_vec())
    })
}

/// `N` of the version `2.N` at the end of the banner.
fn minor_version(banner: &[u8]) -> u32 {
    let version = banner.rsplit(|&byte| byte == b' ').next();
    version
        .and_then(|version| std::str::from_utf8(version).ok())
        .and_then(|version| version.split('.').nth(1))
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(CURRENT_MINOR)
}

/// The first run of at least `least` strings with a NUL behind each that name library directories with a slash at the end.
fn directory_row(bytes: &[u8], firsts: usize, least: usize) -> Option<Vec<PathBuf>> {
    let mut starts = memmem::find_iter(bytes, b"/lib").take_while(|&start| start < firsts);
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

/// Splits off a string like `/usr/lib64/` or `/lib/x86_64-linux-gnu/` and its NUL; returns it without the last slash.
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
fn is_multiarch(path: &Path) -> bool {
    path.file_name().is_some_and(is_triplet)
}

fn is_triplet(name: &OsStr) -> bool {
    memmem::find(name.as_bytes(), b"-linux-gnu").is_some()
}

fn with_siblings(directory: &Path, siblings: &[&str]) -> Vec<PathBuf> {
    let path = directory.as_os_str().as_bytes();
    siblings
        .iter()
        .find_map(|sibling| path.strip_suffix(sibling.as_bytes()))
        .map_or_else(
            || vec![directory.to_owned()],
            |base| {
                let join =
                    |sibling: &&str| OsStr::from_bytes(&[base, sibling.as_bytes()].concat()).into();
                siblings.iter().map(join).collect()
            },
        )
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

    #[test]
    fn siblings_stand_in_for_a_built_in_directory() {
        let x86 = Arch::X86.sibling_directories(Class::Bits64, 39);
        assert_eq!(
            with_siblings(Path::new("/usr/lib64"), x86),
            ["/usr/lib", "/usr/lib64", "/usr/libx32"].map(PathBuf::from)
        );
        assert_eq!(
            with_siblings(Path::new("/opt/x"), x86),
            [PathBuf::from("/opt/x")]
        );
    }
}
