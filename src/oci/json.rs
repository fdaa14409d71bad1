//! JSON from untrusted input: reads one value as a stream, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::watchdog::Noted;

/// The maximum depth of nesting.
const MAX_DEPTH: u32 = u128::BITS;
/// The maximum length of a key: `serde_json` buffers keys even of values that it skips.
const MAX_KEY: u64 = 64 << 10;

/// Reads the first JSON value of `input` as a `T` and stops at its end. Fails if the value exceeds `limit` bytes or another
/// bound.
pub(super) fn read<T: DeserializeOwned>(input: impl Read, limit: u64) -> Result<T> {
    read_short(input, limit, u64::MAX)
}

/// Reads a value as [`read`] does, and fails for a string of more than `longest` bytes: for lists whose entries are mostly
/// discarded.
pub(super) fn read_short<T: DeserializeOwned>(
    mut input: impl Read,
    limit: u64,
    longest: u64,
) -> Result<T> {
    // One reader type for all inputs: a generic one costs 10 KiB of code for each.
    let input: &mut dyn Read = &mut input;
    let mut input = BufReader::new(Noted(input));
    if input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
        input.consume("\u{feff}".len());
    }
    let bounded = Bounded {
        input,
        left: limit,
        limit,
        nesting: Nesting {
            longest,
            ..Nesting::default()
        },
    };
    let mut deserializer = serde_json::Deserializer::from_reader(bounded);
    Ok(T::deserialize(&mut deserializer)?)
}

/// A reader that fails once a bound is exceeded.
struct Bounded<R> {
    input: R,
    left: u64,
    limit: u64,
    nesting: Nesting,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        for &byte in buffer.iter().take(read) {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| too_large(format!("larger than {} bytes", self.limit)))?;
            self.nesting.pass(byte)?;
        }
        Ok(read)
    }
}

/// The position in the JSON text: depth, and whether it is in a string or a key.
#[derive(Default)]
struct Nesting {
    depth: u32,
    /// One bit for each open bracket: 1 for an object, 0 for an array.
    objects: u128,
    key_is_next: bool,
    /// The length so far of the string that contains the position.
    string: Option<u64>,
    string_is_key: bool,
    escaped: bool,
    /// The maximum length of a string that is not a key.
    longest: u64,
}

impl Nesting {
    fn pass(&mut self, byte: u8) -> io::Result<()> {
        if let Some(length) = self.string {
            self.string = Some(length + 1);
            if self.string_is_key && length > MAX_KEY {
                return Err(too_large(format!("a key longer than {MAX_KEY} bytes")));
            }
            if length > self.longest {
                return Err(too_large(format!(
                    "a string longer than {} bytes",
                    self.longest
                )));
            }
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.string = None,
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => {
                self.string = Some(0);
                self.string_is_key = std::mem::take(&mut self.key_is_next);
            }
            b'{' | b'[' => {
                if self.depth == MAX_DEPTH {
                    return Err(too_large(format!("nested deeper than {MAX_DEPTH} levels")));
                }
                self.depth += 1;
                self.key_is_next = byte == b'{';
                self.objects = self.objects << 1 | u128::from(self.key_is_next);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
                self.key_is_next = false;
            }
            b',' => self.key_is_next = self.objects & 1 == 1,
            _ => {}
        }
        Ok(())
    }
}

fn too_large(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    fn error(text: &str, limit: u64) -> Option<String> {
        read::<IgnoredAny>(text.as_bytes(), limit)
            .err()
            .map(|err| format!("{err:#}"))
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(error(r#"{"a":[1,{"b":"]}{["}]}"#, 100), None);
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert_eq!(error(&deep, 1000), None);
        let deeper = "[".repeat(129);
        assert!(error(&deeper, 1000).unwrap().contains("nested deeper"));
        let long = "k".repeat(70_000);
        let key = format!("{{\"a\":1,\"{long}\":2}}");
        assert!(error(&key, 1 << 20).unwrap().contains("a key longer"));
        let value = format!("{{\"a\":\"{long}\"}}");
        assert_eq!(error(&value, 1 << 20), None);
        assert!(error(&value, 1000).unwrap().contains("larger than 1000"));
        let values = format!("{{\"a\":[\"b\",\"{long}\"]}}");
        assert_eq!(error(&values, 1 << 20), None);
    }

    #[test]
    fn bounds_are_exact() {
        let at = |count: u64| "x".repeat(usize::try_from(count).unwrap());
        let key = |count| error(&format!(r#"{{"{}":1}}"#, at(count)), u64::MAX);
        assert_eq!(key(MAX_KEY), None);
        assert!(key(MAX_KEY + 1).unwrap().contains("a key longer"));
        let value = |count| {
            let text = format!(r#"["{}"]"#, at(count));
            read_short::<IgnoredAny>(text.as_bytes(), u64::MAX, 10).err()
        };
        assert!(value(10).is_none());
        let message = format!("{:#}", value(11).unwrap());
        assert!(
            message.contains("a string longer than 10 bytes"),
            "{message}"
        );
        assert_eq!(error("[10]", 4), None);
        assert!(error("[100]", 4).unwrap().contains("larger than 4 bytes"));
    }

    #[test]
    fn keys_are_told_from_values() {
        let long = "k".repeat(70_000);
        for text in [
            r#"{"LONG":1}"#,
            r#"{"a":1,"LONG":1}"#,
            r#"{"a":[],"LONG":1}"#,
            r#"{"a":{"b":[]},"LONG":1}"#,
            r#"[{"a":1},{"LONG":1}]"#,
            r#"{"a":"\"","LONG":1}"#,
        ] {
            let message = error(&text.replace("LONG", &long), u64::MAX);
            assert!(message.unwrap().contains("a key longer"), "{text}");
        }
        for text in [
            r#"["LONG"]"#,
            r#"[1,"LONG"]"#,
            r#"{"a":"LONG"}"#,
            r#"[{},"LONG"]"#,
            r#"[{"a":1},"LONG"]"#,
            r#"{"a":[{"b":1},"LONG"]}"#,
            r#"["{",",","\"{","LONG"]"#,
        ] {
            assert_eq!(
                error(&text.replace("LONG", &long), u64::MAX),
                None,
                "{text}"
            );
        }
    }
}
