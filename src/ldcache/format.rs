//! The cache file: bytes to entries and entries to bytes. No input and output.
//!
//! Format: glibc's `sysdeps/generic/dl-cache.h`. All numbers are in the byte order of the machine whose loader reads them.

use std::fmt;

use memchr::memchr;

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
/// More sections than any version writes.
const MAX_SECTIONS: usize = 64;
/// More glibc-hwcaps names than any processor family has.
const MAX_HWCAPS: usize = 1024;
/// Longest SONAME or path that is read: `PATH_MAX`.
const MAX_STRING: usize = 4096;
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
pub enum Error {
    /// They begin with no known magic string.
    Magic,
    /// A table or string reaches beyond the end.
    Truncated,
    /// A number makes no sense.
    Invalid(&'static str),
    /// There is no room for this many bytes in the format's 32-bit offsets.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not an ld.so.cache"),
            Self::Truncated => f.write_str("cut off: a table or string reaches beyond the end"),
            Self::Invalid(what) => write!(f, "{what} makes no sense"),
            Self::TooLarge => f.write_str("more than 4 GiB"),
        }
    }
}

impl std::error::Error for Error {}

impl<'a> LdCache<'a> {
    /// The bytes of the cache file.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let strings = Strings::new(self)?;
        let mut out = Writer {
            bytes: Vec::new(),
            endian: self.endian,
        };
        if self.format == Format::Compat {
            self.write_old(&mut out, &strings)?;
        }
        self.write_new(&mut out, &strings)?;
        if self.format == Format::Extended {
            self.write_extensions(&mut out, &strings)?;
        }
        Ok(out.bytes)
    }

    /// The part for loaders before glibc 2.2: libraries for all processors, an even number of them. Its offsets are the same
    /// numbers as in the new part.
    fn write_old(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), Error> {
        let plain: Vec<_> = self
            .entries
            .iter()
            .zip(&strings.of_entries)
            .filter(|(entry, _)| entry.hwcap == Hwcap::Bits(0))
            .collect();
        let even = plain.len().next_multiple_of(2);
        out.bytes.extend(OLD_MAGIC);
        out.bytes.push(0);
        out.size(even)?;
        for (entry, (key, value)) in plain.iter().chain(plain.last()).take(even) {
            out.words([entry.flags, *key, *value]);
        }
        Ok(())
    }

    fn write_new(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), Error> {
        out.bytes.extend(NEW_MAGIC);
        out.size(self.entries.len())?;
        out.size(strings.bytes.len())?;
        out.bytes.push(match (self.endian_flag, self.endian) {
            (false, _) => 0,
            (true, Endian::Little) => 2,
            (true, Endian::Big) => 3,
        });
        out.bytes.extend([0; 3]);
        let end = end_of_entries(self.entries.len()) + strings.bytes.len();
        out.size(match self.format {
            Format::Extended => end.next_multiple_of(4),
            _ => 0,
        })?;
        out.bytes.extend([0; 12]);
        for (entry, (key, value)) in self.entries.iter().zip(&strings.of_entries) {
            out.words([entry.flags, *key, *value, entry.os_version]);
            out.long(match entry.hwcap {
                Hwcap::Bits(bits) => bits,
                Hwcap::Directory { name, isa_level } => {
                    let index = strings.hwcaps.iter().position(|(used, _)| *used == name);
                    let index = index.ok_or(Error::Invalid("a glibc-hwcaps name"))? as u64;
                    HWCAP_EXTENSION | u64::from(isa_level & ISA_LEVEL_MASK) << 32 | index
                }
            });
        }
        out.bytes.extend(&strings.bytes);
        Ok(())
    }

    fn write_extensions(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), Error> {
        out.bytes.resize(out.bytes.len().next_multiple_of(4), 0);
        let hwcaps = strings.hwcaps.len() * 4;
        let sections = if hwcaps == 0 { 1 } else { 2 };
        let hwcaps_at = out.bytes.len() + EXTENSION_HEADER + sections * SECTION_HEADER;
        out.word(EXTENSION_MAGIC);
        out.size(sections)?;
        out.section(TAG_GENERATOR, hwcaps_at + hwcaps, self.generator.len())?;
        if hwcaps != 0 {
            out.section(TAG_HWCAPS, hwcaps_at, hwcaps)?;
        }
        for (_, offset) in &strings.hwcaps {
            out.word(*offset);
        }
        out.bytes.extend(self.generator);
        Ok(())
    }

    /// Reads a cache file of any format and byte order.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self::split(bytes)?.0)
    }

    /// The same, and what stands behind the cache in the file.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let (cache, end) = if bytes.starts_with(NEW_MAGIC) {
            Self::parse_new(bytes, 0)?
        } else if bytes.starts_with(OLD_MAGIC) {
            Self::parse_old(bytes)?
        } else {
            return Err(Error::Magic);
        };
        Ok((cache, bytes.get(end..).unwrap_or_default()))
    }

    /// Returns the offset of the end, too, as does [`Self::parse_new`].
    fn parse_old(bytes: &'a [u8]) -> Result<(Self, usize), Error> {
        let file = Reader::guess(bytes, 12, OLD_HEADER, OLD_ENTRY)?;
        let count = file.size(12)?;
        let strings = OLD_HEADER + count * OLD_ENTRY;
        let embedded = [4, 8]
            .map(|align| strings.next_multiple_of(align))
            .into_iter()
            .find(|&start| {
                bytes
                    .get(start..)
                    .is_some_and(|new| new.starts_with(NEW_MAGIC))
            });
        if let Some(start) = embedded {
            let (cache, end) = Self::parse_new(bytes, start)?;
            let format = Format::Compat;
            return Ok((Self { format, ..cache }, end));
        }
        let mut end = strings;
        let mut string = |at: usize| {
            let start = strings.saturating_add(file.size(at)?);
            let string = file.string(start)?;
            end = end.max(start + string.len() + 1);
            Ok(string)
        };
        let entries = (0..count).map(|index| OLD_HEADER + index * OLD_ENTRY);
        let entries = entries
            .map(|at| {
                Ok(CacheEntry {
                    flags: file.word(at)?,
                    soname: string(at + 4)?,
                    path: string(at + 8)?,
                    os_version: 0,
                    hwcap: Hwcap::Bits(0),
                })
            })
            .collect::<Result<_, Error>>()?;
        let cache = Self {
            format: Format::Compat,
            endian: file.endian,
            endian_flag: false,
            entries,
            generator: &[],
            hwcap_names: Vec::new(),
        };
        Ok((cache, end))
    }

    /// Reads the new part, which begins at `start` and reaches to the file's end.
    fn parse_new(bytes: &'a [u8], start: usize) -> Result<(Self, usize), Error> {
        let new = bytes.get(start..).unwrap_or_default();
        let flag = *new.get(28).ok_or(Error::Truncated)? & 3;
        let new = match flag {
            0 => Reader::guess(new, 20, NEW_HEADER, NEW_ENTRY)?,
            1 => return Err(Error::Invalid("the byte order flag")),
            2 => Reader {
                bytes: new,
                endian: Endian::Little,
            },
            _ => Reader {
                bytes: new,
                endian: Endian::Big,
            },
        };
        let count = new.size(20)?;
        if count > new.bytes.len() / NEW_ENTRY || end_of_entries(count) > new.bytes.len() {
            return Err(Error::Truncated);
        }
        let mut end = start + end_of_entries(count).saturating_add(new.size(24)?);
        let extensions = match new.size(32)? {
            0 => None,
            at => Some(new.extensions(bytes, at)?),
        };
        let hwcaps = extensions.as_ref().map_or(&[][..], |it| &it.hwcaps);
        let entry = |index: usize| {
            let at = end_of_entries(index);
            Ok(CacheEntry {
                flags: new.word(at)?,
                soname: new.string(new.size(at + 4)?)?,
                path: new.string(new.size(at + 8)?)?,
                os_version: new.word(at + 12)?,
                hwcap: Hwcap::of(new.long(at + 16)?, hwcaps),
            })
        };
        let cache = Self {
            format: if extensions.is_some() {
                Format::Extended
            } else {
                Format::New
            },
            endian: new.endian,
            endian_flag: flag != 0,
            entries: (0..count).map(entry).collect::<Result<_, _>>()?,
            generator: extensions.as_ref().map_or(&[], |it| it.generator),
            hwcap_names: hwcaps.to_vec(),
        };
        if let Some(extensions) = extensions {
            end = end.max(extensions.end);
        }
        Ok((cache, end))
    }
}

impl<'a> Hwcap<'a> {
    fn of(bits: u64, names: &[&'a [u8]]) -> Self {
        let index = usize::try_from(bits & u64::from(u32::MAX)).ok();
        match index.and_then(|index| names.get(index)) {
            Some(name) if bits & HWCAP_EXTENSION != 0 => Self::Directory {
                name,
                isa_level: u32::try_from(bits >> 32).unwrap_or(0) & ISA_LEVEL_MASK,
            },
            _ => Self::Bits(bits),
        }
    }
}

/// Where the entries of the new part end, from its start.
fn end_of_entries(count: usize) -> usize {
    NEW_HEADER + count * NEW_ENTRY
}

/// The string table, and where in it the strings are, counted from the start of the new part.
struct Strings<'a> {
    bytes: Vec<u8>,
    /// SONAME and path of each entry.
    of_entries: Vec<(u32, u32)>,
    /// The glibc-hwcaps names that entries use, in the order of their indices.
    hwcaps: Vec<(&'a [u8], u32)>,
}

impl<'a> Strings<'a> {
    fn new(cache: &LdCache<'a>) -> Result<Self, Error> {
        let base = end_of_entries(cache.entries.len());
        if cache.format == Format::Extended {
            Self::shared(cache, base)
        } else {
            Self::sequential(cache, base)
        }
    }

    /// Before glibc 2.33: one string behind the other, as the entries come.
    fn sequential(cache: &LdCache<'a>, base: usize) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let mut append = |string: &[u8]| {
            let offset = to_u32(base + bytes.len());
            bytes.extend(string);
            bytes.push(0);
            offset
        };
        let of_entries = cache
            .entries
            .iter()
            .map(|entry| Ok((append(entry.soname)?, append(entry.path)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            bytes,
            of_entries,
            hwcaps: Vec::new(),
        })
    }

    /// Since glibc 2.33: sorted from the end, in descending order, so that a string which ends another one follows it and shares
    /// its bytes.
    fn shared(cache: &LdCache<'a>, base: usize) -> Result<Self, Error> {
        let of_entries = cache.entries.iter().flat_map(|it| [it.soname, it.path]);
        let used = cache.entries.iter().filter_map(|entry| match entry.hwcap {
            Hwcap::Directory { name, .. } => Some(name),
            Hwcap::Bits(_) => None,
        });
        let strings: Vec<_> = of_entries
            .chain(used)
            .chain(cache.hwcap_names.iter().copied())
            .collect();
        let mut sorted: Vec<_> = strings
            .iter()
            .enumerate()
            .map(|(index, string)| (last_bytes(string), index, string))
            .collect();
        sorted.sort_unstable_by(|(last_a, _, a), (last_b, _, b)| {
            (last_b.cmp(last_a)).then_with(|| b.iter().rev().cmp(a.iter().rev()))
        });
        let mut bytes: Vec<u8> = Vec::new();
        let mut offsets = vec![0; strings.len()];
        let mut previous: &[u8] = &[];
        for (_, index, &string) in sorted {
            if !previous.ends_with(string) || bytes.is_empty() {
                bytes.extend(string);
                bytes.push(0);
            }
            previous = string;
            if let Some(offset) = offsets.get_mut(index) {
                *offset = to_u32(base + bytes.len() - 1 - string.len())?;
            }
        }
        let (of_entries, others) = offsets.split_at(cache.entries.len() * 2);
        let names = strings.iter().skip(cache.entries.len() * 2);
        let unused = cache.hwcap_names.len();
        let mut hwcaps: Vec<_> = names
            .zip(others)
            .take(others.len() - unused)
            .map(|(name, offset)| (*name, *offset))
            .collect();
        hwcaps.sort_unstable();
        hwcaps.dedup();
        Ok(Self {
            of_entries: of_entries
                .chunks_exact(2)
                .filter_map(|pair| Some((*pair.first()?, *pair.last()?)))
                .collect(),
            hwcaps,
            bytes,
        })
    }
}

/// The last eight bytes as a number that sorts as the reversed strings do; it spares most comparisons of whole strings.
fn last_bytes(string: &[u8]) -> u64 {
    let last = string.last_chunk::<8>().map_or_else(
        || {
            let mut padded = [0; 8];
            let bytes = padded.iter_mut().rev().zip(string.iter().rev());
            bytes.for_each(|(to, from)| *to = *from);
            padded
        },
        |last| *last,
    );
    u64::from_le_bytes(last)
}

struct Writer {
    bytes: Vec<u8>,
    endian: Endian,
}

impl Writer {
    fn word(&mut self, value: u32) {
        self.bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn words(&mut self, values: impl IntoIterator<Item = u32>) {
        values.into_iter().for_each(|value| self.word(value));
    }

    fn long(&mut self, value: u64) {
        self.bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn size(&mut self, value: usize) -> Result<(), Error> {
        self.word(to_u32(value)?);
        Ok(())
    }

    fn section(&mut self, tag: u32, offset: usize, size: usize) -> Result<(), Error> {
        self.words([tag, 0]);
        self.size(offset)?;
        self.size(size)
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

/// What the extensions of a cache tell.
struct Extensions<'a> {
    generator: &'a [u8],
    hwcaps: Vec<&'a [u8]>,
    /// Where they end in the file.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Finds the byte order of a file that does not tell it: the one in which its entries fit in.
    fn guess(bytes: &'a [u8], count_at: usize, header: usize, entry: usize) -> Result<Self, Error> {
        [Endian::Little, Endian::Big]
            .map(|endian| Self { bytes, endian })
            .into_iter()
            .find(|reader| {
                let room = bytes.len().saturating_sub(header) / entry;
                reader.size(count_at).is_ok_and(|count| count <= room)
            })
            .ok_or(Error::Truncated)
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Error> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(Error::Truncated)
    }

    fn word(self, at: usize) -> Result<u32, Error> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    fn long(self, at: usize) -> Result<u64, Error> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    fn size(self, at: usize) -> Result<usize, Error> {
        usize::try_from(self.word(at)?).map_err(|_| Error::TooLarge)
    }

    fn string(self, at: usize) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(at..).ok_or(Error::Truncated)?;
        let rest = rest.get(..MAX_STRING).unwrap_or(rest);
        let end = memchr(0, rest).ok_or(Error::Truncated)?;
        rest.get(..end).ok_or(Error::Truncated)
    }

    /// Reads the extensions at `at` of the file that this is the new part of. Offsets of sections count from the file's start,
    /// those of names from the new part's, like all strings.
    fn extensions(self, file: &'a [u8], at: usize) -> Result<Extensions<'a>, Error> {
        let endian = self.endian;
        let table = Reader {
            bytes: file.get(at..).ok_or(Error::Truncated)?,
            endian,
        };
        if table.word(0)? != EXTENSION_MAGIC {
            return Err(Error::Invalid("the extension's magic number"));
        }
        let count = table.size(4)?.min(MAX_SECTIONS);
        let mut extensions = Extensions {
            generator: &[],
            hwcaps: Vec::new(),
            end: at + EXTENSION_HEADER + count * SECTION_HEADER,
        };
        for index in 0..count {
            let header = EXTENSION_HEADER + index * SECTION_HEADER;
            let (tag, offset) = (table.word(header)?, table.size(header + 8)?);
            let end = offset.saturating_add(table.size(header + 12)?);
            let bytes = file.get(offset..end).ok_or(Error::Truncated)?;
            extensions.end = extensions.end.max(end);
            match tag {
                TAG_GENERATOR => extensions.generator = bytes,
                TAG_HWCAPS => extensions.hwcaps = self.names(Reader { bytes, endian })?,
                _ => {}
            }
        }
        Ok(extensions)
    }

    /// The strings whose offsets a section lists.
    fn names(self, section: Self) -> Result<Vec<&'a [u8]>, Error> {
        let count = section.bytes.len() / 4;
        if count > MAX_HWCAPS {
            return Err(Error::Invalid("the number of glibc-hwcaps names"));
        }
        (0..count)
            .map(|index| self.string(section.size(index * 4)?))
            .collect()
    }
}

fn to_u32(size: usize) -> Result<u32, Error> {
    u32::try_from(size).map_err(|_| Error::TooLarge)
}
