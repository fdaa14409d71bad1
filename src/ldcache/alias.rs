//! Cache entries for names that are missing in a driver's directory where no links can be created.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::candidate::Candidate;
use super::driver_names;
use super::listing::Listing;
use super::search_path::LibraryDirectory;
use super::search_result::Library;

/// Returns entries for the additional names of the driver's libraries, which name the files; none if links can be created.
pub(super) fn aliases(
    libraries: &[Candidate<'_>],
    place: u32,
    directory: &LibraryDirectory,
    listing: &Listing,
) -> Vec<Library> {
    let Some(version) = listing.driver_version() else {
        return Vec::new();
    };
    let suffix = [b".so.", version.as_bytes()].concat();
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
                owner: library.owner,
            })
        })
        .collect();
    if aliases.is_empty() || directory.directory.is_writable() {
        return Vec::new();
    }
    aliases
}
