//! The syntax of ld.so.conf, and the patterns of its `include` lines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::arch::{FLAG_ELF_LIBC5, FLAG_ELF_LIBC6};
use crate::glob;

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// Blank, or a comment.
    Blank,
    /// `include PATTERN…`, with the patterns for [`words`].
    Include(&'l [u8]),
    /// `hwcap …`, which is obsolete.
    Hwcap,
    /// The name of a directory.
    Directory(&'l [u8]),
}

/// Parses a line as ldconfig does: no quoting, `#` begins a comment anywhere.
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

/// Splits the patterns of an `include` line.
pub fn words(patterns: &[u8]) -> impl Iterator<Item = &[u8]> {
    patterns
        .split(|byte| b" \t".contains(byte))
        .filter(|word| !word.is_empty())
}

/// Splits `dir=TYPE`, as glibc up to 2.36 does, into the directory and the flag of the type. An unknown type has no effect.
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

/// Implements isspace(3) for the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Implements glob(3) for one path component in the C locale: [`glob::matches`], except that only a dot matches a leading dot.
#[must_use]
pub fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    let is_hidden = name.as_bytes().first() == Some(&b'.');
    let is_dotted = matches!(pattern.as_bytes(), [b'.', ..] | [b'\\', b'.', ..]);
    (!is_hidden || is_dotted) && glob::matches(pattern, name)
}

/// Returns the base directory of a file's relative patterns.
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
        for kind in ["libc4", "libc5"] {
            let line = format!("/d={kind}");
            assert_eq!(split_type(line.as_bytes()), (&b"/d"[..], Some(2)), "{line}");
        }
        assert_eq!(split_type(b"/d=glibc2"), (&b"/d"[..], Some(3)));
        assert_eq!(split_type(b"/e = libc6"), (&b"/e "[..], None));
        assert_eq!(split_type(b"/f"), (&b"/f"[..], None));
    }

    #[test]
    fn hidden_files_match_a_dot() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("\\.*", ".conf", true),
            ("[.]*", ".conf", false),
        ] {
            let result = matches(OsStr::new(pattern), OsStr::new(name));
            assert_eq!(result, expected, "{pattern} {name}");
        }
    }
}
