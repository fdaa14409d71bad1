//! Text documents that the administrator wrote, edited in place: all other bytes stay as they are.

pub mod json;
pub mod lines;
pub mod toml;

use std::fmt;

/// Why a document cannot be edited, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// The reason.
    pub message: String,
}

impl EditError {
    /// Returns an error at the byte `offset` of `text`.
    #[must_use]
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let (_, before) = split_mark(before);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for EditError {}

/// Splits off the byte order mark that a document may begin with.
fn split_mark(text: &str) -> (&str, &str) {
    const MARK: char = '\u{feff}';
    let rest = text.strip_prefix(MARK).unwrap_or(text);
    text.split_at(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        for (offset, line, column) in [(0, 1, 1), (2, 1, 2), (4, 2, 1), (5, 2, 2), (99, 2, 2)] {
            let invalid = EditError::at("éx\ny", offset, "m");
            assert_eq!((invalid.line, invalid.column), (line, column), "{offset}");
        }
    }
}
