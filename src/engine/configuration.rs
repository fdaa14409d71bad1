//! What edits of the engines' configuration documents have in common: text in, text out, or an error with its line.

use toml_edit::{Item, Table, TableLike, Value};

use crate::document::EditError;
use crate::document::toml::{Document, copy};

/// What an engine's configuration says of one runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// The name under which containers ask for it.
    pub name: String,
    /// Its program.
    pub path: String,
    /// Whether containers get it that ask for none.
    pub is_default: bool,
    /// Whether the engine resolves CDI devices.
    pub cdi: bool,
}

/// One document of an engine.
pub trait Configuration {
    /// `text` with `handler` in it.
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError>;

    /// What `text` says of the runtime `name`.
    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError>;

    /// `text` without the runtime `name`. What else [`Configuration::add`] may have changed becomes what it is in `backup`.
    fn remove(&self, text: &str, backup: Option<&str>, name: &str) -> Result<String, EditError>;

    /// Whether nothing is left that would be missed.
    fn is_blank(&self, text: &str) -> bool;
}

/// Takes back what [`Configuration::add`] did to `backup`, or to a file that was not there.
///
/// If nobody edited the text since, that is the backup, byte for byte; else only our own entries go.
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
    // What is left may be a line that we added, such as the version.
    let is_nothing = |text: &str| document.is_blank(text) && !text.contains('#');
    if backup.is_some() && is_nothing(&removed) && is_nothing(before) {
        return Ok(before.to_owned());
    }
    Ok(removed)
}

/// Where a runtime's settings come from.
#[derive(Clone, Debug)]
pub enum Base {
    /// From a runtime of the same document; an entry that is there keeps its own.
    Own,
    /// From elsewhere; an entry that is there keeps its own.
    Other(Table),
    /// From elsewhere, for a file of ours: an entry that is there follows.
    Followed(Table),
}

impl Base {
    /// Puts the settings into the table `entry`; `own` finds those of the same document.
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

/// Sets the value at `path`, and under other spellings of the last name: some readers take a name in any case, and the last one counts.
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

/// The value of the field `name`, in any case if it is not there as it is written here.
pub(super) fn field<'t>(table: &'t dyn TableLike, name: &str) -> Option<&'t Item> {
    let is_same = |(key, _): &(&str, &Item)| key.eq_ignore_ascii_case(name);
    table.get(name).or_else(|| {
        let (_, item) = table.iter().filter(is_same).last()?;
        Some(item)
    })
}

/// Takes a field out of a table where it is spelled in another way.
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

/// The settings of the runtime that is the default in the table `runtimes`, or of a usual one, if `fits` says that they suit
/// the program that takes its place.
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

/// The names of runtimes whose settings a new one takes over, the best first.
pub(super) fn usual(default: Option<&str>) -> impl Iterator<Item = &str> {
    let default = default.filter(|name| !name.is_empty() && !name.starts_with("nvidia"));
    default.into_iter().chain(["runc", "crun"])
}

/// The table at `path` with its comments.
pub(super) fn copy_of(document: &Document, path: &[&str]) -> Result<Option<Table>, EditError> {
    let Some(table) = document.table(path)? else {
        return Ok(None);
    };
    let decor = document.get(path)?.and_then(Item::as_table);
    Ok(Some(copy(table, decor.map(Table::decor))))
}

/// If the default runtime is `name`, which is gone, makes it what it is in `backup`, unless that one is gone as well.
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
