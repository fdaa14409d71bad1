//! A `config.json` with pending changes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use serde_json::Value as Tree;

use super::same::same;
use crate::document::json::edit::{Change, Edits, Entry, List};
use crate::document::json::scan::Value;

/// A text, its parsed members, and the pending changes.
pub(super) struct Config<'t, 'p> {
    text: &'t [u8],
    object: Value<'t>,
    members: Vec<(Cow<'t, str>, Value<'t>)>,
    changes: Vec<Change<'p>>,
}

impl<'t, 'p> Config<'t, 'p> {
    /// Parses `text`. Fails if it is not a JSON object.
    pub(super) fn read(text: &'t [u8]) -> Result<Self> {
        let object = Value::of(text).filter(|it| it.is_object());
        let object = object.context("config.json is not a JSON object")?;
        Ok(Self {
            text,
            object,
            members: object.members().collect(),
            changes: Vec::new(),
        })
    }

    /// Returns the value at `path`.
    pub(super) fn at(&self, path: &[&str]) -> Option<Value<'t>> {
        let (first, rest) = path.split_first()?;
        let mut members = self.members.iter().rev();
        let (_, value) = members.find(|(name, _)| name == first)?;
        value.at(rest)
    }

    /// Returns the array at `path`, which may be missing. Fails for any other value.
    pub(super) fn list(&self, path: &[&str]) -> Result<List<'t>> {
        List::of(self.at(path))
            .with_context(|| format!("config.json: {} is not an array", path.join(".")))
    }

    /// Records a change of the value at `path`, if `text` is one.
    pub(super) fn change(&mut self, path: &'p [&'p str], text: Option<Vec<u8>>) {
        self.changes.extend(text.map(|text| Change { path, text }));
    }

    /// Sets the value at `path` unless it is equal already.
    pub(super) fn set(&mut self, path: &'p [&'p str], value: &Tree) {
        if !same(self.at(path), Some(value)) {
            self.change(path, Some(value.to_string().into_bytes()));
        }
    }

    /// Keeps those items of the array at `path` for which `stays` holds, and appends each wanted item that no kept item `serves`.
    pub(super) fn append(
        &mut self,
        path: &'p [&'p str],
        wanted: impl IntoIterator<Item = Tree>,
        stays: impl Fn(Value<'_>) -> bool,
        serves: impl Fn(Value<'_>, &Tree) -> bool,
    ) -> Result<()> {
        let list = self.list(path)?;
        let kept = list.items().iter().enumerate();
        let kept: Vec<_> = kept.filter(|(_, item)| stays(**item)).collect();
        let mut added: Vec<Tree> = Vec::new();
        for item in wanted {
            if !added.contains(&item) && !kept.iter().any(|(_, it)| serves(**it, &item)) {
                added.push(item);
            }
        }
        let kept = kept.into_iter().map(|(index, _)| Entry::Kept(index));
        let added = added.iter().map(|it| Entry::New(it.to_string()));
        self.change(path, list.with(&kept.chain(added).collect::<Vec<_>>()));
        Ok(())
    }

    /// Replaces the first item with the name of a wanted one in the array at `path`, or appends the wanted one. Removes other
    /// items of that name, and keeps the first as written if it serves.
    pub(super) fn merge<T>(
        &mut self,
        path: &'p [&'p str],
        wanted: &[T],
        has_name: impl Fn(Value<'_>, &T) -> bool,
        serves: impl Fn(Value<'_>, &T) -> bool,
        tree: impl Fn(&T) -> Tree,
    ) -> Result<()> {
        let list = self.list(path)?;
        let mut entries = Vec::new();
        let mut left: Vec<&T> = wanted.iter().collect();
        for (index, item) in list.items().iter().enumerate() {
            if !wanted.iter().any(|it| has_name(*item, it)) {
                entries.push(Entry::Kept(index));
            } else if let Some(position) = left.iter().position(|it| has_name(*item, it)) {
                let found = left.remove(position);
                entries.push(if serves(*item, found) {
                    Entry::Kept(index)
                } else {
                    Entry::Changed(index, tree(found).to_string())
                });
            }
        }
        entries.extend(left.iter().map(|it| Entry::New(tree(it).to_string())));
        self.change(path, list.with(&entries));
        Ok(())
    }

    /// Returns the text with the changes; `None` if there are none.
    pub(super) fn finish(self) -> Result<Option<Vec<u8>>> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        let mut edits = Edits::default();
        edits
            .set(self.object, self.changes)
            .map_err(|name| anyhow!("config.json: {name} is not an object"))?;
        Ok(Some(edits.apply(self.text)))
    }
}

/// Keeps the last item of each key, in the place of the first.
pub(super) fn last_of_each<T, K: Ord>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut places = BTreeMap::new();
    let mut last: Vec<T> = Vec::new();
    for item in items {
        let place = *places.entry(key(&item)).or_insert(last.len());
        match last.get_mut(place) {
            Some(earlier) => *earlier = item,
            None => last.push(item),
        }
    }
    last
}
