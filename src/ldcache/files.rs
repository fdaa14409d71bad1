//! The parsed files of all directories.

use rustc_hash::FxHashMap;

use super::library::Parsed;
use crate::rootfs::FileId;

/// The maximum number of library names in all directories, including new SONAME links. Honest images have some thousands; all
/// library packages of Debian of at most 350 kB have ten thousand.
pub(super) const MAX_LIBRARIES: usize = 14_000;
/// The maximum number of bytes for names and paths of libraries; ten thousand take 1 MiB.
pub(super) const MAX_STRINGS: usize = 3 << 19;

/// The content of each parsed file, whichever names lead to it; `None` if it is not a library.
#[derive(Default)]
pub(super) struct Files {
    by_id: FxHashMap<FileId, Option<Parsed>>,
    /// The number of bytes in SONAMEs.
    pub(super) soname_bytes: usize,
}

impl Files {
    pub(super) fn insert(&mut self, id: FileId, parsed: Option<Parsed>) {
        let soname = parsed.as_ref().and_then(|it| it.soname.as_ref());
        self.soname_bytes += soname.map_or(0, |name| name.len());
        self.by_id.insert(id, parsed);
    }

    pub(super) fn has(&self, id: FileId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn library(&self, id: FileId) -> Option<&Parsed> {
        self.by_id.get(&id)?.as_ref()
    }
}
