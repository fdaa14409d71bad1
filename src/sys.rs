//! The only module with `unsafe` code.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a whole file of the host for reading. Never for files of a container: its owner may shrink one, and a read of what is
/// gone raises SIGBUS.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is private to this process and read-only. The file is one of the host's programs, which package managers
    // replace by renaming; whoever may truncate it may replace this program as well.
    unsafe { Mmap::map(file) }
}
