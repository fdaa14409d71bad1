//! What stands under a path, in one word or two.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::common::bundle::Bundle;
use crate::common::elf::{compat_libcuda, library};

/// | text | what |
/// |---|---|
/// | `dir` | a directory |
/// | `-> TARGET` | a link |
/// | `= TEXT` | a regular file |
/// | `MODE TEXT` | one with this mode, in octal |
/// | `lib SONAME` | a library; only to be made |
/// | `note JSON` | a libcuda with this note; only to be made |
/// | `node KIND [MAJOR MINOR]` | a FIFO (`p`) or device; only to be made |
/// | `file` | any regular file; only to be found |
pub(crate) enum Thing<'a> {
    Directory,
    Link(&'a str),
    File(Vec<u8>),
    Mode(u32),
    Node(Vec<&'a str>),
}

impl<'a> Thing<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        match text.split_once(' ') {
            Some(("->", target)) => Self::Link(target),
            Some(("=", text)) => Self::File(text.into()),
            Some(("lib", soname)) => Self::File(library(soname)),
            Some(("note", json)) => Self::File(compat_libcuda(json)),
            Some(("mode", mode)) => Self::Mode(u32::from_str_radix(mode, 8).expect("a mode")),
            Some(("node", node)) => Self::Node(node.split(' ').collect()),
            _ => {
                assert_eq!(text, "dir", "no thing");
                Self::Directory
            }
        }
    }

    pub(crate) fn is_node(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// Makes it, and the directories above.
    pub(crate) fn make(&self, bundle: &Bundle, path: &str) {
        let at = place(bundle, path);
        fs::create_dir_all(at.parent().expect("a parent")).expect("directories");
        match self {
            Self::Directory => fs::create_dir_all(at).expect("a directory"),
            Self::Link(target) => symlink(target, at).expect("a link"),
            Self::File(bytes) => fs::write(at, bytes).expect("a file"),
            Self::Mode(mode) => {
                fs::write(&at, "").expect("a file");
                fs::set_permissions(at, fs::Permissions::from_mode(*mode)).expect("a mode");
            }
            Self::Node(kind) => {
                bundle.node(path, kind);
            }
        }
    }

    /// What is there, told in the way of what is expected.
    pub(crate) fn find(bundle: &Bundle, path: &str, expected: Option<&str>) -> Option<String> {
        let at = one_of(&place(bundle, path))?;
        let file = fs::symlink_metadata(&at).ok()?;
        Some(if file.is_symlink() {
            format!("-> {}", fs::read_link(&at).expect("a link").display())
        } else if expected.is_some_and(|it| it.starts_with("mode ")) {
            format!("mode {:o}", file.permissions().mode() & 0o7777)
        } else if file.is_dir() {
            "dir".to_owned()
        } else if file.file_type().is_fifo() || file.file_type().is_char_device() {
            "node".to_owned()
        } else if expected == Some("file") {
            "file".to_owned()
        } else {
            let bytes = fs::read(&at).expect("a file");
            format!("= {}", String::from_utf8_lossy(&bytes))
        })
    }
}

fn place(bundle: &Bundle, path: &str) -> PathBuf {
    let host = bundle.host().display().to_string();
    match path.strip_prefix("$HOST/") {
        Some(path) => bundle.host().join(path),
        None => bundle.at(path.replace("$INSIDE", host.trim_start_matches('/'))),
    }
}

/// The path, or the only one that a `*` in its last part stands for; several are an error, which is shown as a missing file.
fn one_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let Some((start, end)) = name.split_once('*') else {
        return Some(path.to_owned());
    };
    let entries = fs::read_dir(path.parent()?).ok()?;
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut matching = paths.filter(|it| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    });
    let first = matching.next()?;
    assert!(matching.next().is_none(), "several {name}");
    Some(first)
}
