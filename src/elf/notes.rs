//! What notes tell of an object: the kernel and the processor that it needs.

use goblin::elf::program_header::{PT_GNU_PROPERTY, PT_NOTE};

use super::{Class, Error, MAX_PIECE, Object, Source};

const NT_GNU_ABI_TAG: u32 = 1;
const NT_GNU_PROPERTY_TYPE_0: u32 = 5;
/// `GNU_PROPERTY_X86_ISA_1_NEEDED` of the x86-64 psABI.
const X86_ISA_1_NEEDED: u32 = 0xc000_8002;

struct Note<'b> {
    kind: u32,
    is_gnu: bool,
    desc: &'b [u8],
}

impl<S: Source + ?Sized> Object<'_, S> {
    /// The kernel that the object asks for, as ldconfig before 2.36 writes it: `os << 24 | major << 16 | minor << 8 | patch` of
    /// the ABI tag, or 0.
    pub fn os_version(&self) -> Result<u32, Error> {
        for segment in self.segments.iter().filter(|it| it.p_type == PT_NOTE) {
            let align = match segment.p_align {
                4 | 8 => segment.p_align,
                _ => continue,
            };
            let bytes = self.read_up_to(segment.p_offset, segment.p_filesz.min(MAX_PIECE))?;
            let tag = self
                .notes(&bytes, align)
                .find(|note| note.kind == NT_GNU_ABI_TAG && note.is_gnu && note.desc.len() == 16);
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

    /// The x86 ISA level that the object needs, counted from 0 for the baseline: 1 for x86-64-v2, and so on.
    pub fn isa_level(&self) -> Result<u32, Error> {
        let align = match self.class() {
            Class::Bits32 => 4,
            Class::Bits64 => 8,
        };
        let mut level = 0;
        for segment in &self.segments {
            if segment.p_type != PT_GNU_PROPERTY || segment.p_align != align {
                continue;
            }
            let bytes = self.read_up_to(segment.p_offset, segment.p_filesz.min(MAX_PIECE))?;
            let properties = self
                .notes(&bytes, align)
                .find(|note| note.kind == NT_GNU_PROPERTY_TYPE_0 && note.is_gnu);
            if let Some(needed) =
                properties.and_then(|note| self.property(note.desc, align, X86_ISA_1_NEEDED))
            {
                level = needed.checked_ilog2().unwrap_or(0);
            }
        }
        Ok(level)
    }

    /// The 32-bit value of one property of an `NT_GNU_PROPERTY_TYPE_0` note; they stand in ascending order of their types.
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
            let name_size = usize::try_from(self.word(bytes, at)?).ok()?;
            let desc_size = usize::try_from(self.word(bytes, at.checked_add(4)?)?).ok()?;
            let kind = self.word(bytes, at.checked_add(8)?)?;
            let name = at.checked_add(12)?;
            let desc = name
                .checked_add(name_size)?
                .checked_next_multiple_of(align)?;
            let end = desc.checked_add(desc_size)?;
            let note = Note {
                kind,
                is_gnu: bytes.get(name..name.checked_add(name_size)?) == Some(b"GNU\0"),
                desc: bytes.get(desc..end)?,
            };
            at = end.checked_next_multiple_of(align)?;
            Some(note)
        })
    }
}
