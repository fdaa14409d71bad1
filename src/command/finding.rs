//! What is wrong on a host, as `doctor` and `cdi check` report it.

use std::cmp::Reverse;
use std::fmt::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use log::Level;
use serde_json::{Value, json};

use crate::diagnostics::Reader;
use crate::printable::escape;
use crate::stdout::{output, output_json, reader};

/// A fault of the host.
#[derive(Debug)]
pub(super) struct Finding {
    /// Stays the same in all releases: programs rely on it.
    code: &'static str,
    severity: Severity,
    what: String,
    cause: String,
    fix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Severity {
    Warning,
    Error,
}

/// Prints the findings, as JSON or for a person. Returns their worst severity as exit code.
pub(super) fn report(findings: &[Finding], as_json: bool) -> Result<ExitCode> {
    if as_json {
        output_json(&json(findings))
    } else {
        output(&text(findings, reader()))
    }?;
    let worst = findings.iter().map(|finding| finding.severity).max();
    Ok(ExitCode::from(match worst {
        None => 0,
        Some(Severity::Warning) => 1,
        Some(Severity::Error) => 2,
    }))
}

impl Finding {
    pub(super) fn error(
        code: &'static str,
        what: String,
        cause: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            what,
            cause: cause.to_owned(),
            fix: fix.into(),
        }
    }

    pub(super) fn warning(
        code: &'static str,
        what: String,
        cause: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, what, cause, fix)
        }
    }

    /// A file that engines use, and that this user may not read.
    pub(super) fn unreadable(code: &'static str, what: String) -> Self {
        Self::warning(
            code,
            what,
            "this user may not read it, so its content is unknown",
            "run this as root",
        )
    }

    /// A file that the inventory left out.
    pub(super) fn left_out(code: &'static str, what: String) -> Self {
        Self::error(
            code,
            what,
            "the file, or all such files together, is larger than on any working host: this program does not read it",
            "remove the files that are not needed",
        )
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

fn json(findings: &[Finding]) -> Value {
    let value = |it: &Finding| {
        json!({
            "code": it.code,
            "severity": it.severity.to_string(),
            "finding": it.what,
            "cause": it.cause,
            "fix": it.fix,
        })
    };
    let findings: Value = findings.iter().map(value).collect();
    json!({ "findings": findings })
}

/// The findings, errors before warnings. In a pipe each part is one line, for grep; at a terminal it is folded.
fn text(findings: &[Finding], reader: Reader) -> String {
    if findings.is_empty() {
        return "all is well\n".to_owned();
    }
    let mut text = String::new();
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|it| Reverse(it.severity));
    for it in sorted {
        let level = match it.severity {
            Severity::Warning => Level::Warn,
            Severity::Error => Level::Error,
        };
        let severity = reader.paint(level, &format!("{}:", it.severity));
        let _ = writeln!(text, "{severity} {}", it.code);
        for (label, part) in [("", &it.what), ("cause: ", &it.cause), ("fix:   ", &it.fix)] {
            let line = format!("  {label}{}", escape(part));
            let indent = "  ".len() + label.len();
            let _ = writeln!(text, "{}", reader.fold(&line, indent));
        }
    }
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let _ = writeln!(text, "errors: {errors}, warnings: {warnings}");
    text
}

/// The first few items, and the number of those left out.
pub(super) fn few<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 3;
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    let shown: Vec<_> = items.iter().take(SHOWN).map(String::as_str).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
