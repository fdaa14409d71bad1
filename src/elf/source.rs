//! The source of an object's bytes, and the pieces that are read from it.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;

use crate::watchdog;

/// The size of the stack buffer for a piece; nearly all dynamic sections and runs of strings fit.
pub(super) const SHORT: usize = 1024;

/// Bytes at offsets: a file, or a slice of memory.
pub trait Source {
    /// Returns the number of bytes.
    fn size(&self) -> u64;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end. Fails as pread(2) does.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
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
    /// Wraps a file of the given size.
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

/// Bytes of a file. A hook reads three pieces of each library: short ones cost no allocation.
#[expect(clippy::large_enum_variant, reason = "that is what it is for")]
pub(super) enum Piece<'h> {
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
