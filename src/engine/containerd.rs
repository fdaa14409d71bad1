//! containerd's `config.toml` and the files that it imports.
//!
//! containerd 1.x replaces the whole section of a plugin by that of an imported file; 2.x merges the two.

pub(super) mod distribution;
mod edit;
pub(super) mod setup;

pub use edit::{ConfigToml, ImportingMain, MainFile};
pub use setup::expand;

use toml_edit::Table;

use crate::document::EditError;
use crate::document::toml::Document;

const VERSION: &[&str] = &["version"];
const IMPORTS: &[&str] = &["imports"];

/// Settings below the CRI plugin's section.
const RUNTIMES: [&str; 2] = ["containerd", "runtimes"];
const DEFAULT_RUNTIME: [&str; 2] = ["containerd", "default_runtime_name"];
const ENABLE_CDI: &str = "enable_cdi";
/// Settings below a runtime's.
const BINARY_NAME: [&str; 2] = ["options", "BinaryName"];

/// The version of a document's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigVersion {
    /// The form of containerd 1.0, without imports.
    V1,
    /// The form of containerd 1.3 and later.
    V2,
    /// The form of containerd 2.0.
    V3,
    /// The form of containerd 2.3.
    V4,
}

impl ConfigVersion {
    /// The version of a document; `new` if it is blank.
    pub fn read(text: &str, new: Self) -> Result<Self, EditError> {
        Self::of(&Document::parse(text)?, new)
    }

    /// The version of the document; `new` if it is blank. Refuses those that are not known.
    fn of(document: &Document, new: Self) -> Result<Self, EditError> {
        let Some(item) = document.get(VERSION)? else {
            let is_blank = document.has_only(&[]);
            return Ok(if is_blank { new } else { Self::V1 });
        };
        match item.as_integer() {
            Some(1) => Ok(Self::V1),
            Some(2) => Ok(Self::V2),
            Some(3) => Ok(Self::V3),
            Some(4) => Ok(Self::V4),
            _ => Err(document.error(VERSION, "the version is not 1, 2, 3 or 4")),
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// The section of the CRI plugin.
    fn cri(self) -> [&'static str; 2] {
        let plugin = match self {
            Self::V1 => "cri",
            Self::V2 => "io.containerd.grpc.v1.cri",
            Self::V3 | Self::V4 => "io.containerd.cri.v1.runtime",
        };
        ["plugins", plugin]
    }

    fn below_cri<'a>(self, rest: &[&'a str]) -> Vec<&'a str> {
        [&self.cri()[..], rest].concat()
    }

    fn runtimes(self) -> Vec<&'static str> {
        self.below_cri(&RUNTIMES)
    }

    fn default(self) -> Vec<&'static str> {
        self.below_cri(&DEFAULT_RUNTIME)
    }

    fn cdi(self) -> Vec<&'static str> {
        self.below_cri(&[ENABLE_CDI])
    }

    /// The settings of a runtime for which there are none to take over.
    #[must_use]
    pub fn plain(self) -> Table {
        let mut table = Table::new();
        table.insert("privileged_without_host_devices", toml_edit::value(false));
        if self <= Self::V2 {
            table.insert("runtime_engine", toml_edit::value(""));
            table.insert("runtime_root", toml_edit::value(""));
        }
        table
    }
}
