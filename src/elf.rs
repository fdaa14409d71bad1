//! Reads ELF files piece by piece: header, program headers, dynamic section, single strings.
//!
//! It reads what ldconfig reads and no more, so that a file which the loader accepts is not rejected for its section headers. It
//! maps no file, since the owner may shrink it meanwhile. Format: `elf(5)`, goblin's types.

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

/// The number of bytes to read first: they nearly always contain all program headers and notes.
const HEAD: usize = 1024;
/// More program headers than any library has.
const MAX_SEGMENTS: u16 = 512;
/// The maximum size of a dynamic section or note segment.
const MAX_PIECE: u64 = 64 << 10;
/// The maximum length of a name: `NAME_MAX` and its NUL.
const MAX_NAME: usize = 256;

/// Why a file is not a shared object.
#[derive(Debug)]
pub enum ElfError {
    /// The file cannot be read.
    Io(io::Error),
    /// The file does not begin with the ELF magic number.
    NotElf,
    /// The file is not of type `ET_DYN`, or has no dynamic section.
    NotShared,
    /// A header or table is truncated or inconsistent.
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

/// The word size of an ELF file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// `ELFCLASS32`
    Bits32,
    /// `ELFCLASS64`
    Bits64,
}

/// A reusable buffer for the start of a file.
pub struct Head([u8; HEAD]);

impl Default for Head {
    fn default() -> Self {
        Self([0; HEAD])
    }
}

/// An ELF file with parsed headers; the rest is read on demand.
pub struct Object<'s, S: ?Sized> {
    source: &'s S,
    head: &'s [u8],
    header: Header,
    segments: Vec<ProgramHeader>,
    context: Ctx,
}

impl<'s, S: Source + ?Sized> Object<'s, S> {
    /// Reads the ELF header and the program headers. Fails if the file cannot be read or is malformed.
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

    /// Returns the word size.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.context.container {
            Container::Little => Class::Bits32,
            Container::Big => Class::Bits64,
        }
    }

    /// Returns the byte order.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.context.le
    }

    /// Returns `e_machine`.
    #[must_use]
    pub fn machine(&self) -> u16 {
        self.header.e_machine
    }

    /// Returns `e_flags`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.header.e_flags
    }

    /// Returns the path in `PT_INTERP`. Fails if it cannot be read.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, ElfError> {
        self.interpreter_offset()
            .map(|offset| self.name(offset))
            .transpose()
    }

    /// Returns the file offset of that path.
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

    /// Returns the NUL-terminated string at `offset` of the file, truncated to [`MAX_NAME`] bytes.
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

    /// Returns bytes of the file: from its head, from `room` if they fit, or allocated.
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

/// Parses the header at the start of a file, of either class.
fn parse_header(head: &[u8]) -> Result<Header, ElfError> {
    // goblin accepts an unknown class or byte order.
    let known = |index: usize| matches!(head.get(index), Some(1 | 2));
    if !known(EI_CLASS) || !known(EI_DATA) {
        return Err(ElfError::Malformed("class or byte order"));
    }
    goblin::elf::Elf::parse_header(head).map_err(|_| ElfError::Malformed("ELF header"))
}
