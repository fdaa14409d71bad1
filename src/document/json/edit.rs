//! Several edits of a JSON text in one pass. Additions copy the blanks of their neighbours; all other bytes stay.

use std::ops::Range;

use super::scan::Value;

/// The maximum length of a separator between elements to repeat before a new one; a longer one is not repeated.
const MAX_SEPARATOR: usize = 256;

/// Parts of a text and their replacements.
#[derive(Default)]
pub struct Edits {
    places: Vec<(Range<usize>, Vec<u8>)>,
}

/// A new value at a path of names below an object.
pub struct Change<'p> {
    /// The names, at least one.
    pub path: &'p [&'p str],
    /// The text of the value.
    pub text: Vec<u8>,
}

/// An item of the array to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The existing item at this index.
    Kept(usize),
    /// A new text in place of the item at this index.
    Changed(usize, String),
    /// A new item, as text.
    New(String),
}

/// An array that exists or that an edit creates.
pub struct List<'t> {
    place: Option<Value<'t>>,
    items: Vec<Value<'t>>,
}

impl Edits {
    /// Replaces a part of the text with `text`.
    pub fn replace(&mut self, part: Range<usize>, text: Vec<u8>) {
        self.places.push((part, text));
    }

    /// Sets the value of each path below `object` and creates missing parents. Of several members with one name the last counts,
    /// and `null` counts as missing. Fails with the name of a parent that is not an object.
    pub fn set<'p>(&mut self, object: Value<'_>, changes: Vec<Change<'p>>) -> Result<(), &'p str> {
        let members: Vec<_> = object.members().collect();
        let mut added = Vec::new();
        for (name, below) in by_first_name(changes) {
            let (leaf, below): (Vec<_>, Vec<_>) =
                below.into_iter().partition(|it| it.path.is_empty());
            let leaf = leaf.into_iter().next_back().map(|it| it.text);
            let there = members.iter().rfind(|(it, _)| it == name);
            match (there.map(|(_, value)| *value), leaf) {
                (Some(there), Some(text)) => self.replace(there.range(), text),
                (Some(there), None) if there.is_object() => self.set(there, below)?,
                (Some(there), None) if there.is_null() => {
                    self.replace(there.range(), new_object(below)?);
                }
                (Some(_), None) => return Err(name),
                (None, Some(text)) => added.push((name, text)),
                (None, None) => added.push((name, new_object(below)?)),
            }
        }
        if !added.is_empty() {
            self.append(object, &added);
        }
        Ok(())
    }

    /// Appends members to an object.
    fn append(&mut self, object: Value<'_>, members: &[(&str, Vec<u8>)]) {
        let there: Vec<_> = object.named().collect();
        let places: Vec<_> = there
            .iter()
            .map(|(name, value)| name.range().start..value.range().end)
            .collect();
        let colon = there.last().map_or(&b":"[..], |(name, value)| {
            short(object.around(name.range().end..value.range().start), b":")
        });
        let separator = separator(object, &places);
        let mut text = Vec::new();
        for (index, (name, value)) in members.iter().enumerate() {
            if index > 0 || !places.is_empty() {
                text.extend_from_slice(&separator);
            }
            text.extend_from_slice(serde_json::Value::from(*name).to_string().as_bytes());
            text.extend_from_slice(colon);
            text.extend_from_slice(value);
        }
        let place = places.last().map_or(object.range().start + 1, |it| it.end);
        self.replace(place..place, text);
    }

    /// Returns the text with all edits. Parts must not overlap and may come in any order; insertions at one place keep their
    /// order.
    #[must_use]
    pub fn apply(mut self, text: &[u8]) -> Vec<u8> {
        self.places.sort_by_key(|(part, _)| part.start);
        let mut result = Vec::with_capacity(text.len());
        let mut at = 0;
        for (part, new) in self.places {
            result.extend_from_slice(text.get(at..part.start).unwrap_or_default());
            result.extend_from_slice(&new);
            at = at.max(part.end);
        }
        result.extend_from_slice(text.get(at..).unwrap_or_default());
        result
    }
}

/// Groups changes by the first name of their paths, in order of appearance.
fn by_first_name(changes: Vec<Change<'_>>) -> Vec<(&str, Vec<Change<'_>>)> {
    let mut names: Vec<(&str, Vec<Change<'_>>)> = Vec::new();
    for Change { path, text } in changes {
        let Some((name, path)) = path.split_first() else {
            continue;
        };
        let below = Change { path, text };
        match names.iter_mut().find(|(it, _)| it == name) {
            Some((_, changes)) => changes.push(below),
            None => names.push((name, vec![below])),
        }
    }
    names
}

fn new_object(changes: Vec<Change<'_>>) -> Result<Vec<u8>, &str> {
    let empty = b"{}";
    let mut edits = Edits::default();
    if let Some(object) = Value::of(empty) {
        edits.set(object, changes)?;
    }
    Ok(edits.apply(empty))
}

impl<'t> List<'t> {
    /// Returns the array at `place`, an empty one for nothing or `null`, or `None` for any other value.
    #[must_use]
    pub fn of(place: Option<Value<'t>>) -> Option<Self> {
        let place = place.filter(|it| !it.is_null());
        let is_list = place.is_none_or(Value::is_array);
        is_list.then(|| Self {
            place,
            items: place.into_iter().flat_map(Value::items).collect(),
        })
    }

    /// Returns the existing items.
    #[must_use]
    pub fn items(&self) -> &[Value<'t>] {
        &self.items
    }

    /// Returns the text of the array with these entries, or `None` if they are the existing items.
    #[must_use]
    pub fn with(&self, entries: &[Entry]) -> Option<Vec<u8>> {
        let there = (0..self.items.len()).map(Entry::Kept);
        if there.eq(entries.iter().cloned()) {
            return None;
        }
        let Some(place) = self.place.filter(|_| !self.items.is_empty()) else {
            return Some(compact(entries));
        };
        let places: Vec<_> = self.items.iter().map(|it| it.range()).collect();
        let separator = separator(place, &places);
        let mut text = b"[".to_vec();
        for (position, entry) in entries.iter().enumerate() {
            text.extend_from_slice(match (position, entry) {
                (0, _) => before(place, &places, 0),
                (_, Entry::Kept(index) | Entry::Changed(index, _)) if *index > 0 => {
                    before(place, &places, *index)
                }
                _ => &separator,
            });
            text.extend_from_slice(match entry {
                Entry::Kept(index) => self.items.get(*index).map_or(b"", |it| it.raw()),
                Entry::Changed(_, text) | Entry::New(text) => text.as_bytes(),
            });
        }
        if let (Some(last), false) = (places.last(), entries.is_empty()) {
            text.extend_from_slice(place.around(last.end..place.range().end - 1));
        }
        text.push(b']');
        Some(text)
    }
}

/// Returns the text of a new array.
fn compact(entries: &[Entry]) -> Vec<u8> {
    let items = entries.iter().filter_map(|entry| match entry {
        Entry::Kept(_) => None,
        Entry::Changed(_, text) | Entry::New(text) => Some(text.as_str()),
    });
    format!("[{}]", items.collect::<Vec<_>>().join(",")).into_bytes()
}

/// Returns the text between an element and its predecessor, or the opening bracket.
fn before<'t>(value: Value<'t>, places: &[Range<usize>], index: usize) -> &'t [u8] {
    let previous = index.checked_sub(1).and_then(|it| places.get(it));
    let start = previous.map_or(value.range().start + 1, |it| it.end);
    let end = places.get(index).map_or(start, |it| it.start);
    value.around(start..end)
}

/// Returns the text to insert before a new element that is not the first: a copy of the text before the last one.
fn separator(value: Value<'_>, places: &[Range<usize>]) -> Vec<u8> {
    match places.len() {
        0 => b",".to_vec(),
        1 => [b",", short(before(value, places, 0), b"")].concat(),
        count => short(before(value, places, count - 1), b",").to_vec(),
    }
}

/// Returns the blanks, or `other` if they are too long.
fn short<'t>(blanks: &'t [u8], other: &'t [u8]) -> &'t [u8] {
    if blanks.len() > MAX_SEPARATOR {
        other
    } else {
        blanks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, changes: &[(&[&str], &str)]) -> Result<String, String> {
        let changes = changes.iter().map(|(path, text)| Change {
            path,
            text: text.as_bytes().to_vec(),
        });
        let mut edits = Edits::default();
        edits
            .set(Value::of(text.as_bytes()).unwrap(), changes.collect())
            .map_err(str::to_owned)?;
        Ok(String::from_utf8(edits.apply(text.as_bytes())).unwrap())
    }

    #[test]
    fn members_are_set_with_the_objects_on_the_way() {
        let changes: &[(&[&str], &str)] =
            &[(&["a", "b"], "1"), (&["c"], "2"), (&["a", "d", "e"], "3")];
        for (before, after) in [
            ("{}", r#"{"a":{"b":1,"d":{"e":3}},"c":2}"#),
            ("{ }", r#"{"a":{"b":1,"d":{"e":3}},"c":2 }"#),
            (
                r#"{"x": 1e3, "a": {"d": {}, "b": [ ]}}"#,
                r#"{"x": 1e3, "a": {"d": {"e":3}, "b": 1}, "c": 2}"#,
            ),
            (
                "{\n\t\"a\" : null\n}\n",
                "{\n\t\"a\" : {\"b\":1,\"d\":{\"e\":3}},\n\t\"c\" : 2\n}\n",
            ),
            (
                r#"{"a":5,"c":9007199254740993,"a":{"x":"\ud800"}}"#,
                r#"{"a":5,"c":2,"a":{"x":"\ud800","b":1,"d":{"e":3}}}"#,
            ),
        ] {
            assert_eq!(set(before, changes).unwrap(), after);
            assert_eq!(set(after, changes).unwrap(), after);
        }
        assert_eq!(set(r#"{"a":{"d":"x"}}"#, changes), Err("d".to_owned()));
    }

    #[test]
    fn arrays_keep_their_blanks() {
        let new = |text: &str| Entry::New(text.to_owned());
        let kept = Entry::Kept;
        for (before, entries, after) in [
            ("[]", vec![new("9")], "[9]"),
            ("[ ]", vec![new("8"), new("9")], "[8,9]"),
            ("null", vec![new("9")], "[9]"),
            ("[ 1 ]", vec![], "[]"),
            ("[ 1 ]", vec![kept(0), new("9")], "[ 1, 9 ]"),
            ("[1, 2]", vec![kept(0), kept(1), new("9")], "[1, 2, 9]"),
            ("[1, 2]", vec![new("9"), kept(0), kept(1)], "[9, 1, 2]"),
            ("[1 ,  2, 3]", vec![kept(0), kept(2)], "[1, 3]"),
            ("[1 ,  2, 3]", vec![kept(1), kept(2)], "[2, 3]"),
            (
                "[1 ,  2, 3]",
                vec![kept(0), Entry::Changed(1, "9".to_owned()), kept(2)],
                "[1 ,  9, 3]",
            ),
            (
                "[\n  1,\n  2\n]",
                vec![kept(1), new("9")],
                "[\n  2,\n  9\n]",
            ),
            (
                "[\n  1\n]",
                vec![new("8"), kept(0), new("9")],
                "[\n  8,\n  1,\n  9\n]",
            ),
        ] {
            let list = List::of(Value::of(before.as_bytes())).unwrap();
            let text = list.with(&entries).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), after);
        }
        let list = List::of(Value::of(b"[1, 2]")).unwrap();
        assert_eq!(list.with(&[kept(0), kept(1)]), None);
        assert!(List::of(Value::of(b"{}")).is_none());
        assert_eq!(List::of(None).unwrap().with(&[]), None);
    }

    #[test]
    fn strange_blanks_are_not_repeated() {
        let text = format!("[1,{}2]", " ".repeat(1000));
        let list = List::of(Value::of(text.as_bytes())).unwrap();
        let entries = [Entry::Kept(0), Entry::Kept(1), Entry::New("3".into())];
        let text = String::from_utf8(list.with(&entries).unwrap()).unwrap();
        assert!(text.ends_with(" 2,3]"));
    }

    #[test]
    fn edits_come_in_any_order() {
        let mut edits = Edits::default();
        edits.replace(4..5, b"E".to_vec());
        edits.replace(1..1, b"x".to_vec());
        edits.replace(1..1, b"y".to_vec());
        edits.replace(0..1, b"A".to_vec());
        assert_eq!(edits.apply(b"abcde"), b"AxybcdE");
    }
}
