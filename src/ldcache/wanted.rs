//! Which SONAME links a search is for.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use super::library::stem;

/// What is looked at, and which links are made.
pub(super) enum Wanted<'a> {
    /// Everything, as ldconfig does: stale links are removed as well.
    All,
    /// The links of these names alone.
    Sonames {
        sonames: HashSet<&'a OsStr>,
        /// How the names of the files begin that may have one of these SONAMEs.
        stems: HashSet<&'a [u8]>,
    },
}

impl<'a> Wanted<'a> {
    /// The links of these names.
    pub(super) fn sonames(sonames: &HashSet<&'a OsStr>) -> Self {
        let stems = sonames.iter().filter_map(|soname| stem(Path::new(*soname)));
        Self::Sonames {
            sonames: sonames.clone(),
            stems: stems.collect(),
        }
    }

    /// Whether it is everything.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether what has this name in a directory is looked at.
    pub(super) fn has_name(&self, name: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Sonames { stems, .. } => {
                stem(Path::new(name)).is_some_and(|stem| stems.contains(stem))
            }
        }
    }

    /// Whether a link of this name is made.
    pub(super) fn has_link(&self, soname: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Sonames { sonames, .. } => sonames.contains(soname),
        }
    }
}
