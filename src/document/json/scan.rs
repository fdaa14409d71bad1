//! A JSON scanner that locates values in a text without copying it.
//!
//! Whoever edits a document needs the place of each value. A loop with one byte for each open bracket scans the text, so that
//! nesting costs no stack. Format: RFC 8259. Strings may contain bytes that are not UTF-8.

use std::borrow::Cow;
use std::ops::Range;

/// A value in a JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t> {
    text: &'t [u8],
    start: usize,
    end: usize,
}

impl<'t> Value<'t> {
    /// Parses a text that holds one value. `None` if it is not JSON, begins with a byte order mark, or continues after the value.
    #[must_use]
    pub fn of(text: &'t [u8]) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0 };
        let value = scanner.value()?;
        scanner.skip_blanks();
        (scanner.at == text.len()).then_some(value)
    }

    /// Iterates over the members of an object in order, including repeated names; empty for any other value.
    pub fn members(self) -> impl Iterator<Item = (Cow<'t, str>, Self)> {
        self.named()
            .map(|(name, value)| (name.text().unwrap_or_default(), value))
    }

    /// Iterates over the members with their names as written; empty for any other value.
    pub(super) fn named(self) -> impl Iterator<Item = (Self, Self)> {
        let mut scanner = self.inside(b'{');
        std::iter::from_fn(move || {
            scanner.pass_comma();
            let name = scanner.string()?;
            scanner.pass_colon()?;
            Some((name, scanner.value()?))
        })
    }

    /// Iterates over the items of an array in order; empty for any other value.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let mut scanner = self.inside(b'[');
        std::iter::from_fn(move || {
            scanner.pass_comma();
            scanner.value()
        })
    }

    /// Returns the member of this name: the last one if there are several, as most parsers do.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        let members = self.members().filter(|(it, _)| it == name);
        members.last().map(|(_, value)| value)
    }

    /// Returns the value at a path of nested names.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<Self> {
        path.iter()
            .try_fold(self, |object, name| object.member(name))
    }

    /// Returns the string if the value is one. Lone surrogates and invalid UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(self) -> Option<Cow<'t, str>> {
        let inner = self.raw().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(if inner.contains(&b'\\') {
            Cow::Owned(unescape(inner))
        } else {
            String::from_utf8_lossy(inner)
        })
    }

    /// Returns the number if the value is an integer without fraction and exponent that fits into an `i64`.
    #[must_use]
    pub fn number(self) -> Option<i64> {
        str::from_utf8(self.raw()).ok()?.parse().ok()
    }

    /// Returns the place in the text.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Returns the value's text.
    #[must_use]
    pub fn raw(self) -> &'t [u8] {
        self.text.get(self.range()).unwrap_or_default()
    }

    /// Returns the text between two places of the document that contains this value.
    pub(super) fn around(self, range: Range<usize>) -> &'t [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.raw() == b"null"
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.raw().starts_with(b"{")
    }

    /// Whether the value is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.raw().starts_with(b"[")
    }

    /// Starts after the value's opening bracket, or at the end of the text if it begins with another byte.
    fn inside(self, bracket: u8) -> Scanner<'t> {
        Scanner {
            text: self.text,
            at: match self.raw().first() {
                Some(first) if *first == bracket => self.start + 1,
                _ => self.text.len(),
            },
        }
    }
}

/// A position in a text. Methods return `None` where the text ends too early or is not JSON.
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Skips the given byte if it is next; returns whether it was.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Skips bytes that `is_one` accepts; returns how many.
    fn skip(&mut self, is_one: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&is_one) {
            self.at += 1;
        }
        self.at - start
    }

    /// Skips what precedes an element: blanks and, except before the first one, a comma.
    fn pass_comma(&mut self) {
        self.skip_blanks();
        self.eat(b',');
        self.skip_blanks();
    }

    fn pass_colon(&mut self) -> Option<()> {
        self.skip_blanks();
        self.eat(b':').then_some(())
    }

    /// Reads any value and the blanks before it.
    fn value(&mut self) -> Option<Value<'t>> {
        self.skip_blanks();
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.begin(&mut open)? {
                Next::Value => continue,
                Next::End => {}
            }
            if let Next::End = self.go_on(&mut open)? {
                return Some(self.since(start));
            }
        }
    }

    /// Reads the start of a value: all of a scalar; of an object or array the bracket, whose counterpart is pushed to `open`.
    fn begin(&mut self, open: &mut Vec<u8>) -> Option<Next> {
        self.skip_blanks();
        let close = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            b'"' => return self.string().map(|_| Next::End),
            b't' => return self.word(b"true"),
            b'f' => return self.word(b"false"),
            b'n' => return self.word(b"null"),
            _ => return self.number(),
        };
        self.at += 1;
        self.skip_blanks();
        if self.eat(close) {
            return Some(Next::End);
        }
        open.push(close);
        self.name(close)?;
        Some(Next::Value)
    }

    /// Reads what follows a value: a comma, or closing brackets up to the end of the outermost value.
    fn go_on(&mut self, open: &mut Vec<u8>) -> Option<Next> {
        while let Some(&close) = open.last() {
            self.skip_blanks();
            if self.eat(b',') {
                self.name(close)?;
                return Some(Next::Value);
            }
            self.eat(close).then_some(())?;
            open.pop();
        }
        Some(Next::End)
    }

    /// Reads the name and the colon before a value if the innermost open bracket is an object's.
    fn name(&mut self, close: u8) -> Option<()> {
        if close == b'}' {
            self.skip_blanks();
            self.string()?;
            self.pass_colon()?;
        }
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<Next> {
        self.text.get(self.at..)?.strip_prefix(word)?;
        self.at += word.len();
        Some(Next::End)
    }

    fn string(&mut self) -> Option<Value<'t>> {
        let start = self.at;
        self.eat(b'"').then_some(())?;
        loop {
            self.skip(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            if self.eat(b'"') {
                return Some(self.since(start));
            }
            self.eat(b'\\').then_some(())?;
            let escaped = self.peek()?;
            self.at += 1;
            match escaped {
                b'u' => {
                    let digits = self.text.get(self.at..self.at + 4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    self.at += 4;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Next> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Some(Next::End)
    }

    fn digits(&mut self) -> Option<()> {
        (self.skip(|byte| byte.is_ascii_digit()) > 0).then_some(())
    }

    fn since(&self, start: usize) -> Value<'t> {
        Value {
            text: self.text,
            start,
            end: self.at,
        }
    }
}

/// What comes next in a text.
enum Next {
    /// A value inside the innermost open object or array.
    Value,
    /// The end of the current value.
    End,
}

/// Returns the text between the quotes of a string, with its escapes resolved.
fn unescape(inner: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut left = inner;
    while let Some((&byte, rest)) = left.split_first() {
        left = rest;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some((&escaped, rest)) = left.split_first() else {
            break;
        };
        left = rest;
        let char = match escaped {
            b'u' => unescape_unit(&mut left),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            other => char::from(other),
        };
        bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Decodes the character after `\u`, including the second half of a surrogate pair, and consumes its digits.
fn unescape_unit(left: &mut &[u8]) -> char {
    let Some(first) = take_unit(left) else {
        return char::REPLACEMENT_CHARACTER;
    };
    if let Some(mut rest) = left.strip_prefix(br"\u")
        && let Some(second) = take_unit(&mut rest)
        && let Some(Ok(char)) = char::decode_utf16([first, second]).next()
        && char.len_utf16() == 2
    {
        *left = rest;
        return char;
    }
    char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Consumes the four digits of a UTF-16 unit.
fn take_unit(left: &mut &[u8]) -> Option<u16> {
    let (digits, rest) = left.split_at_checked(4)?;
    *left = rest;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
