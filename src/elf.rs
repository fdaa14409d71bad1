//! Reading of ELF files, piece by piece: header, program headers, dynamic section, one string.
//!
//! What ldconfig looks at, and no more, so that a file which the loader takes is not refused for its section headers. Nothing is
//! mapped: whoever owns the file may shrink it meanwhile. Format: `elf(5)`, goblin's types.

mod constants;
mod dynamic;
mod notes;
mod source;

use std::borrow::Cow;
use std::fmt;
use std::io;

use goblin::container::{Container, Ctx};
use goblin::elf::header::{EI_CLASS, EI_DATA, ELFMAG, Header};
use goblin::elf::program_header::{PT_INTERP, PT_LOAD, ProgramHeader};

pub use dynamic::DynamicSection;
pub use goblin::container::Endian;
pub use source::{OpenFile, Source};

use source::{ROOM, Room};

/// Read at once from the file's start: it nearly always holds all program headers and notes.
const HEAD: usize = 1024;
/// More program headers than any library has.
const MAX_SEGMENTS: u16 = 512;
/// Largest dynamic section or note segment that is read.
const MAX_PIECE: u64 = 64 << 10;
/// Longest name that is read: `NAME_MAX` and its NUL.
const MAX_NAME: usize = 256;

/// Why a file is no shared object.
#[derive(Debug)]
pub enum ElfError {
    /// Its bytes cannot be read.
    Io(io::Error),
    /// It does not begin as an ELF file does.
    NotElf,
    /// It is an ELF file, but not of type `ET_DYN`, or without a dynamic section.
    NotShared,
    /// A header or table is cut off or contradicts itself.
    Malformed(&'static str),
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(err) => err.fmt(f),
            Self::NotElf => f.write_str("not an ELF file"),
            Self::NotShared => f.write_str("no shared object"),
            Self::Malformed(what) => write!(f, "wrong or cut off: {what}"),
        }
    }
}

/// Word size of an ELF file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// `ELFCLASS32`
    Bits32,
    /// `ELFCLASS64`
    Bits64,
}

/// Room for the start of a file, to be used for one after the other.
pub struct Head([u8; HEAD]);

impl Default for Head {
    fn default() -> Self {
        Self([0; HEAD])
    }
}

/// An ELF file whose headers are read; the rest is read when asked for.
pub struct Object<'s, S: ?Sized> {
    source: &'s S,
    head: &'s [u8],
    header: Header,
    segments: Vec<ProgramHeader>,
    context: Ctx,
}

impl<'s, S: Source + ?Sized> Object<'s, S> {
    /// Reads the ELF header and the program headers.
    pub fn read(source: &'s S, head: &'s mut Head) -> Result<Self, ElfError> {
        let read = source.read_at(0, &mut head.0).map_err(ElfError::Io)?;
        let head = head.0.get(..read).unwrap_or_default();
        if !head.starts_with(ELFMAG) {
            return Err(ElfError::NotElf);
        }
        let header = parse_header(head)?;
        let context = Ctx::new(
            header
                .container()
                .map_err(|_| ElfError::Malformed("class"))?,
            header
                .endianness()
                .map_err(|_| ElfError::Malformed("byte order"))?,
        );
        let mut object = Self {
            source,
            head,
            header,
            segments: Vec::new(),
            context,
        };
        object.segments = object.read_segments()?;
        Ok(object)
    }

    fn read_segments(&self) -> Result<Vec<ProgramHeader>, ElfError> {
        let count = self.header.e_phnum;
        if count > MAX_SEGMENTS {
            return Err(ElfError::Malformed("too many program headers"));
        }
        let size = ProgramHeader::size(self.context) as u64 * u64::from(count);
        let mut room = ROOM;
        let table = self.piece(self.header.e_phoff, size, &mut room)?;
        ProgramHeader::parse(&table, 0, usize::from(count), self.context)
            .map_err(|_| ElfError::Malformed("program headers"))
    }

    /// Word size.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.context.container {
            Container::Little => Class::Bits32,
            Container::Big => Class::Bits64,
        }
    }

    /// Byte order.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.context.le
    }

    /// `e_machine`
    #[must_use]
    pub fn machine(&self) -> u16 {
        self.header.e_machine
    }

    /// `e_flags`
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.header.e_flags
    }

    /// The path in `PT_INTERP`.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, ElfError> {
        self.interpreter_offset()
            .map(|offset| self.name(offset))
            .transpose()
    }

    /// Where in the file that path is.
    #[must_use]
    pub fn interpreter_offset(&self) -> Option<u64> {
        let segment = self.segments.iter().rfind(|it| it.p_type == PT_INTERP)?;
        Some(segment.p_offset)
    }

    fn loaded(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
    }

    fn word(&self, bytes: &[u8], offset: usize) -> Option<u32> {
        let word = bytes.get(offset..)?.first_chunk::<4>()?;
        Some(match self.context.le {
            Endian::Little => u32::from_le_bytes(*word),
            Endian::Big => u32::from_be_bytes(*word),
        })
    }

    /// The NUL-terminated string at `offset` of the file, cut at [`MAX_NAME`] bytes.
    fn name(&self, offset: u64) -> Result<Vec<u8>, ElfError> {
        let mut room = ROOM;
        let bytes = self.read_up_to(offset, MAX_NAME as u64, &mut room)?;
        if bytes.is_empty() {
            return Err(BEYOND_END);
        }
        Ok(until_nul(&bytes).to_vec())
    }

    fn piece<'b>(
        &'b self,
        offset: u64,
        size: u64,
        room: &'b mut Room,
    ) -> Result<Cow<'b, [u8]>, ElfError> {
        let bytes = self.read_up_to(offset, size, room)?;
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        Err(ElfError::Malformed("a table beyond the end of the file"))
    }

    /// Bytes of the file: out of its head, or read into the room where they fit.
    fn read_up_to<'b>(
        &'b self,
        offset: u64,
        size: u64,
        room: &'b mut Room,
    ) -> Result<Cow<'b, [u8]>, ElfError> {
        let there = self.source.size().saturating_sub(offset).min(size);
        let size = usize::try_from(there).map_err(|_| ElfError::Malformed("size"))?;
        let in_head = usize::try_from(offset)
            .ok()
            .and_then(|start| self.head.get(start..start.checked_add(size)?));
        if let Some(bytes) = in_head {
            return Ok(Cow::Borrowed(bytes));
        }
        if let Some(short) = room.get_mut(..size) {
            let read = self.source.read_at(offset, short).map_err(ElfError::Io)?;
            return Ok(Cow::Borrowed(short.get(..read).unwrap_or_default()));
        }
        let mut long = vec![0; size];
        let read = self
            .source
            .read_at(offset, &mut long)
            .map_err(ElfError::Io)?;
        long.truncate(read);
        Ok(Cow::Owned(long))
    }
}

const BEYOND_END: ElfError = ElfError::Malformed("a string beyond the end of the file");

fn until_nul(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..MAX_NAME).unwrap_or(bytes);
    let end = bytes.iter().position(|&it| it == 0);
    end.and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

/// Reads the header at the start of a file, of either class.
fn parse_header(head: &[u8]) -> Result<Header, ElfError> {
    // goblin takes an unknown class or byte order for one of the two.
    let known = |index: usize| matches!(head.get(index), Some(1 | 2));
    if !known(EI_CLASS) || !known(EI_DATA) {
        return Err(ElfError::Malformed("class or byte order"));
    }
    goblin::elf::Elf::parse_header(head).map_err(|_| ElfError::Malformed("ELF header"))
}
