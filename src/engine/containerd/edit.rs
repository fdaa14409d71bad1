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
/// Where version 1 of the file has the program besides.
const RUNTIME: [&str; 2] = ["options", "Runtime"];
/// Below the CRI plugin's section.
const DEPRECATED_DEFAULT: [&str; 2] = ["containerd", "default_runtime"];
/// The runtime that containerd has built in, until a file of version 1.x names any.
const BUILT_IN: &str = "runc";

/// What a file begins with that holds a copy of the main file's section.
const COPY: &str = "# Written by nvidia-ctk. containerd 1.x takes the CRI settings from here and not from the main file, so this is a
# copy of them: after an edit of the main file run `nvidia-ctk runtime configure` again.
";

/// What there is to know of the main file, or of what containerd says that its settings are.
#[derive(Debug)]
pub struct MainFile {
    /// The version of its form.
    pub version: ConfigVersion,
    /// The settings that a new runtime takes over.
    pub base: Option<Table>,
    /// The section of the CRI plugin.
    pub cri: Option<Table>,
    /// The files that it imports.
    pub imports: Vec<String>,
}

impl MainFile {
    /// Reads it; a blank one has the version `new`. Refuses one in which the CRI plugin is off: nothing would read the runtime.
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

/// Since version 3 the runtimes are settings of another plugin than the one that Kubernetes talks to: it takes both.
fn check_enabled(document: &Document, version: ConfigVersion) -> Result<(), EditError> {
    let disabled = document.strings(DISABLED)?.unwrap_or_default();
    let plugins = ["cri", ConfigVersion::V2.cri()[1], version.cri()[1]];
    match disabled.into_iter().find(|name| plugins.contains(name)) {
        None => Ok(()),
        Some(name) => Err(document.error(
            DISABLED,
            format!("the CRI plugin is off, so no runtime would be used; take \"{name}\" out of disabled_plugins"),
        )),
    }
}

/// The path of a table that containerd 1.x takes for the default runtime, whatever `default_runtime_name` says; none if there is no
/// such table.
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

/// Whether its settings suit a program that takes runc's place.
fn is_of_runc(table: &Table) -> bool {
    let kind = field(table, RUNTIME_TYPE).and_then(Item::as_str);
    matches!(
        kind.unwrap_or_default(),
        "" | RUNC | "io.containerd.runc.v1"
    )
}

/// A file with our runtime in it: the main file, or one that it imports.
#[derive(Debug)]
pub struct ConfigToml {
    /// The version of a new file.
    pub new: ConfigVersion,
    /// Where the settings of the runtime come from.
    pub base: Base,
    /// The section of the CRI plugin that the file has to repeat.
    pub copied: Option<Table>,
}

impl ConfigToml {
    /// Whether the file adds to the settings of the main file, and does not take their place.
    fn is_merged(&self) -> bool {
        matches!(self.base, Base::Followed(_)) && self.copied.is_none()
    }

    /// The document to edit, and its version.
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
                    let message = "the file is not ours, and containerd 1.x would take the CRI settings from it; name another one";
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

/// containerd 1.x drops its built-in runtime when a file names any other one, and it is the default: the CRI plugin would not load.
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

/// Takes back what [`keep_built_in`] did, if nobody edited it since, and no other runtime needs it.
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
                let message = "this table is deprecated, and in containerd 1.x it is the default runtime whatever \
                               default_runtime_name says; make it one of the runtimes, and name that";
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

    /// Without a backup nobody knows who asked for the import: it stays, and harms nobody.
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
