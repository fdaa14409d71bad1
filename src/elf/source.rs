//! The source of an object's bytes, and the pieces that are read from it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::watchdog;

/// A stack buffer for a piece of a file: a hook reads three pieces of each library, and short ones cost no allocation.
pub(super) type Room = [u8; SHORT];
pub(super) const ROOM: Room = [0; SHORT];
/// The size of a [`Room`]; nearly all dynamic sections and runs of strings fit.
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
