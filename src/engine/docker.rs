//! Docker: `daemon.json`.

mod flags;
pub(super) mod setup;

use serde_json::{Map, Value, json};

use super::configuration::{Configuration, Handler};
use crate::document::EditError;
use crate::document::json::Document;

const RUNTIMES: &str = "runtimes";
const PATH: &str = "path";
const DEFAULT: &[&str] = &["default-runtime"];
const CDI: &[&str] = &["features", "cdi"];

/// `daemon.json`.
pub struct DaemonJson;

impl Configuration for DaemonJson {
    /// An existing entry keeps all but its path. The default stays unless this runtime is to be the default.
    fn add(&self, text: &str, handler: &Handler) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let entry = [RUNTIMES, &handler.name];
        let shim = [RUNTIMES, &handler.name, "runtimeType"];
        if document.get(&entry)?.is_none() {
            document.set(&entry, &json!({"args": [], "path": handler.path}))?;
        } else if document.get(&shim)?.is_some() {
            let message = format!(
                "the runtime {} is a shim (runtimeType), which takes no path; remove it or use another name",
                handler.name
            );
            return Err(document.error(&shim, message));
        } else {
            for key in path_keys(&document, &handler.name)? {
                document.set(&[RUNTIMES, &handler.name, &key], &json!(handler.path))?;
            }
        }
        if handler.is_default {
            document.set(DEFAULT, &json!(handler.name))?;
        }
        if handler.cdi {
            document.set(CDI, &json!(true))?;
        }
        Ok(document.into_text())
    }

    fn find(&self, text: &str, name: &str) -> Result<Option<Handler>, EditError> {
        let document = Document::parse(text)?;
        if document.get(&[RUNTIMES, name])?.is_none() {
            return Ok(None);
        }
        let key = path_keys(&document, name)?.pop();
        let path = document.get(&[RUNTIMES, name, key.as_deref().unwrap_or(PATH)])?;
        let path = path.as_ref().and_then(Value::as_str);
        Ok(Some(Handler {
            name: name.to_owned(),
            path: path.unwrap_or_default().to_owned(),
            is_default: document.get(DEFAULT)? == Some(json!(name)),
            cdi: document.get(CDI)? == Some(json!(true)),
        }))
    }

    fn remove(&self, text: &str, backup: Option<&str>, name: &str) -> Result<String, EditError> {
        let mut document = Document::parse(text)?;
        let before = backup.map(Document::parse).transpose()?;
        document.remove(&[RUNTIMES, name])?;
        remove_if_empty(&mut document, before.as_ref(), &[RUNTIMES])?;
        if document.get(DEFAULT)? == Some(json!(name)) {
            match default_before(&document, before.as_ref())? {
                Some(default) => document.set(DEFAULT, &default)?,
                None => document.remove(DEFAULT)?,
            };
        }
        if let Some(before) = &before {
            match before.get(CDI)? {
                Some(cdi) => document.set(CDI, &cdi)?,
                None => document.remove(CDI)?,
            };
            remove_if_empty(&mut document, Some(before), &["features"])?;
        }
        Ok(document.into_text())
    }

    fn is_blank(&self, text: &str) -> bool {
        serde_json::from_slice::<Value>(text.as_bytes()).is_ok_and(|document| document == json!({}))
    }
}

/// Returns the keys that dockerd reads as a runtime's path, ignoring case; the last one counts.
fn path_keys(document: &Document, name: &str) -> Result<Vec<String>, EditError> {
    let runtime = document.get(&[RUNTIMES, name])?;
    let runtime = runtime.as_ref().and_then(Value::as_object);
    let keys = runtime.into_iter().flat_map(Map::keys);
    let keys = keys.filter(|key| key.eq_ignore_ascii_case(PATH)).cloned();
    let mut keys: Vec<_> = keys.collect();
    if keys.is_empty() {
        keys.push(PATH.to_owned());
    }
    Ok(keys)
}

/// Returns the default runtime of the backup, unless its entry was removed since.
fn default_before(
    document: &Document,
    before: Option<&Document>,
) -> Result<Option<Value>, EditError> {
    let Some(before) = before else {
        return Ok(None);
    };
    let Some(default) = before.get(DEFAULT)? else {
        return Ok(None);
    };
    let entry = [RUNTIMES, default.as_str().unwrap_or_default()];
    let is_gone = before.get(&entry)?.is_some() && document.get(&entry)?.is_none();
    Ok((!is_gone).then_some(default))
}

fn remove_if_empty(
    document: &mut Document,
    before: Option<&Document>,
    path: &[&str],
) -> Result<(), EditError> {
    let was_there = before
        .map(|it| it.get(path))
        .transpose()?
        .flatten()
        .is_some();
    if !was_there && document.get(path)? == Some(json!({})) {
        document.remove(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
