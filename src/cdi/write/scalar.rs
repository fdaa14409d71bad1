//! YAML scalars, quoted as go-yaml does, so that parsers of YAML 1.1 and 1.2 both read a string.

use std::borrow::Cow;

/// Plain scalars that parsers read as a bool, null, number or merge key, in any case.
const WORDS: [&str; 17] = [
    "", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", ".nan", ".inf", "+.inf",
    "-.inf", "<<", "=",
];
/// Characters with a meaning at the start of a scalar.
const INDICATORS: [char; 17] = [
    ' ', '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
];

/// Returns the text as a scalar on one line.
pub(super) fn scalar(text: &str) -> Cow<'_, str> {
    if !text.chars().all(is_plain_character) || is_other_type(text) {
        Cow::Owned(double_quoted(text))
    } else if is_syntax(text) {
        Cow::Owned(format!("'{}'", text.replace('\'', "''")))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether the character is plain everywhere: printable, and not a line break.
fn is_plain_character(c: char) -> bool {
    match c {
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => true,
        _ => false,
    }
}

fn double_quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_plain_character(c) => quoted.push(c),
            c => quoted.push_str(&escape(c)),
        }
    }
    quoted.push('"');
    quoted
}

/// Escapes a character. Format: section 5.7 of YAML 1.2.2.
fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            return match code {
                ..0x100 => format!("\\x{code:02X}"),
                0x100..0x10000 => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Whether the unquoted text would not be a scalar, or another one.
fn is_syntax(text: &str) -> bool {
    let has_mark = |pair: &[u8]| matches!(pair, b": " | b" #");
    text.starts_with(INDICATORS)
        || ["- ", "? ", "---", "..."]
            .iter()
            .any(|start| text.starts_with(start))
        || matches!(text, "-" | "?")
        || text.ends_with([' ', ':'])
        || text.as_bytes().windows(2).any(has_mark)
}

/// Whether a parser of YAML 1.1 or 1.2 would not read the unquoted text as a string.
fn is_other_type(text: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && (is_number(text) || is_base_60(text) || is_date(text))
}

/// Whether the text is an integer of any base or a fraction; underscores may separate digits.
fn is_number(text: &str) -> bool {
    let text = without_sign(text).replace('_', "").to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        }
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits && is_digits(whole) && is_digits(fraction) && {
        let exponent = without_sign(exponent);
        !exponent.is_empty() && is_digits(exponent)
    }
}

/// Whether the text is a base 60 number, such as a time of day in YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut places = without_sign(whole).split(':');
    let first = places.next().unwrap_or_default();
    let is_place = |it: &str| is_digits(it) && matches!(it.parse(), Ok(0..60)) && it.len() <= 2;
    whole.contains(':')
        && first.starts_with(|c: char| c.is_ascii_digit())
        && is_digits(&first.replace('_', ""))
        && is_digits(&fraction.replace('_', ""))
        && places.all(is_place)
}

/// Whether the text begins with `YYYY-MM-DD`, perhaps followed by a time.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut next = || parts.next().unwrap_or_default();
    let (year, month, rest) = (next(), next(), next());
    let day = rest.split(['T', 't', ' ']).next().unwrap_or_default();
    let is_part = |it: &str| matches!(it.len(), 1 | 2) && is_digits(it);
    year.len() == 4 && is_digits(year) && is_part(month) && is_part(day)
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn is_digits(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit())
}
