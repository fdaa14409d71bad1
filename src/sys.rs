//! The only module with `unsafe` code.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Closes every descriptor above standard error. A runtime may leave some of its own open in a hook: runc does, and one of them
/// leads out of the container. To be called before this program has opened any.
pub fn close_inherited_descriptors() {
    const FIRST: libc::c_uint = 3;
    /// What is closed one by one before Linux 5.9.
    const USUAL: libc::c_uint = 256;
    // SAFETY: no value of this process owns any of these descriptors yet.
    unsafe {
        if libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) != 0 {
            for descriptor in FIRST..USUAL {
                libc::close(descriptor.cast_signed());
            }
        }
    }
}

/// Maps the executable file of this program for reading. No other file: who may write to one may shrink it, and a read of what is
/// gone raises SIGBUS.
#[expect(clippy::disallowed_methods, reason = "the program's own file")]
pub fn map_own_program() -> io::Result<Mmap> {
    let file = File::open("/proc/self/exe")?;
    // SAFETY: the map is private to this process and read-only. While a program runs, the kernel lets nobody write to its file or
    // shrink it (ETXTBSY); package managers replace it by renaming.
    unsafe { Mmap::map(&file) }
}
