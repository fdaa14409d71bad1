//! TOML documents: sets and removes keys and tables with `toml_edit`, which keeps comments, order and spelling.

mod style;

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{EditError, lines, split_mark};
use style::{has_comment, indent_of_keys, is_void, push, take_out};

pub use style::{copy, unindent};

/// A TOML document, with or without a byte order mark.
pub struct Document {
    text: String,
    /// The document's own leading comments; additions go below them.
    head: String,
    tree: DocumentMut,
    /// The output of `toml_edit` for the unchanged document.
    printed: String,
}

impl Document {
    /// Parses `text`. Fails if it is not TOML.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let (_, rest) = split_mark(text);
        let (head, body) = rest.split_at(head_len(rest));
        let tree = body.parse::<DocumentMut>().map_err(|err| {
            let offset = err.span().map_or(0, |span| span.start);
            EditError::at(rest, head.len() + offset, one_line(err.message()))
        })?;
        Ok(Self {
            text: text.to_owned(),
            head: head.to_owned(),
            printed: format!("{head}{tree}"),
            tree,
        })
    }

    /// Returns the text; unchanged lines stay as they were.
    #[must_use]
    pub fn into_text(self) -> String {
        let (mark, rest) = split_mark(&self.text);
        let mut after = self.head;
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        let tree = self.tree.to_string();
        // The empty line before a new table separates it from the text above.
        after.push_str(if rest.is_empty() {
            tree.trim_start_matches('\n')
        } else {
            &tree
        });
        format!("{mark}{}", lines::keep(rest, &self.printed, &after))
    }

    /// Whether the document has no top-level keys but `names`, apart from empty tables.
    #[must_use]
    pub fn has_only(&self, names: &[&str]) -> bool {
        let is_void = |item: &Item| item.as_table().is_some_and(is_void);
        let mut items = self.tree.iter();
        items.all(|(name, item)| names.contains(&name) || is_void(item))
    }

    /// Returns the item at `path`. Fails if a parent is not a table.
    pub fn get(&self, path: &[&str]) -> Result<Option<&Item>, EditError> {
        let mut item = self.tree.as_item();
        for (depth, name) in path.iter().enumerate() {
            let Some(table) = item.as_table_like() else {
                return Err(self.not_a_table(path.get(..depth).unwrap_or_default()));
            };
            match table.get(name) {
                Some(next) if !next.is_none() => item = next,
                _ => return Ok(None),
            }
        }
        Ok(Some(item))
    }

    /// Returns the string at `path`, if the item is one. Fails if a parent is not a table.
    pub fn get_str(&self, path: &[&str]) -> Result<Option<&str>, EditError> {
        Ok(self.get(path)?.and_then(Item::as_str))
    }

    /// Returns the table at `path`. Fails if the item or a parent is not a table.
    pub fn table(&self, path: &[&str]) -> Result<Option<&dyn TableLike>, EditError> {
        match self.get(path)? {
            None => Ok(None),
            Some(item) => match item.as_table_like() {
                None => Err(self.not_a_table(path)),
                table => Ok(table),
            },
        }
    }

    /// Returns all paths that equal `path` for a parser that ignores case in the last name; `path` itself comes first. Fails if a
    /// parent is not a table.
    pub fn spellings(&self, path: &[&str]) -> Result<Vec<Vec<String>>, EditError> {
        let own = |path: &[&str]| path.iter().map(|&name| name.to_owned()).collect();
        let mut paths = vec![own(path)];
        if let Some((name, parent)) = path.split_last()
            && let Some(table) = self.table(parent)?
        {
            let others = table.iter().map(|(key, _)| key);
            let others = others.filter(|key| key != name && key.eq_ignore_ascii_case(name));
            paths.extend(others.map(|key| own(&[parent, &[key]].concat())));
        }
        Ok(paths)
    }

    /// Returns the strings in the array at `path`, if it exists. Fails if the item is not an array or a parent is not a table.
    pub fn strings(&self, path: &[&str]) -> Result<Option<Vec<&str>>, EditError> {
        let Some(item) = self.get(path)? else {
            return Ok(None);
        };
        let array = item
            .as_array()
            .ok_or_else(|| self.error(path, format!("{} is not an array", path.join("."))))?;
        Ok(Some(array.iter().filter_map(Value::as_str).collect()))
    }

    /// Sets the value at `path` and creates missing tables. Fails if a parent is not a table.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) -> Result<(), EditError> {
        let mut value = value.into();
        let Some((name, parent)) = path.split_last() else {
            return Ok(());
        };
        let table = self.table_mut(parent)?;
        match table.get_mut(name).and_then(Item::as_value_mut) {
            Some(there) if is_same(there, &value) => {}
            Some(there) => {
                *value.decor_mut() = there.decor().clone();
                *there = value;
            }
            None => {
                let indent = indent_of_keys(table);
                table.insert(name, Item::Value(value));
                if let Some(mut key) = table.key_mut(name).filter(|_| !indent.is_empty()) {
                    key.leaf_decor_mut().set_prefix(indent);
                }
            }
        }
        Ok(())
    }

    /// Puts a table with a header at `path`, or an inline one if the parent is inline. Fails if a parent is not a table.
    pub fn set_table(&mut self, path: &[&str], table: Table) -> Result<(), EditError> {
        let Some((name, parent)) = path.split_last() else {
            return Ok(());
        };
        let parent = self.item_mut(parent)?;
        let is_inline = parent.is_inline_table();
        let item = if is_inline {
            Item::Value(Value::InlineTable(table.into_inline_table()))
        } else {
            Item::Table(table)
        };
        if let Some(parent) = parent.as_table_like_mut() {
            parent.insert(name, item);
        }
        Ok(())
    }

    /// Sets all values of `table` and its subtables in the table at `path`; other keys stay. Fails if a parent is not a table.
    pub fn merge(&mut self, path: &[&str], table: &Table) -> Result<(), EditError> {
        for (name, item) in table {
            let path = [path, &[name]].concat();
            match item {
                Item::Value(value) => self.set(&path, value.clone())?,
                Item::Table(table) => self.merge(&path, table)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds `text` to the array at `path` unless the array contains it. Fails if the item is not an array or a parent is not a
    /// table.
    pub fn add_string(&mut self, path: &[&str], text: &str) -> Result<(), EditError> {
        match self.strings(path)? {
            None => return self.set(path, Array::from_iter([text])),
            Some(texts) if texts.contains(&text) => return Ok(()),
            Some(_) => {}
        }
        if let Some(array) = self.array_mut(path)? {
            push(array, text);
        }
        Ok(())
    }

    /// Removes `text` from the array at `path`. Fails if a parent is not a table.
    pub fn remove_string(&mut self, path: &[&str], text: &str) -> Result<(), EditError> {
        if let Some(array) = self.array_mut(path)? {
            take_out(array, text);
        }
        Ok(())
    }

    /// Removes the item at `path` and every parent that this leaves empty, except tables with a comment. Fails if a parent is not
    /// a table.
    pub fn remove(&mut self, path: &[&str]) -> Result<(), EditError> {
        let mut path = path;
        while let Some((name, parent)) = path.split_last() {
            if self.table(parent)?.is_none() {
                return Ok(());
            }
            self.table_mut(parent)?.remove(name);
            let around = self.get(parent)?.and_then(Item::as_table);
            if !around.is_some_and(|table| is_void(table) && !has_comment(table.decor())) {
                return Ok(());
            }
            path = parent;
        }
        Ok(())
    }

    /// Returns an error at the item at `path`.
    #[must_use]
    pub fn error(&self, path: &[&str], message: impl Into<String>) -> EditError {
        let (_, text) = split_mark(&self.text);
        let place = toml_edit::Document::parse(text).ok().and_then(|document| {
            let mut item = document.as_item();
            for name in path {
                item = item.as_table_like()?.get(name)?;
            }
            item.span()
        });
        EditError::at(text, place.map_or(0, |place| place.start), message)
    }

    fn not_a_table(&self, path: &[&str]) -> EditError {
        self.error(path, format!("{} is not a table", path.join(".")))
    }

    fn array_mut(&mut self, path: &[&str]) -> Result<Option<&mut Array>, EditError> {
        let Some((name, parent)) = path.split_last() else {
            return Ok(None);
        };
        let table = self.table_mut(parent)?;
        Ok(table.get_mut(name).and_then(Item::as_array_mut))
    }

    fn table_mut(&mut self, path: &[&str]) -> Result<&mut dyn TableLike, EditError> {
        let error = self.not_a_table(path);
        let item = self.item_mut(path)?;
        item.as_table_like_mut().ok_or(error)
    }

    /// Returns the table at `path`; creates missing ones, which get no header as long as they contain tables only.
    fn item_mut(&mut self, path: &[&str]) -> Result<&mut Item, EditError> {
        self.table(path)?;
        let error = self.not_a_table(path);
        let mut item = self.tree.as_item_mut();
        for name in path {
            let (is_inline, table) = (item.is_inline_table(), item.as_table_like_mut());
            let Some(table) = table else {
                return Err(error);
            };
            item = table.entry(name).or_insert_with(|| {
                if is_inline {
                    Item::Value(Value::InlineTable(InlineTable::new()))
                } else {
                    let mut table = Table::new();
                    table.set_implicit(true);
                    Item::Table(table)
                }
            });
        }
        Ok(item)
    }
}

/// Returns the length of the document's own comments: the lines before the first key or header, up to the last empty line.
/// Comments below that line belong to the key or header. In a document without keys all lines are its own.
fn head_len(text: &str) -> usize {
    let (mut head, mut position) = (0, 0);
    for line in text.split_inclusive('\n') {
        position += line.len();
        match line.trim_start().bytes().next() {
            None => head = position,
            Some(b'#') => {}
            Some(_) => return head,
        }
    }
    text.len()
}

/// Whether two values are equal apart from spelling, as far as this program writes them: strings, numbers, bools.
fn is_same(a: &Value, b: &Value) -> bool {
    let meaning = |value: &Value| match value {
        Value::String(text) => format!("{:?}", text.value()),
        Value::Integer(number) => number.value().to_string(),
        other => other.to_string().trim().to_owned(),
    };
    meaning(a) == meaning(b)
}

fn one_line(message: &str) -> String {
    message.split('\n').collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
