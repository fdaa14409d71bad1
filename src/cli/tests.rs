//! What becomes of command lines, for commands that are made up.

mod commands;
mod environment;
mod hooks;

use std::os::unix::ffi::OsStringExt;

use argh::{ArgsInfo, FromArgs};

use super::*;
use commands::Root;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace()
        .map(|word| OsString::from(if word == "''" { "" } else { word }))
        .collect()
}

/// What becomes of a line: `args`, `args | warning`, or `exit code: message`. `''` is an empty argument.
fn outcome(prefix: &str, line: &str, variables: &str) -> String {
    let env = |name: &str| {
        let mut variables = variables.split(' ').filter_map(|it| it.split_once('='));
        variables.find_map(|(it, value)| (it == name).then(|| value.to_owned()))
    };
    let prefix: Vec<&str> = prefix.split_whitespace().collect();
    match normalise(&Root::get_args_info(), &prefix, &words(line), env) {
        Ok(Normalised { args, warnings }) => {
            let args = args.iter().map(|it| if it.is_empty() { "''" } else { it });
            let line = args.collect::<Vec<_>>().join(" ");
            once(line).chain(warnings).collect::<Vec<_>>().join(" | ")
        }
        Err(Usage { message, exit_code }) => format!("{exit_code}: {message}"),
    }
}

fn check(prefix: &str, table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(outcome(prefix, line, ""), *expected, "{prefix:?} {line}");
    }
}

#[test]
fn flags_have_every_form_that_go_takes() {
    check(
        "hook chmod",
        &[
            ("--mode 7", "hook chmod --mode 7"),
            ("--mode=7", "hook chmod --mode 7"),
            ("-mode 7", "hook chmod --mode 7"),
            ("-mode=7", "hook chmod --mode 7"),
            ("--mode 1 --mode=2", "hook chmod --mode 2"),
            ("--mode=", "hook chmod --mode ''"),
            ("--mode ''", "hook chmod --mode ''"),
            ("--mode=a=b", "hook chmod --mode a=b"),
            ("--mode --path", "hook chmod --mode --path"),
            ("--mode --help", "hook chmod --mode --help"),
            ("--mode --", "hook chmod --mode --"),
            ("--mode -", "hook chmod --mode -"),
            ("--mode a,b", "hook chmod --mode a,b"),
            (
                "--path /a --mode 7 --path=/b",
                "hook chmod --path /a --path /b --mode 7",
            ),
            (
                "--path a,b --mode 7",
                "hook chmod --path a --path b --mode 7",
            ),
            (
                "--path ,a, --mode 7",
                "hook chmod --path '' --path a --path '' --mode 7",
            ),
            ("--path= --mode 7", "hook chmod --path '' --mode 7"),
            (
                r"--path a\,b --mode 7",
                r"hook chmod --path a\ --path b --mode 7",
            ),
            (
                "--container.spec x --mode 7",
                "hook chmod --mode 7 --container-spec x",
            ),
            (
                "--debug --mode 7 -quiet",
                "--debug --quiet hook chmod --mode 7",
            ),
        ],
    );
}

#[test]
fn switches_take_a_bool_word() {
    let configure = "runtime configure --dry-run";
    for word in ["", "=", "=1", "=t", "=T", "=TRUE", "=true", "=True"] {
        assert_eq!(outcome("", &format!("{configure}{word}"), ""), configure);
    }
    for word in ["=0", "=f", "=F", "=FALSE", "=false", "=False"] {
        let line = format!("{configure} {}{word}", "--dry-run");
        assert_eq!(outcome("", &line, ""), "runtime configure");
    }
    check(
        "runtime configure",
        &[
            ("--dry-run=false --dry-run", "runtime configure --dry-run"),
            ("--dry-run=no", "1: not a bool for flag --dry-run: no"),
            ("--dry-run false", "runtime configure --dry-run -- false"),
            ("-d=maybe", "1: not a bool for flag --debug: maybe"),
        ],
    );
}

#[test]
fn subcommands_and_their_flags() {
    check(
        "",
        &[
            ("", "--help"),
            ("-d", "--help"),
            ("runtime", "runtime --help"),
            ("runtime configure -d", "--debug runtime configure"),
            (
                "-d runtime --quiet configure -d=false",
                "--quiet runtime configure",
            ),
            ("runtime configure -c x", "runtime configure --csv-file x"),
            ("runtime configure --c=x", "runtime configure --csv-file x"),
            (
                "runtime configure --csv.file x",
                "runtime configure --csv-file x",
            ),
            ("-- runtime configure", "runtime configure"),
            (
                "runtime configure --dry-run x",
                "runtime configure --dry-run -- x",
            ),
            (
                "runtime configure x --dry-run",
                "runtime configure --dry-run -- x",
            ),
            (
                "runtime configure -- --dry-run",
                "runtime configure -- --dry-run",
            ),
            ("runtime configure -- --", "runtime configure -- --"),
            ("runtime configure help", "runtime configure -- help"),
            ("runtime configure -", "runtime configure -- -"),
            (
                "runtime configure x y",
                "1: configure does not take the argument 'y'",
            ),
            (
                "foo",
                "3: No help topic for 'foo'; known are: hook, runtime, config",
            ),
            (
                "-d foo --help",
                "3: No help topic for 'foo'; known are: hook, runtime, config",
            ),
            (
                "runtime foo",
                "3: No help topic for 'foo'; known are: configure",
            ),
            (
                "''",
                "3: No help topic for ''; known are: hook, runtime, config",
            ),
        ],
    );
}

#[test]
fn flags_and_subcommands_have_other_names() {
    check(
        "",
        &[
            (
                "runtime configure --set-as-default",
                "runtime configure --nvidia-set-as-default",
            ),
            (
                "runtime configure --cdi.enabled",
                "runtime configure --enable-cdi",
            ),
            (
                "runtime configure -cdi.enable=1",
                "runtime configure --enable-cdi",
            ),
            (
                "runtime configure --enable-cdi --cdi.enabled=false",
                "runtime configure",
            ),
            ("config", "config"),
            ("config -c x", "config --config-file x"),
            ("config --config x", "config --config-file x"),
            ("config --config=x -c y", "config --config-file y"),
            ("config default", "config default"),
            ("config create-default -o x", "config default --output x"),
            (
                "config generate-default --config x -i",
                "config --config-file x --in-place default",
            ),
            ("config help", "config --help"),
            (
                "config foo",
                "3: No help topic for 'foo'; known are: default",
            ),
            (
                "runtime configure --config x",
                "1: flag provided but not defined: -config; see --help",
            ),
        ],
    );
}

#[test]
fn letters_may_be_bundled() {
    check(
        "",
        &[
            ("config -ic x", "config --config-file x --in-place"),
            ("config -idc=x", "--debug config --config-file x --in-place"),
            ("config -ci x", "1: flag needs an argument: --config-file"),
            (
                "config -ix",
                "1: flag provided but not defined: -ix; see --help",
            ),
            (
                "config --id",
                "1: flag provided but not defined: -id; see --help",
            ),
        ],
    );
}

#[test]
fn texts_keep_their_commas() {
    check(
        "",
        &[(
            "config --set a=b,c --set d=e,f",
            "config --set a=b,c --set d=e,f",
        )],
    );
}

#[test]
fn help_and_version() {
    check(
        "",
        &[
            ("-h", "--help"),
            ("--help", "--help"),
            ("-help", "--help"),
            ("help", "--help"),
            ("help runtime", "runtime --help"),
            ("help runtime configure", "runtime configure --help"),
            ("runtime help configure", "runtime configure --help"),
            (
                "help foo",
                "3: No help topic for 'foo'; known are: hook, runtime, config",
            ),
            ("--help hook chmod", "hook chmod --help"),
            ("hook -h", "hook --help"),
            ("hook help", "hook --help"),
            ("hook chmod -h", "hook chmod --help"),
            ("hook chmod --path x extra --help", "hook chmod --help"),
            ("hook chmod --bogus --help", "hook chmod --help"),
            ("--version --help", "--help"),
            (
                "--bogus hook foo",
                "1: flag provided but not defined: -bogus; see --help",
            ),
            (
                "--bogus foo",
                "1: flag provided but not defined: -bogus; see --help",
            ),
            ("--help=false", "--help"),
            ("runtime configure --help=false", "runtime configure"),
            ("-v", "--version"),
            ("--version", "--version"),
            ("-v hook chmod", "--version"),
            ("-v=false hook noop", "hook noop"),
            ("hook --version", "--version"),
            ("--list", "--list"),
        ],
    );
    check(
        "hook",
        &[
            ("-v", "--version"),
            ("--list", "--list"),
            ("-v foo", "--version"),
        ],
    );
}

#[test]
fn arguments_have_limits() {
    let message = |args: &[OsString]| {
        normalise(&Root::get_args_info(), &["hook"], args, |_| None)
            .map_err(|usage| usage.message)
            .map(drop)
    };
    let many = vec![OsString::from("-d"); MAX_ARGUMENTS];
    assert_eq!(message(&many), Ok(()));
    let too_many = [many, words("-d")].concat();
    assert_eq!(
        message(&too_many),
        Err("there are more than 65536 arguments".to_owned())
    );
    let list = OsString::from(",".repeat(MAX_ARGUMENTS));
    let expanding = [words("chmod --mode 7 --path"), vec![list]].concat();
    assert_eq!(
        message(&expanding),
        Err("there are more than 65536 arguments".to_owned())
    );
    let long = OsString::from("x".repeat(MAX_ARGUMENT_LEN + 1));
    assert_eq!(
        message(&[long]),
        Err("an argument has more than 1048576 bytes".to_owned())
    );
    let not_utf8 = OsString::from_vec(b"a\xffb".to_vec());
    assert_eq!(
        message(&[not_utf8]),
        Err("argument is not UTF-8: a\u{fffd}b".to_owned())
    );
}

#[test]
fn argh_takes_what_is_normalised() {
    let vocabulary = words(
        "hook chmod noop runtime configure foo help -h --help -v --list -- - '' x a,b --path --path=a, --mode -mode=7 --mode \
         --container-spec -d --quiet=false --debug=1 --dry-run -dry-run=f -c --csv.file= --runtime=x --bogus \
         config create-default --set a,b -ic --cdi.enabled -o",
    );
    let info = Root::get_args_info();
    let mut random: usize = 1;
    for round in 0..20_000 {
        let mut args = Vec::new();
        for _ in 0..round % 9 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            args.push(vocabulary[(random >> 33) % vocabulary.len()].clone());
        }
        for prefix in [&[][..], &["hook"], &["hook", "chmod"]] {
            let Ok(line) = normalise(&info, prefix, &args, |_| None) else {
                continue;
            };
            let canonical: Vec<&str> = line.args.iter().map(String::as_str).collect();
            let wants_help = canonical.last() == Some(&"--help");
            match Root::from_args(&["x"], &canonical) {
                Ok(_) => {}
                Err(exit) => assert!(
                    exit.status.is_ok() && wants_help,
                    "{args:?} -> {canonical:?}: {}",
                    exit.output
                ),
            }
        }
    }
}
