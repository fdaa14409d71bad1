//! The help of every command: it fits a terminal, and its examples are true.

use std::ffi::OsString;

use argh::CommandInfoWithArgs;
use nvidia_ctk::applet;
use nvidia_ctk::cli::normalise;
use nvidia_ctk::names::{APPLETS, Applet};

use crate::common::host::Host;

const WIDTH: usize = 80;

/// Every command and group, with the words that lead to it.
fn commands() -> Vec<(Vec<&'static str>, CommandInfoWithArgs)> {
    let mut commands = vec![(Vec::new(), applet::info())];
    let mut at = 0;
    while at < commands.len() {
        let (path, command) = commands[at].clone();
        for subcommand in command.commands {
            let path = [&path[..], &[subcommand.name]].concat();
            commands.push((path, subcommand.command));
        }
        at += 1;
    }
    commands
}

/// The program and the arguments of each command in an example; other lines end with a colon, or belong to other programs.
fn calls(example: &str) -> Vec<(&'static Applet, Vec<OsString>)> {
    let mut calls = Vec::new();
    for line in example.lines().filter(|line| !line.ends_with(':')) {
        let before = calls.len();
        for call in line.split('|') {
            // What the shell redirects is not an argument.
            let words = call
                .split_whitespace()
                .filter(|word| !word.starts_with(['<', '>']));
            let words: Vec<_> = words.map(OsString::from).collect();
            let applet = APPLETS.iter().find(|it| words[0] == it.name);
            calls.extend(applet.map(|applet| (applet, words[1..].to_vec())));
        }
        assert!(calls.len() > before, "no command of this program: {line}");
    }
    calls
}

/// The command's own name is in its examples, so that they are about it.
fn is_called(path: &[&str], (applet, words): &(&Applet, Vec<OsString>)) -> bool {
    let words = words.iter().filter_map(|word| word.to_str());
    let called: Vec<_> = applet.path.iter().copied().chain(words).collect();
    path.iter().all(|word| called.contains(word))
}

#[test]
fn every_example_is_a_line_that_is_understood() {
    let root = applet::info();
    for (path, command) in commands() {
        assert!(!command.examples.is_empty(), "{path:?} has no example");
        let calls: Vec<_> = command.examples.iter().flat_map(|it| calls(it)).collect();
        assert!(calls.iter().any(|call| is_called(&path, call)), "{path:?}");
        for (applet, words) in calls {
            let line = normalise(&root, applet.path, &words, |_| None);
            let line = line.unwrap_or_else(|err| panic!("{words:?}: {}", err.message));
            assert!(line.warnings.is_empty(), "{words:?}: {:?}", line.warnings);
            let is_help = line.args.iter().any(|it| it == "--help");
            assert_eq!(is_help, words.iter().any(|it| it == "help"), "{words:?}");
            assert_eq!(applet::parse_only(applet, &words), Ok(()), "{words:?}");
        }
    }
}

#[test]
fn every_help_fits_a_terminal() {
    let host = Host::new();
    for (path, command) in commands() {
        let help = host.run(&format!("{} --help", path.join(" "))).stdout;
        assert!(help.contains("\n\nExamples:\n  "), "{path:?}: {help}");
        assert!(!help.contains('`'), "{path:?}: {help}");
        for line in help.lines() {
            assert!(line.chars().count() <= WIDTH, "{path:?}: {line}");
        }
        let notes = help.split_once("\n\nNotes:\n");
        assert_eq!(
            notes.is_some(),
            !command.notes.is_empty(),
            "{path:?}: {help}"
        );
        for line in notes.iter().flat_map(|(_, notes)| notes.lines()) {
            assert!(line.starts_with("  "), "{path:?}: {line}");
        }
    }
}

/// Every way to ask for the help of a command gives the same.
#[test]
fn help_is_a_command() {
    let host = Host::new();
    let help = |line: &str| host.succeed(line).stdout;
    for (path, _) in commands() {
        let expected = help(&format!("{} --help", path.join(" ")));
        assert_eq!(
            help(&format!("help {}", path.join(" "))),
            expected,
            "{path:?}"
        );
        if let [group, name] = path[..] {
            assert_eq!(help(&format!("{group} help {name}")), expected, "{path:?}");
        }
    }
    let unknown = host.run("help cdi generat");
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(
        unknown.stderr.contains("did you mean generate?"),
        "{unknown:?}"
    );
}
