//! A file of an engine as it is, read once.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::document::EditError;
use crate::host::file;

/// A file as it is.
pub(in crate::command::runtime) struct Current {
    pub(in crate::command::runtime) path: PathBuf,
    /// `None` if it does not exist.
    pub(in crate::command::runtime) text: Option<String>,
}

impl Current {
    pub(in crate::command::runtime) fn read(path: PathBuf) -> Result<Self> {
        let text = file::read(&path)
            .map_err(advise)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, text })
    }

    /// The text; empty if the file does not exist.
    pub(in crate::command::runtime) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(in crate::command::runtime) fn invalid(&self, err: &EditError) -> anyhow::Error {
        anyhow!("{}:{err}", self.path.display())
    }
}

/// Adds advice to an error that the user can resolve.
pub(in crate::command::runtime) fn advise(err: io::Error) -> anyhow::Error {
    match err.kind() {
        io::ErrorKind::PermissionDenied => {
            anyhow!("{err}: run this as root, or name a file of your own with --config")
        }
        _ => err.into(),
    }
}
