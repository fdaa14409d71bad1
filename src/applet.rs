//! Which applet runs: by the basename of `argv[0]`, then by `argv[1..]`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use argh::{ArgsInfo, EarlyExit, FromArgs};
use log::LevelFilter;

use crate::cli::{Normalised, normalise};
use crate::command::config::Config;
use crate::command::doctor::Doctor;
use crate::command::info::Info;
use crate::command::install::{Install, Uninstall};
use crate::command::runtime::Runtime;
use crate::command::system::System;
use crate::hook::Hook;
use crate::log::{init, output, set_hook};

const VERSION: &str = concat!("nvidia-ctk version ", env!("CARGO_PKG_VERSION"), "\n");

/// A name under which the binary is called, and the subcommands that this name stands for.
pub struct Applet {
    /// Basename of `argv[0]`.
    pub name: &'static str,
    /// The subcommands of `nvidia-ctk` that come before the caller's arguments.
    pub path: &'static [&'static str],
}

/// What any name behaves as that is not in [`APPLETS`]: renamed copies still work.
const NVIDIA_CTK: Applet = Applet {
    name: "nvidia-ctk",
    path: &[],
};

/// All applets.
pub const APPLETS: &[Applet] = &[
    NVIDIA_CTK,
    Applet {
        name: "nvidia-cdi-hook",
        path: &["hook"],
    },
    Applet {
        name: "nvidia-ctk-chmod",
        path: &["hook", "chmod"],
    },
    Applet {
        name: "nvidia-ctk-symlinks",
        path: &["hook", "create-symlinks"],
    },
    Applet {
        name: "nvidia-ctk-ldcache",
        path: &["hook", "update-ldcache"],
    },
    Applet {
        name: "nvidia-ctk-runtime-configure",
        path: &["runtime", "configure"],
    },
];

/// Prepare containers for NVIDIA GPUs.
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("-h", "--help"))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
struct NvidiaCtk {
    /// log what is done, too
    #[argh(switch, short = 'd')]
    debug: bool,
    /// log errors only
    #[argh(switch)]
    quiet: bool,
    /// print the version
    #[argh(switch, short = 'v')]
    version: bool,
    /// print the names under which this program can be called
    #[argh(switch)]
    list: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Hook(Hook),
    Runtime(Runtime),
    Config(Config),
    Doctor(Doctor),
    Info(Info),
    Install(Install),
    Uninstall(Uninstall),
    System(System),
}

/// Runs the applet that `argv` names and returns its exit code.
pub fn run(mut argv: impl Iterator<Item = OsString>) -> ExitCode {
    let applet = lookup(&argv.next().unwrap_or_default());
    let words: Vec<OsString> = argv.collect();
    let env = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    match normalise(&NvidiaCtk::get_args_info(), applet.path, &words, env) {
        Ok(line) => parse_and_run(applet, &line),
        Err(usage) => {
            init(LevelFilter::Info);
            if applet.path.first() == Some(&"hook") {
                set_hook(applet.name);
            }
            log::error!("{}", usage.message);
            ExitCode::from(usage.exit_code)
        }
    }
}

/// Reads the words behind argv[0] as [`run`] does, and does nothing. The error is argh's, which should have nothing against a line
/// that [`normalise`] lets pass, but for values. For fuzzing.
#[doc(hidden)]
pub fn understand(applet: &Applet, words: &[OsString]) -> Result<(), String> {
    let info = NvidiaCtk::get_args_info();
    let Ok(line) = normalise(&info, applet.path, words, |_| None) else {
        return Ok(());
    };
    let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
    match NvidiaCtk::from_args(&[NVIDIA_CTK.name], &args) {
        Err(EarlyExit {
            output: message,
            status: Err(()),
        }) => Err(message),
        _ => Ok(()),
    }
}

/// The applet that `argv[0]` names; login shells put a dash before it, the toolkit's installer a `.real` behind.
fn lookup(argv0: &OsStr) -> &'static Applet {
    let name = Path::new(argv0)
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let name = name.strip_prefix('-').unwrap_or(name);
    let name = name.strip_suffix(".real").unwrap_or(name);
    APPLETS
        .iter()
        .find(|applet| applet.name == name)
        .unwrap_or(&NVIDIA_CTK)
}

fn parse_and_run(applet: &Applet, line: &Normalised) -> ExitCode {
    let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
    let parsed = NvidiaCtk::from_args(&[NVIDIA_CTK.name], &args);
    init(
        parsed
            .as_ref()
            .map_or(LevelFilter::Info, NvidiaCtk::log_level),
    );
    for warning in &line.warnings {
        log::warn!("{warning}");
    }
    let result = match parsed {
        Ok(command) => command.run(),
        Err(EarlyExit {
            output: help,
            status: Ok(()),
        }) => print_help(applet, &help).map(|()| ExitCode::SUCCESS),
        Err(EarlyExit {
            output: message, ..
        }) => Err(anyhow::Error::msg(message.trim_end().to_owned())),
    };
    match result {
        Ok(code) => code,
        Err(err) => {
            log::error!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

/// argh names the subcommands; the caller reads the name that was called, on lines that fit a terminal.
fn print_help(applet: &Applet, help: &str) -> Result<()> {
    let mut path = vec![NVIDIA_CTK.name];
    path.extend(applet.path);
    let help = help.replacen(&path.join(" "), applet.name, 1);
    Ok(output(&help.lines().map(fold).collect::<String>())?)
}

/// Breaks a line that is too long; what follows a usage line is indented. argh breaks only the descriptions of options.
fn fold(line: &str) -> String {
    const WIDTH: usize = 80;
    const NO_BREAK: &str = "\u{a0}";
    let mut line = line.to_owned();
    let mut indent = 0;
    if line.starts_with("Usage:") {
        indent = "Usage: ".len();
        // An option and its value stay together.
        line = line.replace(" <", &format!("{NO_BREAK}<"));
    }
    let mut folded = String::new();
    let mut width = 0;
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if width + length > WIDTH && width > indent {
            folded.truncate(folded.trim_end().len());
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            width = indent;
        }
        folded.push_str(word);
        width += word.chars().count();
    }
    folded.push('\n');
    folded.replace(NO_BREAK, " ")
}

impl NvidiaCtk {
    fn log_level(&self) -> LevelFilter {
        match (self.quiet, self.debug) {
            (true, _) => LevelFilter::Error,
            (false, true) => LevelFilter::Debug,
            (false, false) => LevelFilter::Info,
        }
    }

    fn run(&self) -> Result<ExitCode> {
        match self {
            Self { version: true, .. } => output(VERSION)?,
            Self { list: true, .. } => output(&names())?,
            Self {
                command: Some(command),
                ..
            } => return command.run(),
            // Not reached: without a subcommand the line was rewritten to --help.
            Self { command: None, .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Command {
    fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Hook(hook) => hook.run(),
            Self::Runtime(runtime) => runtime.run(),
            Self::Config(config) => config.run(),
            Self::Doctor(doctor) => return doctor.run(),
            Self::Info(info) => info.run(),
            Self::Install(install) => install.run(),
            Self::Uninstall(uninstall) => uninstall.run(),
            Self::System(system) => system.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn names() -> String {
    APPLETS
        .iter()
        .flat_map(|applet| [applet.name, "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv0_names_the_applet() {
        for (argv0, name) in [
            ("nvidia-ctk-chmod", "nvidia-ctk-chmod"),
            ("/usr/bin/nvidia-cdi-hook", "nvidia-cdi-hook"),
            ("../nvidia-cdi-hook.real", "nvidia-cdi-hook"),
            ("-nvidia-ctk-ldcache", "nvidia-ctk-ldcache"),
            ("nvidia-ctk.real", "nvidia-ctk"),
            ("xnvidia-cdi-hook", "nvidia-ctk"),
            ("nvidia-cdi-hook.real.real", "nvidia-ctk"),
            ("--nvidia-cdi-hook", "nvidia-ctk"),
            ("chmod", "nvidia-ctk"),
            ("/", "nvidia-ctk"),
            ("", "nvidia-ctk"),
        ] {
            assert_eq!(lookup(OsStr::new(argv0)).name, name, "{argv0}");
        }
    }

    #[test]
    fn long_lines_are_folded() {
        let usage = format!("Usage: a {}", "[--option <value>] ".repeat(6).trim_end());
        let folded = fold(&usage);
        assert!(folded.lines().count() > 1 && folded.lines().all(|line| line.len() <= 80));
        assert!(
            folded
                .lines()
                .skip(1)
                .all(|line| line.starts_with("       ["))
        );
        assert_eq!(fold("short"), "short\n");
    }

    #[test]
    fn every_applet_has_its_subcommands() {
        for applet in APPLETS {
            let help = [OsString::from("--help")];
            let line =
                normalise(&NvidiaCtk::get_args_info(), applet.path, &help, |_| None).unwrap();
            let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
            assert_eq!(args, [applet.path, &["--help"]].concat());
        }
    }
}
