//! The forms of flags.

use argh::FlagInfo;

/// The flag that argh adds to every command.
pub(super) const HELP: &str = "--help";

/// Splits a word that has the form of a flag into name and value. A lone dash is not a flag.
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
    // The toolkit's names may have dots (`--csv.file`), those of argh cannot.
    long_name(flag) == name.replace('.', "-") || short.is_some_and(|short| name.chars().eq([short]))
}

/// The flag's long name without the dashes.
pub(super) fn long_name<'a>(flag: &FlagInfo<'a>) -> &'a str {
    flag.long.trim_start_matches("--")
}
