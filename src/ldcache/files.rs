//! What was read of the files of all directories.

use rustc_hash::FxHashMap;

use super::library::Parsed;
use crate::rootfs::FileId;

/// Most bytes for names and paths of libraries; ten thousand have 1 MiB.
pub(super) const MAX_STRINGS: usize = 3 << 19;

/// What was found in each file that was looked into, however many names lead to it; nothing where it is no library.
#[derive(Default)]
pub(super) struct Files {
    by_id: FxHashMap<FileId, Option<Parsed>>,
    /// How many bytes the SONAMEs take.
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
