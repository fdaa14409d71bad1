//! YAML as far as CDI specs go: one document without anchors, read into JSON's values.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is followed; specs have seven levels.
const MAX_DEPTH: usize = 64;
/// Most values in one document: each may take 600 bytes of memory. A spec for eight GPUs has 6,000.
const MAX_VALUES: usize = 1 << 16;

/// Reads the first document of `text`. The error tells where it is.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        left: MAX_VALUES,
    };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, _) => return Ok(Value::Null),
            first => return reader.value(first, 0),
        }
    }
}

type Positioned<'t> = (Event<'t>, Span);

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    left: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Positioned<'t>, String> {
        let event = self.parser.next_event().ok_or("it ends too early")?;
        event.map_err(|err| error_at(err.marker().line(), err.info()))
    }

    fn value(&mut self, (event, span): Positioned<'t>, depth: usize) -> Result<Value, String> {
        let refuse = |what: &str| Err(error_at(span.start.line(), what));
        if depth > MAX_DEPTH {
            return refuse("it is nested too deep");
        }
        let Some(left) = self.left.checked_sub(1) else {
            return refuse("it has more values than any spec");
        };
        self.left = left;
        match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => Ok(plain(&text)),
            Event::Scalar(text, _, 0, _) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(0, _) => self.sequence(depth),
            Event::MappingStart(0, _) => self.mapping(depth),
            _ => refuse("anchors and aliases are not understood"),
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut values = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(values)),
                event => values.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut members = Map::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(members)),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(error_at(span.start.line(), "a key is no scalar")),
            };
            let value = self.next()?;
            let value = self.value(value, depth + 1)?;
            if members.contains_key(&key) {
                return Err(error_at(
                    span.start.line(),
                    &format!("'{key}' is there twice"),
                ));
            }
            members.insert(key, value);
        }
    }
}

fn error_at(line: usize, what: &str) -> String {
    format!("line {line}: {what}")
}

/// The core schema's reading of a scalar without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => integer(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// No part of a spec is a fraction: those stay texts, as `0.7.0` does.
fn integer(text: &str) -> Option<Number> {
    let based = |prefix, base| {
        let digits = text.strip_prefix(prefix)?;
        // Rust takes a sign as well.
        let is_number = digits.starts_with(|c: char| c.is_digit(base));
        is_number.then(|| i64::from_str_radix(digits, base).ok())?
    };
    let octal = || based("0o", 8).or_else(|| based("0", 8));
    let decimal = || text.parse().ok();
    based("0x", 16)
        .or_else(octal)
        .or_else(decimal)
        .map(Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values() {
        let text = "---\n# c\na: 0.7.0\nb: [1, '1', \"0\", 0660, 0x1f, 0-1, 0x+1, ~, true]\nc:\n    - d: x # c\n      e: |\n        l\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({"a": "0.7.0", "b": [1, "1", "0", 432, 31, "0-1", "0x+1", null, true], "c": [{"d": "x", "e": "l\n"}]})
        );
        assert_eq!(parse("").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_refused() {
        for (text, message) in [
            ("a: &x 1\nb: *x", "line 1: anchors"),
            ("a: 1\nb: 2\na: 3", "line 3: 'a' is there twice"),
            ("? [a]\n: 1", "a key is no scalar"),
            ("a: [1", "line "),
            (&"[".repeat(100_000), ""),
            (&format!("a: {}", "[".repeat(100)), "nested too deep"),
            (
                &format!("[{}]", "{},".repeat(MAX_VALUES)),
                "more values than",
            ),
        ] {
            let err = parse(text).unwrap_err();
            assert!(err.contains(message), "{text:.20}: {err}");
        }
    }
}
