//! Edits of the document.

use anyhow::{Context, Result};
use toml_edit::{Item, Value};

use super::default::is_commented_default;
use super::key::{DISABLED_HOOKS, Key};
use crate::document::toml::Document;

/// Checks that `text` is TOML. Fails with an error that begins with line and column.
pub fn check(text: &str) -> Result<()> {
    Document::parse(text)?;
    Ok(())
}

/// Returns the hooks that `disabled-hooks` lists. Fails if the text is not TOML or the key is not a list.
pub fn disabled_hooks(text: &str) -> Result<Vec<String>> {
    let path: Vec<_> = DISABLED_HOOKS.split('.').collect();
    let document = Document::parse(text)?;
    let Some(list) = document.get(&path)? else {
        return Ok(Vec::new());
    };
    let list = list.as_array();
    let names = list.with_context(|| format!("{DISABLED_HOOKS} is not a list"))?;
    Ok(names
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}

/// Returns the driver root that the key of `nvidia-container-cli` sets. Fails if the text is not TOML.
pub fn driver_root(text: &str) -> Result<Option<String>> {
    let document = Document::parse(text)?;
    let root = document.get(&["nvidia-container-cli", "root"])?;
    Ok(root.and_then(Item::as_str).map(str::to_owned))
}

/// Returns the text with the key set, or unchanged if the key already has an equal value in another spelling.
pub(super) fn set(text: &str, key: &Key, value: &Value) -> Result<String> {
    let mut document = Document::parse(text)?;
    let path = key.segments();
    match document.get(&path)? {
        Some(there) => {
            let there = there.as_value().context("it is a table in the file")?;
            if is_same(there, value) {
                return Ok(text.to_owned());
            }
        }
        None => {
            if let Some(edited) = uncomment(text, key, value) {
                return Ok(edited);
            }
        }
    }
    document.set(&path, value.clone())?;
    Ok(document.into_text())
}

/// Returns the text without the key, and without its table if that becomes empty.
pub(super) fn remove(text: &str, key: &Key) -> Result<String> {
    let mut document = Document::parse(text)?;
    let path = key.segments();
    if document.get(&path)?.is_none() {
        return Ok(text.to_owned());
    }
    document.remove(&path)?;
    Ok(document.into_text())
}

/// Sets the key in place of the line that comments out its default, if the right table has such a line.
fn uncomment(text: &str, key: &Key, value: &Value) -> Option<String> {
    let path = key.segments();
    let name = path.last()?;
    let mut start = 0;
    text.split_inclusive('\n').find_map(|line| {
        let content = line.trim_end();
        let (before, rest) = text.split_at_checked(start)?;
        start += line.len();
        if !is_commented_default(content, name) {
            return None;
        }
        let after = rest.get(content.len()..)?;
        let edited = format!("{before}{name} = {value}{after}");
        has(&edited, &path, value).then_some(edited)
    })
}

fn has(text: &str, path: &[&str], value: &Value) -> bool {
    Document::parse(text).is_ok_and(|document| {
        let there = document.get(path).ok().flatten();
        there
            .and_then(Item::as_value)
            .is_some_and(|there| is_same(there, value))
    })
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        _ => false,
    }
}
