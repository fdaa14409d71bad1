//! Entries of names that are missing in a driver's directory, and cannot be made links there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::candidate::Candidate;
use super::driver_names;
use super::found::Library;
use super::listing::Listing;
use super::search_path::LibraryDirectory;
use crate::rootfs::Kind;

/// How the name of the library begins of which every driver has one; its version follows.
const LIBCUDA: &[u8] = b"libcuda.so.";

/// The names under which programs look for the driver's libraries beside their SONAMEs, as entries that name the files; none where
/// links can be made.
pub(super) fn aliases(
    libraries: &[Candidate<'_>],
    place: u32,
    directory: &LibraryDirectory,
    listing: &Listing,
) -> Vec<Library> {
    let Some(version) = driver_version(listing) else {
        return Vec::new();
    };
    let suffix = [b".so.", version].concat();
    let is_file = |it: &&Candidate<'_>| !it.is_link && it.name.as_bytes().ends_with(&suffix);
    let aliases: Vec<_> = libraries
        .iter()
        .filter(is_file)
        .flat_map(|library| {
            let names = driver_names::of(library.soname).map(|(name, _)| name);
            let missing = names.filter(|name| !listing.has(OsStr::new(name)));
            missing.map(|name| Library {
                path: directory.path.join(library.name),
                other_soname: Some(name.into()),
                flags: library.flags,
                os_version: library.parsed.os_version,
                isa_level: library.parsed.isa_level,
                place,
                hwcap_directory: directory.hwcap.clone(),
                hwcap_bits: 0,
            })
        })
        .collect();
    if aliases.is_empty() || directory.directory.is_writable() {
        return Vec::new();
    }
    aliases
}

/// The version of the driver whose libraries lie here, as the name of libcuda's file has it.
fn driver_version(listing: &Listing) -> Option<&[u8]> {
    let files = listing
        .names()
        .iter()
        .filter(|name| name.kind == Kind::File);
    let mut versions = files.filter_map(|name| name.text.as_bytes().strip_prefix(LIBCUDA));
    versions.find(|version| version.contains(&b'.'))
}
