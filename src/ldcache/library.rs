//! A library's file: library names, and the parsed content.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::arch::{Abi, Arch, FLAG_ELF, FLAG_ELF_LIBC6};
use super::profile::Profile;
use crate::elf::{Class, ElfError, Head, Object, OpenFile, Source};

/// The C libraries and loaders that identify a library for glibc; checked up to glibc 2.36.
const LIBC_NAMES: [&[u8]; 2] = [b"libc.so.6", b"libm.so.6"];
const INTERPRETERS: [&[u8]; 10] = [
    b"/lib/ld-linux.so.2",
    b"/lib/ld-linux.so.3",
    b"/lib/ld-linux-armhf.so.3",
    b"/lib/ld-linux-aarch64.so.1",
    b"/lib64/ld-linux-x86-64.so.2",
    b"/lib/ld-linux-x86-64.so.2",
    b"/libx32/ld-linux-x32.so.2",
    b"/lib/ld.so.1",
    b"/lib/ld64.so.1",
    b"/lib64/ld64.so.2",
];
/// The parsed content of a library's file, independent of its name.
pub(super) struct Parsed {
    pub(super) soname: Option<Box<OsStr>>,
    pub(super) flags: u32,
    pub(super) os_version: u32,
    pub(super) isa_level: u32,
}

/// Parses a file of this size; `None`, with a debug message, if it is not a library. Fails if it cannot be read.
pub(super) fn read(
    profile: &Profile,
    file: File,
    size: u64,
    head: &mut Head,
    path: impl Fn() -> PathBuf,
) -> io::Result<Option<Parsed>> {
    match parse(profile, &OpenFile::new(file, size), head) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(ElfError::Io(err)) => Err(err),
        Err(err) => {
            log::debug!("{}: not a library: {err}", path().display());
            Ok(None)
        }
    }
}

fn parse(profile: &Profile, source: &OpenFile, head: &mut Head) -> Result<Parsed, ElfError> {
    let rules = &profile.rules;
    let smallest = match profile.class {
        Class::Bits32 => 52,
        Class::Bits64 => 64,
    };
    if source.size() < smallest {
        return Err(ElfError::Malformed("too small"));
    }
    let object = Object::read(source, head)?;
    if object.endian() != profile.endian {
        return Err(ElfError::Malformed("byte order"));
    }
    if profile.arch == Arch::Other && object.class() != profile.class {
        return Err(ElfError::Malformed("word size"));
    }
    let dynamic = object.dynamic()?;
    if rules.naive_strings && !object.strings_in_first_segment(&dynamic) {
        return Err(ElfError::Malformed("string table"));
    }
    let (soname, base) = if rules.legacy {
        let (soname, needs_libc) = object.soname_and_needs(&dynamic, &LIBC_NAMES)?;
        let interpreter = object.interpreter()?.unwrap_or_default();
        let is_for_glibc = INTERPRETERS.contains(&interpreter.as_slice()) || needs_libc;
        let base = if is_for_glibc {
            FLAG_ELF_LIBC6
        } else {
            FLAG_ELF
        };
        (soname, base)
    } else {
        (object.soname(&dynamic)?, FLAG_ELF_LIBC6)
    };
    Ok(Parsed {
        soname: soname.map(|it| OsString::from_vec(it).into()),
        flags: profile
            .arch
            .flag(Abi::of(&object), base)
            .ok_or(ElfError::Malformed("machine"))?,
        os_version: if rules.os_version {
            object.os_version()?
        } else {
            0
        },
        isa_level: if rules.isa_level && profile.arch == Arch::X86 {
            object.isa_level()?
        } else {
            0
        },
    })
}

pub(super) fn is_library_name(name: &[u8], loader_names: bool) -> bool {
    let is_library = name.starts_with(b"lib") || name.starts_with(b"ld-");
    let is_loader = name.starts_with(b"ld.so.") || name.starts_with(b"ld64.so.");
    is_library && memmem::find(name, b".so").is_some() || loader_names && is_loader
}

/// Whether a link of this name is for the linker: it ends in `.so` and is a prefix of the SONAME.
pub(super) fn is_linker_name(name: &[u8], soname: &[u8]) -> bool {
    name.ends_with(b".so") && soname.starts_with(name)
}

/// Returns the prefix, up to `.so`, of names of files whose SONAME may be the last component of this path.
pub(super) fn stem(path: &Path) -> Option<&[u8]> {
    let soname = path.file_name()?.as_bytes();
    soname.get(..memmem::find(soname, b".so")? + ".so".len())
}

pub(super) fn is_prelink_temporary(name: &[u8]) -> bool {
    const MARK: &[u8] = b".#prelink#";
    let without_suffix = name.len().checked_sub(".XXXXXX".len());
    name.ends_with(MARK)
        || without_suffix
            .and_then(|end| name.get(..=end))
            .is_some_and(|start| start.ends_with(b".#prelink#."))
}

pub(super) fn is_package_temporary(name: &[u8]) -> bool {
    name.contains(&b';') || name.ends_with(b".dpkg-new") || name.ends_with(b".dpkg-tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soname_begins_as_its_file_does() {
        for (path, expected) in [
            ("libcuda.so.1", Some("libcuda.so")),
            ("../lib64/libcuda.so.1", Some("libcuda.so")),
            ("liba.so.b.so.1", Some("liba.so")),
            ("liba.so", Some("liba.so")),
            ("liba", None),
            ("a.so/..", None),
            ("/", None),
        ] {
            assert_eq!(stem(Path::new(path)), expected.map(str::as_bytes), "{path}");
        }
    }
}
