//! podman: `containers.conf`. podman needs no additional runtime: it runs the hooks in the directories that the file lists.

use super::configuration::{Configuration, Handler};
use crate::document::EditError;
use crate::document::toml::Document;

const HOOKS_DIR: &[&str] = &["engine", "hooks_dir"];

/// `containers.conf`, with a directory in its list of hook directories.
pub struct ContainersConf {
    /// The directory of this program's hooks.
    pub hooks_dir: String,
    /// The directories that podman reads if the file lists none; a list replaces them.
    pub default_dirs: Vec<String>,
}

impl Configuration for ContainersConf {
    fn add(&self, text: &str, _: &Handler) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        if document.strings(HOOKS_DIR)?.is_none() {
            for directory in &self.default_dirs {
                document.add_string(HOOKS_DIR, directory)?;
            }
        }
        document.add_string(HOOKS_DIR, &self.hooks_dir)?;
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        let directories = document.strings(HOOKS_DIR)?.unwrap_or_default();
        let is_listed = directories.contains(&self.hooks_dir.as_str());
        Ok(is_listed.then(|| Handler {
            name: name.to_owned(),
            ..Handler::default()
        }))
    }

    fn remove(&self, text: &str, backup: Option<&str>, _: &str) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let backup = backup.map(Document::parse).transpose()?;
        let before = match &backup {
            Some(backup) => backup.strings(HOOKS_DIR)?.unwrap_or_default(),
            None => Vec::new(),
        };
        if !before.contains(&self.hooks_dir.as_str()) {
            document.remove_string(HOOKS_DIR, &self.hooks_dir)?;
        }
        let left = document.strings(HOOKS_DIR)?.unwrap_or_default();
        let is_ours = before.is_empty()
            && left
                .iter()
                .all(|it| self.default_dirs.iter().any(|dir| dir == it));
        if is_ours {
            document.remove(HOOKS_DIR)?;
        }
        Ok(document.into_text())
    }

    fn is_blank(&self, text: &str) -> bool {
        Document::parse(text).is_ok_and(|document| document.has_only(&[]))
    }
}

#[cfg(test)]
mod tests;
