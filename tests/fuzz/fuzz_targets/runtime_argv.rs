//! Any command line of an OCI runtime: whether a container is made, and from what. The words are parted by NULs.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::shim::arguments::Call;

/// Options that have a value, before the command and behind it.
const BEFORE: [&str; 4] = ["root", "log", "log-format", "cgroup-manager"];
const BEHIND: [&str; 6] = ["bundle", "b", "config", "f", "pid-file", "console-socket"];

fuzz_target!(|bytes: &[u8]| {
    let words: Vec<OsString> = bytes
        .split(|byte| *byte == 0)
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    let call = Call::parse(&words);
    assert_command(&words, &call);
    if let Some(expected) = simple(&words) {
        assert_eq!(call.config, expected.map(Ok));
        // A value may be a word of its own as well.
        assert_eq!(Call::parse(&parted(&words)), call);
    }
    // What an option of the runtime says is no command, whatever it says.
    for value in words.iter().take(8) {
        let mut longer = vec!["--root".into(), value.clone()];
        longer.extend_from_slice(&words);
        assert_eq!(Call::parse(&longer), call);
    }
});

/// The command is one word, and what stands behind it does not make it another.
fn assert_command(words: &[OsString], call: &Call) {
    let makes = |word: &OsString| word == "create" || word == "run";
    let up_to = |end: usize| Call::parse(&words[..=end]).config.is_some();
    let first = (0..words.len())
        .filter(|at| makes(&words[*at]))
        .find(|at| up_to(*at));
    assert_eq!(first.is_some(), call.config.is_some());
}

fn name_and_value(word: &OsStr) -> Option<(&[u8], &[u8])> {
    let word = word.as_bytes();
    let word = word.strip_prefix(b"--").or(word.strip_prefix(b"-"))?;
    let at = word.iter().position(|byte| *byte == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}

/// The place of the first word that is no option.
fn command(words: &[OsString]) -> usize {
    let is_option = |it: &OsString| it.as_bytes().starts_with(b"-");
    words
        .iter()
        .position(|it| !is_option(it))
        .unwrap_or(words.len())
}

/// The configuration that a line names in which each value is written behind an equals sign; none of another line.
fn simple(words: &[OsString]) -> Option<Option<PathBuf>> {
    let is_simple =
        |it: &OsString| !it.as_bytes().starts_with(b"-") || name_and_value(it).is_some();
    if !words.iter().all(is_simple) {
        return None;
    }
    let at = command(words);
    let last = |words: &[OsString], names: [&str; 2]| {
        let values = words.iter().filter_map(|word| name_and_value(word));
        let values = values.filter(|(name, _)| names.iter().any(|it| it.as_bytes() == *name));
        values
            .map(|(_, value)| PathBuf::from(OsStr::from_bytes(value)))
            .last()
    };
    let makes = words
        .get(at)
        .is_some_and(|it| it == "create" || it == "run");
    let bundle = last(words, ["bundle", "b"]).unwrap_or_default();
    let file = last(&words[at..], ["config", "f"]).unwrap_or("config.json".into());
    Some(makes.then(|| bundle.join(file)))
}

/// The same line with these values as words of their own.
fn parted(words: &[OsString]) -> Vec<OsString> {
    let at = command(words);
    let part = |(index, word): (usize, &OsString)| -> Vec<OsString> {
        let names = if index < at { &BEFORE[..] } else { &BEHIND };
        match name_and_value(word) {
            Some((name, value)) if names.iter().any(|it| it.as_bytes() == name) => {
                let length = word.len() - value.len() - 1;
                let name = OsStr::from_bytes(&word.as_bytes()[..length]);
                vec![name.to_owned(), OsStr::from_bytes(value).to_owned()]
            }
            _ => vec![word.clone()],
        }
    };
    words.iter().enumerate().flat_map(part).collect()
}
