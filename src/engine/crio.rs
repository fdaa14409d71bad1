//! CRI-O: `crio.conf`, or a file in `crio.conf.d`.

pub(super) mod setup;

use toml_edit::{Item, Table};

use super::configuration::{Base, Configuration, Handler, inherited, restore_default};
use crate::document::EditError;
use crate::document::toml::Document;

const RUNTIMES: &[&str] = &["crio", "runtime", "runtimes"];
const DEFAULT: &[&str] = &["crio", "runtime", "default_runtime"];

/// A file that CRI-O reads.
pub struct CrioConf {
    /// Where the settings of the runtime come from.
    pub base: Base,
}

/// The settings that a new runtime takes over from one in `text`; none if there is no such one.
pub fn base(text: &str) -> Result<Option<Table>, EditError> {
    base_in(&Document::parse(text)?)
}

fn base_in(document: &Document) -> Result<Option<Table>, EditError> {
    // A virtual machine or a pod takes no OCI runtime as its program.
    let is_oci = |table: &Table| {
        let kind = table.get("runtime_type").and_then(Item::as_str);
        !matches!(kind, Some("vm" | "pod"))
    };
    inherited(document, RUNTIMES, document.get_str(DEFAULT)?, is_oci)
}

fn entry(name: &str) -> Vec<&str> {
    [RUNTIMES, &[name]].concat()
}

impl Configuration for CrioConf {
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let entry = entry(&handler.name);
        self.base.apply(&mut document, &entry, |document| {
            Ok(base_in(document)?.unwrap_or_default())
        })?;
        document.set(&[&entry[..], &["runtime_path"]].concat(), &handler.path)?;
        document.set(&[&entry[..], &["runtime_type"]].concat(), "oci")?;
        if handler.is_default {
            document.set(DEFAULT, &handler.name)?;
        } else if document.get_str(DEFAULT)? == Some(&handler.name) {
            document.remove(DEFAULT)?;
        }
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        let entry = entry(name);
        if document.table(&entry)?.is_none() {
            return Ok(None);
        }
        let path = document.get_str(&[&entry[..], &["runtime_path"]].concat())?;
        Ok(Some(Handler {
            name: name.to_owned(),
            path: path.unwrap_or_default().to_owned(),
            is_default: document.get_str(DEFAULT)? == Some(name),
            cdi: false,
        }))
    }

    fn remove(&self, text: &str, backup: Option<&str>, name: &str) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        document.remove(&entry(name))?;
        restore_default(&mut document, backup, RUNTIMES, DEFAULT, name)?;
        Ok(document.into_text())
    }

    fn is_blank(&self, text: &str) -> bool {
        Document::parse(text).is_ok_and(|document| document.has_only(&[]))
    }
}

#[cfg(test)]
mod tests;
