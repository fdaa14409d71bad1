//! Which applet runs: by the basename of `argv[0]`, then by `argv[1..]`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use argh::{ArgsInfo, CommandInfoWithArgs, EarlyExit, FromArgs, SubCommands};
use log::LevelFilter;

use crate::cli::{HOOK, NOOP, Normalised, normalise};
use crate::command::cdi::Cdi;
use crate::command::config::Config;
use crate::command::doctor::Doctor;
use crate::command::info::Info;
use crate::command::install::{Install, Uninstall};
use crate::command::runtime::Runtime;
use crate::command::system::System;
use crate::diagnostics::{address_person, init, set_hook, set_level};
use crate::hook::{Counts, Hook};
use crate::names::{APPLETS, Applet, NVIDIA_CTK, lookup, program};
use crate::printable::fold;
use crate::shim;
use crate::stdout::output;
use crate::sys;

const VERSION: &str = concat!("nvidia-ctk version ", env!("CARGO_PKG_VERSION"), "\n");

/// Prepare containers for NVIDIA GPUs.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "nvidia-ctk doctor\nnvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml\nnvidia-ctk help cdi generate",
    note = "help, followed by the name of a command, prints the help of that command."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
struct Program<C: ArgsInfo + FromArgs + SubCommands> {
    /// log every step
    #[argh(switch, short = 'd')]
    debug: bool,
    /// log only errors
    #[argh(switch)]
    quiet: bool,
    /// print the version
    #[argh(switch, short = 'v')]
    version: bool,
    /// print the names under which this program can be called
    #[argh(switch)]
    list: bool,
    #[argh(subcommand)]
    command: Option<C>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
enum Command {
    Hook(Hook),
    Runtime(Runtime),
    Cdi(Cdi),
    Config(Config),
    Doctor(Doctor),
    Info(Info),
    Install(Install),
    Uninstall(Uninstall),
    System(System),
}

/// What the names of the hooks can call. To describe all commands takes a third of the instructions of a hook that does nothing.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only its description is used")]
enum HookAlone {
    Hook(Hook),
}

type NvidiaCtk = Program<Command>;

/// Describes the commands that a name with this path can call.
fn description(path: &[&str]) -> CommandInfoWithArgs {
    if path.first() == Some(&HOOK) {
        Program::<HookAlone>::get_args_info()
    } else {
        NvidiaCtk::get_args_info()
    }
}

/// Runs the applet that `argv` names and returns its exit code.
pub fn run(mut argv: impl Iterator<Item = OsString>) -> ExitCode {
    let argv0 = argv.next().unwrap_or_default();
    let words: Vec<OsString> = argv.collect();
    if let Some(program) = program(&argv0) {
        return shim::run(program, &words);
    }
    let applet = lookup(&argv0);
    if !is_of_hook(applet, &words) {
        address_person(applet.name);
    }
    let env = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    match normalise(&description(applet.path), applet.path, &words, env) {
        Ok(line) => parse_and_run(applet, &line, &|counts| {
            let env = |name: &str| env(name).filter(|value| counts(name, value));
            read_again(applet, &words, env)
        }),
        Err(usage) => {
            init(LevelFilter::Info);
            if applet.path.first() == Some(&HOOK) {
                set_hook(applet.name);
            }
            log::error!("{}", usage.message);
            ExitCode::from(usage.exit_code)
        }
    }
}

/// Whether the line may be a hook's. Then an engine reads the messages, even those about a wrong line.
fn is_of_hook(applet: &Applet, words: &[OsString]) -> bool {
    applet.path.first() == Some(&HOOK) || words.iter().any(|word| word == HOOK)
}

/// Returns all commands with their options, without the hook that replaces unknown ones: for the manual and the shells'
/// completions.
#[must_use]
pub fn info() -> CommandInfoWithArgs {
    let mut info = NvidiaCtk::get_args_info();
    info.name = NVIDIA_CTK.name;
    for subcommand in &mut info.commands {
        subcommand.command.commands.retain(|it| it.name != NOOP);
    }
    info
}

/// Reads the words behind argv[0] as [`run`] does, and does nothing. Returns the error of argh, which accepts every line that
/// [`normalise`] returns unless a value is wrong. For fuzzing.
#[doc(hidden)]
pub fn parse_only(applet: &Applet, words: &[OsString]) -> Result<(), String> {
    let info = description(applet.path);
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

/// Reads the command line of a hook with another environment, and sets the level of the log. Returns whether `--strict` is on.
fn read_again(applet: &Applet, words: &[OsString], env: impl Fn(&str) -> Option<String>) -> bool {
    let Ok(line) = normalise(&description(applet.path), applet.path, words, env) else {
        return false;
    };
    let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
    let Ok(parsed) = NvidiaCtk::from_args(&[NVIDIA_CTK.name], &args) else {
        return false;
    };
    set_level(parsed.log_level());
    matches!(
        parsed.command,
        Some(Command::Hook(Hook { strict: true, .. }))
    )
}

fn parse_and_run(
    applet: &Applet,
    line: &Normalised,
    read_again: &dyn Fn(Counts<'_>) -> bool,
) -> ExitCode {
    let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
    let parsed = NvidiaCtk::from_args(&[NVIDIA_CTK.name], &args);
    init(
        parsed
            .as_ref()
            .map_or(LevelFilter::Info, NvidiaCtk::log_level),
    );
    // A hook that runs replaces this name by its own; an unknown one does not.
    if let Ok(NvidiaCtk {
        command: Some(Command::Hook(_)),
        ..
    }) = parsed
    {
        set_hook(applet.name);
    }
    for warning in &line.warnings {
        log::warn!("{warning}");
    }
    let result = match parsed {
        Ok(command) => command.run(read_again),
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

/// Prints the help under the name that was called, where argh has the subcommands, on lines that fit a terminal. The hook that
/// replaces unknown ones is left out.
fn print_help(applet: &Applet, help: &str) -> Result<()> {
    let mut path = vec![NVIDIA_CTK.name];
    path.extend(applet.path);
    let help = help.replacen(&path.join(" "), applet.name, 1);
    let is_shown = |line: &&str| line.split_whitespace().next() != Some(NOOP);
    Ok(output(
        &help
            .lines()
            .filter(is_shown)
            .map(fold_help)
            .collect::<String>(),
    )?)
}

/// Breaks a line that is too long for a terminal: argh breaks only the descriptions of options. The lines that follow keep the
/// indent, and those of a usage line begin below its first word.
fn fold_help(line: &str) -> String {
    const NO_BREAK: &str = "\u{a0}";
    if line.starts_with("Usage:") {
        // An option and its value stay together.
        let line = line.replace(" <", &format!("{NO_BREAK}<"));
        return fold(&line, "Usage: ".len()).replace(NO_BREAK, " ") + "\n";
    }
    let indent = line.len() - line.trim_start().len();
    fold(line, indent) + "\n"
}

impl NvidiaCtk {
    fn log_level(&self) -> LevelFilter {
        match (self.quiet, self.debug) {
            (true, _) => LevelFilter::Error,
            (false, true) => LevelFilter::Debug,
            (false, false) => LevelFilter::Info,
        }
    }

    fn run(&self, read_again: &dyn Fn(Counts<'_>) -> bool) -> Result<ExitCode> {
        match self {
            Self { version: true, .. } => output(VERSION)?,
            Self { list: true, .. } => output(&names())?,
            Self {
                command: Some(command),
                ..
            } => return command.run(read_again),
            // Not reached: `normalise` has made --help of a line without a subcommand.
            Self { command: None, .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Command {
    fn run(&self, read_again: &dyn Fn(Counts<'_>) -> bool) -> Result<ExitCode> {
        match self {
            Self::Hook(hook) => {
                sys::close_inherited_descriptors();
                hook.run(read_again)
            }
            Self::Runtime(runtime) => runtime.run(),
            Self::Cdi(cdi) => return cdi.run(),
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
    fn folded_lines_keep_their_indent() {
        let usage = format!("Usage: a {}", "[--option <value>] ".repeat(6).trim_end());
        let note = format!("  {}", "word ".repeat(30).trim_end());
        for (line, start) in [(usage, "       [--option <value>]"), (note, "  word")] {
            let folded = fold_help(&line);
            assert!(folded.lines().count() > 1 && folded.lines().all(|it| it.len() <= 80));
            assert!(
                folded.lines().skip(1).all(|it| it.starts_with(start)),
                "{folded}"
            );
        }
        assert_eq!(fold_help("short"), "short\n");
    }

    #[test]
    fn every_applet_has_its_subcommands() {
        for applet in APPLETS {
            let help = [OsString::from("--help")];
            let line = normalise(&description(applet.path), applet.path, &help, |_| None).unwrap();
            let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
            assert_eq!(args, [applet.path, &["--help"]].concat());
        }
    }
}
