//! The forms of flags.

use argh::FlagInfo;

/// The flag that argh adds to every command.
pub(super) const HELP: &str = "--help";

/// The name and the value of a word in the form of a flag. A lone dash is none.
pub(super) fn split_flag(word: &str) -> Option<(&str, Option<&str>)> {
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    match flag.split_once('=') {
        Some((name, value)) => Some((name, Some(value))),
        None if flag.is_empty() => None,
        None => Some((flag, None)),
    }
}

/// Whether `name` is the flag's long name or its letter.
pub(super) fn is_named(flag: &FlagInfo<'_>, name: &str) -> bool {
    let short = if flag.long == HELP {
        Some('h')
    } else {
        flag.short
    };
    // argh's names have no dots, the toolkit's have: `--csv.file`.
    long_name(flag) == name.replace('.', "-") || short.is_some_and(|short| name.chars().eq([short]))
}

/// The flag's long name without the dashes.
pub(super) fn long_name<'a>(flag: &FlagInfo<'a>) -> &'a str {
    flag.long.trim_start_matches("--")
}
