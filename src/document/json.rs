//! JSON documents: sets and removes members of objects in the text, in the style of the neighbouring lines.
//!
//! `serde_json` validates the text and locates each value; an edit touches only the bytes of the member that changes and its
//! comma. Order, indent, line ends and the spelling of numbers and strings stay.

pub mod edit;
pub mod scan;
mod style;

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};

use super::{EditError, split_mark};
use style::Style;

/// A JSON object as text, with or without a byte order mark. An empty text counts as an empty object.
pub struct Document {
    text: String,
}

/// A member of an object.
struct Member {
    name: String,
    /// From the first quote of the name to the end of the value.
    place: Range<usize>,
    value: Range<usize>,
}

impl Document {
    /// Parses `text`. Fails for anything but one JSON object, such as comments or trailing text.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let (mark, rest) = split_mark(text);
        let text = if rest.trim().is_empty() {
            format!("{mark}{{}}\n")
        } else {
            text.to_owned()
        };
        let document = Self { text };
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), EditError> {
        let (mark, rest) = split_mark(&self.text);
        serde_json::from_slice::<IgnoredAny>(rest.as_bytes()).map_err(|err| invalid(rest, &err))?;
        if rest.trim_start().starts_with('{') {
            return Ok(());
        }
        let start = mark.len() + rest.len() - rest.trim_start().len();
        Err(EditError::at(
            &self.text,
            start,
            "the document is not an object",
        ))
    }

    /// Returns the text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Returns the value at `path`. Fails if a parent is not an object, or if a name on the path occurs twice.
    pub fn get(&self, path: &[&str]) -> Result<Option<Value>, EditError> {
        let Some(place) = self.find(path)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(self.slice(&place).as_bytes());
        value
            .map(Some)
            .map_err(|err| EditError::at(&self.text, place.start, format!("invalid value: {err}")))
    }

    /// Sets the value at `path` and creates missing parents. Returns whether the text changed. Fails as [`Document::get`] does.
    pub fn set(&mut self, path: &[&str], value: &Value) -> Result<bool, EditError> {
        if self.get(path)?.as_ref() == Some(value) {
            return Ok(false);
        }
        if let Some(place) = self.find(path)? {
            let rendered = Style::of_line(&self.text, place.start).render(value);
            self.text.replace_range(place, &rendered);
            return Ok(true);
        }
        let Some((name, parent)) = path.split_last() else {
            return Ok(false);
        };
        if let Some(object) = self.find(parent)? {
            self.append(&object, parent, name, value)?;
        } else {
            let object = Value::from_iter([(*name, value.clone())]);
            self.set(parent, &object)?;
        }
        Ok(true)
    }

    /// Removes the member at `path`. Returns whether it existed. Fails as [`Document::get`] does.
    pub fn remove(&mut self, path: &[&str]) -> Result<bool, EditError> {
        let Some((name, parent)) = path.split_last() else {
            return Ok(false);
        };
        let Some(object) = self.find(parent)? else {
            return Ok(false);
        };
        let members = self.members(&object, parent)?;
        let Some(index) = members.iter().position(|member| member.name == *name) else {
            return Ok(false);
        };
        let cut = match (
            index.checked_sub(1).and_then(|before| members.get(before)),
            members.get(index),
            members.get(index + 1),
        ) {
            (Some(before), Some(member), _) => before.place.end..member.place.end,
            (None, Some(member), Some(after)) => member.place.start..after.place.start,
            _ => object.start + 1..object.end - 1,
        };
        self.text.replace_range(cut, "");
        Ok(true)
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Returns the place of the value at `path`.
    fn find(&self, path: &[&str]) -> Result<Option<Range<usize>>, EditError> {
        let (mark, rest) = split_mark(&self.text);
        let start = mark.len() + rest.len() - rest.trim_start().len();
        let mut place = start..self.text.trim_end().len();
        for (depth, name) in path.iter().enumerate() {
            let (on_the_way, _) = path.split_at(depth);
            let members = self.members(&place, on_the_way)?;
            let mut found = members.into_iter().filter(|member| member.name == *name);
            let Some(member) = found.next() else {
                return Ok(None);
            };
            if let Some(again) = found.next() {
                let message = format!("\"{name}\" occurs twice");
                return Err(EditError::at(&self.text, again.place.start, message));
            }
            place = member.value;
        }
        Ok(Some(place))
    }

    /// Returns the members of the object at `object`.
    fn members(&self, object: &Range<usize>, path: &[&str]) -> Result<Vec<Member>, EditError> {
        let text = self.slice(object);
        let mut deserializer = Deserializer::from_str(text);
        let values = deserializer.deserialize_map(Values).map_err(|_| {
            let name = path.join(".");
            EditError::at(&self.text, object.start, format!("{name} is not an object"))
        })?;
        let mut end = 1;
        let mut members = Vec::with_capacity(values.len());
        for (name, value) in values {
            // The value is a slice of the text; between values there are only names, commas, colons and blanks.
            let value_start = value.as_ptr().addr() - text.as_ptr().addr();
            let between = text.get(end..value_start).unwrap_or_default();
            let name_start = end + between.find('"').unwrap_or_default();
            end = value_start + value.len();
            members.push(Member {
                name,
                place: object.start + name_start..object.start + end,
                value: object.start + value_start..object.start + end,
            });
        }
        Ok(members)
    }

    fn append(
        &mut self,
        object: &Range<usize>,
        path: &[&str],
        name: &str,
        value: &Value,
    ) -> Result<(), EditError> {
        let members = self.members(object, path)?;
        let style = match members.last() {
            Some(last) => {
                Style::of_line(&self.text, last.place.start).with_lines_of(self.slice(object))
            }
            None => Style::of_line(&self.text, object.start).deeper(),
        };
        let member = format!(
            "{}:{}{}",
            Value::from(name),
            style.blank,
            style.render(value)
        );
        if let Some(last) = members.last() {
            let addition = format!(",{}{member}", style.separator());
            self.text.insert_str(last.place.end, &addition);
        } else {
            let body = style.enclose(&member);
            self.text.replace_range(object.clone(), &body);
        }
        Ok(())
    }

    /// Returns an error at the value at `path`.
    #[must_use]
    pub fn error(&self, path: &[&str], message: impl Into<String>) -> EditError {
        let place = self.find(path).ok().flatten();
        EditError::at(&self.text, place.map_or(0, |place| place.start), message)
    }
}

/// Reads the members of an object as slices of the text.
struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(name) = map.next_key()? {
            values.push((name, map.next_value::<&RawValue>()?.get()));
        }
        Ok(values)
    }
}

/// Converts an error of `serde_json` into one with a position in characters and a plain message.
fn invalid(text: &str, err: &serde_json::Error) -> EditError {
    let line = text.split('\n').nth(err.line().saturating_sub(1));
    let line = line.unwrap_or_default().trim_end();
    let column = err.column();
    let here = line.get(column.saturating_sub(1)..).unwrap_or_default();
    let message = if here.starts_with('/') || here.starts_with('#') {
        "comments are not JSON".to_owned()
    } else {
        let whole = err.to_string();
        let place = format!(" at line {} column {column}", err.line());
        whole.strip_suffix(&place).unwrap_or(&whole).to_owned()
    };
    EditError {
        line: err.line(),
        column: line.get(..column).map_or(column, |it| it.chars().count()),
        message,
    }
}

#[cfg(test)]
mod tests;
