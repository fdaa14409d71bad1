//! The subset of YAML that CDI specs use: one document without tags and merge keys, parsed into JSON values.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

/// The maximum depth; specs have seven levels.
const MAX_DEPTH: usize = 64;
/// The maximum number of values in one document, where each alias counts as much as its value: each may take 600 bytes of memory.
/// A spec for eight GPUs has 6,000.
const MAX_VALUES: usize = 1 << 16;
/// The number of bytes of text that count as one more value.
const TEXT_PER_VALUE: usize = 256;
/// Characters that may begin a list or a mapping: saphyr buffers all of a list, 100 bytes for each of them, until it knows
/// whether the list is a key.
const INDICATORS: &[u8] = b"[]{},:?";
/// The maximum number of these characters in one document.
const MAX_INDICATORS: usize = 2 * MAX_VALUES;
const TOO_MANY: &str = "it has too many values for a spec";
/// saphyr's anchor id for a value without an anchor.
const NO_ANCHOR: usize = 0;
/// The merge key of YAML 1.1.
const MERGE: &str = "<<";

/// Parses the first document of `text`. The error contains the line.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let indicators = text.bytes().filter(|byte| INDICATORS.contains(byte));
    if indicators.count() > MAX_INDICATORS {
        return Err(TOO_MANY.to_owned());
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        left: MAX_VALUES,
        anchors: BTreeMap::new(),
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
    /// The values of anchors, and how much each counts.
    anchors: BTreeMap<usize, (Value, usize)>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Positioned<'t>, String> {
        let event = self.parser.next_event().ok_or("it ends too early")?;
        event.map_err(|err| error_at(err.marker().line(), err.info()))
    }

    fn value(&mut self, (event, span): Positioned<'t>, depth: usize) -> Result<Value, String> {
        let refuse = |what: &str| Err(error_at(span.start.line(), what));
        if depth > MAX_DEPTH {
            return refuse("it is nested too deeply");
        }
        let before = self.left;
        self.count(1, &span)?;
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor, &span),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => return refuse("tags are not supported"),
            Event::Scalar(text, style, anchor, None) => {
                self.count(text.len() / TEXT_PER_VALUE, &span)?;
                (anchor, scalar(text.into_owned(), style))
            }
            Event::SequenceStart(anchor, None) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, None) => (anchor, self.mapping(depth)?),
            _ => return refuse("a value is missing"),
        };
        if anchor != NO_ANCHOR {
            let values = before.saturating_sub(self.left);
            self.count(values, &span)?;
            self.anchors.insert(anchor, (value.clone(), values));
        }
        Ok(value)
    }

    /// Counts values. Fails once the document exceeds the bound.
    fn count(&mut self, values: usize, span: &Span) -> Result<(), String> {
        let left = self.left.checked_sub(values);
        let refuse = || error_at(span.start.line(), TOO_MANY);
        self.left = left.ok_or_else(refuse)?;
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Value, String> {
        let Some((value, values)) = self.anchors.get(&anchor).cloned() else {
            let line = span.start.line();
            return Err(error_at(
                line,
                "an alias refers to a value that contains it",
            ));
        };
        self.count(values, span)?;
        Ok(value)
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
                Event::Scalar(key, style, NO_ANCHOR, None) => {
                    self.count(key.len() / TEXT_PER_VALUE, &span)?;
                    if style == ScalarStyle::Plain && key == MERGE {
                        return Err(error_at(span.start.line(), "merge keys are not supported"));
                    }
                    key.into_owned()
                }
                _ => return Err(error_at(span.start.line(), "a key is not a plain scalar")),
            };
            let value = self.next()?;
            let value = self.value(value, depth + 1)?;
            if members.contains_key(&key) {
                let twice = format!("'{key}' occurs twice");
                return Err(error_at(span.start.line(), &twice));
            }
            members.insert(key, value);
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain => plain(&text),
        _ => Value::String(text),
    }
}

fn error_at(line: usize, what: &str) -> String {
    format!("line {line}: {what}")
}

/// Resolves a plain scalar by the core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => integer(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// Parses an integer. No field of a spec is a fraction: `0.7.0` and `0.7` stay strings.
fn integer(text: &str) -> Option<Number> {
    let based = |prefix, base| {
        let digits = text.strip_prefix(prefix)?;
        // `from_str_radix` also accepts a sign.
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
    fn aliases() {
        assert_eq!(
            parse("a: &x [1, &y {b: '*'}]\nc: *x\nd: *y\n\"<<\": &y 2\ne: *y").unwrap(),
            json!({"a": [1, {"b": "*"}], "c": [1, {"b": "*"}], "d": {"b": "*"}, "<<": 2, "e": 2})
        );
    }

    #[test]
    fn aliases_count() {
        let laughs = (1..10).fold("l0: &l0 [x, x]\n".to_owned(), |text, i| {
            let aliases = format!("*l{}, ", i - 1).repeat(10);
            text + &format!("l{i}: &l{i} [{aliases}]\n")
        });
        let long = format!("a: &x {}\nb: [{}]", "x".repeat(1 << 19), "*x,".repeat(100));
        let long_key = format!(
            "a: &x {{? {}\n : 1}}\nb: [{}]",
            "x".repeat(1 << 19),
            "*x,".repeat(100)
        );
        let nested = (0..60).fold("x".repeat(1 << 18), |text, i| format!("&l{i} [{text}]"));
        for text in [laughs, long, long_key, nested] {
            let err = parse(&text).unwrap_err();
            assert!(err.contains("too many values for"), "{text:.20}: {err}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, message) in [
            ("a: 1\nb: !!str 2", "line 2: tags"),
            ("a: !x {}", "line 1: tags"),
            ("a: &x {}\nb:\n  <<: *x", "line 3: merge keys"),
            ("a: *x", "line 1: "),
            (
                "a: &x [*x]",
                "line 1: an alias refers to a value that contains it",
            ),
            ("&x a: 1", "a key is not a plain scalar"),
            ("a: 1\nb: 2\na: 3", "line 3: 'a' occurs twice"),
            ("? [a]\n: 1", "a key is not a plain scalar"),
            ("a: [1", "line "),
            (&"[".repeat(100_000), ""),
            (&format!("a: {}", "[".repeat(100)), "nested too deep"),
            (
                &format!("[{}]", "{},".repeat(MAX_VALUES)),
                "too many values for",
            ),
        ] {
            let err = parse(text).unwrap_err();
            assert!(err.contains(message), "{text:.20}: {err}");
        }
    }
}
