//! Go's flag syntax in front of argh.
//!
//! Scripts and CDI specs write `--flag=value`, `-flag value`, lists as `a,b`, and global flags after the subcommand: the toolkit's
//! flag parser accepts all of that, argh accepts none. [`normalise`] rewrites such a line to the one form that argh accepts. It
//! needs no second table of flags, since argh describes its commands; `toolkit` has what argh cannot describe. It does no I/O:
//! every line gives a value or an error.

mod environment;
mod flag;
mod level;
mod toolkit;

use std::ffi::OsString;
use std::iter::{empty, once};

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality, PositionalInfo};

use environment::{Setting, settings};
use flag::{HELP, long_name, split_flag};
use level::Level;

use crate::spelling::{nearest, parse_bool};

/// How many arguments a line may have, both before its lists are split and after.
const MAX_ARGUMENTS: usize = 65_536;

/// How many bytes one argument may have.
const MAX_ARGUMENT_LEN: usize = 1 << 20;

/// The level at which unknown names are only warnings: a hook that fails keeps a container from starting.
pub(crate) const HOOK: &str = "hook";

/// The hook that does nothing, which replaces missing and unknown ones.
pub(crate) const NOOP: &str = "noop";

/// Switches that the program answers, and ignores the rest of the line.
const QUESTIONS: [&str; 2] = ["--version", "--list"];

/// A command line that argh accepts.
#[derive(Debug, PartialEq, Eq)]
pub struct Normalised {
    /// The arguments for argh's `from_args`.
    pub args: Vec<String>,
    /// Warnings for the caller, one line each.
    pub warnings: Vec<String>,
}

/// A command line that cannot be carried out.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    /// What is wrong, in one line.
    pub message: String,
    /// The toolkit's exit code for it.
    pub exit_code: u8,
}

impl Usage {
    fn new(message: String) -> Self {
        Self {
            message,
            exit_code: 1,
        }
    }
}

/// Rewrites `args`, which follow the subcommands of `prefix`, for the parser that `root` describes.
///
/// `env` looks up a variable of the environment. Returns the line that argh accepts, with warnings. Refuses unknown flags and
/// subcommands, missing values and options, values of switches that are not boolean words, and superfluous positionals. Unknown
/// hooks, unknown flags before a hook, and superfluous positionals of a hook are only warnings.
pub fn normalise(
    root: &CommandInfoWithArgs,
    prefix: &[&str],
    args: &[OsString],
    env: impl Fn(&str) -> Option<String>,
) -> Result<Normalised, Usage> {
    let settings = settings(prefix == [HOOK], env);
    let args = utf8(args)?;
    let mut line = Line::new(root);
    line.read(prefix.iter().copied())?;
    line.read(args.into_iter())?;
    for setting in &settings {
        line.set_from_environment(setting);
    }
    line.finish()
}

fn utf8(args: &[OsString]) -> Result<Vec<&str>, Usage> {
    if args.len() > MAX_ARGUMENTS {
        return Err(too_many_arguments());
    }
    args.iter()
        .map(|arg| {
            if arg.len() > MAX_ARGUMENT_LEN {
                return Err(Usage::new(format!(
                    "an argument has more than {MAX_ARGUMENT_LEN} bytes"
                )));
            }
            arg.to_str().ok_or_else(|| {
                Usage::new(format!("argument is not UTF-8: {}", arg.to_string_lossy()))
            })
        })
        .collect()
}

/// The part of a command line that has been read.
struct Line<'a> {
    /// The levels above the current one, outermost first.
    outer: Vec<Level<'a>>,
    current: Level<'a>,
    positionals: Vec<&'a str>,
    unsupported_hook: Option<&'a str>,
    warnings: Vec<String>,
    /// The first error. It is reported at the end, because a later `--help` takes precedence.
    error: Option<Usage>,
}

impl<'a> Line<'a> {
    fn new(root: &'a CommandInfoWithArgs) -> Self {
        Self {
            outer: Vec::new(),
            current: Level::new(root),
            positionals: Vec::new(),
            unsupported_hook: None,
            warnings: Vec::new(),
            error: None,
        }
    }

    /// Reads up to an unknown hook, since the meaning of its arguments is unknown.
    fn read(&mut self, mut words: impl Iterator<Item = &'a str>) -> Result<(), Usage> {
        let mut flags_ended = false;
        while let Some(word) = words.next()
            && self.unsupported_hook.is_none()
        {
            if flags_ended {
                self.read_word(word)?;
            } else if word == "--" {
                flags_ended = true;
            } else if let Some((name, value)) = split_flag(word) {
                let (bundle, name) = self.split_bundle(word, name);
                for letter in bundle.split("").filter(|letter| !letter.is_empty()) {
                    let result = self.read_flag(letter, None, &mut empty());
                    self.error = self.error.take().or(result.err());
                }
                let result = self.read_flag(name, value, &mut words);
                self.error = self.error.take().or(result.err());
            } else {
                self.read_word(word)?;
            }
        }
        Ok(())
    }

    /// `-ic x` is `-i -c x` where all letters are flags and none has the whole name.
    fn split_bundle<'n>(&self, word: &str, name: &'n str) -> (&'n str, &'n str) {
        let is_flag = |name: &str| self.levels().any(|level| level.flag(name).is_some());
        let is_bundle = !word.starts_with("--")
            && !is_flag(name)
            && name.chars().all(|letter| is_flag(&letter.to_string()));
        match name.char_indices().next_back() {
            Some((last, _)) if is_bundle => name.split_at(last),
            _ => ("", name),
        }
    }

    fn read_word(&mut self, word: &'a str) -> Result<(), Usage> {
        let command = self.current.command;
        let name = toolkit::subcommand(command.name, word);
        if let Some(subcommand) = command.commands.iter().find(|it| it.name == name) {
            self.enter(&subcommand.command);
        } else if command.commands.is_empty() {
            self.positionals.push(word);
        } else if matches!(word, "help" | "h") {
            self.read_flag("help", None, &mut empty())?;
        } else if command.name == HOOK {
            self.unsupported_hook = Some(word);
        } else {
            // After an unknown flag the word may be that flag's value.
            let first = self.error.take();
            return Err(first.unwrap_or_else(|| no_help_topic(word, command)));
        }
        Ok(())
    }

    fn enter(&mut self, command: &'a CommandInfoWithArgs) {
        let outer = std::mem::replace(&mut self.current, Level::new(command));
        self.outer.push(outer);
    }

    fn read_flag(
        &mut self,
        name: &str,
        value: Option<&'a str>,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), Usage> {
        // Global flags may follow the subcommand: a flag belongs to the innermost level that knows it.
        let owner = once(&mut self.current)
            .chain(self.outer.iter_mut().rev())
            .find_map(|level| level.flag(name).map(|flag| (level, flag)));
        let Some((level, flag)) = owner else {
            return self.read_undefined_flag(name);
        };
        let value = match flag.kind {
            FlagInfoKind::Switch => {
                // `--switch=` is true, as in the toolkit.
                let word = value.filter(|word| !word.is_empty()).unwrap_or("true");
                parse_bool(word).map(|_| word).ok_or_else(|| {
                    Usage::new(format!("not a bool for flag {}: {word}", flag.long))
                })?
            }
            FlagInfoKind::Option { .. } => value
                .or_else(|| toolkit::value_without(level.command.name, flag.long))
                .or_else(|| rest.next())
                .ok_or_else(|| Usage::new(format!("flag needs an argument: {}", flag.long)))?,
        };
        level.given.push((flag, value));
        Ok(())
    }

    fn read_undefined_flag(&mut self, name: &str) -> Result<(), Usage> {
        let message = format!("flag provided but not defined: -{name}");
        if self.current.command.name == HOOK {
            self.warnings.push(message);
            return Ok(());
        }
        let flags = self.levels().flat_map(|level| level.command.flags);
        Err(Usage::new(match nearest(name, flags.map(long_name)) {
            Some(flag) => format!("{message}; did you mean --{flag}?"),
            None => format!("{message}; see --help"),
        }))
    }

    fn set_from_environment(&mut self, setting: &'a Setting) {
        let Setting {
            command,
            flag,
            variable,
            value,
        } = setting;
        let mut levels = self.outer.iter_mut().chain(once(&mut self.current));
        let level = match command {
            None => levels.next(),
            Some(name) => levels.find(|level| level.command.name == *name),
        };
        let Some(level) = level else { return };
        let Some(flag) = level.flag(flag).filter(|it| level.value(it).is_none()) else {
            return;
        };
        if matches!(flag.kind, FlagInfoKind::Switch) && parse_bool(value).is_none() {
            let warning = format!("{variable} is ignored: '{value}' is not a bool");
            self.warnings.push(warning);
        } else {
            level.given.push((flag, value));
        }
    }

    fn finish(mut self) -> Result<Normalised, Usage> {
        if self.levels().any(|level| level.is_on(HELP)) {
            return Ok(self.help());
        }
        if let Some(usage) = self.error {
            return Err(usage);
        }
        let root = self.outer.first().unwrap_or(&self.current);
        if let Some(question) = QUESTIONS.into_iter().find(|it| root.is_on(it)) {
            return Ok(self.into_normalised(vec![question.to_owned()]));
        }
        if self.current.command.name == HOOK {
            self.fall_back_to_noop();
        } else if !self.current.command.commands.is_empty()
            && !toolkit::acts_alone(self.current.command.name)
        {
            return Ok(self.help());
        }
        self.check_positionals()?;
        self.check_required()?;
        let args = self.render();
        if args.len() > MAX_ARGUMENTS {
            return Err(too_many_arguments());
        }
        Ok(self.into_normalised(args))
    }

    fn fall_back_to_noop(&mut self) {
        self.warnings.push(match self.unsupported_hook {
            Some(name) => format!("Unsupported CDI hook: {name}"),
            None => "No CDI hook specified".to_owned(),
        });
        let mut hooks = self.current.command.commands.iter();
        if let Some(noop) = hooks.find(|it| it.name == NOOP) {
            self.enter(&noop.command);
        }
    }

    fn check_positionals(&mut self) -> Result<(), Usage> {
        let positionals = self.current.command.positionals;
        let is_list = |it: &PositionalInfo| matches!(it.optionality, Optionality::Repeating);
        let places = match positionals.last() {
            Some(last) if is_list(last) => usize::MAX,
            _ => positionals.len(),
        };
        let Some(extra) = self.positionals.get(places) else {
            return Ok(());
        };
        let message = format!(
            "{} does not take the argument '{extra}'",
            self.current.command.name
        );
        if !self.outer.iter().any(|level| level.command.name == HOOK) {
            return Err(Usage::new(message));
        }
        self.warnings
            .push(format!("{message}: it and what follows are ignored"));
        self.positionals.truncate(places);
        Ok(())
    }

    fn check_required(&self) -> Result<(), Usage> {
        let level = self.levels().find(|level| level.missing().next().is_some());
        let Some(level) = level else { return Ok(()) };
        let missing: Vec<String> = level.missing().collect();
        let name = level.command.name;
        Err(Usage::new(format!(
            "{name} needs {}",
            missing.join(" and ")
        )))
    }

    /// All levels, outermost first.
    fn levels(&self) -> impl Iterator<Item = &Level<'a>> {
        self.outer.iter().chain(once(&self.current))
    }

    fn help(self) -> Normalised {
        let path = self.levels().skip(1).map(|level| level.command.name);
        let args = path.chain(once(HELP)).map(str::to_owned).collect();
        self.into_normalised(args)
    }

    fn render(&self) -> Vec<String> {
        let mut args = Vec::new();
        for (depth, level) in self.levels().enumerate() {
            if depth > 0 {
                args.push(level.command.name);
            }
            level.render(&mut args);
        }
        if !self.positionals.is_empty() {
            args.push("--");
            args.extend(&self.positionals);
        }
        args.into_iter().map(str::to_owned).collect()
    }

    fn into_normalised(self, args: Vec<String>) -> Normalised {
        Normalised {
            args,
            warnings: self.warnings,
        }
    }
}

fn too_many_arguments() -> Usage {
    Usage::new(format!("there are more than {MAX_ARGUMENTS} arguments"))
}

fn no_help_topic(word: &str, command: &CommandInfoWithArgs) -> Usage {
    let names: Vec<&str> = command.commands.iter().map(|it| it.name).collect();
    let hint = match nearest(word, names.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known are: {}", names.join(", ")),
    };
    Usage {
        message: format!("No help topic for '{word}'; {hint}"),
        exit_code: 3,
    }
}

#[cfg(test)]
mod tests;
