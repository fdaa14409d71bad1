//! The command line of the real binary: dispatch by argv[0], help, version, exit codes, environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use nvidia_ctk::names::APPLETS;
use tempfile::TempDir;

use crate::common::machine::{BACKTRACE, binary};
use crate::common::outcome::Outcome;

/// Runs the binary as `name` with an environment of `env` alone.
fn run_with(name: &str, args: &[impl AsRef<OsStr>], env: &[(&str, &str)]) -> Outcome {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    symlink(binary(), &path).unwrap();
    Command::new(path)
        .args(args)
        .env_clear()
        .envs([BACKTRACE])
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// Runs `line`, which begins with the name of the applet.
fn run(line: &str) -> Outcome {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    run_with(name, &words.collect::<Vec<_>>(), &[])
}

/// A hook's name is told as soon as it is known that there is one.
fn assert_warns(line: &str, message: &str) {
    let run = run(line);
    let applet = line.split_whitespace().next().unwrap();
    assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    assert_eq!(run.stdout, "", "{line}");
    assert_eq!(
        run.stderr,
        format!("level=warning msg=\"{message}\" hook={applet}\n"),
        "{line}"
    );
}

fn assert_fails(line: &str, code: i32, message: &str) {
    let run = run(line);
    assert_eq!(run.code, code, "{line}: {}", run.stderr);
    assert_eq!(run.stdout, "", "{line}");
    assert!(
        run.stderr.starts_with("level=error msg=\""),
        "{line}: {}",
        run.stderr
    );
    assert!(run.stderr.contains(message), "{line}: {}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
}

fn assert_answers(line: &str, answer: &str) {
    let run = run(line);
    assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    assert!(run.stdout.starts_with(answer), "{line}: {}", run.stdout);
    assert_eq!(run.stderr, "", "{line}");
}

#[test]
fn noop_is_silent() {
    for line in [
        "nvidia-ctk hook noop",
        "nvidia-cdi-hook noop",
        "nvidia-cdi-hook.real noop",
        "-nvidia-cdi-hook noop",
        "renamed hook noop",
        "nvidia-cdi-hook -debug=false noop --quiet=false",
    ] {
        assert_answers(line, "");
    }
}

#[test]
fn help_names_the_applet() {
    for (line, usage) in [
        ("nvidia-ctk", "Usage: nvidia-ctk ["),
        ("renamed --help", "Usage: nvidia-ctk ["),
        ("nvidia-ctk help", "Usage: nvidia-ctk ["),
        (
            "nvidia-ctk hook --help",
            "Usage: nvidia-ctk hook [--strict] <command>",
        ),
        ("nvidia-ctk help hook noop", "Usage: nvidia-ctk hook noop"),
        (
            "nvidia-cdi-hook -h",
            "Usage: nvidia-cdi-hook [--strict] <command>",
        ),
        (
            "nvidia-cdi-hook chmod -help",
            "Usage: nvidia-cdi-hook chmod ",
        ),
        (
            "nvidia-ctk-chmod --path x --help",
            "Usage: nvidia-ctk-chmod ",
        ),
        ("nvidia-ctk-symlinks --help", "Usage: nvidia-ctk-symlinks "),
        (
            "nvidia-ctk-ldcache --bogus -h",
            "Usage: nvidia-ctk-ldcache ",
        ),
    ] {
        assert_answers(line, usage);
    }
}

#[test]
fn version_and_list() {
    let version = concat!("nvidia-ctk version ", env!("CARGO_PKG_VERSION"), "\n");
    let names: Vec<_> = APPLETS.iter().map(|it| it.name).collect();
    for name in &names {
        assert_answers(&format!("{name} --version"), version);
        assert_answers(&format!("{name} -v"), version);
    }
    assert_eq!(run("nvidia-ctk --list").stdout, names.join("\n") + "\n");
}

#[test]
fn a_missing_or_unknown_hook_is_a_warning() {
    for name in ["nvidia-cdi-hook", "nvidia-ctk hook"] {
        assert_warns(name, "No CDI hook specified");
        assert_warns(&format!("{name} foo"), "Unsupported CDI hook: foo");
        assert_warns(&format!("{name} foo --bar"), "Unsupported CDI hook: foo");
        assert_warns(
            &format!("{name} --bar noop"),
            "flag provided but not defined: -bar",
        );
    }
    assert_answers("nvidia-cdi-hook --quiet foo", "");
    assert_warns(
        "nvidia-cdi-hook noop x y",
        "noop does not take the argument 'x': it and what follows are ignored",
    );
}

#[test]
fn usage_errors() {
    for (line, code, message) in [
        (
            "nvidia-ctk foo",
            3,
            "No help topic for 'foo'; known are: hook",
        ),
        (
            "nvidia-ctk --bogus",
            1,
            "flag provided but not defined: -bogus",
        ),
        (
            "nvidia-cdi-hook chmod --bogus",
            1,
            "flag provided but not defined: -bogus",
        ),
        (
            "nvidia-ctk-ldcache --folders x",
            1,
            "did you mean --folder?",
        ),
        (
            "nvidia-ctk-chmod --path",
            1,
            "flag needs an argument: --path",
        ),
        ("nvidia-ctk-chmod --path x", 1, "chmod needs --mode <octal>"),
        ("nvidia-ctk-chmod --quiet", 1, "chmod needs --mode <octal>"),
        (
            "nvidia-ctk-chmod --path x --mode 9",
            1,
            "'--mode' with value '9'",
        ),
        (
            "nvidia-cdi-hook --debug=maybe noop",
            1,
            "not a bool for flag --debug: maybe",
        ),
    ] {
        assert_fails(line, code, message);
    }
}

#[test]
fn not_utf8() {
    let run = run_with("nvidia-ctk", &[OsString::from_vec(b"a\xff".to_vec())], &[]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        "level=error msg=\"argument is not UTF-8: a\u{fffd}\"\n"
    );
}

#[test]
fn environment() {
    let quiet = |name, variable, value| {
        run_with(name, &["foo"], &[(variable, value)])
            .stderr
            .is_empty()
    };
    assert!(quiet("nvidia-cdi-hook", "NVIDIA_CTK_QUIET", "true"));
    assert!(quiet("nvidia-cdi-hook", "NVIDIA_CDI_QUIET", "T"));
    assert!(!quiet("nvidia-cdi-hook", "NVIDIA_CDI_QUIET", "0"));
    let overridden = run_with(
        "nvidia-cdi-hook",
        &["--quiet=0", "foo"],
        &[("NVIDIA_CTK_QUIET", "1")],
    );
    assert!(overridden.stderr.contains("Unsupported CDI hook: foo"));

    let bad = run_with("nvidia-cdi-hook", &["noop"], &[("NVIDIA_CTK_DEBUG", "yes")]);
    assert_eq!(bad.code, 0);
    assert_eq!(
        bad.stderr,
        "level=warning msg=\"NVIDIA_CTK_DEBUG is ignored: 'yes' is not a bool\" hook=nvidia-cdi-hook\n"
    );
}

/// There are no unwind tables in the release build: it is aborted where it looks for a backtrace.
#[test]
fn no_variable_turns_an_error_into_an_abort() {
    for variable in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        for value in ["1", "full"] {
            for (line, message) in [
                (
                    "nvidia-cdi-hook chmod --mode 755 --path /x",
                    "the OCI state",
                ),
                ("nvidia-cdi-hook chmod --path /x", "--mode"),
                (
                    "nvidia-ctk info --root /nonexistent",
                    "cannot open the root",
                ),
            ] {
                let words: Vec<_> = line.split(' ').collect();
                let run = run_with(words[0], &words[1..], &[(variable, value)]);
                assert_eq!(run.code, 1, "{variable}={value} {line}: {}", run.stderr);
                assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
                assert!(run.stderr.contains(message), "{line}: {}", run.stderr);
            }
        }
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(binary())
        .arg("--help")
        .stdout(writer)
        .status()
        .unwrap();
    assert!(status.success());
}
