//! The notes of an object: the required kernel and processor, and notes in a named section.

use goblin::elf::program_header::{PT_GNU_PROPERTY, PT_NOTE};
use goblin::elf::section_header::{SHT_NOTE, SectionHeader};

use super::source::ROOM;
use super::{Class, ElfError, MAX_PIECE, Object, Source};

const NT_GNU_ABI_TAG: u32 = 1;
const NT_GNU_PROPERTY_TYPE_0: u32 = 5;
/// `GNU_PROPERTY_X86_ISA_1_NEEDED` of the x86-64 psABI.
const X86_ISA_1_NEEDED: u32 = 0xc000_8002;

struct Note<'b> {
    kind: u32,
    owner: &'b [u8],
    desc: &'b [u8],
}

impl Note<'_> {
    fn is_gnu(&self) -> bool {
        self.owner == b"GNU\0"
    }
}

impl<S: Source + ?Sized> Object<'_, S> {
    /// Returns the kernel that the object requires, as ldconfig before 2.36 writes it: `os << 24 | major << 16 | minor << 8 |
    /// patch` of the ABI tag, or 0. Fails if the notes cannot be read.
    pub fn os_version(&self) -> Result<u32, ElfError> {
        for segment in self.segments.iter().filter(|it| it.p_type == PT_NOTE) {
            let align = match segment.p_align {
                4 | 8 => segment.p_align,
                _ => continue,
            };
            let mut room = ROOM;
            let size = segment.p_filesz.min(MAX_PIECE);
            let bytes = self.read_up_to(segment.p_offset, size, &mut room)?;
            let tag = self
                .notes(&bytes, align)
                .find(|note| note.kind == NT_GNU_ABI_TAG && note.is_gnu() && note.desc.len() == 16);
            if let Some(note) = tag {
                let word = |index: usize| self.word(note.desc, index * 4).unwrap_or_default();
                let version = (word(0) & 0xff) << 24
                    | (word(1) & 0xff) << 16
                    | (word(2) & 0xff) << 8
                    | word(3) & 0xff;
                if version != 0 {
                    return Ok(version);
                }
            }
        }
        Ok(0)
    }

    /// Returns the x86 ISA level that the object requires: 0 for the baseline, 1 for x86-64-v2, and so on. Fails if the notes
    /// cannot be read.
    pub fn isa_level(&self) -> Result<u32, ElfError> {
        let align = match self.class() {
            Class::Bits32 => 4,
            Class::Bits64 => 8,
        };
        let mut level = 0;
        for segment in &self.segments {
            if segment.p_type != PT_GNU_PROPERTY || segment.p_align != align {
                continue;
            }
            let mut room = ROOM;
            let size = segment.p_filesz.min(MAX_PIECE);
            let bytes = self.read_up_to(segment.p_offset, size, &mut room)?;
            let properties = self
                .notes(&bytes, align)
                .find(|note| note.kind == NT_GNU_PROPERTY_TYPE_0 && note.is_gnu());
            if let Some(needed) =
                properties.and_then(|note| self.property(note.desc, align, X86_ISA_1_NEEDED))
            {
                level = needed.checked_ilog2().unwrap_or(0);
            }
        }
        Ok(level)
    }

    /// Returns the content of the first note in the named section, up to 64 KiB, if it has this owner; NULs around both are
    /// ignored. Fails if the section headers are malformed.
    pub fn note_in_section(
        &self,
        section: &[u8],
        owner: &[u8],
    ) -> Result<Option<Vec<u8>>, ElfError> {
        let Some(section) = self.note_section(section)? else {
            return Ok(None);
        };
        let mut room = ROOM;
        let size = section.sh_size.min(MAX_PIECE);
        let bytes = self.read_up_to(section.sh_offset, size, &mut room)?;
        // The owner's name is padded separately here, not together with the three words before it.
        let align = usize::try_from(section.sh_addralign.max(1)).unwrap_or(usize::MAX);
        let note = || {
            let (name_size, desc_size) = (self.size(&bytes, 0)?, self.size(&bytes, 4)?);
            let (name, rest) = bytes
                .get(12..)?
                .split_at_checked(name_size.checked_next_multiple_of(align)?)?;
            let is_owners = trim_nul(name) == owner;
            is_owners.then(|| trim_nul(rest.get(..desc_size).unwrap_or(rest)).to_vec())
        };
        Ok(note())
    }

    fn note_section(&self, name: &[u8]) -> Result<Option<SectionHeader>, ElfError> {
        let (first, count) = (self.header.e_shoff, self.header.e_shnum);
        if first == 0 || count == 0 {
            return Ok(None);
        }
        let size = SectionHeader::size(self.context) as u64 * u64::from(count);
        let mut room = ROOM;
        let table = self.piece(first, size, &mut room)?;
        let sections = SectionHeader::parse_from(&table, 0, usize::from(count), self.context)
            .map_err(|_| ElfError::Malformed("section headers"))?;
        let names = sections
            .get(usize::from(self.header.e_shstrndx))
            .ok_or(ElfError::Malformed("section of the sections' names"))?
            .sh_offset;
        let is_named = |section: &SectionHeader| {
            let offset = names.saturating_add(section.sh_name as u64);
            self.name(offset).is_ok_and(|it| it == name)
        };
        Ok(sections
            .into_iter()
            .find(|it| it.sh_type == SHT_NOTE && is_named(it)))
    }

    fn size(&self, bytes: &[u8], at: usize) -> Option<usize> {
        usize::try_from(self.word(bytes, at)?).ok()
    }

    /// Returns the 32-bit value of a property in an `NT_GNU_PROPERTY_TYPE_0` note, whose properties are sorted by type.
    fn property(&self, desc: &[u8], align: u64, wanted: u32) -> Option<u32> {
        let align = usize::try_from(align).ok()?;
        if !desc.len().is_multiple_of(align) {
            return None;
        }
        let (mut at, mut last) = (0, 0);
        loop {
            let kind = self.word(desc, at)?;
            let size = usize::try_from(self.word(desc, at + 4)?).ok()?;
            let data = desc.get(at + 8..)?;
            if kind < last || size > data.len() {
                return None;
            }
            if kind == wanted && size == 4 {
                return self.word(data, 0);
            }
            last = kind;
            at += 8 + size.next_multiple_of(align);
        }
    }

    fn notes<'b>(&self, bytes: &'b [u8], align: u64) -> impl Iterator<Item = Note<'b>> {
        let align = usize::try_from(align).unwrap_or(4);
        let mut at = 0_usize;
        std::iter::from_fn(move || {
            let name_size = self.size(bytes, at)?;
            let desc_size = self.size(bytes, at.checked_add(4)?)?;
            let kind = self.word(bytes, at.checked_add(8)?)?;
            let name = at.checked_add(12)?;
            let desc = name
                .checked_add(name_size)?
                .checked_next_multiple_of(align)?;
            let end = desc.checked_add(desc_size)?;
            let note = Note {
                kind,
                owner: bytes.get(name..name.checked_add(name_size)?)?,
                desc: bytes.get(desc..end)?,
            };
            at = end.checked_next_multiple_of(align)?;
            Some(note)
        })
    }
}

fn trim_nul(bytes: &[u8]) -> &[u8] {
    let is_text = |&byte: &u8| byte != 0;
    let start = bytes.iter().position(is_text).unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(is_text)
        .map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}
