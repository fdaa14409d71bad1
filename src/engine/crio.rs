//! CRI-O: `crio.conf`, or a file in `crio.conf.d`.

pub(super) mod setup;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{Item, Table, TableLike};

use super::configuration::{
    Base, Configuration, Handler, copy_of, field, inherited, restore_default, set_field, usual,
};
use crate::document::EditError;
use crate::document::toml::Document;
use crate::rootfs::{Kind, Root, is_not_there};

const RUNTIME: &[&str] = &["crio", "runtime"];
const RUNTIMES: &[&str] = &["crio", "runtime", "runtimes"];
const DEFAULT: &[&str] = &["crio", "runtime", DEFAULT_RUNTIME];
const DEFAULT_RUNTIME: &str = "default_runtime";
const DEPRECATED_DEFAULT: &str = "runtime";
const RUNTIME_PATH: &str = "runtime_path";
const RUNTIME_TYPE: &str = "runtime_type";
/// The maximum number of drop-ins.
const MAX_DROP_INS: usize = 1024;

/// A configuration file of CRI-O.
pub struct CrioConf {
    /// The origin of the runtime's settings.
    pub base: Base,
}

/// The merged settings of several files, as CRI-O merges them: later files take precedence, and a runtime is replaced as a whole.
#[derive(Default)]
pub struct Merged {
    default: Option<String>,
    runtimes: BTreeMap<String, Table>,
}

impl Merged {
    /// Merges one more file. Fails if it is not TOML.
    pub fn read(&mut self, text: &str) -> Result<(), EditError> {
        let document = Document::parse(text)?;
        if let Some(default) = default_runtime(&document)? {
            self.default = Some(default);
        }
        let names = document
            .table(RUNTIMES)?
            .into_iter()
            .flat_map(TableLike::iter);
        for (name, _) in names {
            if let Some(runtime) = copy_of(&document, &entry(name))? {
                self.runtimes.insert(name.to_owned(), runtime);
            }
        }
        Ok(())
    }

    /// Returns the settings that a new runtime inherits; `None` if there is no such runtime.
    #[must_use]
    pub fn base(&self) -> Option<Table> {
        let mut tables = usual(self.default.as_deref()).filter_map(|name| self.runtimes.get(name));
        tables.find(|table| is_oci(table)).cloned()
    }
}

/// Returns the files in and below the drop-in directory, in CRI-O's order; empty without that directory. Fails if it cannot be
/// read.
pub fn drop_ins(root: &Root, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match walk(root, folder, &mut files) {
        Err(err) if is_not_there(&err) => Ok(Vec::new()),
        result => result.map(|()| files),
    }
}

fn walk(root: &Root, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = root.directory(folder)?.entries()?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let path = folder.join(entry.name);
        match entry.kind {
            Kind::File | Kind::Link => files.push(path),
            Kind::Directory => walk(root, &path, files)?,
            _ => {}
        }
        if files.len() > MAX_DROP_INS {
            let message = format!("more than {MAX_DROP_INS} files");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
    }
    Ok(())
}

fn default_runtime(document: &Document) -> Result<Option<String>, EditError> {
    let table = document.table(RUNTIME)?;
    let default = table.and_then(|table| field(table, DEFAULT_RUNTIME)?.as_str());
    Ok(default.map(str::to_owned))
}

/// Whether the runtime has an OCI runtime as its program, which those for virtual machines and pods have not.
fn is_oci(table: &Table) -> bool {
    let kind = field(table, RUNTIME_TYPE).and_then(Item::as_str);
    !matches!(kind, Some("vm" | "pod"))
}

fn base_in(document: &Document) -> Result<Option<Table>, EditError> {
    let default = default_runtime(document)?;
    inherited(document, RUNTIMES, default.as_deref(), is_oci)
}

fn entry(name: &str) -> Vec<&str> {
    [RUNTIMES, &[name]].concat()
}

impl CrioConf {
    /// Whether a file has the deprecated setting that the first releases of CRI-O use as the default runtime regardless of
    /// `default_runtime`.
    #[must_use]
    pub fn has_deprecated_default(text: &str) -> bool {
        let has_program = |document: Document| {
            let program = field(document.table(RUNTIME).ok()??, DEPRECATED_DEFAULT)?.as_str();
            program.map(|program| !program.is_empty())
        };
        Document::parse(text).ok().and_then(has_program) == Some(true)
    }

    /// Returns the default runtime that a file sets.
    #[must_use]
    pub fn default_runtime(text: &str) -> Option<String> {
        default_runtime(&Document::parse(text).ok()?).ok()?
    }
}

impl Configuration for CrioConf {
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let entry = entry(&handler.name);
        self.base.apply(&mut document, &entry, |document| {
            Ok(base_in(document)?.unwrap_or_default())
        })?;
        for (name, value) in [(RUNTIME_PATH, handler.path.as_str()), (RUNTIME_TYPE, "oci")] {
            set_field(&mut document, &[&entry[..], &[name]].concat(), value)?;
        }
        if handler.is_default {
            set_field(&mut document, DEFAULT, &handler.name)?;
        } else {
            restore_default(&mut document, None, RUNTIMES, DEFAULT, &handler.name)?;
        }
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        let entry = entry(name);
        if document.table(&entry)?.is_none() {
            return Ok(None);
        }
        let path = document.get_str(&[&entry[..], &[RUNTIME_PATH]].concat())?;
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
