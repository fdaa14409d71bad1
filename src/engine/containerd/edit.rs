//! Edits of `config.toml`, or of a file that it imports.

use toml_edit::{Item, Table, TableLike};

use super::{BINARY_NAME, ConfigVersion, IMPORTS, VERSION};
use crate::document::EditError;
use crate::document::toml::{Document, copy};
use crate::engine::configuration::{
    Base, Configuration, Handler, copy_of, field, inherited, remove_other_spellings,
    restore_default, set_field,
};

const DISABLED: &[&str] = &["disabled_plugins"];
const RUNC: &str = "io.containerd.runc.v2";
const RUNTIME_TYPE: &str = "runtime_type";
/// The additional path of the program in version 1.
const RUNTIME: [&str; 2] = ["options", "Runtime"];
/// A setting below the CRI plugin's section.
const DEPRECATED_DEFAULT: [&str; 2] = ["containerd", "default_runtime"];
/// The runtime that is built into containerd 1.x unless a file names any runtime.
const BUILT_IN: &str = "runc";

/// The header of a file that copies the main file's section.
const COPY: &str = "# Written by nvidia-ctk. containerd 1.x takes the CRI settings from here and not from the main file, so this is a
# copy of them: after an edit of the main file run `nvidia-ctk runtime configure` again.
";

/// The relevant parts of the main file, or of containerd's effective settings.
#[derive(Debug)]
pub struct MainFile {
    /// The version of its format.
    pub version: ConfigVersion,
    /// The settings that a new runtime inherits.
    pub base: Option<Table>,
    /// The section of the CRI plugin.
    pub cri: Option<Table>,
    /// The files that it imports.
    pub imports: Vec<String>,
}

impl MainFile {
    /// Reads the main file; a blank one has the version `new`. Fails if it is invalid, or if the CRI plugin is disabled, since
    /// nothing would use the runtime.
    pub fn read(text: &str, new: ConfigVersion) -> Result<Self, EditError> {
        let document = Document::parse(text)?;
        let version = ConfigVersion::of(&document, new)?;
        check_enabled(&document, version)?;
        let cri = document.table(&version.cri())?;
        Ok(Self {
            version,
            base: base_in(&document, version)?,
            cri: cri.map(|cri| copy(cri, None)),
            imports: own(document.strings(IMPORTS)?),
        })
    }
}

fn own(texts: Option<Vec<&str>>) -> Vec<String> {
    texts
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// Checks that no needed plugin is disabled. Since version 3 runtimes belong to another plugin than Kubernetes' interface: both
/// are needed.
fn check_enabled(document: &Document, version: ConfigVersion) -> Result<(), EditError> {
    let disabled = document.strings(DISABLED)?.unwrap_or_default();
    let plugins = ["cri", ConfigVersion::V2.cri()[1], version.cri()[1]];
    match disabled.into_iter().find(|name| plugins.contains(name)) {
        None => Ok(()),
        Some(name) => Err(document.error(
            DISABLED,
            format!("the CRI plugin is disabled, so no runtime would be used; remove \"{name}\" from disabled_plugins"),
        )),
    }
}

/// Returns the path of the table that containerd 1.x uses as the default runtime regardless of `default_runtime_name`; `None` if
/// there is none.
fn deprecated_default(
    document: &Document,
    version: ConfigVersion,
) -> Result<Option<Vec<&'static str>>, EditError> {
    let path = [&version.cri()[..], &DEPRECATED_DEFAULT].concat();
    let table = document.table(&path)?;
    let kind = table.and_then(|table| table.get(RUNTIME_TYPE)?.as_str());
    let counts = version <= ConfigVersion::V2 && kind.is_some_and(|kind| !kind.is_empty());
    Ok(counts.then_some(path))
}

fn base_in(document: &Document, version: ConfigVersion) -> Result<Option<Table>, EditError> {
    let base = match deprecated_default(document, version)? {
        Some(path) => copy_of(document, &path)?.filter(is_of_runc),
        None => None,
    };
    let base = if base.is_some() {
        base
    } else {
        let default = document.get_str(&version.default())?;
        inherited(document, &version.runtimes(), default, is_of_runc)?
    };
    Ok(base.map(|mut base| {
        if version >= ConfigVersion::V3 {
            base.remove("runtime_engine");
            base.remove("runtime_root");
        }
        if let Some(options) = base.get_mut("options").and_then(Item::as_table_like_mut) {
            remove_other_spellings(options, BINARY_NAME[1]);
            remove_other_spellings(options, RUNTIME[1]);
        }
        base
    }))
}

/// Whether the settings suit a program that replaces runc.
fn is_of_runc(table: &Table) -> bool {
    let kind = field(table, RUNTIME_TYPE).and_then(Item::as_str);
    matches!(
        kind.unwrap_or_default(),
        "" | RUNC | "io.containerd.runc.v1"
    )
}

/// A file with this program's runtime: the main file, or one that it imports.
#[derive(Debug)]
pub struct ConfigToml {
    /// The version of a new file.
    pub new: ConfigVersion,
    /// The origin of the runtime's settings.
    pub base: Base,
    /// The section of the CRI plugin that the file must repeat.
    pub copied: Option<Table>,
}

impl ConfigToml {
    /// Whether containerd merges the file with the main file instead of replacing sections.
    fn is_merged(&self) -> bool {
        matches!(self.base, Base::Followed(_)) && self.copied.is_none()
    }

    /// Returns the document to edit, and its version.
    fn open(&self, text: &str) -> Result<(Document, ConfigVersion), EditError> {
        let mut document = match &self.copied {
            Some(section) if text.is_empty() || text.starts_with(COPY) => {
                let head = format!("{COPY}version = {}\n", self.new.number());
                let mut document = Document::parse(&head)?;
                document.set_table(&self.new.cri(), section.clone())?;
                document
            }
            Some(_) => {
                let document = Document::parse(text)?;
                if document.table(&self.new.cri())?.is_none() {
                    let message = "nvidia-ctk did not write the file, and containerd 1.x would read the CRI settings from it; \
                                   choose another";
                    return Err(document.error(&[], message));
                }
                document
            }
            None => Document::parse(text)?,
        };
        let version = ConfigVersion::of(&document, self.new)?;
        if document.get(VERSION)?.is_none() && version > ConfigVersion::V1 {
            document.set(VERSION, version.number())?;
        }
        Ok((document, version))
    }
}

/// Adds containerd 1.x' built-in runtime, which it drops when a file names another one. Without its default runtime the CRI
/// plugin does not load.
fn keep_built_in(
    document: &mut Document,
    version: ConfigVersion,
    name: &str,
) -> Result<(), EditError> {
    let runtimes = version.runtimes();
    let table = document.table(&runtimes)?;
    let has_others = table.is_some_and(|table| table.iter().any(|(key, _)| key != name));
    if has_others || name == BUILT_IN || version >= ConfigVersion::V3 {
        return Ok(());
    }
    document.set_table(&[&runtimes[..], &[BUILT_IN]].concat(), built_in())
}

/// Reverts [`keep_built_in`], if nobody edited its entry since and no other runtime needs it.
fn drop_built_in(
    document: &mut Document,
    backup: Option<&str>,
    runtimes: &[&str],
) -> Result<(), EditError> {
    let entry = [runtimes, &[BUILT_IN]].concat();
    let backup = backup.map(Document::parse).transpose()?;
    let was_there = backup.is_some_and(|it| it.table(&entry).is_ok_and(|it| it.is_some()));
    let is_ours = |table: &dyn TableLike| {
        let kind = table.get(RUNTIME_TYPE).and_then(Item::as_str);
        table.len() == 1 && kind == Some(RUNC)
    };
    let is_alone = document.table(runtimes)?.is_some_and(|it| it.len() == 1);
    if is_alone && !was_there && document.table(&entry)?.is_some_and(is_ours) {
        document.remove(&entry)?;
    }
    Ok(())
}

fn built_in() -> Table {
    Table::from_iter([(RUNTIME_TYPE, toml_edit::value(RUNC))])
}

impl Configuration for ConfigToml {
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError> {
        let (mut document, version) = self.open(text)?;
        check_enabled(&document, version)?;
        let entry = [&version.runtimes()[..], &[&handler.name]].concat();
        let below = |rest: &[&'static str]| [&entry[..], rest].concat();
        self.base.apply(&mut document, &entry, |document| {
            Ok(base_in(document, version)?.unwrap_or_else(|| version.plain()))
        })?;
        let kind = below(&[RUNTIME_TYPE]);
        if document.get_str(&kind)?.unwrap_or_default().is_empty() {
            set_field(&mut document, &kind, RUNC)?;
        }
        set_field(&mut document, &below(&BINARY_NAME), &handler.path)?;
        if version == ConfigVersion::V1 {
            set_field(&mut document, &below(&RUNTIME), &handler.path)?;
        }
        if !self.is_merged() {
            keep_built_in(&mut document, version, &handler.name)?;
        }
        let default = version.default();
        if handler.is_default {
            if let Some(path) = deprecated_default(&document, version)? {
                let message = "this table is deprecated, and containerd 1.x uses it as the default runtime regardless of \
                               default_runtime_name; move it to the runtimes, and name it there";
                return Err(document.error(&path, message));
            }
            set_field(&mut document, &default, &handler.name)?;
        } else {
            restore_default(
                &mut document,
                None,
                &version.runtimes(),
                &default,
                &handler.name,
            )?;
        }
        if handler.cdi {
            set_field(&mut document, &version.cdi(), true)?;
        }
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        let version = ConfigVersion::of(&document, self.new)?;
        let entry = [&version.runtimes()[..], &[name]].concat();
        if document.table(&entry)?.is_none() {
            return Ok(None);
        }
        let path = document.get_str(&[&entry[..], &BINARY_NAME].concat())?;
        Ok(Some(Handler {
            name: name.to_owned(),
            path: path.unwrap_or_default().to_owned(),
            is_default: document.get_str(&version.default())? == Some(name),
            cdi: document.get(&version.cdi())?.and_then(Item::as_bool) == Some(true),
        }))
    }

    fn remove(&self, text: &str, backup: Option<&str>, name: &str) -> Result<String, EditError> {
        if text.starts_with(COPY) {
            return Ok(String::new());
        }
        let mut document = Document::parse(text)?;
        let version = ConfigVersion::of(&document, self.new)?;
        let runtimes = version.runtimes();
        document.remove(&[&runtimes[..], &[name]].concat())?;
        drop_built_in(&mut document, backup, &runtimes)?;
        restore_default(&mut document, backup, &runtimes, &version.default(), name)?;
        if let Some(backup) = backup.map(Document::parse).transpose()? {
            match backup.get(&version.cdi())?.and_then(Item::as_bool) {
                Some(cdi) => document.set(&version.cdi(), cdi)?,
                None => document.remove(&version.cdi())?,
            }
        }
        Ok(document.into_text())
    }

    fn is_blank(&self, text: &str) -> bool {
        Document::parse(text).is_ok_and(|document| document.has_only(VERSION))
    }
}

/// The main file, which imports others.
#[derive(Debug)]
pub struct ImportingMain {
    /// The version of a new file.
    pub new: ConfigVersion,
    /// The pattern of the files to import.
    pub pattern: String,
}

impl Configuration for ImportingMain {
    fn add(&self, text: &str, _: &Handler) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let is_blank = document.has_only(&[]);
        document.add_string(IMPORTS, &self.pattern)?;
        if is_blank {
            document.set(VERSION, self.new.number())?;
        }
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        let imports = document.strings(IMPORTS)?.unwrap_or_default();
        Ok(imports.contains(&self.pattern.as_str()).then(|| Handler {
            name: name.to_owned(),
            ..Handler::default()
        }))
    }

    /// Removes the import. Without a backup it stays, since somebody else may have added it and it does no harm.
    fn remove(&self, text: &str, backup: Option<&str>, _: &str) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        if let Some(backup) = backup.map(Document::parse).transpose()? {
            let before = own(backup.strings(IMPORTS)?);
            if !before.contains(&self.pattern) {
                document.remove_string(IMPORTS, &self.pattern)?;
            }
            if backup.get(IMPORTS)?.is_none() && document.strings(IMPORTS)? == Some(Vec::new()) {
                document.remove(IMPORTS)?;
            }
        }
        Ok(document.into_text())
    }

    fn is_blank(&self, text: &str) -> bool {
        Document::parse(text).is_ok_and(|document| document.has_only(VERSION))
    }
}

#[cfg(test)]
mod tests;
