//! What the program writes to a terminal, and that a hook and a pipe get the toolkit's lines all the same.

use std::process::{Command, Stdio};

use crate::common::bundle::Bundle;
use crate::common::host::Host;
use crate::common::machine::{BACKTRACE, binary, can_run, missing};
use crate::common::outcome::Outcome;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const END: &str = "\x1b[m";

/// Runs a shell command, in which `ctk` is the program, on a terminal that is its standard input, output and error.
fn at_terminal(shell: &str, env: &[(&str, &str)]) -> Outcome {
    let shell = shell.replace("ctk ", &format!("{} ", binary().display()));
    let mut outcome = Outcome::of(
        Command::new("script")
            .args(["--quiet", "--return", "--command", &shell, "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([BACKTRACE])
            .envs(env.iter().copied())
            .stdin(Stdio::null()),
    );
    outcome.stdout = outcome.stdout.replace("\r\n", "\n");
    outcome
}

fn is_missing() -> bool {
    !can_run(missing(&["script"]))
}

#[test]
fn a_command_speaks_to_the_person_at_its_terminal() {
    if is_missing() {
        return;
    }
    let plain = [("TERM", "dumb")];
    for (shell, code, said) in [
        (
            "ctk instal",
            3,
            "nvidia-ctk: error: No help topic for 'instal'; did you mean install?\n",
        ),
        (
            "ctk doctor --roots /",
            1,
            "nvidia-ctk: error: flag provided but not defined: -roots; did you mean --root?\n",
        ),
        (
            "ctk doctor --root '/a\"\x1b[31m'",
            1,
            "nvidia-ctk: error: cannot open the root directory /a\"\\u{1b}[31m: No such file or directory (os error 2)\n",
        ),
        (
            "ctk system create-device-nodes",
            0,
            "nvidia-ctk: warning: nothing to do without --control-devices or --load-kernel-modules\n",
        ),
        (
            "ctk config --config-file /nowhere >/dev/null",
            0,
            "nvidia-ctk: /nowhere does not exist: the default configuration is used\n",
        ),
    ] {
        let outcome = at_terminal(shell, &plain);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (code, said),
            "{shell}"
        );
    }
}

#[test]
fn a_terminal_has_colours_unless_they_are_declined() {
    if is_missing() {
        return;
    }
    let said = |env: &[(&str, &str)]| at_terminal("ctk instal", env).stdout;
    let coloured = format!("nvidia-ctk: {RED}error:{END} No help");
    for (env, has_colours) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "")], false),
    ] {
        let said = said(env);
        assert_eq!(
            said.starts_with(&coloured),
            has_colours,
            "{env:?}: {said:?}"
        );
        assert_eq!(said.contains('\x1b'), has_colours, "{env:?}: {said:?}");
    }
}

/// Each stream is looked at by itself.
#[test]
fn a_pipe_gets_the_toolkits_lines() {
    if is_missing() {
        return;
    }
    let xterm = [("TERM", "xterm")];
    let line = "level=error msg=\"No help topic for 'instal'; did you mean install?\"\n";
    assert_eq!(at_terminal("ctk instal 2>&1 | cat", &xterm).stdout, line);
    let host = Host::new();
    let doctor = format!("ctk doctor --root {}", host.root().display());
    let piped = at_terminal(&format!("{doctor} | cat"), &xterm).stdout;
    assert_eq!(piped, host.run("doctor --root @ROOT@").stdout);
    assert!(
        piped.lines().all(|line| !line.contains('\x1b')),
        "{piped:?}"
    );
}

/// Guard: `is_of_hook`. Engines give a hook a terminal, and read what it writes there.
#[test]
fn a_hook_writes_the_toolkits_lines_on_a_terminal_as_well() {
    if is_missing() {
        return;
    }
    let bundle = Bundle::new();
    let applet = |name: &str| bundle.path().join(name).display().to_string();
    let hook = applet("nvidia-cdi-hook");
    for (shell, said) in [
        (
            format!("{hook} foo"),
            "level=warning msg=\"Unsupported CDI hook: foo\" hook=nvidia-cdi-hook\n",
        ),
        (
            format!("{hook} chmod --bogus"),
            "level=error msg=\"flag provided but not defined: -bogus; see --help\" hook=nvidia-cdi-hook\n",
        ),
        (
            format!("{hook} chmod --path /x --mode 755 </dev/null"),
            "level=error msg=\"cannot read the OCI state from standard input",
        ),
        (
            format!("{} --path /x", applet("nvidia-ctk-chmod")),
            "level=error msg=\"chmod needs --mode <octal>\" hook=nvidia-ctk-chmod\n",
        ),
        (
            "ctk hook chmod --bogus".to_owned(),
            "level=error msg=\"flag provided",
        ),
        (
            "ctk --debug hook foo".to_owned(),
            "level=warning msg=\"Unsupported CDI hook: foo\"",
        ),
    ] {
        let outcome = at_terminal(&shell, &[("TERM", "xterm")]);
        assert!(outcome.stdout.starts_with(said), "{shell}: {outcome:?}");
        assert!(!outcome.stdout.contains('\x1b'), "{shell}: {outcome:?}");
    }
}

/// Errors come first, and every line fits; in a pipe a part of a finding is one line.
#[test]
fn findings_are_folded_and_marked() {
    if is_missing() {
        return;
    }
    let host = Host::new();
    host.file("/etc/cdi/x.json", "{");
    let run = |more: &str| {
        let doctor = format!("ctk doctor --root {}{more}", host.root().display());
        at_terminal(&doctor, &[("TERM", "xterm")]).stdout
    };
    let shown = run("");
    assert!(
        shown.starts_with(&format!("{RED}error:{END} cdi-spec-invalid\n")),
        "{shown:?}"
    );
    assert!(
        shown.contains(&format!("\n{YELLOW}warning:{END} driver-not-loaded\n")),
        "{shown:?}"
    );
    assert!(
        shown.contains("\n         "),
        "nothing is folded: {shown:?}"
    );
    for line in shown.lines() {
        let line = line.replace(RED, "").replace(YELLOW, "").replace(END, "");
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    let piped = run(" | cat");
    assert!(piped.starts_with("error: cdi-spec-invalid\n"), "{piped:?}");
    assert!(piped.lines().any(|line| line.len() > 80), "{piped:?}");
    assert!(!piped.contains("\n         "), "{piped:?}");
}

/// What is wrong is marked, below what it is about.
#[test]
fn info_marks_what_is_wrong() {
    if is_missing() {
        return;
    }
    let host = Host::new();
    host.file("/etc/cdi/x.json", "{");
    let info = format!("ctk info --root {}", host.root().display());
    let shown = at_terminal(&info, &[("TERM", "xterm")]).stdout;
    let marked = format!("CDI specs  /etc/cdi/x.json\n             {RED}error:{END} ");
    assert!(shown.contains(&marked), "{shown:?}");
    let piped = at_terminal(&format!("{info} | cat"), &[("TERM", "xterm")]).stdout;
    assert!(
        piped.contains("CDI specs  /etc/cdi/x.json\n             error: "),
        "{piped:?}"
    );
}
