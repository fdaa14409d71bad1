//! Reading of ELF files, piece by piece: header, program headers, dynamic section, one string.
//!
//! What ldconfig looks at, and no more, so that a file which the loader takes is not refused for its section headers. Nothing is
//! mapped: whoever owns the file may shrink it meanwhile. Format: `elf(5)`, goblin's types.

mod notes;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{DT_NEEDED, DT_NULL, DT_SONAME, DT_STRTAB};
use goblin::elf::header::{EI_CLASS, EI_DATA, ELFMAG, ET_DYN, Header};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader};

pub use goblin::container::Endian;

use crate::watchdog;

/// Read at once from the file's start: it nearly always holds all program headers and notes.
const HEAD: usize = 1024;
/// Room on the stack for a piece; nearly all dynamic sections and rows of strings fit.
const SHORT: usize = 1024;
/// Span of strings that are read at once.
const WINDOW: u64 = (SHORT - MAX_NAME) as u64;
/// More program headers than any library has.
const MAX_SEGMENTS: u16 = 512;
/// Largest dynamic section or note segment that is read.
const MAX_PIECE: u64 = 64 << 10;
/// How much of the segments with constants is read at once.
const CHUNK: usize = 16 << 10;
/// How many such pieces are read: libc's code and constants together have 2 MiB.
const MAX_CONSTANTS: usize = 512;
/// How long a constant is found for sure.
const MAX_CONSTANT: usize = 1 << 10;
/// Longest name that is read: `NAME_MAX` and its NUL.
const MAX_NAME: usize = 256;
/// More libraries than any one needs.
const MAX_NAMES: usize = 4096;

/// Why a file is no shared object.
#[derive(Debug)]
pub enum Error {
    /// Its bytes cannot be read.
    Io(io::Error),
    /// It does not begin as an ELF file does.
    NotElf,
    /// It is an ELF file, but not of type `ET_DYN`, or without a dynamic section.
    NotShared,
    /// A header or table is cut off or contradicts itself.
    Malformed(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(err) => err.fmt(f),
            Self::NotElf => f.write_str("not an ELF file"),
            Self::NotShared => f.write_str("no shared object"),
            Self::Malformed(what) => write!(f, "wrong or cut off: {what}"),
        }
    }
}

/// Bytes at offsets: a file, or a slice of memory.
pub trait Source {
    /// How many bytes there are.
    fn size(&self) -> u64;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
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

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer
            .iter_mut()
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        Ok(read)
    }
}

/// An open regular file.
pub struct OpenFile {
    file: File,
    size: u64,
}

impl OpenFile {
    /// Takes the file and its size.
    #[must_use]
    pub fn new(file: File, size: u64) -> Self {
        Self { file, size }
    }
}

impl Source for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let result = self.file.read_at(rest, offset.saturating_add(read as u64));
            watchdog::progress();
            match result {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(read)
    }
}

impl<'s, S: Source + ?Sized> Object<'s, S> {
    /// Reads the ELF header and the program headers.
    pub fn read(source: &'s S, head: &'s mut Head) -> Result<Self, Error> {
        let read = source.read_at(0, &mut head.0).map_err(Error::Io)?;
        let head = head.0.get(..read).unwrap_or_default();
        if !head.starts_with(ELFMAG) {
            return Err(Error::NotElf);
        }
        let header = parse_header(head)?;
        let context = Ctx::new(
            header.container().map_err(|_| Error::Malformed("class"))?,
            header
                .endianness()
                .map_err(|_| Error::Malformed("byte order"))?,
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

    fn read_segments(&self) -> Result<Vec<ProgramHeader>, Error> {
        let count = self.header.e_phnum;
        if count > MAX_SEGMENTS {
            return Err(Error::Malformed("too many program headers"));
        }
        let size = ProgramHeader::size(self.context) as u64 * u64::from(count);
        let table = self.piece(self.header.e_phoff, size)?;
        ProgramHeader::parse(&table, 0, usize::from(count), self.context)
            .map_err(|_| Error::Malformed("program headers"))
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

    /// Looks through what is loaded and not writable, where a program's constants are, until `find` finds something. It gets one
    /// piece after the other, and how many bytes of it may be a constant's first: what begins later comes again in another
    /// piece. So a constant of up to 1 KiB is never cut.
    ///
    /// Segments without code come first, the last one of them before the others: there the constants are since linkers put code
    /// into a segment of its own.
    pub fn find_constant<T>(
        &self,
        find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.find_in(self.constants(), find)
    }

    /// The same, but the pieces come in the order of their distance from an offset of the file.
    pub fn find_constant_near<T>(
        &self,
        offset: u64,
        find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut ranges: Vec<_> = self.constants().collect();
        ranges.sort_by_key(|range| range.start.abs_diff(offset));
        self.find_in(ranges, find)
    }

    fn find_in<T>(
        &self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        mut find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut buffer = vec![0; CHUNK];
        for range in ranges {
            let length = usize::try_from(range.end - range.start).unwrap_or(CHUNK);
            let piece = buffer.get_mut(..length).unwrap_or_default();
            let read = self.source.read_at(range.start, piece).map_err(Error::Io)?;
            let is_last = read < CHUNK;
            let firsts = if is_last { read } else { CHUNK - MAX_CONSTANT };
            let found = find(piece.get(..read).unwrap_or_default(), firsts);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Where constants are in the file: overlapping pieces; only the last one of a segment is shorter than the others.
    fn constants(&self) -> impl Iterator<Item = Range<u64>> {
        let (mut readable, mut executable): (Vec<_>, Vec<_>) = self
            .loaded()
            .filter(|segment| !segment.is_write())
            .partition(|segment| !segment.is_executable());
        readable.reverse();
        readable.append(&mut executable);
        let file = self.source.size();
        readable
            .into_iter()
            .flat_map(move |segment| {
                let end = segment.p_offset.saturating_add(segment.p_filesz).min(file);
                let starts = (segment.p_offset..end).step_by(CHUNK - MAX_CONSTANT);
                starts.map(move |start| start..end.min(start + CHUNK as u64))
            })
            .take(MAX_CONSTANTS)
    }

    /// The path in `PT_INTERP`.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, Error> {
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

    /// The dynamic section: of several, the last one counts, and it ends at `DT_NULL`, whatever the segment's size is.
    pub fn dynamic(&self) -> Result<DynamicSection, Error> {
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.p_type == PT_DYNAMIC)
            .filter(|segment| self.header.e_type == ET_DYN && segment.p_filesz != 0)
            .ok_or(Error::NotShared)?;
        // ldconfig keeps the offset in 32 bits.
        let offset = segment.p_offset & u64::from(u32::MAX);
        for size in [segment.p_filesz.min(MAX_PIECE), MAX_PIECE] {
            let bytes = self.read_up_to(offset, size)?;
            let mut section = DynamicSection::default();
            for entry in bytes.chunks_exact(self.address_size() * 2) {
                let (tag, value) = entry.split_at(self.address_size());
                match self.address(tag) {
                    DT_NULL => return Ok(section),
                    DT_STRTAB => section.strings = section.strings.or(Some(self.address(value))),
                    DT_SONAME => section.soname = section.soname.or(Some(self.address(value))),
                    DT_NEEDED if section.needed.len() < MAX_NAMES => {
                        section.needed.push(self.address(value));
                    }
                    _ => {}
                }
            }
        }
        Err(Error::Malformed("no end of the dynamic section"))
    }

    /// `DT_SONAME`, at most 256 bytes of it.
    pub fn soname(&self, dynamic: &DynamicSection) -> Result<Option<Vec<u8>>, Error> {
        let mut soname = None;
        self.visit_names(dynamic, dynamic.soname.into_iter(), |name| {
            soname = Some(name.to_vec());
        })?;
        Ok(soname)
    }

    /// `DT_SONAME`, and whether one of these libraries is among `DT_NEEDED`.
    pub fn soname_and_needs(
        &self,
        dynamic: &DynamicSection,
        libraries: &[&[u8]],
    ) -> Result<(Option<Vec<u8>>, bool), Error> {
        let indices = dynamic.needed.iter().copied().chain(dynamic.soname);
        let mut needed_left = dynamic.needed.len();
        let (mut soname, mut needs) = (None, false);
        self.visit_names(dynamic, indices, |name| {
            if needed_left == 0 {
                soname = Some(name.to_vec());
            } else {
                needed_left -= 1;
                needs |= libraries.contains(&name);
            }
        })?;
        Ok((soname, needs))
    }

    /// Reads strings of the string table. The linker puts those of the dynamic section side by side, so that they are read at once.
    fn visit_names(
        &self,
        dynamic: &DynamicSection,
        indices: impl Iterator<Item = u64> + Clone,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let strings = self.strings(dynamic)?;
        let mut offsets = indices.map(|index| strings.wrapping_add(index));
        let (Some(first), Some(last)) = (offsets.clone().min(), offsets.clone().max()) else {
            return Ok(());
        };
        if last - first > WINDOW {
            return offsets.try_for_each(|offset| {
                visit(&self.name(offset)?);
                Ok(())
            });
        }
        let bytes = self.read_up_to(first, last - first + MAX_NAME as u64)?;
        offsets.try_for_each(|offset| {
            let start = usize::try_from(offset - first).ok();
            let rest = start.and_then(|start| bytes.get(start..));
            let rest = rest.filter(|rest| !rest.is_empty()).ok_or(BEYOND_END)?;
            visit(until_nul(rest));
            Ok(())
        })
    }

    /// File offset of the string table.
    fn strings(&self, dynamic: &DynamicSection) -> Result<u64, Error> {
        let address = dynamic.strings.ok_or(Error::NotShared)?;
        let holds = |segment: &&ProgramHeader| {
            address
                .checked_sub(segment.p_vaddr)
                .is_some_and(|distance| distance < segment.p_filesz)
        };
        Ok(self
            .loaded()
            .find(holds)
            .map_or(address, |segment| file_offset(segment, address)))
    }

    /// Whether the string table begins where glibc before 2.31 looks for it: at the first loaded segment's distance.
    #[must_use]
    pub fn strings_in_first_segment(&self, dynamic: &DynamicSection) -> bool {
        let address = dynamic.strings.unwrap_or_default();
        let naive = self
            .loaded()
            .next()
            .map_or(address, |segment| file_offset(segment, address));
        self.strings(dynamic).is_ok_and(|offset| offset == naive)
    }

    fn loaded(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
    }

    fn address_size(&self) -> usize {
        match self.class() {
            Class::Bits32 => 4,
            Class::Bits64 => 8,
        }
    }

    /// An address-sized number, out of exactly so many bytes.
    fn address(&self, bytes: &[u8]) -> u64 {
        if let Ok(long) = bytes.try_into() {
            return match self.context.le {
                Endian::Little => u64::from_le_bytes(long),
                Endian::Big => u64::from_be_bytes(long),
            };
        }
        self.word(bytes, 0).map_or(0, u64::from)
    }

    fn word(&self, bytes: &[u8], offset: usize) -> Option<u32> {
        let word = bytes.get(offset..)?.first_chunk::<4>()?;
        Some(match self.context.le {
            Endian::Little => u32::from_le_bytes(*word),
            Endian::Big => u32::from_be_bytes(*word),
        })
    }

    /// The NUL-terminated string at `offset` of the file, cut at [`MAX_NAME`] bytes.
    fn name(&self, offset: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.read_up_to(offset, MAX_NAME as u64)?;
        if bytes.is_empty() {
            return Err(BEYOND_END);
        }
        Ok(until_nul(&bytes).to_vec())
    }

    fn piece(&self, offset: u64, size: u64) -> Result<Piece<'_>, Error> {
        let bytes = self.read_up_to(offset, size)?;
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        Err(Error::Malformed("a table beyond the end of the file"))
    }

    fn read_up_to(&self, offset: u64, size: u64) -> Result<Piece<'_>, Error> {
        let there = self.source.size().saturating_sub(offset).min(size);
        let size = usize::try_from(there).map_err(|_| Error::Malformed("size"))?;
        let in_head = usize::try_from(offset)
            .ok()
            .and_then(|start| self.head.get(start..start.checked_add(size)?));
        if let Some(bytes) = in_head {
            return Ok(Piece::Head(bytes));
        }
        let mut room = [0; SHORT];
        if let Some(short) = room.get_mut(..size) {
            let read = self.source.read_at(offset, short).map_err(Error::Io)?;
            return Ok(Piece::Short(room, read));
        }
        let mut long = vec![0; size];
        let read = self.source.read_at(offset, &mut long).map_err(Error::Io)?;
        long.truncate(read);
        Ok(Piece::Long(long))
    }
}

/// Bytes of a file. A hook reads three pieces of each library: what is short costs no allocation.
#[expect(clippy::large_enum_variant, reason = "that is what it is for")]
enum Piece<'h> {
    Head(&'h [u8]),
    Short([u8; SHORT], usize),
    Long(Vec<u8>),
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Head(bytes) => bytes,
            Self::Short(room, length) => room.get(..*length).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

/// What of a dynamic section matters here; of several entries of one kind the first counts.
#[derive(Default)]
pub struct DynamicSection {
    /// Address of the string table.
    strings: Option<u64>,
    /// Index of the SONAME in the string table.
    soname: Option<u64>,
    /// Indices of the names of needed libraries.
    needed: Vec<u64>,
}

const BEYOND_END: Error = Error::Malformed("a string beyond the end of the file");

fn until_nul(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..MAX_NAME).unwrap_or(bytes);
    let end = bytes.iter().position(|&it| it == 0);
    end.and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

fn file_offset(segment: &ProgramHeader, address: u64) -> u64 {
    address
        .wrapping_sub(segment.p_vaddr)
        .wrapping_add(segment.p_offset)
}

/// Reads the header at the start of a file, of either class.
fn parse_header(head: &[u8]) -> Result<Header, Error> {
    // goblin takes an unknown class or byte order for one of the two.
    let known = |index: usize| matches!(head.get(index), Some(1 | 2));
    if !known(EI_CLASS) || !known(EI_DATA) {
        return Err(Error::Malformed("class or byte order"));
    }
    goblin::elf::Elf::parse_header(head).map_err(|_| Error::Malformed("ELF header"))
}
