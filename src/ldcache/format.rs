//! The format of the cache file, as a parser and a writer without I/O.
//!
//! Format: glibc's `sysdeps/generic/dl-cache.h`. All numbers are in the byte order of the machine whose loader reads them.

mod read;
mod write;

use std::fmt;

use super::profile::Format;
use crate::elf::Endian;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const EXTENSION_HEADER: usize = 8;
const SECTION_HEADER: usize = 16;
const TAG_GENERATOR: u32 = 0;
const TAG_HWCAPS: u32 = 1;
const ISA_LEVEL_MASK: u32 = 0x3ff;
/// The bit in an entry's hwcap that makes the low half an index of a glibc-hwcaps name.
pub const HWCAP_EXTENSION: u64 = 1 << 62;

/// A library that the loader can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheEntry<'a> {
    /// The SONAME.
    pub soname: &'a [u8],
    /// The path of the library.
    pub path: &'a [u8],
    /// The ABI: see [`super::arch::Arch::flag`].
    pub flags: u32,
    /// The required kernel version, or 0.
    pub os_version: u32,
    /// The required processor.
    pub hwcap: Hwcap<'a>,
}

/// The processors that can run a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hwcap<'a> {
    /// A sum of bits of the old hwcap directories; 0 for all processors. With [`HWCAP_EXTENSION`] it is an index for which the
    /// file has no name.
    Bits(u64),
    /// A directory below glibc-hwcaps.
    Directory {
        /// The name of the directory.
        name: &'a [u8],
        /// The x86 ISA level that the library requires.
        isa_level: u32,
    },
}

/// The content of a cache file, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdCache<'a> {
    /// The layout of the file.
    pub format: Format,
    /// The byte order.
    pub endian: Endian,
    /// Whether the header contains the byte order.
    pub endian_flag: bool,
    /// The libraries.
    pub entries: Vec<CacheEntry<'a>>,
    /// The program that wrote it; empty if the format has no field for it.
    pub generator: &'a [u8],
    /// The names of glibc-hwcaps directories in the string table, used or not.
    pub hwcap_names: Vec<&'a [u8]>,
}

/// Why bytes are not a cache.
#[derive(Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes begin with no known magic string.
    Magic,
    /// A table or string extends beyond the end.
    Truncated,
    /// A field has an invalid value.
    Invalid(&'static str),
    /// The format's 32-bit offsets cannot address so many bytes.
    TooLarge,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not an ld.so.cache"),
            Self::Truncated => f.write_str("cut off: a table or string reaches beyond the end"),
            Self::Invalid(what) => write!(f, "{what} makes no sense"),
            Self::TooLarge => f.write_str("more than 4 GiB"),
        }
    }
}

impl std::error::Error for FormatError {}

/// Returns the end of the entries, relative to the start of the new part.
fn end_of_entries(count: usize) -> usize {
    NEW_HEADER + count * NEW_ENTRY
}
