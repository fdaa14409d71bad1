//! The cache file: bytes to entries and entries to bytes. No input and output.
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
/// Set in an entry's hwcap whose low half is an index of a glibc-hwcaps name.
pub const HWCAP_EXTENSION: u64 = 1 << 62;

/// A library that the loader can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheEntry<'a> {
    /// The name that programs ask for.
    pub soname: &'a [u8],
    /// Where the library is.
    pub path: &'a [u8],
    /// ABI: see [`super::arch::Arch::flag`].
    pub flags: u32,
    /// Kernel version that it needs, or 0.
    pub os_version: u32,
    /// The processors that it is for.
    pub hwcap: Hwcap<'a>,
}

/// For which processors a library is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hwcap<'a> {
    /// A sum of bits of old hwcap directories; 0 for all processors. With [`HWCAP_EXTENSION`] it is a name's index in a file that
    /// has no such name.
    Bits(u64),
    /// From a directory below glibc-hwcaps.
    Directory {
        /// The directory's name.
        name: &'a [u8],
        /// The x86 ISA level that the library needs.
        isa_level: u32,
    },
}

/// A cache as its file holds it, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdCache<'a> {
    /// How the file is arranged.
    pub format: Format,
    /// Its byte order.
    pub endian: Endian,
    /// Whether the header tells the byte order.
    pub endian_flag: bool,
    /// The libraries.
    pub entries: Vec<CacheEntry<'a>>,
    /// Who wrote it; empty where the format does not tell.
    pub generator: &'a [u8],
    /// Names of glibc-hwcaps directories that stand among the strings, used or not.
    pub hwcap_names: Vec<&'a [u8]>,
}

/// Why bytes are no cache.
#[derive(Debug, PartialEq, Eq)]
pub enum FormatError {
    /// They begin with no known magic string.
    Magic,
    /// A table or string reaches beyond the end.
    Truncated,
    /// A number makes no sense.
    Invalid(&'static str),
    /// There is no room for this many bytes in the format's 32-bit offsets.
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

/// Where the entries of the new part end, from its start.
fn end_of_entries(count: usize) -> usize {
    NEW_HEADER + count * NEW_ENTRY
}
