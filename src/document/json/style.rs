//! The style of JSON text: line ends, indents and blanks, copied from neighbouring lines.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::document::split_mark;

/// The indent of a document without an indented line.
const INDENT: &str = "    ";

/// The style of a part of a document.
pub(super) struct Style {
    /// The line end; `None` if all is on one line.
    newline: Option<&'static str>,
    /// The indent of the line.
    indent: String,
    /// The indent of one level.
    unit: String,
    /// The text after a colon.
    pub(super) blank: &'static str,
}

impl Style {
    /// Returns the style of the line that contains `start`.
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

    /// Takes the line end from a part of the document.
    pub(super) fn with_lines_of(mut self, part: &str) -> Self {
        self.newline = newline(part);
        self
    }

    /// Returns the style one level deeper.
    pub(super) fn deeper(mut self) -> Self {
        self.indent.push_str(&self.unit);
        self
    }

    /// Returns the text between a comma and the next member.
    pub(super) fn separator(&self) -> String {
        match self.newline {
            Some(newline) => format!("{newline}{}", self.indent),
            None => self.blank.to_owned(),
        }
    }

    /// Formats an object with one member.
    pub(super) fn enclose(&self, member: &str) -> String {
        let Some(newline) = self.newline else {
            return format!("{{{member}}}");
        };
        let outer = self.indent.strip_suffix(&self.unit).unwrap_or_default();
        format!("{{{newline}{}{member}{newline}{outer}}}", self.indent)
    }

    /// Formats a value that follows a colon.
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

/// Prints on one line, with or without blanks after colons and commas.
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

/// Returns the line end of a part of a document; `None` if it is a single line.
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
