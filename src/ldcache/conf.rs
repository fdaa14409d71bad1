//! The syntax of ld.so.conf, and the patterns of its `include` lines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::arch::{FLAG_ELF_LIBC5, FLAG_ELF_LIBC6};

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// Nothing, or a comment.
    Blank,
    /// `include PATTERN…`: the patterns, for [`words`].
    Include(&'l [u8]),
    /// `hwcap …`, which means nothing any more.
    Hwcap,
    /// Anything else names a directory.
    Directory(&'l [u8]),
}

/// Reads one line as ldconfig does: no quoting, `#` begins a comment anywhere.
#[must_use]
pub fn parse_line(line: &[u8]) -> Line<'_> {
    let end = line.iter().position(|&byte| byte == b'#' || byte == 0);
    let line = line.get(..end.unwrap_or(line.len())).unwrap_or(line);
    let line = trim_start(line);
    if line.is_empty() {
        return Line::Blank;
    }
    if let Some(patterns) = keyword(line, b"include", |word, it| word == it) {
        return Line::Include(patterns);
    }
    if keyword(line, b"hwcap", <[u8]>::eq_ignore_ascii_case).is_some() {
        return Line::Hwcap;
    }
    Line::Directory(line)
}

/// The patterns of an `include` line.
pub fn words(patterns: &[u8]) -> impl Iterator<Item = &[u8]> {
    patterns
        .split(|byte| b" \t".contains(byte))
        .filter(|word| !word.is_empty())
}

/// Splits `dir=TYPE`, as glibc up to 2.36 does, into the directory and the flag of the type. An unknown type counts for nothing.
#[must_use]
pub fn split_type(line: &[u8]) -> (&[u8], Option<u32>) {
    let Some(equal) = line.iter().position(|&byte| byte == b'=') else {
        return (line, None);
    };
    let (directory, kind) = line.split_at(equal);
    let flag = match kind {
        b"=libc4" | b"=libc5" => Some(FLAG_ELF_LIBC5),
        b"=libc6" | b"=glibc2" => Some(FLAG_ELF_LIBC6),
        _ => None,
    };
    (directory, flag)
}

/// Removes trailing white space, then trailing slashes.
#[must_use]
pub fn trim_directory(line: &[u8]) -> &[u8] {
    let mut path = line;
    while let [rest @ .., last] = path
        && is_space(*last)
    {
        path = rest;
    }
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

fn keyword<'l>(
    line: &'l [u8],
    word: &[u8],
    equal: impl Fn(&[u8], &[u8]) -> bool,
) -> Option<&'l [u8]> {
    let (start, rest) = line.split_at_checked(word.len())?;
    match rest {
        [b' ' | b'\t', rest @ ..] if equal(start, word) => Some(rest),
        _ => None,
    }
}

fn trim_start(mut line: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = line
        && is_space(*first)
    {
        line = rest;
    }
    line
}

/// isspace(3) in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether the path component is a pattern for [`matches()`] and not just a name.
#[must_use]
pub fn is_pattern(component: &OsStr) -> bool {
    component
        .as_bytes()
        .iter()
        .any(|byte| b"*?[\\".contains(byte))
}

/// fnmatch(3) for one path component in the C locale: `*`, `?`, `[…]`, `\`; a leading dot is matched by a dot only.
#[must_use]
pub fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let hidden = name.first() == Some(&b'.');
    let dotted = matches!(pattern, [b'.', ..] | [b'\\', b'.', ..]);
    (!hidden || dotted) && matches_bytes(pattern, name)
}

/// Goes back to the last `*` only, so that time is at most the product of both lengths.
fn matches_bytes(mut pattern: &[u8], mut name: &[u8]) -> bool {
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

/// Matches one byte of the name; returns what is left of both.
fn match_one<'p, 'n>(pattern: &'p [u8], name: &'n [u8]) -> Option<(&'p [u8], &'n [u8])> {
    let [byte, rest @ ..] = name else { return None };
    let behind = match pattern {
        [b'?', behind @ ..] => Some(behind),
        [b'[', set @ ..] => match match_set(set, *byte) {
            Some((true, behind)) => Some(behind),
            Some((false, _)) => None,
            // No end of the set: an ordinary bracket.
            None => (*byte == b'[').then_some(set),
        },
        [b'\\', escaped, behind @ ..] => (escaped == byte).then_some(behind),
        [plain, behind @ ..] => (plain == byte).then_some(behind),
        [] => None,
    }?;
    Some((behind, rest))
}

/// Looks a byte up in a set; returns what stands behind the set, or `None` where it has no end.
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

/// The directory from which relative patterns of a file are looked up.
#[must_use]
pub fn base_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_ldconfig_reads_them() {
        for (line, expected) in [
            ("", Line::Blank),
            ("  # comment", Line::Blank),
            (
                "include a.conf\tb/*.conf # c",
                Line::Include(b"a.conf\tb/*.conf "),
            ),
            (" \tinclude\tx", Line::Include(b"x")),
            ("include ", Line::Include(b"")),
            ("include", Line::Directory(b"include")),
            ("includefoo", Line::Directory(b"includefoo")),
            ("hwcap 1 nosegneg", Line::Hwcap),
            ("HWCAP\t1", Line::Hwcap),
            ("/a b/ # c", Line::Directory(b"/a b/ ")),
        ] {
            assert_eq!(parse_line(line.as_bytes()), expected, "{line:?}");
        }
        assert!(words(b"a.conf\tb/*.conf  ").eq([&b"a.conf"[..], b"b/*.conf"]));
        assert_eq!(words(b"").next(), None);
    }

    #[test]
    fn directories_are_trimmed_and_typed() {
        assert_eq!(trim_directory(b"/opt/a/// \t\r"), b"/opt/a");
        assert_eq!(trim_directory(b"///"), b"");
        assert_eq!(split_type(b"/d=libc6"), (&b"/d"[..], Some(3)));
        assert_eq!(split_type(b"/e = libc6"), (&b"/e "[..], None));
        assert_eq!(split_type(b"/f"), (&b"/f"[..], None));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("[ab]*.conf", "abc.conf", true),
            ("[ab]*.conf", "c.conf", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "bx", false),
            ("[]]", "]", true),
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
}
