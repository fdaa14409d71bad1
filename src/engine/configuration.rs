//! The common interface to edits of the engines' configuration documents: text in, text out, or an error with its line.

use toml_edit::{Item, Table, TableLike, Value};

use crate::document::EditError;
use crate::document::toml::{Document, copy};

/// The configuration of one runtime in an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// The name by which containers request it.
    pub name: String,
    /// The path of its program.
    pub path: String,
    /// Whether containers that request no runtime get it.
    pub is_default: bool,
    /// Whether the engine resolves CDI devices.
    pub cdi: bool,
}

/// A configuration document of an engine.
pub trait Configuration {
    /// Returns `text` with the runtime `handler`. Fails if `text` is not a valid document or does not allow the change.
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError>;

    /// Returns the configuration of the runtime `name` in `text`. Fails if `text` is not a valid document.
    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError>;

    /// Returns `text` without the runtime `name`. Restores from `backup` what else [`Configuration::add`] may have changed. Fails
    /// if `text` is not a valid document.
    fn remove(&self, text: &str, backup: Option<&str>, name: &str) -> Result<String, EditError>;

    /// Whether `text` has no settings worth keeping.
    fn is_blank(&self, text: &str) -> bool;
}

/// Reverts [`Configuration::add`] on `backup`, or on a missing file.
///
/// If nobody edited the text since, returns the backup byte for byte; else removes only this program's entries. Fails if `text`
/// is not a valid document.
pub fn undo(
    document: &dyn Configuration,
    text: &str,
    backup: Option<&str>,
    name: &str,
) -> Result<String, EditError> {
    let Some(handler) = document.find(text, name)? else {
        return Ok(text.to_owned());
    };
    let before = backup.unwrap_or_default();
    if document.add(before, &handler).is_ok_and(|it| it == text) {
        return Ok(before.to_owned());
    }
    let usable = backup.filter(|it| document.find(it, name).is_ok());
    let removed = document.remove(text, usable, name)?;
    // The rest may be a line that this program added, such as the version.
    let is_nothing = |text: &str| document.is_blank(text) && !text.contains('#');
    if backup.is_some() && is_nothing(&removed) && is_nothing(before) {
        return Ok(before.to_owned());
    }
    Ok(removed)
}

/// The origin of a new runtime's settings.
#[derive(Clone, Debug)]
pub enum Base {
    /// A runtime of the same document; an existing entry keeps its own settings.
    Own,
    /// Another document; an existing entry keeps its own settings.
    Other(Table),
    /// Another document, for a file of this program: an existing entry is updated.
    Followed(Table),
}

impl Base {
    /// Adds the settings to the table `entry`; `own` finds those of the same document. Fails if a parent is not a table.
    pub(super) fn apply(
        &self,
        document: &mut Document,
        entry: &[&str],
        own: impl FnOnce(&Document) -> Result<Table, EditError>,
    ) -> Result<(), EditError> {
        let is_there = document.table(entry)?.is_some();
        match self {
            Self::Followed(base) if is_there => document.merge(entry, base),
            _ if is_there => Ok(()),
            Self::Own => {
                let base = own(document)?;
                document.set_table(entry, base)
            }
            Self::Other(base) | Self::Followed(base) => document.set_table(entry, base.clone()),
        }
    }
}

/// Sets the value at `path` and at other spellings of the last name: some parsers ignore case, and the last spelling counts.
pub(super) fn set_field(
    document: &mut Document,
    path: &[&str],
    value: impl Into<Value>,
) -> Result<(), EditError> {
    let value = value.into();
    for path in document.spellings(path)? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        document.set(&path, value.clone())?;
    }
    Ok(())
}

/// Returns the value of the field `name`, ignoring case if the exact name is missing.
pub(super) fn field<'t>(table: &'t dyn TableLike, name: &str) -> Option<&'t Item> {
    let is_same = |(key, _): &(&str, &Item)| key.eq_ignore_ascii_case(name);
    table.get(name).or_else(|| {
        let (_, item) = table.iter().filter(is_same).last()?;
        Some(item)
    })
}

/// Removes a field in other spellings from a table.
pub(super) fn remove_other_spellings(table: &mut dyn TableLike, name: &str) {
    let is_same = |key: &&str| *key != name && key.eq_ignore_ascii_case(name);
    let keys: Vec<String> = table
        .iter()
        .map(|(key, _)| key)
        .filter(is_same)
        .map(str::to_owned)
        .collect();
    for key in keys {
        table.remove(&key);
    }
}

/// Returns the settings of the default runtime in the table `runtimes`, or of a usual one, if `fits` accepts them for a program
/// that replaces that runtime.
pub(super) fn inherited(
    document: &Document,
    runtimes: &[&str],
    default: Option<&str>,
    fits: fn(&Table) -> bool,
) -> Result<Option<Table>, EditError> {
    for name in usual(default) {
        let table = copy_of(document, &[runtimes, &[name]].concat())?;
        if let Some(table) = table.filter(fits) {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Returns the names of runtimes whose settings a new one inherits, in order of preference.
pub(super) fn usual(default: Option<&str>) -> impl Iterator<Item = &str> {
    let default = default.filter(|name| !name.is_empty() && !name.starts_with("nvidia"));
    default.into_iter().chain(["runc", "crun"])
}

/// Copies the table at `path`. Fails if the item is not a table.
pub(super) fn copy_of(document: &Document, path: &[&str]) -> Result<Option<Table>, EditError> {
    let Some(table) = document.table(path)? else {
        return Ok(None);
    };
    let decor = document.get(path)?.and_then(Item::as_table);
    Ok(Some(copy(table, decor.map(Table::decor))))
}

/// If the default runtime is the removed `name`, restores the default of `backup`, unless that runtime is gone as well.
pub(super) fn restore_default(
    document: &mut Document,
    backup: Option<&str>,
    runtimes: &[&str],
    default: &[&str],
    name: &str,
) -> Result<(), EditError> {
    let backup = backup.map(Document::parse).transpose()?;
    for path in document.spellings(default)? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if document.get_str(&path)? == Some(name) {
            match default_before(document, backup.as_ref(), runtimes, &path)? {
                Some(before) => document.set(&path, before)?,
                None => document.remove(&path)?,
            }
        }
    }
    Ok(())
}

fn default_before(
    document: &Document,
    backup: Option<&Document>,
    runtimes: &[&str],
    default: &[&str],
) -> Result<Option<String>, EditError> {
    let Some(backup) = backup else {
        return Ok(None);
    };
    let Some(before) = backup.get_str(default)? else {
        return Ok(None);
    };
    let entry = [runtimes, &[before]].concat();
    let is_there = document.table(&entry)?.is_some() || backup.table(&entry)?.is_none();
    Ok(is_there.then(|| before.to_owned()))
}

#[cfg(test)]
pub(in crate::engine) mod tests;
