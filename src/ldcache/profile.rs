//! The conventions of the root's own ldconfig: architecture, built-in directories, and the format of its version of glibc.
//!
//! All of it comes from the root's `libc.so.6` and dynamic loader, which are not executed. libc contains its version in a banner;
//! the loader contains the built-in directories as a sequence of strings.

mod c_library;

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::arch::{Abi, Arch};
use crate::elf::{Class, ElfError, Endian, Head, Object, OpenFile};
use crate::rootfs::Root;
use c_library::{Libc, Problems, find_libcs, is_multiarch, minor_version};

/// Everything that the cache depends on besides the files themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The family of machines.
    pub arch: Arch,
    /// The word size of ldconfig itself.
    pub class: Class,
    /// The byte order of the cache.
    pub endian: Endian,
    /// The conventions of this version of glibc.
    pub rules: Rules,
    /// The text that names the program which wrote a cache.
    pub generator: Vec<u8>,
    /// The directories to search after those of ld.so.conf, in this order; any of them may be missing.
    pub system_directories: Vec<PathBuf>,
    /// Whether all sources of the profile could be read.
    pub is_certain: bool,
}

/// The layout of a cache file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// `ld.so-1.7.0` followed by the new format: glibc up to 2.31.
    Compat,
    /// `glibc-ld.so.cache1.1` alone: glibc 2.32.
    New,
    /// The new format with shared strings and extensions, for glibc-hwcaps directories: since glibc 2.33.
    Extended,
}

/// Differences between versions of glibc.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the changes are independent of each other"
)]
pub struct Rules {
    /// The layout of the cache.
    pub format: Format,
    /// The header contains the byte order.
    pub endian_flag: bool,
    /// glibc-hwcaps entries contain the ISA level that the library requires.
    pub isa_level: bool,
    /// Entries contain the kernel version that the library requires.
    pub os_version: bool,
    /// Directories named after processors are searched, `dir=TYPE` lines have an effect, and a library's C library is checked.
    pub legacy: bool,
    /// `ld.so.*` and `ld64.so.*` are library names as well.
    pub loader_names: bool,
    /// Names of half-installed files are skipped.
    pub skip_temporary: bool,
    /// A string table outside the first loaded segment is not found.
    pub naive_strings: bool,
    /// An existing link of the dynamic loader is never changed.
    pub keep_loader_links: bool,
}

/// The properties of a glibc.
#[derive(Clone, Copy, Default)]
struct Glibc {
    /// `N` of version `2.N`.
    minor: u32,
    /// Whether it is Debian's build: its 2.31 writes the format of 2.32.
    is_debian: bool,
    /// Whether its loader supports glibc-hwcaps, by version or by a backport as in RHEL 8.
    knows_hwcaps: bool,
    /// Whether its built-in directories are multiarch ones, as with Debian's patches.
    is_multiarch: bool,
}

/// The ldconfig that identifies the system's own C library among several.
const LDCONFIG: &str = "/sbin/ldconfig";
/// The glibc whose conventions apply to a root without one.
const CURRENT_MINOR: u32 = 43;
const NATIVE_MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    goblin::elf::header::EM_AARCH64
} else {
    goblin::elf::header::EM_X86_64
};

/// goblin's byte order does not implement `Hash`.
impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.arch, self.class, self.rules).hash(state);
        (self.endian == Endian::Little).hash(state);
        (&self.generator, &self.system_directories).hash(state);
    }
}

impl Profile {
    /// Determines the profile of the root. Without a glibc: this program's architecture, the format of a current glibc, and
    /// upstream's directories.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        let mut problems = Problems::default();
        let mut libcs = find_libcs(root, &mut problems);
        if libcs.len() > 1 {
            let machine = problems.note(Path::new(LDCONFIG), machine_of(root));
            // The sort keeps the first one of equals first.
            libcs.sort_by_key(|libc| {
                (
                    Some(libc.abi.machine) != machine,
                    libc.abi.class != Class::Bits64,
                )
            });
        }
        let profile = libcs.first().map_or_else(Self::without_glibc, |libc| {
            Self::of_libc(root, libc, &mut problems)
        });
        Self {
            is_certain: !problems.are_there,
            ..profile
        }
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

    fn of_libc(root: &Root, libc: &Libc, problems: &mut Problems) -> Self {
        let loader = libc.read_loader(root, problems);
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
            is_certain: true,
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

fn machine_of(root: &Root) -> Result<u16, ElfError> {
    let (file, metadata) = root.open_file(Path::new(LDCONFIG)).map_err(ElfError::Io)?;
    let source = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    Ok(Object::read(&source, &mut head)?.machine())
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
