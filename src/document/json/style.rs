//! How JSON is written: line ends, indents and blanks, as the lines around have them.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::document::split_mark;

/// The indent of a document that shows none.
const INDENT: &str = "    ";

/// How a part of a document is written.
pub(super) struct Style {
    /// The line end; none if all is on one line.
    newline: Option<&'static str>,
    /// The blanks before the line.
    indent: String,
    /// The blanks by which the next level is indented.
    unit: String,
    /// What follows a colon.
    pub(super) blank: &'static str,
}

impl Style {
    /// How the line of a document is written on which `start` lies.
    pub(super) fn of_line(document: &str, start: usize) -> Self {
        let (mark, text) = split_mark(document);
        let is_empty = !text.contains('"');
        let unit = text.trim().split_once('\n');
        let unit = unit.map(|(_, rest)| leading_blanks(rest));
        let before = document.get(mark.len()..start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            newline: if is_empty {
                Some("\n")
            } else {
                newline(document.trim_end())
            },
            indent: leading_blanks(line).to_owned(),
            unit: unit
                .filter(|it| !it.is_empty())
                .unwrap_or(INDENT)
                .to_owned(),
            blank: if is_empty || text.contains("\": ") {
                " "
            } else {
                ""
            },
        }
    }

    /// The same with the line ends of a part of the document.
    pub(super) fn with_lines_of(mut self, part: &str) -> Self {
        self.newline = newline(part);
        self
    }

    /// The style of what is inside of the line's object.
    pub(super) fn deeper(mut self) -> Self {
        self.indent.push_str(&self.unit);
        self
    }

    /// What stands between a comma and the next member.
    pub(super) fn separator(&self) -> String {
        match self.newline {
            Some(newline) => format!("{newline}{}", self.indent),
            None => self.blank.to_owned(),
        }
    }

    /// An object with one member.
    pub(super) fn enclose(&self, member: &str) -> String {
        let Some(newline) = self.newline else {
            return format!("{{{member}}}");
        };
        let outer = self.indent.strip_suffix(&self.unit).unwrap_or_default();
        format!("{{{newline}{}{member}{newline}{outer}}}", self.indent)
    }

    /// A value, as it follows a colon.
    pub(super) fn render(&self, value: &Value) -> String {
        match self.newline {
            Some(newline) => print(value, PrettyFormatter::with_indent(self.unit.as_bytes()))
                .replace('\n', &format!("{newline}{}", self.indent)),
            None => print(value, OneLine { blank: self.blank }),
        }
    }
}

fn print(value: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    match value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter)) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => value.to_string(),
    }
}

/// Prints on one line, with or without blanks behind colons and commas.
struct OneLine {
    blank: &'static str,
}

impl Formatter for OneLine {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        self.begin_array_value(writer, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        write!(writer, ":{}", self.blank)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        if is_first {
            return Ok(());
        }
        write!(writer, ",{}", self.blank)
    }
}

/// The line end between the lines of a part of a document; none if it is one line.
fn newline(part: &str) -> Option<&'static str> {
    match (part.contains("\r\n"), part.contains('\n')) {
        (true, _) => Some("\r\n"),
        (false, true) => Some("\n"),
        (false, false) => None,
    }
}

fn leading_blanks(line: &str) -> &str {
    let rest = line.trim_start_matches([' ', '\t']);
    line.get(..line.len() - rest.len()).unwrap_or_default()
}
