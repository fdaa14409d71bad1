//! How a program ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

/// How a program ended, and all that it printed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; -1 after a signal.
    pub(crate) code: i32,
    /// What it printed on standard output.
    pub(crate) stdout: String,
    /// What it printed on standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    #[track_caller]
    fn from(output: Output) -> Self {
        assert_ne!(output.status.signal(), Some(9), "it hangs: {output:?}");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Outcome {
    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().expect("the command starts").into()
    }

    /// Whether the exit code is 0.
    pub(crate) fn success(&self) -> bool {
        self.code == 0
    }

    /// What it printed: first on standard output, then on standard error.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Whether it printed this.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.text().contains(part)
    }

    /// It did its work and said nothing.
    #[track_caller]
    pub(crate) fn silent(&self) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (0, "", "")
        );
    }

    /// A hook let the container start, and warned.
    #[track_caller]
    pub(crate) fn warns(&self, parts: &[&str]) {
        assert_eq!(self.code, 0, "{self:?}");
        self.says("warning", parts);
    }

    /// A hook failed, and said why.
    #[track_caller]
    pub(crate) fn fails(&self, parts: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        self.says("error", parts);
    }

    #[track_caller]
    fn says(&self, level: &str, parts: &[&str]) {
        assert_eq!(self.stdout, "", "{self:?}");
        for part in parts {
            let mut lines = self.stderr.lines();
            let is_there =
                |it: &str| it.starts_with(&format!("level={level} ")) && it.contains(part);
            assert!(lines.any(is_there), "no {level} with {part:?}: {self:?}");
        }
        for line in self.stderr.lines() {
            assert!(
                line.starts_with("level=warning msg=\"") || line.starts_with("level=error msg=\""),
                "{self:?}"
            );
        }
    }
}
