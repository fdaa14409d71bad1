//! Text from files and images, made safe to display.

/// Escapes whatever [`char::escape_debug`] escapes but quotes and backslashes, so that `text` becomes one line that displays as
/// it is: control and format characters of Unicode, separators except the blank, combining marks, and unassigned characters.
/// Names from files and images may contain any of them.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    escape_all_but(text, &['\'', '"', '\\'])
}

/// Escapes text for a place between double quotes.
pub(crate) fn quote(text: &str) -> String {
    escape_all_but(text, &['\''])
}

/// Escapes text, but keeps the given characters.
pub(crate) fn escape_all_but(text: &str, kept: &[char]) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if kept.contains(&c) {
                line.push(c);
            } else {
                line.extend(c.escape_debug());
            }
            line
        })
}

/// Whether the character is escaped.
pub(crate) fn is_escaped(c: char) -> bool {
    c.escape_debug().len() > 1
}

/// Shortens a text to at most `limit` bytes by cutting out its middle: the end often has the reason.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    const GAP: &str = "...";
    if text.len() <= limit {
        return text.to_owned();
    }
    let half = limit.saturating_sub(GAP.len()) / 2;
    let is_boundary = |it: &usize| text.is_char_boundary(*it);
    let end = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let start = (text.len() - half..=text.len())
        .find(is_boundary)
        .unwrap_or(0);
    let head = text.get(..end).unwrap_or_default();
    let tail = text.get(start..).unwrap_or_default();
    format!("{head}{GAP}{tail}")
}

/// Breaks a line at blanks so that it fits a terminal of 80 columns; what follows its first line is indented.
pub(crate) fn fold(line: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let mut folded = String::new();
    let mut width = 0;
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if width + length > WIDTH && width > indent {
            folded.truncate(folded.trim_end().len());
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            width = indent;
        }
        folded.push_str(word);
        width += word.chars().count();
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded() {
        let folded = fold(&format!("  cause: {}", "word ".repeat(30).trim_end()), 9);
        assert!(folded.lines().count() > 1 && folded.lines().all(|line| line.len() <= 80));
        let rest = folded.lines().skip(1);
        assert!(
            rest.into_iter()
                .all(|line| line.starts_with("         word"))
        );
        assert_eq!(fold("short", 3), "short");
        let long = format!("  {}", "x".repeat(100));
        assert_eq!(fold(&long, 2), long);
    }

    #[test]
    fn a_message_stays_one_line() {
        assert_eq!(
            quote("a\nb\t\"c\" 'd' \\ \u{1b}[31m é"),
            "a\\nb\\t\\\"c\\\" 'd' \\\\ \\u{1b}[31m é"
        );
        assert_eq!(escape("\"a\" 'b' \\ \u{1b}"), "\"a\" 'b' \\ \\u{1b}");
    }

    /// Each character that Unicode classifies as a control, a format character, or a line separator.
    #[test]
    fn nothing_steers_a_terminal_hides_or_turns_the_order_around() {
        for (first, last) in [
            ('\0', '\x1f'),
            ('\x7f', '\u{a0}'),
            ('\u{ad}', '\u{ad}'),
            ('\u{600}', '\u{605}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{180e}', '\u{180e}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202f}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{fff9}', '\u{fffb}'),
            ('\u{1d173}', '\u{1d17a}'),
            ('\u{e0001}', '\u{e007f}'),
            ('\u{e0100}', '\u{e01ef}'),
        ] {
            for c in first..=last {
                let escaped = escape(&c.to_string());
                assert!(
                    escaped.starts_with('\\') && escaped.is_ascii(),
                    "{:x}",
                    u32::from(c)
                );
            }
        }
        for text in [
            "é",
            "ß",
            "\u{65e5}\u{672c}",
            "\u{5d0}",
            "\u{fffd}",
            "\u{1f600}",
        ] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn texts_are_shortened_in_the_middle() {
        let long = format!("é{}é", "é".repeat(5000));
        for limit in 10..20 {
            let short = shorten(&long, limit);
            assert!(short.len() <= limit && short.len() + 4 > limit, "{short}");
            assert!(short.starts_with('é') && short.ends_with('é'), "{short}");
        }
        assert_eq!(shorten("0123456789", 10), "0123456789");
    }
}
