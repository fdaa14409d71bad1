//! The style of TOML text: comments, indents and line ends of tables, keys and arrays.

use toml_edit::{Array, Decor, Item, RawString, Table, TableLike, Value};

/// Copies a table without its comments, as a table with a header and the original's indent.
#[must_use]
pub fn copy(table: &dyn TableLike, decor: Option<&Decor>) -> Table {
    let mut copy = Table::new();
    let indent = decor.map_or("", |decor| last_line(decor.prefix()));
    copy.decor_mut().set_prefix(format!("\n{indent}"));
    let has_header = decor.is_none() || table.iter().any(|(_, item)| item.is_value());
    copy.set_implicit(!has_header);
    for (name, item) in table.iter() {
        match item {
            Item::Table(inner) => {
                copy.insert(name, Item::Table(self::copy(inner, Some(inner.decor()))));
            }
            Item::Value(value) => {
                let mut value = value.clone();
                value.decor_mut().clear();
                copy.insert(name, Item::Value(value));
                let indent = table
                    .key(name)
                    .map(|key| last_line(key.leaf_decor().prefix()));
                if let (Some(indent), Some(mut key)) = (indent, copy.key_mut(name)) {
                    key.leaf_decor_mut().set_prefix(indent);
                }
            }
            item => {
                copy.insert(name, item.clone());
            }
        }
    }
    copy
}

/// Removes the indents of a copied table that goes to a document of its own.
pub fn unindent(table: &mut Table) {
    table.decor_mut().set_prefix("\n");
    for (mut key, item) in table.iter_mut() {
        key.leaf_decor_mut().set_prefix("");
        if let Item::Table(table) = item {
            unindent(table);
        }
    }
}

/// Whether a table contains nothing but empty tables.
pub(super) fn is_void(table: &Table) -> bool {
    let mut items = table.iter();
    items.all(|(_, item)| item.as_table().is_some_and(is_void))
}

/// Whether there is a comment before or after the item.
pub(super) fn has_comment(decor: &Decor) -> bool {
    let sides = [decor.prefix(), decor.suffix()];
    let mut sides = sides.into_iter().flatten().filter_map(RawString::as_str);
    sides.any(|side| side.contains('#'))
}

/// Returns the indent of the last key of a table.
pub(super) fn indent_of_keys(table: &dyn TableLike) -> String {
    let keys = table.iter().filter(|(_, item)| item.is_value());
    let key = keys.last().and_then(|(name, _)| table.key(name));
    let prefix = key.and_then(|key| key.leaf_decor().prefix());
    last_line(prefix).to_owned()
}

/// Returns the indent of a key or header, whose comments are on the lines above.
fn last_line(prefix: Option<&RawString>) -> &str {
    side(prefix).rsplit('\n').next().unwrap_or_default()
}

/// Appends an element in the style of the last one.
pub(super) fn push(array: &mut Array, text: &str) {
    let count = array.len();
    let Some(last) = count.checked_sub(1).and_then(|last| array.get_mut(last)) else {
        array.push(text);
        return;
    };
    let mut value = Value::from(text);
    let prefix = side(last.decor().prefix()).to_owned();
    if let Some((_, indent)) = prefix.rsplit_once('\n') {
        value.decor_mut().set_prefix(format!("\n{indent}"));
        // Blanks before the bracket stay there; a comment stays with its element.
        let suffix = side(last.decor().suffix()).to_owned();
        if suffix.trim().is_empty() {
            last.decor_mut().set_suffix("");
            value.decor_mut().set_suffix(suffix);
        }
        array.push_formatted(value);
    } else if count > 1 {
        value.decor_mut().set_prefix(prefix);
        array.push_formatted(value);
    } else {
        array.push(value);
    }
}

/// Removes elements; the blanks before the bracket stay.
pub(super) fn take_out(array: &mut Array, text: &str) {
    let end = array.iter().last().map(|last| last.decor().clone());
    array.retain(|value| value.as_str() != Some(text));
    let Some(last) = array
        .len()
        .checked_sub(1)
        .and_then(|last| array.get_mut(last))
    else {
        return;
    };
    let is_bare = |decor: &Decor| side(decor.suffix()).is_empty();
    if let Some(end) = end.filter(|_| is_bare(last.decor())) {
        last.decor_mut().set_suffix(side(end.suffix()));
    }
}

fn side(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}
