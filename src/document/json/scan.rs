//! JSON as places in a text: what a document says, and where, without a copy of it.
//!
//! Whoever edits a document needs to know where each value lies, and what nobody asks about may be as deep as it likes: one loop
//! goes over the text, with a byte for each bracket that is open. Format: RFC 8259. Strings may have bytes that are not UTF-8.

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
    /// The value that the whole text holds; none if it is not JSON, begins with a byte order mark, or goes on behind the value.
    #[must_use]
    pub fn of(text: &'t [u8]) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0 };
        let value = scanner.value()?;
        scanner.skip_blanks();
        (scanner.at == text.len()).then_some(value)
    }

    /// The members of an object, in order, with names that are there twice; nothing for what is not an object.
    pub fn members(self) -> impl Iterator<Item = (Cow<'t, str>, Self)> {
        self.named()
            .map(|(name, value)| (name.text().unwrap_or_default(), value))
    }

    /// The same, with the names as they are written.
    pub(super) fn named(self) -> impl Iterator<Item = (Self, Self)> {
        let mut scanner = self.inside(b'{');
        std::iter::from_fn(move || {
            scanner.pass_comma();
            let name = scanner.string()?;
            scanner.pass_colon()?;
            Some((name, scanner.value()?))
        })
    }

    /// The items of an array, in order; nothing for what is not an array.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let mut scanner = self.inside(b'[');
        std::iter::from_fn(move || {
            scanner.pass_comma();
            scanner.value()
        })
    }

    /// The member of this name; the last one, as most readers have it, if there are more.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        let members = self.members().filter(|(it, _)| it == name);
        members.last().map(|(_, value)| value)
    }

    /// What lies below these names, one in the other.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<Self> {
        path.iter()
            .try_fold(self, |object, name| object.member(name))
    }

    /// The string, if it is one. Lone surrogates and what is not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(self) -> Option<Cow<'t, str>> {
        let inner = self.raw().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(if inner.contains(&b'\\') {
            Cow::Owned(unescape(inner))
        } else {
            String::from_utf8_lossy(inner)
        })
    }

    /// The number, if it is a whole one, written without fraction and exponent, and neither too large nor too small.
    #[must_use]
    pub fn number(self) -> Option<i64> {
        str::from_utf8(self.raw()).ok()?.parse().ok()
    }

    /// Where in the text it lies.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// How it is written.
    #[must_use]
    pub fn raw(self) -> &'t [u8] {
        self.text.get(self.range()).unwrap_or_default()
    }

    /// The text between two places of the document that it is part of.
    pub(super) fn around(self, range: Range<usize>) -> &'t [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.raw() == b"null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.raw().starts_with(b"{")
    }

    /// Whether it is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.raw().starts_with(b"[")
    }

    /// Behind the bracket with which the value begins; at the end of the text if it begins with another byte.
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

/// Goes over a text. What ends too early, or is not JSON, is none.
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Whether this byte was next, and is passed now.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Passes the bytes of a kind; returns how many.
    fn skip(&mut self, is_one: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&is_one) {
            self.at += 1;
        }
        self.at - start
    }

    /// What stands between two elements, or before the first.
    fn pass_comma(&mut self) {
        self.skip_blanks();
        self.eat(b',');
        self.skip_blanks();
    }

    fn pass_colon(&mut self) -> Option<()> {
        self.skip_blanks();
        self.eat(b':').then_some(())
    }

    /// Any value, with the blanks before it.
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

    /// The value that begins here: all of a plain one, of another one its bracket, which is put on the list of the open ones.
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

    /// What follows a value: a comma, or brackets up to the end of the outermost value.
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

    /// The name before a value and its colon, if what is open is an object.
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
    /// A value inside of the one that is open.
    Value,
    /// Nothing, or what follows a value.
    End,
}

/// The text between the quotes of a string, with its escapes resolved.
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

/// The character behind `\u`, with the second half of a pair; what is read is taken off.
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

/// Takes the four digits of a UTF-16 unit off.
fn take_unit(left: &mut &[u8]) -> Option<u16> {
    let (digits, rest) = left.split_at_checked(4)?;
    *left = rest;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
