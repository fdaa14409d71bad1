//! The constants of a program: its loaded segments that are not writable.

use std::ops::Range;

use super::{ElfError, Object, Source};

/// The number of bytes to read at once.
const CHUNK: usize = 16 << 10;
/// The maximum number of such pieces: libc's code and constants together have 2 MiB.
const MAX_CONSTANTS: usize = 512;
/// The length up to which a constant is found in one piece.
const MAX_CONSTANT: usize = 1 << 10;

impl<S: Source + ?Sized> Object<'_, S> {
    /// Searches the loaded segments that are not writable, which contain a program's constants, until `find` returns a value.
    /// `find` gets one piece after the other, and the number of positions in it where a constant may begin: later positions are
    /// repeated in another piece. So a constant of up to 1 KiB is never split.
    ///
    /// Segments without code come first, the last one of them before the others: it contains the constants since linkers put code
    /// into a segment of its own. Fails if the file cannot be read.
    pub fn find_constant<T>(
        &self,
        find: impl FnMut(&[u8], usize) -> Option<T>,
    ) -> Result<Option<T>, ElfError> {
        self.find_in(self.constants(), find)
    }

    /// Searches as [`Self::find_constant`] does, but from a file offset backwards, and the pieces behind the offset last.
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

    /// Returns the file ranges of constants: overlapping pieces, of which only the last one of a segment is shorter than the
    /// others.
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
