//! The parser, which is total: any bytes give a cache or an error.

use memchr::memchr;

use super::{
    CacheEntry, EXTENSION_HEADER, EXTENSION_MAGIC, FormatError, HWCAP_EXTENSION, Hwcap,
    ISA_LEVEL_MASK, LdCache, NEW_ENTRY, NEW_HEADER, NEW_MAGIC, OLD_ENTRY, OLD_HEADER, OLD_MAGIC,
    SECTION_HEADER, TAG_GENERATOR, TAG_HWCAPS, end_of_entries,
};
use crate::elf::Endian;
use crate::ldcache::profile::Format;

/// More sections than any version writes.
const MAX_SECTIONS: usize = 64;
/// More glibc-hwcaps names than any processor family has.
const MAX_HWCAPS: usize = 1024;
/// The maximum length of a SONAME or path: `PATH_MAX`.
const MAX_STRING: usize = 4096;

impl<'a> LdCache<'a> {
    /// Parses a cache file of any format and byte order. Fails if the bytes are not a cache.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        Ok(Self::split(bytes)?.0)
    }

    /// Parses a cache file as [`Self::parse`] does, and also returns the bytes after the cache.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), FormatError> {
        let (cache, end) = if bytes.starts_with(NEW_MAGIC) {
            Self::parse_new(bytes, 0)?
        } else if bytes.starts_with(OLD_MAGIC) {
            Self::parse_old(bytes)?
        } else {
            return Err(FormatError::Magic);
        };
        Ok((cache, bytes.get(end..).unwrap_or_default()))
    }

    /// Parses the old format; also returns the offset of the end, as does [`Self::parse_new`].
    fn parse_old(bytes: &'a [u8]) -> Result<(Self, usize), FormatError> {
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
            .collect::<Result<_, FormatError>>()?;
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

    /// Parses the new part, which begins at `start` and extends to the end of the file.
    fn parse_new(bytes: &'a [u8], start: usize) -> Result<(Self, usize), FormatError> {
        let new = bytes.get(start..).unwrap_or_default();
        let flag = *new.get(28).ok_or(FormatError::Truncated)? & 3;
        let new = match flag {
            0 => Reader::guess(new, 20, NEW_HEADER, NEW_ENTRY)?,
            1 => return Err(FormatError::Invalid("the byte order flag")),
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
            return Err(FormatError::Truncated);
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

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

/// The extensions of a cache.
struct Extensions<'a> {
    generator: &'a [u8],
    hwcaps: Vec<&'a [u8]>,
    /// The offset of their end in the file.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Guesses the byte order of a file without a flag: the one in which its entries fit.
    fn guess(
        bytes: &'a [u8],
        count_at: usize,
        header: usize,
        entry: usize,
    ) -> Result<Self, FormatError> {
        [Endian::Little, Endian::Big]
            .map(|endian| Self { bytes, endian })
            .into_iter()
            .find(|reader| {
                let room = bytes.len().saturating_sub(header) / entry;
                reader.size(count_at).is_ok_and(|count| count <= room)
            })
            .ok_or(FormatError::Truncated)
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], FormatError> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(FormatError::Truncated)
    }

    fn word(self, at: usize) -> Result<u32, FormatError> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    fn long(self, at: usize) -> Result<u64, FormatError> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    fn size(self, at: usize) -> Result<usize, FormatError> {
        usize::try_from(self.word(at)?).map_err(|_| FormatError::TooLarge)
    }

    fn string(self, at: usize) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(at..).ok_or(FormatError::Truncated)?;
        let rest = rest.get(..MAX_STRING).unwrap_or(rest);
        let end = memchr(0, rest).ok_or(FormatError::Truncated)?;
        rest.get(..end).ok_or(FormatError::Truncated)
    }

    /// Parses the extensions at `at` of the file whose new part this is. Offsets of sections are relative to the start of the
    /// file; those of names are relative to the new part, as for all strings.
    fn extensions(self, file: &'a [u8], at: usize) -> Result<Extensions<'a>, FormatError> {
        let endian = self.endian;
        let table = Reader {
            bytes: file.get(at..).ok_or(FormatError::Truncated)?,
            endian,
        };
        if table.word(0)? != EXTENSION_MAGIC {
            return Err(FormatError::Invalid("the extension's magic number"));
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
            let bytes = file.get(offset..end).ok_or(FormatError::Truncated)?;
            extensions.end = extensions.end.max(end);
            match tag {
                TAG_GENERATOR => extensions.generator = bytes,
                TAG_HWCAPS => extensions.hwcaps = self.names(Reader { bytes, endian })?,
                _ => {}
            }
        }
        Ok(extensions)
    }

    /// Returns the strings at the offsets in a section.
    fn names(self, section: Self) -> Result<Vec<&'a [u8]>, FormatError> {
        let count = section.bytes.len() / 4;
        if count > MAX_HWCAPS {
            return Err(FormatError::Invalid("the number of glibc-hwcaps names"));
        }
        (0..count)
            .map(|index| self.string(section.size(index * 4)?))
            .collect()
    }
}
