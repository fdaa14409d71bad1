//! containerd's `config.toml` and its imported files.
//!
//! containerd 1.x replaces the whole section of a plugin with that of an imported file; 2.x merges the two.

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
/// A setting below that of a runtime.
const BINARY_NAME: [&str; 2] = ["options", "BinaryName"];

/// The version of a configuration document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigVersion {
    /// The format of containerd 1.0, without imports.
    V1,
    /// The format of containerd 1.3 and later.
    V2,
    /// The format of containerd 2.0.
    V3,
    /// The format of containerd 2.3.
    V4,
}

impl ConfigVersion {
    /// Returns the version of a document; `new` if it is blank. Fails for an unknown version and for text that is not TOML.
    pub fn read(text: &str, new: Self) -> Result<Self, EditError> {
        Self::of(&Document::parse(text)?, new)
    }

    /// Returns the version of the document; `new` if it is blank. Fails for an unknown version.
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

    /// Returns the path of the CRI plugin's section.
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

    /// Returns the settings of a runtime that inherits none.
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
