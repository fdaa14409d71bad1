//! A level of the command line: one command and the flags that were given for it.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use super::flag::is_named;
use super::toolkit;
use crate::spelling::parse_bool;

/// A command of the line, and the flags that were given for it.
pub(super) struct Level<'a> {
    pub(super) command: &'a CommandInfoWithArgs,
    pub(super) given: Vec<(&'static FlagInfo<'static>, &'a str)>,
}

impl<'a> Level<'a> {
    pub(super) fn new(command: &'a CommandInfoWithArgs) -> Self {
        Self {
            command,
            given: Vec::new(),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Option<&'static FlagInfo<'static>> {
        let name = toolkit::flag(self.command.name, name);
        self.command.flags.iter().find(|flag| is_named(flag, name))
    }

    fn values<'s>(&'s self, flag: &'s FlagInfo<'_>) -> impl DoubleEndedIterator<Item = &'a str> {
        self.given
            .iter()
            .filter(|(given, _)| given.long == flag.long)
            .map(|(_, value)| *value)
    }

    /// The value that was given last, which takes precedence.
    pub(super) fn value(&self, flag: &FlagInfo<'_>) -> Option<&'a str> {
        self.values(flag).next_back()
    }

    pub(super) fn is_on(&self, long: &str) -> bool {
        self.command
            .flags
            .iter()
            .any(|flag| flag.long == long && self.value(flag).and_then(parse_bool) == Some(true))
    }

    /// The required options that are missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = String> {
        self.command
            .flags
            .iter()
            .filter_map(|flag| match flag.kind {
                FlagInfoKind::Option { arg_name }
                    if flag.optionality == Optionality::Required && self.value(flag).is_none() =>
                {
                    Some(format!("{} <{arg_name}>", flag.long))
                }
                _ => None,
            })
    }

    /// Appends the flags in the form that argh accepts, in the order of its description.
    pub(super) fn render(&self, args: &mut Vec<&'a str>) {
        for flag in self.command.flags {
            match (&flag.kind, &flag.optionality) {
                (FlagInfoKind::Switch, _) => {
                    args.extend(self.is_on(flag.long).then_some(flag.long));
                }
                (FlagInfoKind::Option { .. }, Optionality::Repeating)
                    if toolkit::is_list(self.command.name, flag.long) =>
                {
                    let elements = self.values(flag).flat_map(|value| value.split(','));
                    args.extend(elements.flat_map(|element| [flag.long, element]));
                }
                (FlagInfoKind::Option { .. }, Optionality::Repeating) => {
                    args.extend(self.values(flag).flat_map(|value| [flag.long, value]));
                }
                (FlagInfoKind::Option { .. }, _) => {
                    let value = self.value(flag).into_iter();
                    args.extend(value.flat_map(|value| [flag.long, value]));
                }
            }
        }
    }
}
