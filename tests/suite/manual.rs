//! The manual pages and the shells' completions say what the program takes. After a change of its options
//!
//!     UPDATE=1 cargo test --test suite manual::
//!
//! writes the completions, and in the pages what stands between `.\" begin` and `.\" end`. The rest of a page is prose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, PositionalInfo};
use argh_complete::Generator;
use argh_complete::{bash::Bash, fish::Fish, zsh::Zsh};
use nvidia_ctk::applet;
use nvidia_ctk::names::APPLETS;

use crate::common::command_line::{commands as commands_of, is_accepted, is_ours};
use crate::common::machine::{can_run, missing};
use crate::common::outcome::Outcome;
use crate::common::source::code;
use crate::common::written::{is_up_to_date, packaging};

const BEGIN: &str = ".\\\" begin ";
const END: &str = ".\\\" end";

/// A page for a command that has none yet.
const NEW_PAGE: &str = r#".Dd $Mdocdate$
.Dt NVIDIA-CTK-@COMMAND@ 8
.Os
.Sh NAME
.Nm nvidia-ctk-@command@
.Nd tell here what it is for
.Sh SYNOPSIS
.\" begin synopsis @command@
.\" end
.Sh DESCRIPTION
.\" begin commands @command@
.\" end
.Sh SEE ALSO
.Xr nvidia-ctk 1
"#;

/// All manual pages, by file name.
fn pages() -> BTreeMap<String, String> {
    let entries = fs::read_dir(packaging("man")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn subcommands(command: &CommandInfoWithArgs) -> impl Iterator<Item = &CommandInfoWithArgs> {
    command.commands.iter().map(|it| &it.command)
}

/// `--help` is the same everywhere: the first page tells of it.
fn own_flags(command: &CommandInfoWithArgs) -> Vec<&'static FlagInfo<'static>> {
    let is_own = |flag: &&FlagInfo| command.name == "nvidia-ctk" || flag.long != "--help";
    command.flags.iter().filter(is_own).collect()
}

fn names(flag: &FlagInfo, between: &str) -> String {
    let short = flag
        .short
        .map_or_else(String::new, |short| format!("{short}{between}"));
    let mut value = match flag.kind {
        FlagInfoKind::Option { arg_name } => format!(" Ar {arg_name}"),
        FlagInfoKind::Switch => String::new(),
    };
    if flag.optionality == Optionality::Repeating {
        value += " ...";
    }
    format!(
        "Fl {short}{}{value}",
        flag.long.trim_start_matches('-').replacen("", "-", 1)
    )
}

/// A word that is no option; all that there are may be left out.
fn place(positional: &PositionalInfo) -> String {
    let more = match positional.optionality {
        Optionality::Repeating => " ...",
        _ => "",
    };
    format!("Ar {}{more}", positional.name)
}

/// Prose in mdoc: each sentence on a line of its own.
fn prose(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace(". ", ".\n");
    let guard = |line: &str| {
        let is_request = line.starts_with(['.', '\'']);
        format!("{}{line}\n", if is_request { "\\&" } else { "" })
    };
    text.lines().map(guard).collect()
}

/// How a command is called, and below it each of its subcommands.
fn synopsis(name: &str, command: &CommandInfoWithArgs) -> String {
    let mut text = String::new();
    let flags = own_flags(command);
    if !flags.is_empty() || command.commands.is_empty() {
        writeln!(text, ".Nm {name}").unwrap();
        for flag in flags {
            let macros = names(flag, " | Fl ");
            match flag.optionality {
                Optionality::Required => writeln!(text, ".{macros}").unwrap(),
                _ => writeln!(text, ".Op {macros}").unwrap(),
            }
        }
        for positional in command.positionals {
            writeln!(text, ".Op {}", place(positional)).unwrap();
        }
        if !command.commands.is_empty() {
            text.push_str(".Op Ar command ...\n");
        }
    }
    for subcommand in subcommands(command) {
        text += &synopsis(&format!("{name} {}", subcommand.name), subcommand);
    }
    text
}

fn options(command: &CommandInfoWithArgs) -> String {
    let mut text = String::new();
    let flags = own_flags(command);
    if !flags.is_empty() {
        text.push_str(".Bl -tag -width Ds\n");
        for positional in command.positionals {
            writeln!(text, ".It {}", place(positional)).unwrap();
            text += &prose(positional.description);
        }
        for flag in flags {
            writeln!(text, ".It {}", names(flag, " , Fl ")).unwrap();
            text += &prose(flag.description);
        }
        text.push_str(".El\n");
    }
    text
}

/// What a command does, its options and remarks, and below it the same of each of its subcommands.
fn commands(command: &CommandInfoWithArgs) -> String {
    let mut text = prose(command.description) + &options(command);
    for note in command.notes {
        text.push_str(".Pp\n");
        text += &prose(note);
    }
    for subcommand in subcommands(command) {
        writeln!(text, ".Ss {}", subcommand.name).unwrap();
        text += &commands(subcommand);
    }
    text
}

/// What stands in a page between `.\" begin KIND [COMMAND]` and the end.
fn block(root: &CommandInfoWithArgs, words: &str) -> String {
    let (kind, name) = words.split_once(' ').unwrap_or((words, ""));
    let command = subcommands(root).find(|it| it.name == name);
    match (kind, command) {
        ("options", None) => options(root),
        ("commands", None) => subcommands(root)
            .flat_map(|it| [format!(".It Cm {}\n", it.name), prose(it.description)])
            .collect(),
        ("commands", Some(command)) => commands(command),
        ("synopsis", Some(command)) => {
            let applet = APPLETS.iter().find(|it| it.path == [name]);
            let called = applet.map_or_else(|| format!("nvidia-ctk {name}"), |it| it.name.into());
            synopsis(&called, command)
        }
        _ => panic!("\"begin {words}\": there is no such command"),
    }
}

/// A page with its blocks as they should be.
fn updated(page: &str, root: &CommandInfoWithArgs) -> String {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        writeln!(text, "{line}").unwrap();
        if let Some(words) = line.strip_prefix(BEGIN) {
            text += &block(root, words);
            let end = lines.find(|line| *line == END);
            writeln!(text, "{}", end.expect("a block that has no end")).unwrap();
        }
    }
    text
}

/// Fails if mandoc or groff have anything to complain of.
fn are_sound(pages: &BTreeMap<String, String>) {
    if !can_run(missing(&["mandoc", "groff"])) {
        return;
    }
    for (name, _) in pages.iter().filter(|(_, page)| !page.starts_with(".so ")) {
        for line in ["mandoc -T lint -W warning", "groff -ww -z -mandoc -Tutf8"] {
            let mut words = line.split(' ');
            let mut check = Command::new(words.next().unwrap());
            check.args(words).arg(format!("man/{name}"));
            let outcome = Outcome::of(check.current_dir(packaging("")));
            assert!(
                outcome.success() && outcome.text().is_empty(),
                "{line}: {outcome:?}"
            );
        }
    }
}

#[test]
fn pages_tell_of_every_command_and_are_sound() {
    let root = applet::info();
    let mut pages = pages();
    for command in subcommands(&root) {
        for kind in ["synopsis", "commands"] {
            let begin = format!("{BEGIN}{kind} {}\n", command.name);
            if !pages.values().any(|page| page.contains(&begin)) {
                let page = NEW_PAGE
                    .replace("@command@", command.name)
                    .replace("@COMMAND@", &command.name.to_uppercase());
                pages.insert(format!("nvidia-ctk-{}.8", command.name), page);
            }
        }
    }
    for (name, page) in &pages {
        is_up_to_date(&packaging("man").join(name), &updated(page, &root));
    }
    are_sound(&pages);
}

#[test]
fn every_name_has_a_page() {
    let pages = pages();
    for applet in APPLETS {
        let is_its = |page: &&String| page.rsplit_once('.').unwrap().0 == applet.name;
        assert!(pages.keys().any(|page| is_its(&page)), "{}", applet.name);
    }
    for (name, page) in &pages {
        if let Some(target) = page.strip_prefix(".so ") {
            let (folder, target) = target.trim_end().split_once('/').unwrap();
            assert!(pages.contains_key(target), "{name}");
            assert!(
                folder.ends_with(target.rsplit_once('.').unwrap().1),
                "{name}"
            );
        }
    }
}

/// What man-pages(7) wants of each page, and examples that the program accepts.
#[test]
fn pages_have_their_sections_and_true_examples() {
    let pages = pages();
    for (name, page) in pages.iter().filter(|(_, page)| !page.starts_with(".so ")) {
        let mut examples = "";
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            let begin = format!("\n.Sh {section}\n");
            let (_, text) = page
                .split_once(&begin)
                .unwrap_or_else(|| panic!("{name}: no {section}"));
            if section == "EXAMPLES" {
                examples = text.split("\n.Sh ").next().unwrap();
            }
        }
        let script = examples.replace(".Dl ", "").replace("\\e\n", "\\\n");
        let commands = commands_of(&script);
        for words in commands.iter().filter(|words| is_ours(words)) {
            is_accepted(words);
        }
    }
}

/// The page of doctor lists the code of each finding that the source code makes.
#[test]
fn the_page_of_doctor_lists_every_code() {
    let code = code();
    let page = &pages()["nvidia-ctk-doctor.8"];
    let made = code.split("Finding::").skip(1).filter_map(|rest| {
        let (_, arguments) = rest.split_once('(')?;
        arguments.trim_start().strip_prefix('"')?.split('"').next()
    });
    let mut count = 0;
    for code in made {
        let items = page.lines().filter_map(|line| line.strip_prefix(".It Li "));
        let mut codes = items.flat_map(|line| line.split(" , "));
        assert!(codes.any(|it| it == code), "{code}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// bash offers the options of the subcommand that the line has.
#[test]
fn bash_completes() {
    let file = packaging("completions/nvidia-ctk.bash");
    let script = format!(
        "source {}; COMP_WORDS=(nvidia-ctk runtime configure --d); COMP_CWORD=3; _nvidia-ctk; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let outcome = Outcome::of(Command::new("bash").args(["-c", &script]));
    assert_eq!(outcome.text(), "--drop-in-config --dry-run --diff\n");
}

#[test]
fn completions_know_every_command() {
    let root = applet::info();
    for applet in APPLETS.iter().filter(|it| it.path.len() < 2) {
        let command = applet.path.iter().fold(root.clone(), |command, word| {
            let found = subcommands(&command).find(|it| it.name == *word);
            found.unwrap().clone()
        });
        let name = applet.name;
        for (file, text) in [
            (format!("{name}.bash"), Bash::generate(name, &command)),
            (format!("_{name}"), Zsh::generate(name, &command)),
            (format!("{name}.fish"), Fish::generate(name, &command)),
        ] {
            is_up_to_date(&packaging("completions").join(file), &text);
        }
    }
}
