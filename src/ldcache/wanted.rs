//! The SONAME links that a search creates.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use super::library::stem;

/// The scope of a search, and the links that it creates.
pub(super) enum Wanted<'a> {
    /// Everything, as in ldconfig, which also removes stale links.
    All,
    /// Only links of these names.
    Sonames {
        sonames: HashSet<&'a OsStr>,
        /// The prefixes of files that may have one of these SONAMEs.
        stems: HashSet<&'a [u8]>,
    },
}

impl<'a> Wanted<'a> {
    /// Returns the scope of these links.
    pub(super) fn sonames(sonames: &HashSet<&'a OsStr>) -> Self {
        let stems = sonames.iter().filter_map(|soname| stem(Path::new(*soname)));
        Self::Sonames {
            sonames: sonames.clone(),
            stems: stems.collect(),
        }
    }

    /// Whether the scope is everything.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether the search considers this name in a directory.
    pub(super) fn has_name(&self, name: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Sonames { stems, .. } => {
                stem(Path::new(name)).is_some_and(|stem| stems.contains(stem))
            }
        }
    }

    /// Whether the search creates a link of this name.
    pub(super) fn has_link(&self, soname: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Sonames { sonames, .. } => sonames.contains(soname),
        }
    }
}
