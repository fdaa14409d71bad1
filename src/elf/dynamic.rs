//! The dynamic section and its names in the string table.

use goblin::elf::dynamic::{DT_NEEDED, DT_NULL, DT_SONAME, DT_STRTAB};
use goblin::elf::header::ET_DYN;
use goblin::elf::program_header::{PT_DYNAMIC, ProgramHeader};

use super::source::{ROOM, SHORT};
use super::{BEYOND_END, Class, ElfError, Endian, MAX_NAME, MAX_PIECE, Object, Source, until_nul};

/// The maximum span of strings to read at once.
const WINDOW: u64 = (SHORT - MAX_NAME) as u64;
/// The number of libraries that most libraries need at most.
const USUAL_NAMES: usize = 8;
/// More libraries than any library needs.
const MAX_NAMES: usize = 4096;

/// The relevant entries of a dynamic section; the first of several entries of one kind counts.
#[derive(Default)]
pub struct DynamicSection {
    /// The address of the string table.
    strings: Option<u64>,
    /// The index of the SONAME in the string table.
    soname: Option<u64>,
    /// The indices of the names of needed libraries.
    needed: Vec<u64>,
}

impl<S: Source + ?Sized> Object<'_, S> {
    /// Returns the dynamic section: the last one if there are several. It ends at `DT_NULL`, whatever the segment's size is.
    /// Fails if there is none or it has no end.
    pub fn dynamic(&self) -> Result<DynamicSection, ElfError> {
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.p_type == PT_DYNAMIC)
            .filter(|segment| self.header.e_type == ET_DYN && segment.p_filesz != 0)
            .ok_or(ElfError::NotShared)?;
        // ldconfig stores the offset in 32 bits.
        let offset = segment.p_offset & u64::from(u32::MAX);
        for size in [segment.p_filesz.min(MAX_PIECE), MAX_PIECE] {
            let mut room = ROOM;
            let bytes = self.read_up_to(offset, size, &mut room)?;
            let mut section = DynamicSection {
                needed: Vec::with_capacity(USUAL_NAMES),
                ..DynamicSection::default()
            };
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
        Err(ElfError::Malformed("no end of the dynamic section"))
    }

    /// Returns `DT_SONAME`, truncated to 256 bytes. Fails if it cannot be read.
    pub fn soname(&self, dynamic: &DynamicSection) -> Result<Option<Vec<u8>>, ElfError> {
        let mut soname = None;
        self.visit_names(dynamic, dynamic.soname.into_iter(), |name| {
            soname = Some(name.to_vec());
        })?;
        Ok(soname)
    }

    /// Returns `DT_SONAME`, and whether `DT_NEEDED` contains one of the libraries. Fails if they cannot be read.
    pub fn soname_and_needs(
        &self,
        dynamic: &DynamicSection,
        libraries: &[&[u8]],
    ) -> Result<(Option<Vec<u8>>, bool), ElfError> {
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

    /// Reads strings of the string table, at once if possible: the linker puts those of the dynamic section side by side.
    fn visit_names(
        &self,
        dynamic: &DynamicSection,
        indices: impl Iterator<Item = u64> + Clone,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), ElfError> {
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
        let mut room = ROOM;
        let bytes = self.read_up_to(first, last - first + MAX_NAME as u64, &mut room)?;
        offsets.try_for_each(|offset| {
            let start = usize::try_from(offset - first).ok();
            let rest = start.and_then(|start| bytes.get(start..));
            let rest = rest.filter(|rest| !rest.is_empty()).ok_or(BEYOND_END)?;
            visit(until_nul(rest));
            Ok(())
        })
    }

    /// Returns the file offset of the string table.
    fn strings(&self, dynamic: &DynamicSection) -> Result<u64, ElfError> {
        let address = dynamic.strings.ok_or(ElfError::NotShared)?;
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

    /// Whether the string table is where glibc before 2.31 expects it: at the first loaded segment's distance.
    #[must_use]
    pub fn strings_in_first_segment(&self, dynamic: &DynamicSection) -> bool {
        let address = dynamic.strings.unwrap_or_default();
        let naive = self
            .loaded()
            .next()
            .map_or(address, |segment| file_offset(segment, address));
        self.strings(dynamic).is_ok_and(|offset| offset == naive)
    }

    fn address_size(&self) -> usize {
        match self.class() {
            Class::Bits32 => 4,
            Class::Bits64 => 8,
        }
    }

    /// Parses an address-sized number from exactly that many bytes.
    fn address(&self, bytes: &[u8]) -> u64 {
        if let Ok(long) = bytes.try_into() {
            return match self.context.le {
                Endian::Little => u64::from_le_bytes(long),
                Endian::Big => u64::from_be_bytes(long),
            };
        }
        self.word(bytes, 0).map_or(0, u64::from)
    }
}

fn file_offset(segment: &ProgramHeader, address: u64) -> u64 {
    address
        .wrapping_sub(segment.p_vaddr)
        .wrapping_add(segment.p_offset)
}
