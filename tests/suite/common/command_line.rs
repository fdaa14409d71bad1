//! Command lines in documents, and whether the program accepts them.

use std::ffi::OsString;

use nvidia_ctk::applet::{info, parse_only};
use nvidia_ctk::cli::normalise;
use nvidia_ctk::names::APPLETS;

/// The words of each command of a simple shell script: no quotes, and redirections without a blank. Comments are left out.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let lines = script.lines().map(|line| line.split(" #").next().unwrap());
    let commands = lines.flat_map(|line| line.split([';', '|', '&']));
    let words = commands.map(|command| {
        let words = command.split_whitespace();
        let is_kept = |word: &&str| !word.starts_with('>');
        words.filter(is_kept).map(str::to_owned).collect()
    });
    words.filter(|words: &Vec<_>| !words.is_empty()).collect()
}

/// Whether a command begins with a name of the program.
pub(crate) fn is_ours(words: &[String]) -> bool {
    APPLETS.iter().any(|applet| applet.name == words[0])
}

/// Fails if the program refuses a command that begins with one of its names, or warns of it. Executes nothing.
#[track_caller]
pub(crate) fn is_accepted(words: &[String]) {
    let applet = APPLETS.iter().find(|it| it.name == words[0]).unwrap();
    let rest: Vec<OsString> = words[1..].iter().map(OsString::from).collect();
    let line = normalise(&info(), applet.path, &rest, |_| None);
    let warnings = line.map_or_else(|usage| vec![usage.message], |line| line.warnings);
    assert_eq!(warnings, [""; 0], "{}", words.join(" "));
    parse_only(applet, &rest).unwrap_or_else(|err| panic!("{}: {err}", words.join(" ")));
}
