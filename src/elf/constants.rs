//! Where a program's constants are: in what is loaded and not writable.

use std::ops::Range;

use super::{ElfError, Object, Source};

/// How much of the segments with constants is read at once.
const CHUNK: usize = 16 << 10;
/// How many such pieces are read: libc's code and constants together have 2 MiB.
const MAX_CONSTANTS: usize = 512;
/// How long a constant is found for sure.
const MAX_CONSTANT: usize = 1 << 10;

impl<S: Source + ?Sized> Object<'_, S> {
    /// Looks through what is loaded and not writable, where a program's constants are, until `find` finds something. It gets one
    /// piece after the other, and how many bytes of it may be a constant's first: what begins later comes again in another
    /// piece. So a constant of up to 1 KiB is never cut.
    ///
    /// Segments without code come first, the last one of them before the others: there the constants are since linkers put code
    /// into a segment of its own.
    pub fn find_constant<T>(
        &self,
        find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, ElfError> {
        self.find_in(self.constants(), find)
    }

    /// The same, but from an offset of the file backwards; the pieces behind it come last.
    pub fn find_constant_before<T>(
        &self,
        offset: u64,
        find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, ElfError> {
        let mut ranges: Vec<_> = self.constants().collect();
        ranges.sort_by_key(|range| (range.start > offset, range.start.abs_diff(offset)));
        self.find_in(ranges, find)
    }

    fn find_in<T>(
        &self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        mut find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, ElfError> {
        let mut buffer = vec![0; CHUNK];
        for range in ranges {
            let length = usize::try_from(range.end - range.start).unwrap_or(CHUNK);
            let piece = buffer.get_mut(..length).unwrap_or_default();
            let read = self
                .source
                .read_at(range.start, piece)
                .map_err(ElfError::Io)?;
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
}
