//! Lines of hooks: unknown names are warnings.

use super::*;

#[test]
fn no_unknown_hook_fails() {
    let no_hook = "hook noop | No CDI hook specified";
    let unsupported = "hook noop | Unsupported CDI hook: foo";
    let unknown_flag = "flag provided but not defined: -bar";
    let table: &[(&str, &str)] = &[
        ("", no_hook),
        ("foo", unsupported),
        ("foo --bar", unsupported),
        ("foo chmod", unsupported),
        ("foo --help", unsupported),
        ("--help foo", "hook --help"),
        (
            "--quiet foo",
            "--quiet hook noop | Unsupported CDI hook: foo",
        ),
        (
            "--bar",
            &format!("hook noop | {unknown_flag} | No CDI hook specified"),
        ),
        (
            "--bar foo",
            &format!("hook noop | {unknown_flag} | Unsupported CDI hook: foo"),
        ),
        ("--bar=x noop", &format!("hook noop | {unknown_flag}")),
        (
            "--bar chmod --mode 7",
            &format!("hook chmod --mode 7 | {unknown_flag}"),
        ),
        (
            "noop x y",
            "hook noop | noop does not take the argument 'x': it and what follows are ignored",
        ),
        (
            "chmod x --mode 7",
            "hook chmod --mode 7 | chmod does not take the argument 'x': it and what follows are ignored",
        ),
    ];
    check("hook", table);
    for (line, expected) in table {
        assert_eq!(
            outcome("", &format!("hook {line}"), ""),
            *expected,
            "{line}"
        );
    }
}

#[test]
fn errors_of_known_hooks() {
    check(
        "hook",
        &[
            (
                "chmod --bogus",
                "1: flag provided but not defined: -bogus; see --help",
            ),
            (
                "chmod --paths x",
                "1: flag provided but not defined: -paths; did you mean --path?",
            ),
            (
                "chmod -debgu",
                "1: flag provided but not defined: -debgu; did you mean --debug?",
            ),
            (
                "chmod --=x",
                "1: flag provided but not defined: -; see --help",
            ),
            (
                "chmod ---mode=7",
                "1: flag provided but not defined: --mode; did you mean --mode?",
            ),
            (
                "chmod -5",
                "1: flag provided but not defined: -5; see --help",
            ),
            (
                "chmod --a --b",
                "1: flag provided but not defined: -a; see --help",
            ),
            ("chmod --mode 7 --path", "1: flag needs an argument: --path"),
            ("chmod --path x", "1: chmod needs --mode <octal>"),
            ("--debug=x foo", "1: not a bool for flag --debug: x"),
        ],
    );
}
