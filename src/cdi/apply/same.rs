//! Comparison of a value in a document with a wanted one.

use serde_json::Value as Tree;

use crate::document::json::scan::Value;

/// Whether an existing value equals a wanted one; either may be missing. Empty values, 0 and false count as missing, since
/// programs write or omit them. Objects and arrays are compared recursively.
pub(super) fn same(there: Option<Value<'_>>, wanted: Option<&Tree>) -> bool {
    let wanted = wanted.filter(|it| !is_blank(it));
    let there = there.filter(|it| !is_blank_text(*it));
    match (there, wanted) {
        (None, None) => true,
        (Some(there), Some(wanted)) => same_value(there, wanted),
        _ => false,
    }
}

fn same_value(there: Value<'_>, wanted: &Tree) -> bool {
    match wanted {
        Tree::Null | Tree::Bool(_) | Tree::Number(_) => {
            there.raw() == wanted.to_string().as_bytes()
        }
        Tree::String(wanted) => there.text().is_some_and(|it| it == *wanted),
        Tree::Array(wanted) => {
            let mut items = there.items();
            let all = wanted.iter().all(|wanted| {
                let item = items.next();
                item.is_some_and(|item| same_value(item, wanted))
            });
            there.is_array() && all && items.next().is_none()
        }
        Tree::Object(wanted) => {
            there.is_object()
                && there
                    .members()
                    .all(|(name, value)| same(Some(value), wanted.get(&*name)))
                && wanted
                    .iter()
                    .all(|(name, value)| same(there.member(name), Some(value)))
        }
    }
}

/// Removes the members whose values `is_spare` accepts.
pub(super) fn without(is_spare: fn(&Tree) -> bool, mut object: Tree) -> Tree {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !is_spare(value));
    }
    object
}

/// Whether the value is empty, 0, false or null.
pub(super) fn is_blank(value: &Tree) -> bool {
    match value {
        Tree::Null => true,
        Tree::Bool(value) => !value,
        Tree::Number(value) => value.as_i64() == Some(0),
        Tree::String(value) => value.is_empty(),
        Tree::Array(value) => value.is_empty(),
        Tree::Object(value) => value.is_empty(),
    }
}

fn is_blank_text(value: Value<'_>) -> bool {
    matches!(value.raw(), b"null" | b"false" | b"0" | b"\"\"")
        || value.is_array() && value.items().next().is_none()
        || value.is_object() && value.members().next().is_none()
}
