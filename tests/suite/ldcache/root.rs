//! The stored roots, and the hook that works on them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::bundle::Bundle;
use crate::common::machine::{fixture, missing, must};

/// A bundle whose root is one of the stored ones.
pub(super) fn unpacked(name: &str) -> Bundle {
    let bundle = Bundle::new();
    bundle.unpack(name);
    bundle
}

/// A bundle whose root is a copy of this directory as it is.
pub(super) fn copied(root: &Path) -> Bundle {
    let bundle = Bundle::new();
    must(
        Command::new("cp")
            .args(["-a", "-T"])
            .args([root, &bundle.root()]),
    );
    bundle
}

/// Runs the hook, which must succeed.
#[track_caller]
pub(super) fn update(bundle: &Bundle) {
    update_in(bundle, &[]);
}

/// The same behind other commands.
#[track_caller]
pub(super) fn update_in(bundle: &Bundle, before: &[OsString]) {
    let outcome = bundle.hook_in(before, "update-ldcache");
    assert!(outcome.success(), "update-ldcache: {outcome:?}");
}

/// The bytes of a root's cache.
pub(super) fn cache(bundle: &Bundle) -> Vec<u8> {
    fs::read(bundle.at("etc/ld.so.cache")).unwrap()
}

/// All symbolic links of a root as `path -> target` lines in bytewise order.
pub(super) fn links(bundle: &Bundle) -> Vec<u8> {
    let find = Command::new("find")
        .arg(bundle.root())
        .args(["-type", "l", "-printf", "%P -> %l\\n"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let mut lines: Vec<_> = find.stdout.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// A file of a stored root.
pub(super) fn stored(name: &str, suffix: &str) -> PathBuf {
    fixture("roots").join(format!("{name}.{suffix}"))
}

/// The names of all stored roots.
pub(super) fn stored_roots() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(fixture("roots"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".tar.zst")?.to_owned())
        })
        .collect();
    names.sort();
    assert!(names.len() >= 18, "stored roots are missing: {names:?}");
    names
}

/// Says where two texts differ, instead of printing both.
#[track_caller]
pub(super) fn assert_same(what: &str, ours: &[u8], theirs: &[u8]) {
    if ours == theirs {
        return;
    }
    let equal = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let from = equal.saturating_sub(40);
    let around = |bytes: &[u8]| {
        bytes[from..bytes.len().min(equal + 60)]
            .escape_ascii()
            .to_string()
    };
    panic!(
        "{what}: {} bytes against {}, different from byte {equal} on\nours:   {}\ntheirs: {}",
        ours.len(),
        theirs.len(),
        around(ours),
        around(theirs)
    );
}

/// Why the stored roots cannot be unpacked, if so.
pub(super) fn obstacle() -> Option<String> {
    missing(&["tar", "zstd"])
}
