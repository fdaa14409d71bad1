//! `doctor`: what is wrong on this host, why, and what helps.

mod cdi;
mod crun;
mod driver;
mod engine;
mod formats;
mod hooks;

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::driver::root::Asked;
use crate::inventory::Inventory;
use crate::printable::escape;
use crate::stdout::{output, output_json};

/// Tell what is wrong on this host, why, and what helps. The exit code is 0 if all is well, 1 for warnings, 2 for errors.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doctor", help_triggers("-h", "--help"))]
pub struct Doctor {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
    /// root directory of the host (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub root: PathBuf,
    /// root directory of the driver on the host, as /run/nvidia/driver (default: where one is found)
    #[argh(option, arg_name = "dir")]
    pub driver_root: Option<PathBuf>,
    /// directory on the host whose dev has the driver's nodes (default: that of the driver if it has them, or /)
    #[argh(option, arg_name = "dir")]
    pub dev_root: Option<PathBuf>,
}

/// Something that is wrong.
#[derive(Debug)]
struct Finding {
    /// Stays the same in all releases, for programs.
    code: &'static str,
    severity: Severity,
    what: String,
    cause: String,
    fix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Severity {
    Warning,
    Error,
}

type Check = fn(&Inventory) -> Vec<Finding>;

const CHECKS: [Check; 23] = [
    driver::all_is_read,
    driver::is_loaded,
    driver::versions_agree,
    driver::libraries_are_found,
    driver::links_lead_somewhere,
    driver::nodes_are_there,
    driver::nodes_are_right,
    engine::configs_are_valid,
    engine::flags_are_not_in_configs,
    engine::runtimes_are_there,
    engine::device_links_are_there,
    crun::calls_hooks_after_mounting,
    cdi::specs_are_valid,
    cdi::specs_are_readable,
    cdi::paths_are_there,
    cdi::device_numbers_are_right,
    cdi::driver_is_the_loaded_one,
    cdi::hooks_are_there,
    cdi::devices_are_unique,
    formats::engines_know_the_specs,
    hooks::hooks_dir_is_valid,
    hooks::programs_can_be_called,
    hooks::links_lead_somewhere,
];

impl Doctor {
    /// Prints the findings; their worst severity is the exit code.
    pub fn run(&self) -> Result<ExitCode> {
        let asked = Asked {
            driver_root: self.driver_root.as_deref(),
            dev_root: self.dev_root.as_deref(),
            ..Asked::default()
        };
        let host = Inventory::read(&self.root, asked)?;
        let findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&host)).collect();
        if self.json {
            output_json(&json(&findings))
        } else {
            output(&text(&findings))
        }?;
        let worst = findings.iter().map(|finding| finding.severity).max();
        Ok(ExitCode::from(match worst {
            None => 0,
            Some(Severity::Warning) => 1,
            Some(Severity::Error) => 2,
        }))
    }
}

impl Finding {
    fn error(code: &'static str, what: String, cause: &str, fix: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            what,
            cause: cause.to_owned(),
            fix: fix.into(),
        }
    }

    fn warning(code: &'static str, what: String, cause: &str, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, what, cause, fix)
        }
    }

    /// A file that the inventory does not hold.
    fn left_out(code: &'static str, what: String) -> Self {
        Self::error(
            code,
            what,
            "it is larger than any such file of a working host, or all of them together are: this program does not read it",
            "remove what is not needed",
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

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "all is well\n".to_owned();
    }
    let mut text = String::new();
    for it in findings {
        let _ = writeln!(text, "{}: {}", it.severity, it.code);
        let _ = writeln!(text, "  {}", escape(&it.what));
        let _ = writeln!(text, "  cause: {}", it.cause);
        let _ = writeln!(text, "  fix:   {}", escape(&it.fix));
    }
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let _ = writeln!(text, "errors: {errors}, warnings: {warnings}");
    text
}

/// The first few of them, and how many more there are.
fn few<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 3;
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    let shown: Vec<_> = items.iter().take(SHOWN).map(String::as_str).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
