//! The OCI state that a runtime passes to a hook, and the bundle that the state names.
//!
//! Formats: the OCI runtime specification, `runtime.md` (state) and `config.md` (`root`). The parser is as lenient as the
//! toolkit's: keys in any case, the last of two equal keys counts, and bytes after the first JSON value are ignored. It reads
//! only the root's path, mounts, devices and variables of config.json, so that unknown members do not matter.

#[macro_use]
mod lenient;
mod config;
mod json;
mod mounts;
mod namespace;
mod root;
mod stdin;
mod variables;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;
use serde_json::Value;

use config::Config;

/// The configuration file of a bundle.
const CONFIG: &str = "config.json";
/// The environment variable that lists directories of driver libraries, separated by colons.
const LIBCUDA_DIR: &str = "NVIDIA_CTK_LIBCUDA_DIR=";
/// The maximum size of a state; real ones have a few hundred bytes.
const MAX_STATE: u64 = 1 << 20;
/// The maximum size of config.json, which is streamed: memory use does not grow with it.
const MAX_CONFIG: u64 = 64 << 20;

/// The members of a container's state that a hook needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The container's id, for messages.
    pub id: String,
    /// The container's status, usually `creating`; a string if the runtime follows the specification.
    pub status: Value,
    /// The container's first process, in the runtime's pid namespace; 0 if the state has no pid.
    pub pid: i64,
    /// The directory of config.json.
    pub bundle: PathBuf,
    /// crun's extension: the root's path, absolute or relative to the bundle.
    pub root: PathBuf,
    /// Annotations from config.json.
    pub annotations: BTreeMap<String, String>,
    config: OnceCell<Option<Config>>,
}

impl State {
    /// Reads the state from `file`, or from standard input if that is `None` or `-`. Fails if the input cannot be read or is not
    /// a state.
    pub fn load(file: Option<&str>) -> Result<Self> {
        match file {
            None | Some("" | "-") => Self::read(stdin::Stdin::open()?)
                .context("cannot read the OCI state from standard input"),
            Some(path) => open_host_file(Path::new(path))
                .and_then(Self::read)
                .with_context(|| format!("cannot read the OCI state from {path}")),
        }
    }

    /// Reads and discards the state on standard input for a hook that does not need it: crun fails if the pipe is closed before
    /// it has written the state.
    pub fn skip() {
        if let Some(pipe) = stdin::Stdin::open_pipe() {
            let skipped: Result<IgnoredAny> = json::read(pipe, MAX_STATE);
            if let Err(err) = skipped {
                log::debug!("cannot read the OCI state: {err:#}");
            }
        }
    }

    /// Reads the first JSON value of `input` as a state. Fails if it is not one, or larger than 1 MiB.
    pub fn read(input: impl Read) -> Result<Self> {
        json::read(input, MAX_STATE)
    }

    /// Returns the container's directories of driver libraries according to config.json: those of mounts, and those in the
    /// variable that `cdi generate` sets.
    #[must_use]
    pub fn driver_places(&self) -> Vec<PathBuf> {
        let Some(config) = self.config() else {
            return Vec::new();
        };
        let mut places = mounts::driver_places(&config.mounts);
        let variables = config.process.env.0.iter();
        let named = variables.filter_map(|it| it.strip_prefix(LIBCUDA_DIR));
        // Images can set the variable, so it has the same limit as mounts.
        let named = named.flat_map(|directories| directories.split(':'));
        places.extend(named.map(PathBuf::from).take(mounts::MAX_PLACES));
        places.retain(|place| place.is_absolute());
        places
    }

    /// Whether config.json gives the container a driver device or names a directory of driver libraries; also true if config.json
    /// cannot be read.
    #[must_use]
    pub fn names_driver(&self) -> bool {
        let has_device = self.config().is_none_or(Config::has_driver_device);
        has_device || !self.driver_places().is_empty()
    }

    /// Whether an environment variable belongs to this program.
    #[must_use]
    pub fn is_own_variable(name: &str) -> bool {
        variables::is_own_variable(name)
    }

    /// Returns the variables of the container's process that belong to this program, as `NAME=VALUE`; `None` if config.json
    /// cannot be read.
    #[must_use]
    pub fn own_variables(&self) -> Option<&[String]> {
        Some(&self.config()?.process.env.0)
    }

    /// Returns config.json, which is read once; `None` if it cannot be read.
    fn config(&self) -> Option<&Config> {
        let read = || {
            let path = self.bundle.join(CONFIG);
            let log_error =
                |err: &_| log::debug!("{}: its content is unknown: {err:#}", path.display());
            Config::read(&path).inspect_err(log_error).ok()
        };
        self.config.get_or_init(read).as_ref()
    }
}

/// Opens a regular file that the runtime or the administrator named.
#[expect(clippy::disallowed_methods, reason = "the bundle is the host's")]
fn open_host_file(path: &Path) -> Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        bail!("not a regular file");
    }
    Ok(File::open(path)?)
}

lenient_object!(State, "an OCI state object",
    "id" => id, "status" => status, "pid" => pid, "bundle" => bundle, "root" => root, "annotations" => annotations);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> Result<State> {
        State::read(text.as_bytes())
    }

    #[test]
    fn states_of_runtimes_are_understood() {
        let runc = r#"{"ociVersion":"1.2.0","id":"c","status":"creating","pid":1,"bundle":"/b"}"#;
        let crun = r#"{ "ociVersion":"1.0", "id":"c", "pid":0, "root":"\/b\/rootfs", "bundle":"\/b",
            "status":"stopping", "annotations":{"k":"v"} }"#;
        let youki = r#"{"ociVersion":"1.0.2","id":"c","status":"creating","bundle":"/b","annotations":null}"#;
        assert_eq!(state(runc).unwrap().pid, 1);
        let crun = state(crun).unwrap();
        assert_eq!(crun.root, Path::new("/b/rootfs"));
        assert_eq!(crun.annotations["k"], "v");
        assert_eq!(state(youki).unwrap().bundle, Path::new("/b"));
    }

    #[test]
    fn reading_is_lenient_where_the_toolkit_is() {
        for text in [
            r#"{"Bundle":"/b"}"#,
            r#"{"bundle":"/a","BUNDLE":"/b"}"#,
            "{\"bundle\":\"/b\"}trailing",
            "\u{feff}{\"bundle\":\"/b\"}",
            r#"{"bundle":"/b","status":7,"x":[{"y":{}}]}"#,
        ] {
            assert_eq!(state(text).unwrap().bundle, Path::new("/b"), "{text}");
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for text in [
            "",
            "[]",
            "\"x\"",
            "null",
            "{",
            r#"{"bundle":7}"#,
            r#"{"pid":"x"}"#,
        ] {
            assert!(state(text).is_err(), "{text}");
        }
    }
}
