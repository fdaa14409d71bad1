//! Reads ld.so.conf and its includes.

use std::ffi::{OsStr, OsString};
use std::fmt::Arguments;
use std::io::ErrorKind;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{SearchPath, entries};
use crate::glob;
use crate::ldcache::conf::{self, Line};
use crate::ldcache::is_failure;

/// The maximum size of the configuration, in bytes, of all files together.
const MAX_CONF: u64 = 1 << 20;
/// The maximum number of configuration files; a file may include itself.
const MAX_CONFS: usize = 1024;
/// The maximum number of lines, patterns, and names to compare with a pattern.
const MAX_STEPS: usize = 1 << 14;
/// The maximum length of a pattern's component, which is compared with many names.
const MAX_PATTERN: usize = 255;
/// The maximum number of bytes in the paths that match one pattern.
const MAX_PATHS: usize = 1 << 18;
/// The maximum depth of `include`.
const MAX_DEPTH: usize = 16;

/// The remaining bounds.
#[derive(Clone)]
pub(super) struct Bounds {
    confs: usize,
    bytes_left: u64,
    pub(super) steps_left: usize,
    /// Whether a warning about nested includes was logged.
    is_nested: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            confs: 0,
            bytes_left: MAX_CONF,
            steps_left: MAX_STEPS,
            is_nested: false,
        }
    }
}

impl SearchPath<'_> {
    pub(super) fn add_conf(&mut self, file: &Path, depth: usize) {
        let text = match self.root.read(file, self.conf.bytes_left) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => return,
            Err(err) if err.kind() == ErrorKind::FileTooLarge => {
                return self.stop(format_args!(
                    "{}: not read, and nothing behind it, the configuration is larger than {MAX_CONF} bytes",
                    file.display()
                ));
            }
            Err(err) => {
                log::warn!("{}: not read: {err}", file.display());
                if is_failure(&err) {
                    self.add_unread(None);
                }
                return;
            }
        };
        self.conf.confs += 1;
        self.conf.bytes_left = self.conf.bytes_left.saturating_sub(text.len() as u64);
        for line in text.split(|&byte| byte == b'\n') {
            match conf::parse_line(line) {
                Line::Blank => {}
                Line::Hwcap => log::debug!("{}: hwcap line ignored", file.display()),
                Line::Include(patterns) => {
                    for pattern in conf::words(patterns) {
                        if !self.spend(1, file) {
                            return;
                        }
                        self.include(file, OsStr::from_bytes(pattern), depth + 1);
                    }
                }
                Line::Directory(line) => {
                    if !self.spend(1, file) {
                        return;
                    }
                    self.add_line(line);
                }
            }
        }
    }

    /// Uses up steps and returns whether any are left; logs the end once.
    fn spend(&mut self, steps: usize, file: &Path) -> bool {
        if self.conf.steps_left == 0 {
            return false;
        }
        if self.budget.is_spent(file) {
            self.conf.steps_left = 0;
            self.add_unread(None);
            return false;
        }
        self.conf.steps_left = self.conf.steps_left.saturating_sub(steps);
        if self.conf.steps_left == 0 {
            self.stop(format_args!(
                "{}: the rest of the configuration is not read, it has more than {MAX_STEPS} lines, patterns and names",
                file.display()
            ));
        }
        self.conf.steps_left > 0
    }

    /// Stops reading the configuration, whose remaining directories are unknown.
    fn stop(&mut self, why: Arguments<'_>) {
        log::warn!("{why}");
        self.conf.steps_left = 0;
        self.add_unread(None);
    }

    fn add_line(&mut self, line: &[u8]) {
        let (directory, libc_flag) = if self.has_types {
            conf::split_type(line)
        } else {
            (line, None)
        };
        let path = conf::trim_directory(directory);
        if !path.is_empty() {
            self.add(Path::new(OsStr::from_bytes(path)), libc_flag);
        }
    }

    fn include(&mut self, from: &Path, pattern: &OsStr, depth: usize) {
        let pattern = conf::base_of(from).join(pattern);
        for file in self.glob(&pattern) {
            if depth > MAX_DEPTH || self.conf.confs >= MAX_CONFS {
                if !mem::replace(&mut self.conf.is_nested, true) {
                    self.add_unread(None);
                    log::warn!(
                        "{}: not read, files include each other more than {MAX_DEPTH} deep or there are more than {MAX_CONFS}",
                        file.display()
                    );
                }
                return;
            }
            self.add_conf(&file, depth);
        }
    }

    /// Returns the files that match a pattern, in the order of glob(3).
    fn glob(&mut self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::new()];
        for component in pattern {
            if glob::is_pattern(component) {
                found = self.list_all(&found, component);
            } else {
                for path in &mut found {
                    path.push(component);
                }
            }
            if found
                .iter()
                .map(|path| path.as_os_str().len())
                .sum::<usize>()
                > MAX_PATHS
            {
                self.stop(format_args!(
                    "the rest of the configuration is not read, a pattern in it stands for paths of more than {MAX_PATHS} bytes"
                ));
                return Vec::new();
            }
        }
        found
    }

    /// Returns the matching paths in all of the directories, within the bounds.
    fn list_all(&mut self, parents: &[PathBuf], pattern: &OsStr) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for parent in parents {
            for name in self.list(parent, pattern) {
                if found.len() >= MAX_CONFS || bytes > MAX_PATHS {
                    return found;
                }
                let path = parent.join(name);
                bytes += path.as_os_str().len();
                found.push(path);
            }
        }
        found
    }

    /// Returns the matching names in a directory.
    fn list(&mut self, parent: &Path, pattern: &OsStr) -> Vec<OsString> {
        let directory = match self.root.directory(parent) {
            Ok(directory) => directory,
            Err(err) => {
                if is_failure(&err) {
                    log::warn!("{}: not read: {err}", parent.display());
                    self.add_unread(None);
                }
                return Vec::new();
            }
        };
        let Some(entries) = entries(&directory, parent) else {
            self.add_unread(None);
            return Vec::new();
        };
        if pattern.len() > MAX_PATTERN || !self.spend(entries.len() + 1, parent) {
            return Vec::new();
        }
        let mut names: Vec<_> = entries
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| conf::matches(pattern, name))
            .collect();
        names.sort_unstable();
        names
    }
}
