//! A root in a bundle of its own, and the hook that works on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::machine::{BACKTRACE, Ended, binary, fixture, folder, missing, must};

/// The programs that unpack a root.
pub(crate) const UNPACKERS: [&str; 2] = ["tar", "zstd"];

/// A bundle with a root file system.
pub(crate) struct Root {
    bundle: TempDir,
}

impl Root {
    /// An empty root.
    pub(crate) fn new() -> Self {
        let bundle = folder();
        fs::create_dir(bundle.path().join("rootfs")).unwrap();
        fs::write(
            bundle.path().join("config.json"),
            r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#,
        )
        .unwrap();
        Self { bundle }
    }

    /// One of the stored roots.
    pub(crate) fn unpack(name: &str) -> Self {
        let root = Self::new();
        must(
            Command::new("tar")
                .args(["-I", "zstd", "-x", "-p", "--no-same-owner", "-f"])
                .arg(stored(name, "tar.zst"))
                .arg("-C")
                .arg(root.path("")),
        );
        root
    }

    /// A copy of it as it stands.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        must(
            Command::new("cp")
                .args(["-a", "-T"])
                .args([self.path(""), copy.path("")]),
        );
        copy
    }

    /// A path in it, given without the first slash.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.bundle.path().join("rootfs").join(inside)
    }

    /// Runs the hook `update-ldcache` below the words of another command, if any; it must succeed.
    pub(crate) fn update_under(&self, wrapper: &[&Path]) {
        let bundle = self.bundle.path().to_str().unwrap();
        let state = self.bundle.path().join("state.json");
        fs::write(
            &state,
            format!(r#"{{"ociVersion":"1.0.2","id":"x","status":"creating","bundle":"{bundle}"}}"#),
        )
        .unwrap();
        let program = binary();
        let words: Vec<&Path> = wrapper.iter().copied().chain([program.as_path()]).collect();
        let ended = Command::new(words[0])
            .args(&words[1..])
            .args(["hook", "update-ldcache"])
            .env_clear()
            .envs([BACKTRACE])
            .stdin(Stdio::from(fs::File::open(state).unwrap()))
            .output()
            .unwrap();
        let ended = Ended::from(ended);
        assert!(ended.success, "update-ldcache: {}", ended.text);
    }

    /// Runs the hook `update-ldcache`.
    pub(crate) fn update(&self) {
        self.update_under(&[]);
    }

    /// The bytes of its cache.
    pub(crate) fn cache(&self) -> Vec<u8> {
        fs::read(self.path("etc/ld.so.cache")).unwrap()
    }

    /// All its symbolic links as `path -> target` lines in bytewise order.
    pub(crate) fn links(&self) -> Vec<u8> {
        let find = Command::new("find")
            .arg(self.path(""))
            .args(["-type", "l", "-printf", "%P -> %l\\n"])
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let mut lines: Vec<_> = find.stdout.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        lines.concat()
    }
}

/// A file of a stored root.
pub(crate) fn stored(name: &str, suffix: &str) -> PathBuf {
    fixture("roots").join(format!("{name}.{suffix}"))
}

/// The names of all stored roots.
pub(crate) fn stored_roots() -> Vec<String> {
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
pub(crate) fn assert_same(what: &str, ours: &[u8], theirs: &[u8]) {
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
pub(crate) fn obstacle() -> Option<String> {
    missing(&UNPACKERS)
}
