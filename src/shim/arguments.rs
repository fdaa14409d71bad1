//! The command line of an OCI runtime: whether it creates a container, and from which configuration.
//!
//! Format: runc(8), crun(1). The runtime's options come first, then the command, then the command's options. runc, crun and runsc
//! have different options, and releases add more: for an unknown option, the next word decides whether it is a value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::log::Log;

/// The commands that create a container.
const CREATING: [&str; 2] = ["create", "run"];
/// All commands of runc, crun and runsc.
const COMMANDS: [&str; 27] = [
    "checkpoint",
    "create",
    "delete",
    "do",
    "events",
    "exec",
    "export-metrics",
    "features",
    "help",
    "init",
    "kill",
    "list",
    "metric-server",
    "mounts",
    "pause",
    "port-forward",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
    "usage",
    "wait",
    "tar",
];
/// The runtime's options whose value is the next word.
const WITH_VALUE: [&str; 11] = [
    "b",
    "bundle",
    "cgroup-manager",
    "criu",
    "log",
    "log-format",
    "log-level",
    "platform",
    "root",
    "rootless",
    "debug-log",
];
/// Options of `create` and `run` whose value is the next word, except those that are evaluated.
const CREATE_WITH_VALUE: [&str; 4] = ["console-socket", "pid-file", "preserve-fds", "user-log"];
const CONFIG: &str = "config.json";

/// A call of the runtime.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The configuration of the container to create; `None` for other commands.
    pub config: Option<Result<PathBuf, String>>,
    /// The log for errors besides standard error.
    pub log: Log,
}

impl Call {
    /// Parses the arguments after `argv[0]`.
    #[must_use]
    pub fn parse(words: &[OsString]) -> Self {
        let mut log = Log::default();
        let mut words = words.iter().map(OsString::as_os_str).peekable();
        let (mut command, mut bundle) = (None, None);
        while let Some(word) = words.next() {
            let Some((name, value)) = option(word) else {
                command = Some(word);
                break;
            };
            let is_known = WITH_VALUE.iter().any(|it| name == *it);
            let next = words.peek().copied();
            // The word after an unknown option is its value unless it is a command.
            let is_value = |next: &OsStr| is_known || !is_option(next) && !is_command(next);
            let value = value.or_else(|| {
                let next = next.filter(|next| is_value(next))?;
                words.next();
                Some(next)
            });
            match (name.to_str(), value) {
                (Some("log"), Some(value)) => log.path = Some(value.into()),
                (Some("log-format"), Some(value)) => log.is_json = value == "json",
                // No runtime accepts it there, but the toolkit does.
                (Some("b" | "bundle"), Some(value)) => bundle = Some(value),
                _ => {}
            }
        }
        let creates = command.is_some_and(|it| CREATING.iter().any(|name| it == *name));
        Self {
            config: creates.then(|| config(words, bundle)),
            log,
        }
    }
}

/// Returns the configuration that the arguments of `create` name. Fails if an option lacks its value.
fn config<'w>(
    mut words: impl Iterator<Item = &'w OsStr>,
    bundle: Option<&'w OsStr>,
) -> Result<PathBuf, String> {
    let (mut bundle, mut file) = (bundle, None);
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some((name, value)) = option(word).map(attached) else {
            continue;
        };
        let name = name.to_str().unwrap_or_default();
        let mut value = || value.or_else(|| words.next());
        let missing = || format!("the option {} of create has no value", word.display());
        match name {
            "bundle" | "b" => bundle = Some(value().ok_or_else(missing)?),
            // crun's
            "config" | "f" => file = Some(value().ok_or_else(missing)?),
            _ if CREATE_WITH_VALUE.contains(&name) => {
                value();
            }
            _ => {}
        }
    }
    let bundle = Path::new(bundle.unwrap_or_default());
    Ok(bundle.join(file.unwrap_or(OsStr::new(CONFIG))))
}

/// Splits an attached value off a short option, which crun accepts: `-fother.json`. Words with one dash may also be long names.
fn attached<'w>((name, value): (&'w OsStr, Option<&'w OsStr>)) -> (&'w OsStr, Option<&'w OsStr>) {
    let is_long = ["bundle", "config"].iter().any(|it| name == *it) || value.is_some();
    match name.as_bytes().split_at_checked(1) {
        Some((letter @ (b"b" | b"f"), rest)) if !rest.is_empty() && !is_long => {
            (OsStr::from_bytes(letter), Some(OsStr::from_bytes(rest)))
        }
        _ => (name, value),
    }
}

fn is_option(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"-")
}

fn is_command(word: &OsStr) -> bool {
    COMMANDS.iter().any(|it| word == *it)
}

/// Returns the name and the value of an option.
fn option(word: &OsStr) -> Option<(&OsStr, Option<&OsStr>)> {
    let bytes = word.as_bytes();
    let name = bytes
        .strip_prefix(b"--")
        .or_else(|| bytes.strip_prefix(b"-"))?;
    if name.is_empty() {
        return None;
    }
    let at = name.iter().position(|it| *it == b'=');
    let (name, value) = match at.and_then(|at| name.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (name, None),
    };
    Some((OsStr::from_bytes(name), value.map(OsStr::from_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration that a command line names.
    fn config(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let config = Call::parse(&words).config?;
        Some(config.map_or_else(|err| err, |it| it.display().to_string()))
    }

    #[test]
    fn bundles() {
        for (line, expected) in [
            ("", None),
            ("create", Some("config.json")),
            ("create c", Some("config.json")),
            ("create --bundle /foo/bar c", Some("/foo/bar/config.json")),
            ("create -bundle /foo/bar c", Some("/foo/bar/config.json")),
            ("create --bundle=/foo/bar c", Some("/foo/bar/config.json")),
            ("create -b=/foo/=bar c", Some("/foo/=bar/config.json")),
            ("create -b create", Some("create/config.json")),
            ("create -b /a -b /b c", Some("/b/config.json")),
            ("create c --bundle /a", Some("/a/config.json")),
            ("create -- --bundle /a", Some("config.json")),
            ("create -b", Some("the option -b of create has no value")),
            ("-b create create", Some("create/config.json")),
            ("-b=create create", Some("create/config.json")),
            ("create -b /a -f other.json c", Some("/a/other.json")),
            ("create -b/a -fother.json c", Some("/a/other.json")),
            ("create -b /a --config=/x/o.json c", Some("/x/o.json")),
            ("create --pid-file --bundle c", Some("config.json")),
            ("run -b /a c", Some("/a/config.json")),
        ] {
            assert_eq!(config(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn words_that_are_no_command() {
        for line in [
            "--bundle create",
            "--root create state x",
            "--log create delete c",
            "state create",
            "delete create",
            "kill create KILL",
            "exec c1 create",
            "exec --env A=1 c1 git create",
            "exec --cwd create c1 sh",
            "--frob val state create",
            "--debug list",
            "features",
            "--version",
            "unknown create",
            "-- create",
        ] {
            assert_eq!(config(line), None, "{line}");
        }
        for line in [
            "--root /r --log l --log-format json create c",
            "--frob val create c",
            "--frob create c",
            "--systemd-cgroup create c",
            "--cgroup-manager systemd create c",
            "--platform systrap create c",
            "--platform=systrap -debug create c",
            "--root=create create c",
        ] {
            assert_eq!(config(line).as_deref(), Some("config.json"), "{line}");
        }
    }

    #[test]
    fn logs() {
        let words = ["--log=/l", "--log-format", "json", "create"].map(OsString::from);
        let expected = Log {
            path: Some("/l".into()),
            is_json: true,
        };
        assert_eq!(Call::parse(&words).log, expected);
    }
}
