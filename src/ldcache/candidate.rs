//! The choice among a directory's files with the same SONAME.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustc_hash::FxHashSet;

use super::arch::FLAG_ELF;
use super::check_soname;
use super::files::Files;
use super::library::{Parsed, is_linker_name};
use super::listing::{Listing, MadeLink, Name};
use super::order::{compare_bytes, compare_names};
use super::precedence::{Owner, Owners};
use super::profile::Profile;
use super::search_path::LibraryDirectory;
use crate::rootfs::{FileVersion, Kind};

/// The best file for a SONAME in a directory.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) soname: &'a OsStr,
    pub(super) name: &'a OsStr,
    pub(super) file: &'a FileVersion,
    pub(super) parsed: &'a Parsed,
    pub(super) flags: u32,
    pub(super) is_link: bool,
    /// Whether SONAME leads to the file; glibc-hwcaps directories get no links.
    pub(super) is_linked: bool,
    /// Whether this run created the link SONAME.
    pub(super) is_made: bool,
    /// The owner.
    pub(super) owner: Owner,
}

impl<'a> Candidate<'a> {
    /// Returns SONAME as a link to the file.
    pub(super) fn as_link(&self) -> MadeLink<'a> {
        MadeLink {
            name: self.soname,
            target: self.name,
            file: self.file,
        }
    }
}

/// Returns the best candidate for each SONAME, sorted, and whether no library was left out.
pub(super) fn best_of<'a>(
    profile: &Profile,
    directory: &LibraryDirectory,
    owners: &Owners,
    listing: &'a Listing,
    files: &'a Files,
) -> (Vec<Candidate<'a>>, bool) {
    let mut are_all = true;
    let mut candidates = Vec::new();
    for name in listing.names() {
        match candidate(directory, name, files) {
            Ok(candidate) => candidates.extend(candidate),
            Err(reason) => {
                let path = directory.path.join(&*name.text);
                log::warn!("{}: left out, its SONAME {reason}", path.display());
                are_all = false;
            }
        }
    }
    candidates.sort_by(|a, b| compare_bytes(a.soname.as_bytes(), b.soname.as_bytes()));
    candidates.dedup_by(|candidate, there| {
        let is_same = candidate.soname == there.soname;
        if is_same && is_better(profile, candidate, there) {
            // ldconfig keeps the flags of the first one that it found.
            let flags = there.flags;
            *there = Candidate {
                flags,
                ..*candidate
            };
        }
        is_same
    });
    if directory.owner == Owner::Driver {
        set_owners(owners, listing, &mut candidates);
    }
    (candidates, are_all)
}

/// Determines which candidates in a driver's directory belong to the driver: its files, and links to them or to the SONAMEs that
/// will be links to them.
fn set_owners(owners: &Owners, listing: &Listing, candidates: &mut [Candidate<'_>]) {
    if !owners.have_versions() {
        // A directory from the command line may contain no driver.
        for candidate in candidates {
            candidate.owner = Owner::Image;
        }
        return;
    }
    let names = listing.names().iter().filter(|it| it.kind == Kind::File);
    let names = names.filter(|it| owners.is_drivers(&it.text));
    let files: FxHashSet<_> = names.filter_map(|it| Some(it.file?.id)).collect();
    let drivers = candidates.iter().filter(|it| files.contains(&it.file.id));
    let sonames: HashSet<_> = drivers.map(|it| it.soname).collect();
    for candidate in candidates {
        let is_link_to = |it: &OsStr| candidate.is_link && sonames.contains(it);
        if !files.contains(&candidate.file.id)
            && !listing.target(candidate.name).is_some_and(is_link_to)
        {
            candidate.owner = Owner::Image;
        }
    }
}

/// Returns the file with its SONAME in this directory, if it is a library. Fails with the reason for an invalid SONAME.
fn candidate<'a>(
    directory: &LibraryDirectory,
    name: &'a Name,
    files: &'a Files,
) -> Result<Option<Candidate<'a>>, &'static str> {
    let Some(file) = &name.file else {
        return Ok(None);
    };
    let Some(parsed) = files.library(file.id) else {
        return Ok(None);
    };
    let soname = parsed.soname.as_deref().unwrap_or(&name.text);
    // A link has an entry of its own only under the SONAME, or as libfoo.so for the linker.
    let is_link = name.kind == Kind::Link
        && (*soname == *name.text || is_linker_name(name.text.as_bytes(), soname.as_bytes()));
    let soname = if is_link { &name.text } else { soname };
    check_soname(soname.as_bytes())?;
    Ok(Some(Candidate {
        soname,
        name: &name.text,
        file,
        parsed,
        flags: match directory.libc_flag {
            Some(claimed) if parsed.flags == FLAG_ELF => claimed,
            _ => parsed.flags,
        },
        is_link,
        is_linked: directory.hwcap.is_none(),
        is_made: false,
        owner: directory.owner,
    }))
}

/// Whether `new` is preferred: a file to a link, a higher name to a lower one.
fn is_better(profile: &Profile, new: &Candidate<'_>, old: &Candidate<'_>) -> bool {
    if new.is_link != old.is_link {
        return old.is_link;
    }
    let (new, old) = (new.name.as_bytes(), old.name.as_bytes());
    compare_names(new, old, profile.arch.char_is_signed()).is_gt()
}
