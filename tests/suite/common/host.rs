//! A host in a temporary folder, and the commands that work on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::machine::{binary, folder, write_program};
use super::outcome::Outcome;
use super::tree::Tree;
use super::wrapper::{HANGS, within};

/// A host: a tree that stands for its root directory, empty at first, and beside it a folder for programs that can be run.
pub(crate) struct Host {
    folder: TempDir,
    root: Tree,
}

/// The root directory.
impl Deref for Host {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.root
    }
}

impl Host {
    /// A host with nothing in it.
    pub(crate) fn new() -> Self {
        let folder = folder();
        let root = Tree::new(folder.path().join("root"));
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        Self { folder, root }
    }

    /// Writes a shell script among the programs.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.folder.path().join("bin").join(name);
        write_program(&path, &format!("#!/bin/sh\n{script}\n"));
        path
    }

    /// A text in which `@ROOT@` and `@BIN@` stand for the root and for the folder of programs.
    pub(crate) fn expand(&self, text: &str) -> String {
        let path = |name| self.folder.path().join(name).display().to_string();
        text.replace("@ROOT@", &path("root"))
            .replace("@BIN@", &path("bin"))
    }

    /// The same text with `@ROOT@` and `@BIN@` in the place of these paths.
    pub(crate) fn fold(&self, text: &str) -> String {
        let path = |name| self.folder.path().join(name).display().to_string();
        text.replace(&path("root"), "@ROOT@")
            .replace(&path("bin"), "@BIN@")
    }

    /// Runs `nvidia-ctk` with words that are parted by blanks and are expanded.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.run_in(&[], line)
    }

    /// The same behind other commands.
    pub(crate) fn run_in(&self, before: &[OsString], line: &str) -> Outcome {
        let words = line.split_whitespace().map(|word| self.expand(word));
        let mut command = within(HANGS, before, binary());
        Outcome::of(command.args(words).stdin(Stdio::null()))
    }

    /// A command that must succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, line: &str) -> Outcome {
        let outcome = self.run(line);
        assert!(outcome.success(), "{line}: {}", outcome.stderr);
        outcome
    }

    /// A command that must fail, say why, and change nothing.
    #[track_caller]
    pub(crate) fn fail(&self, line: &str, message: &str) {
        let before = texts(&self.root());
        let outcome = self.run(line);
        assert_eq!(outcome.code, 1, "{line}: {}", outcome.stderr);
        let message = self.expand(message);
        assert!(
            outcome.stderr.contains(&message),
            "{line}: {}",
            outcome.stderr
        );
        assert_eq!(texts(&self.root()), before, "{line}");
    }
}

/// All files below a folder, with what they hold.
pub(crate) fn texts(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a text");
                let inside = path.strip_prefix(folder).expect("inside");
                files.insert(inside.to_owned(), text);
            }
        }
    }
    files
}
