//! The writer, with the layout of each version of ldconfig.

use super::{
    EXTENSION_HEADER, EXTENSION_MAGIC, FormatError, HWCAP_EXTENSION, Hwcap, ISA_LEVEL_MASK,
    LdCache, NEW_MAGIC, OLD_MAGIC, SECTION_HEADER, TAG_GENERATOR, TAG_HWCAPS, end_of_entries,
};
use crate::elf::Endian;
use crate::ldcache::profile::Format;

impl LdCache<'_> {
    /// Returns the bytes of the cache file. Fails if they exceed the format's offsets.
    pub fn write(&self) -> Result<Vec<u8>, FormatError> {
        let strings = Strings::new(self)?;
        let mut out = Writer {
            bytes: Vec::with_capacity(end_of_entries(self.entries.len()) + strings.bytes.len()),
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

    /// Writes the part for loaders before glibc 2.2: libraries for all processors, an even number of them. Its offsets equal
    /// those of the new part.
    fn write_old(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), FormatError> {
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

    fn write_new(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), FormatError> {
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
                    let index = index.ok_or(FormatError::Invalid("a glibc-hwcaps name"))? as u64;
                    HWCAP_EXTENSION | u64::from(isa_level & ISA_LEVEL_MASK) << 32 | index
                }
            });
        }
        out.bytes.extend(&strings.bytes);
        Ok(())
    }

    fn write_extensions(&self, out: &mut Writer, strings: &Strings<'_>) -> Result<(), FormatError> {
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
}

/// The string table, and the offsets in it relative to the start of the new part.
struct Strings<'a> {
    bytes: Vec<u8>,
    /// The SONAME and the path of each entry.
    of_entries: Vec<(u32, u32)>,
    /// The glibc-hwcaps names that entries use, in the order of their indices.
    hwcaps: Vec<(&'a [u8], u32)>,
}

impl<'a> Strings<'a> {
    fn new(cache: &LdCache<'a>) -> Result<Self, FormatError> {
        let base = end_of_entries(cache.entries.len());
        if cache.format == Format::Extended {
            Self::shared(cache, base)
        } else {
            Self::sequential(cache, base)
        }
    }

    /// Lays out the strings as before glibc 2.33: in the order of the entries.
    fn sequential(cache: &LdCache<'a>, base: usize) -> Result<Self, FormatError> {
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
            .collect::<Result<_, FormatError>>()?;
        Ok(Self {
            bytes,
            of_entries,
            hwcaps: Vec::new(),
        })
    }

    /// Lays out the strings as since glibc 2.33: sorted by their reverse in descending order, so that a suffix of another string
    /// follows it and shares its bytes.
    fn shared(cache: &LdCache<'a>, base: usize) -> Result<Self, FormatError> {
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
        // Not unstably: std's is a heapsort where it is built for size, which compares twice as often.
        sorted.sort_by(|(last_a, _, a), (last_b, _, b)| {
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

/// Returns the last eight bytes as a number that sorts as the reversed strings do; it saves most comparisons of whole strings.
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

    fn size(&mut self, value: usize) -> Result<(), FormatError> {
        self.word(to_u32(value)?);
        Ok(())
    }

    fn section(&mut self, tag: u32, offset: usize, size: usize) -> Result<(), FormatError> {
        self.words([tag, 0]);
        self.size(offset)?;
        self.size(size)
    }
}

fn to_u32(size: usize) -> Result<u32, FormatError> {
    u32::try_from(size).map_err(|_| FormatError::TooLarge)
}
