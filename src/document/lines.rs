//! Line-based comparison of documents: what two of them share, and a unified diff.

use std::fmt;
use std::ops::Range;

use imara_diff::{
    Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter,
};

/// Returns `after` with the unchanged lines of `original` as they were, and with its line ends elsewhere.
///
/// An editor may print lines in another spelling than it read: `printed` is its output for `original`, line by line, and `after`
/// its output with the changes.
#[must_use]
pub fn keep(original: &str, printed: &str, after: &str) -> String {
    let kept: Vec<&str> = original.split_inclusive('\n').collect();
    let mut old: Vec<&str> = printed.lines().collect();
    if old.len() != kept.len() {
        old = original.lines().collect();
    }
    let new: Vec<&str> = after.lines().collect();
    let mut input = InternedInput::default();
    input.update_before(old.into_iter());
    input.update_after(new.iter().copied());

    let mut text = Text::new(original, after.len());
    let mut position = 0;
    for hunk in Diff::compute(Algorithm::Myers, &input).hunks() {
        text.copy(slice(&kept, position..hunk.before.start));
        text.add(slice(&new, hunk.after));
        position = hunk.before.end;
    }
    text.copy(slice(&kept, position..u32::MAX));
    let mut text = text.text;
    if !original.is_empty() && !original.ends_with('\n') {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    text
}

fn slice<T>(items: &[T], range: Range<u32>) -> &[T] {
    let index = |place: u32| usize::try_from(place).map_or(items.len(), |it| it.min(items.len()));
    items
        .get(index(range.start)..index(range.end))
        .unwrap_or_default()
}

/// A text that is assembled line by line.
struct Text {
    text: String,
    end: &'static str,
}

impl Text {
    fn new(original: &str, capacity: usize) -> Self {
        Self {
            text: String::with_capacity(capacity),
            end: if original.contains("\r\n") {
                "\r\n"
            } else {
                "\n"
            },
        }
    }

    /// Appends lines with their line ends; the last line of a document may lack one.
    fn copy(&mut self, lines: &[&str]) {
        for line in lines {
            self.end_line();
            self.text.push_str(line);
        }
    }

    fn add(&mut self, lines: &[&str]) {
        for line in lines {
            self.end_line();
            self.text.push_str(line);
            self.text.push_str(self.end);
        }
    }

    fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push_str(self.end);
        }
    }
}

/// Returns the difference in the format of `diff -u`; empty if there is none.
#[must_use]
pub fn unified_diff(before: &str, after: &str, old_name: &str, new_name: &str) -> String {
    if before == after {
        return String::new();
    }
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_lines(&input);
    let printer = Printer(&input.interner);
    let hunks = diff.unified_diff(&printer, UnifiedDiffConfig::default(), &input);
    format!("--- {old_name}\n+++ {new_name}\n{hunks}")
}

/// Prints hunks that patch(1) accepts, even if a last line has no line end or one side is empty.
struct Printer<'a>(&'a Interner<&'a str>);

impl Printer<'_> {
    fn line(&self, mut f: impl fmt::Write, sign: char, token: Token) -> fmt::Result {
        let line = self.0[token];
        match line.strip_suffix('\n') {
            Some(line) => writeln!(f, "{sign}{line}"),
            None => writeln!(f, "{sign}{line}\n\\ No newline at end of file"),
        }
    }
}

impl UnifiedDiffPrinter for Printer<'_> {
    fn display_header(
        &self,
        mut f: impl fmt::Write,
        old_start: u32,
        new_start: u32,
        old_len: u32,
        new_len: u32,
    ) -> fmt::Result {
        let place = |start: u32, len: u32| format!("{},{len}", start + u32::from(len > 0));
        writeln!(
            f,
            "@@ -{} +{} @@",
            place(old_start, old_len),
            place(new_start, new_len)
        )
    }

    fn display_context_token(&self, f: impl fmt::Write, token: Token) -> fmt::Result {
        self.line(f, ' ', token)
    }

    fn display_hunk(
        &self,
        mut f: impl fmt::Write,
        before: &[Token],
        after: &[Token],
    ) -> fmt::Result {
        for &token in before {
            self.line(&mut f, '-', token)?;
        }
        for &token in after {
            self.line(&mut f, '+', token)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_change_is_spelled_as_it_was() {
        for (original, after, kept) in [
            ("", "a\n", "a\n"),
            ("a\r\nb\r\n", "a\nx\nb\n", "a\r\nx\r\nb\r\n"),
            ("a\r\nb\nc\r\n", "a\nb\nc\nx\n", "a\r\nb\nc\r\nx\r\n"),
            ("a", "a\nx\n", "a\nx"),
            ("a\nb", "a\nb\n", "a\nb"),
            ("a\nb\n", "b\n", "b\n"),
            ("a\n", "", ""),
        ] {
            assert_eq!(
                keep(original, original, after),
                kept,
                "{original:?} {after:?}"
            );
        }
        assert_eq!(keep("'a'\nb\n", "A\nb\n", "A\nx\nb\n"), "'a'\nx\nb\n");
        assert_eq!(keep("a\nb\n", "A\n", "A\nx\nb\n"), "A\nx\nb\n");
    }

    #[test]
    fn differences_are_unified() {
        assert_eq!(
            unified_diff("a\nb\n", "a\nx\nb", "old", "new"),
            "--- old\n+++ new\n@@ -1,2 +1,3 @@\n a\n-b\n+x\n+b\n\\ No newline at end of file\n"
        );
        assert_eq!(
            unified_diff("", "a\r\n", "/dev/null", "new"),
            "--- /dev/null\n+++ new\n@@ -0,0 +1,1 @@\n+a\r\n"
        );
        assert_eq!(unified_diff("a\n", "a\n", "old", "new"), "");
    }
}
