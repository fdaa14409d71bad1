//! The links in a library directory: creates missing ones and removes stale ones.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use memchr::memmem;

use super::Scan;
use crate::ldcache::candidate::Candidate;
use crate::ldcache::listing::{Listing, too_many_libraries};
use crate::ldcache::search_path::LibraryDirectory;
use crate::rootfs::{Kind, is_not_there, is_obstacle, is_read_only};

/// The dynamic loaders whose links Debian's ldconfig does not change.
const LOADERS: [&[u8]; 9] = [
    b"ld-linux.so.2",
    b"ld-linux.so.3",
    b"ld-linux-armhf.so.3",
    b"ld-linux-aarch64.so.1",
    b"ld-linux-x86-64.so.2",
    b"ld-linux-ia64.so.2",
    b"ld.so.1",
    b"ld64.so.1",
    b"ld64.so.2",
];

impl Scan<'_> {
    /// Creates the missing and wrong SONAME links, except in glibc-hwcaps directories. If that is impossible, the libraries count
    /// as not linked. Returns the number of names that are left.
    pub(super) fn make_links(
        &self,
        directory: &LibraryDirectory,
        libraries: &mut [Candidate<'_>],
        listing: &Listing,
    ) -> usize {
        let mut names_left = self.names_left;
        let mut obstacle = None;
        let is_wanted = |it: &&mut Candidate<'_>| it.is_linked && self.wanted.has_link(it.soname);
        for library in libraries.iter_mut().filter(is_wanted) {
            match self.is_link_missing(directory, library, listing) {
                Ok(false) => {}
                Ok(true) if obstacle.is_some() => library.is_linked = false,
                Ok(true) if self.is_spent(directory) => {
                    self.has_failed.set(true);
                    library.is_linked = false;
                }
                Ok(true) => {
                    let made = self.make_link(directory, library, listing, &mut names_left);
                    library.is_linked = made.is_ok();
                    obstacle = made.err();
                }
                Err(err) => {
                    self.has_failed.set(true);
                    let path = directory.path.join(library.soname);
                    log::warn!("{}: cannot make it a link: {err}", path.display());
                    library.is_linked = false;
                }
            }
        }
        if let Some(err) = obstacle {
            self.log_obstacle(directory, &err);
        }
        names_left
    }

    /// Makes SONAME a link to the library. Fails only with an error that prevents all other links as well.
    fn make_link(
        &self,
        directory: &LibraryDirectory,
        library: &mut Candidate<'_>,
        listing: &Listing,
        names_left: &mut usize,
    ) -> io::Result<()> {
        let (soname, target) = (library.soname, library.name);
        let path = directory.path.join(soname);
        let is_new = !listing.has(soname) && self.is_considered(directory, soname, Kind::Link);
        if is_new && *names_left == 0 {
            return Err(too_many_libraries());
        }
        match directory.directory.symlink(target, soname) {
            // Another hook may have created it first.
            Ok(_) => {
                log::debug!("{} -> {}", path.display(), target.display());
                library.is_made = true;
                *names_left = names_left.saturating_sub(usize::from(is_new));
            }
            Err(err) if is_obstacle(&err) => return Err(err),
            Err(err) => {
                self.has_failed.set(true);
                log::warn!(
                    "{}: cannot make it a link to {}: {err}",
                    path.display(),
                    target.display()
                );
            }
        }
        Ok(())
    }

    /// Logs why links are missing: at debug level where links can never be created, since the cache replaces them, unless these
    /// links were requested.
    fn log_obstacle(&self, directory: &LibraryDirectory, err: &io::Error) {
        let level = if is_read_only(err) && self.wanted.is_all() {
            log::Level::Debug
        } else {
            self.has_failed.set(true);
            log::Level::Warn
        };
        let path = directory.path.display();
        log::log!(
            level,
            "{path}: SONAME links are missing, the cache names the files: {err}"
        );
    }

    /// Whether SONAME does not lead to the library, and no existing file must stay.
    fn is_link_missing(
        &self,
        directory: &LibraryDirectory,
        library: &Candidate<'_>,
        listing: &Listing,
    ) -> io::Result<bool> {
        let soname = library.soname;
        if library.is_link
            || soname == library.name
            || listing.file(soname).as_ref() == Some(library.file)
        {
            return Ok(false);
        }
        // The listing still holds where nobody else can change the directory.
        let is_listed = listing.has(soname) || !self.is_considered(directory, soname, Kind::Link);
        if !is_listed && listing.is_complete && directory.directory.is_quiet() {
            return Ok(true);
        }
        if self.is_spent(directory) {
            return Ok(true);
        }
        let there = match directory.directory.stat(soname) {
            Ok(there) => there,
            Err(err) if is_not_there(&err) => return Ok(true),
            Err(err) => return Err(err),
        };
        let path = directory.path.join(soname);
        if there.kind != Kind::Link {
            log::debug!("{}: not a symbolic link, kept", path.display());
            return Ok(false);
        }
        let rules = &self.reader.profile.rules;
        if rules.keep_loader_links && LOADERS.contains(&soname.as_bytes()) {
            return Ok(false);
        }
        match self.root.stat(&path) {
            // An unreadable file may be better than the library.
            Ok(there) => Ok(listing.is_complete && there.id != library.file.id),
            Err(err) if is_not_there(&err) => Ok(true),
            Err(err) => Err(err),
        }
    }

    /// Removes a dangling link with a version in its name. Returns whether it no longer exists.
    pub(super) fn remove_stale(&self, directory: &LibraryDirectory, name: &OsStr) -> bool {
        if memmem::find(name.as_bytes(), b".so.").is_none() {
            return false;
        }
        let path = directory.path.join(name);
        match directory.directory.remove(name) {
            Ok(()) => {
                log::debug!("{}: a stale link, removed", path.display());
                true
            }
            // Another hook removed it first.
            Err(err) if err.kind() == io::ErrorKind::NotFound => true,
            // It does no harm.
            Err(err) if is_read_only(&err) => false,
            Err(err) => {
                self.has_failed.set(true);
                log::warn!("{}: a stale link, not removed: {err}", path.display());
                false
            }
        }
    }
}
