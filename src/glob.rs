//! Patterns for file names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Whether the path component is a pattern for [`matches()`] rather than a plain name.
#[must_use]
pub fn is_pattern(component: &OsStr) -> bool {
    component
        .as_bytes()
        .iter()
        .any(|byte| b"*?[\\".contains(byte))
}

/// Matches one path component as fnmatch(3) does in the C locale: `*`, `?`, `[…]`, `\`.
///
/// Backtracks to the last `*` only, so that the time is at most proportional to the product of both lengths.
#[must_use]
pub fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    let mut star = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            star = Some((rest, name));
            continue;
        }
        match match_one(pattern, name) {
            Some((behind, rest)) => (pattern, name) = (behind, rest),
            None if pattern.is_empty() && name.is_empty() => return true,
            None => {
                let Some((behind, [_, shorter @ ..])) = star else {
                    return false;
                };
                star = Some((behind, shorter));
                (pattern, name) = (behind, shorter);
            }
        }
    }
}

/// Matches one byte of the name and returns the rest of both.
fn match_one<'p, 'n>(pattern: &'p [u8], name: &'n [u8]) -> Option<(&'p [u8], &'n [u8])> {
    let [byte, rest @ ..] = name else { return None };
    let behind = match pattern {
        [b'?', behind @ ..] => Some(behind),
        [b'[', set @ ..] => match match_set(set, *byte) {
            Some((true, behind)) => Some(behind),
            Some((false, _)) => None,
            // The set has no end: the bracket is an ordinary character.
            None => (*byte == b'[').then_some(set),
        },
        [b'\\', escaped, behind @ ..] => (escaped == byte).then_some(behind),
        [plain, behind @ ..] => (plain == byte).then_some(behind),
        [] => None,
    }?;
    Some((behind, rest))
}

/// Matches a byte against a set and returns the pattern after the set, or `None` if the set has no end.
fn match_set(set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    let mut first = true;
    loop {
        set = match set {
            [b']', behind @ ..] if !first => return Some((found != negated, behind)),
            [from, b'-', to, rest @ ..] if *to != b']' => {
                found |= (*from..=*to).contains(&byte);
                rest
            }
            [b'\\', one, rest @ ..] | [one, rest @ ..] => {
                found |= *one == byte;
                rest
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("[ab]*.conf", "abc.conf", true),
            ("[ab]*.conf", "c.conf", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[+-]]", "+]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("?", "a", true),
            ("?", "ab", false),
        ] {
            let result = matches(OsStr::new(pattern), OsStr::new(name));
            assert_eq!(result, expected, "{pattern} {name}");
        }
        let many = "*a".repeat(1000);
        assert!(!matches(OsStr::new(&many), OsStr::new(&"a".repeat(500))));
    }

    #[test]
    fn a_pattern_has_a_character_of_its_own() {
        for pattern in ["*", "a?", "[a]", "\\a"] {
            assert!(is_pattern(OsStr::new(pattern)), "{pattern}");
        }
        for name in ["", "a.conf", "]", "a-b", "{a,b}"] {
            assert!(!is_pattern(OsStr::new(name)), "{name}");
        }
    }
}
