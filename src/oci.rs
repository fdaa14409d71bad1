//! The OCI state that a runtime gives a hook, and the bundle that the state names.
//!
//! Formats: the OCI runtime specification, `runtime.md` (state) and `config.md` (`root`). Reading is as lenient as the toolkit's:
//! keys in any case, the last of two equal ones counts, what follows the first JSON value is ignored. Of config.json only
//! `root.path` and `mounts` are looked at, so that newer members make no difference.

/// Reads a struct from an object: keys in any case, unknown members skipped, `null` the same as absent.
macro_rules! lenient_object {
    ($type:ident, $what:literal, $($key:literal => $field:ident),+) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;
                impl<'de> Visitor<'de> for Members {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut object = $type::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.to_ascii_lowercase().as_str() {
                                $($key => {
                                    object.$field = map.next_value::<Option<_>>()?.unwrap_or_default();
                                })+
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    };
}

mod json;
mod mounts;
mod stdin;
mod variables;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::rootfs::{
    ContainerRoot, FileId, MountNamespace, Root, Surroundings, is_obstacle, is_root_of_mount,
};
use crate::watchdog;

/// The bundle's file.
const CONFIG: &str = "config.json";
/// The status of a container of which no process runs yet.
const CREATING: &str = "creating";
/// Largest state that is read; real ones have a few hundred bytes.
const MAX_STATE: u64 = 1 << 20;
/// Largest config.json that is read; it is streamed, so that memory does not follow it.
const MAX_CONFIG: u64 = 64 << 20;

/// What a hook needs of the state of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The container's id, for messages.
    pub id: String,
    /// The container's status, `creating` as a rule; a string, if the runtime keeps to the specification.
    pub status: Value,
    /// The container's first process, in the runtime's pid namespace; 0 where the runtime tells none.
    pub pid: i64,
    /// The directory of config.json.
    pub bundle: PathBuf,
    /// crun's extension: the root's path, absolute or below the bundle.
    pub root: PathBuf,
    /// Annotations of config.json.
    pub annotations: BTreeMap<String, String>,
}

/// The part of config.json without which no root is found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    root: ConfigRoot,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct ConfigRoot {
    path: PathBuf,
}

impl State {
    /// Reads the state from `file`, or from standard input when that is `None` or `-`.
    pub fn load(file: Option<&str>) -> Result<Self> {
        match file {
            None | Some("" | "-") => Self::read(stdin::Stdin::open()?)
                .context("cannot read the OCI state from standard input"),
            Some(path) => open_host_file(Path::new(path))
                .and_then(Self::read)
                .with_context(|| format!("cannot read the OCI state from {path}")),
        }
    }

    /// Reads the first JSON value of `input` as a state.
    pub fn read(input: impl Read) -> Result<Self> {
        json::read(input, MAX_STATE)
    }

    /// Opens the container's root.
    ///
    /// In a hook of the runtime's own mount namespace (prestart, createRuntime) that is the root as the container's first
    /// process sees it, with all mounts. The host's root and the bundle itself are refused.
    pub fn open_root(&self) -> Result<ContainerRoot> {
        let path = self.root_path()?;
        let (root, mut namespace) = self
            .open_through_container(&path)
            .with_context(|| format!("cannot open the container's root {}", path.display()))?;
        watchdog::supervise(&root);
        let id = root.id()?;
        let is_same = |other: &Path| FileId::of_host(other).map(|other| other == id);
        ensure!(
            !is_same(Path::new("/"))?,
            "the container's root {} is the host's root directory: refused",
            path.display()
        );
        ensure!(
            self.bundle.as_os_str().is_empty() || !is_same(&self.bundle).unwrap_or(false),
            "the container's root {} is the bundle itself: refused; config.json must name a directory in root.path",
            path.display()
        );
        let config = self.bundle.join(CONFIG);
        if namespace == MountNamespace::Own
            && let Some(first) = mounts::missing(&config, &root)
        {
            log::warn!(
                "{} and all other mounts of the container are missing: the runtime calls this hook too early, and it does not \
                 find what they bring; if that is crun, install 1.29 or a later version",
                first.display()
            );
            namespace = MountNamespace::Unknown;
        }
        Ok(ContainerRoot::new(
            root,
            Surroundings {
                namespace,
                is_creating: self.status == CREATING || namespace == MountNamespace::Own,
                binds: Box::new(move || mounts::binds(&config)),
            },
        ))
    }

    fn root_path(&self) -> Result<PathBuf> {
        if self.root.is_absolute() {
            return Ok(self.root.clone());
        }
        ensure!(
            self.bundle.is_absolute(),
            "the OCI state names no bundle with an absolute path (bundle: \"{}\")",
            self.bundle.display()
        );
        if !self.root.as_os_str().is_empty() {
            return Ok(self.bundle.join(&self.root));
        }
        let config = self.bundle.join(CONFIG);
        let Config { root } = match open_host_file(&config) {
            Err(err)
                if err.downcast_ref().is_some_and(is_obstacle)
                    && self.mount_namespace() == MountNamespace::Own
                    && is_root_of_mount(Path::new(".")) =>
            {
                log::debug!(
                    "{}: {err}; the working directory is the root",
                    config.display()
                );
                return Ok(std::env::current_dir()?);
            }
            file => file
                .and_then(|file| json::read(file, MAX_CONFIG))
                .with_context(|| format!("cannot read {}", config.display()))?,
        };
        ensure!(
            !root.path.as_os_str().is_empty(),
            "{} has no root.path",
            config.display()
        );
        Ok(self.bundle.join(root.path))
    }

    /// Whether a variable of the environment is this program's.
    #[must_use]
    pub fn is_own_variable(name: &str) -> bool {
        variables::is_own(name)
    }

    /// The variables of the container's process that are this program's, as `NAME=VALUE`; none where config.json cannot be read.
    #[must_use]
    pub fn own_variables(&self) -> Option<Vec<String>> {
        variables::own(&self.bundle.join(CONFIG))
    }

    fn open_through_container(&self, path: &Path) -> io::Result<(Root, MountNamespace)> {
        let namespace = self.mount_namespace();
        if let MountNamespace::Other { pid } = namespace {
            match Root::open(Path::new(&format!("/proc/{pid}/root"))) {
                Ok(outside) => return Ok((outside.open_root(path)?, namespace)),
                Err(err) => {
                    log::warn!(
                        "cannot enter /proc/{pid}/root: {err}; mounts of the container are not seen"
                    );
                    return Ok((Root::open(path)?, MountNamespace::Unknown));
                }
            }
        }
        Ok((Root::open(path)?, namespace))
    }

    fn mount_namespace(&self) -> MountNamespace {
        let namespace = |process: &str| host_link(&Path::new("/proc").join(process).join("ns/mnt"));
        let (pid, ours) = (self.pid, namespace("self"));
        match proc_shows_our_pid_namespace() {
            None => return MountNamespace::Unknown,
            // The runtime itself may sit in a pid namespace without a /proc of its own.
            Some(false) if ours == namespace("1") => return MountNamespace::Unknown,
            Some(false) => return MountNamespace::Own,
            Some(true) => {}
        }
        if pid <= 1 {
            return MountNamespace::Unknown;
        }
        match (namespace(&pid.to_string()), namespace("1")) {
            (None, _) => MountNamespace::Unknown,
            (theirs, host) if theirs == ours && ours != host => MountNamespace::Own,
            (theirs, _) if theirs == ours => MountNamespace::Unknown,
            _ => MountNamespace::Other { pid },
        }
    }
}

/// In a createContainer hook /proc is the host's, but a pid is one of the container's namespace, and means nothing there.
/// Without /proc nothing can be told.
fn proc_shows_our_pid_namespace() -> Option<bool> {
    let link = host_link(Path::new("/proc/self"))?;
    Some(link == *std::process::id().to_string())
}

#[expect(clippy::disallowed_methods, reason = "the host's own /proc")]
fn host_link(path: &Path) -> Option<PathBuf> {
    std::fs::read_link(path).ok()
}

/// Opens a regular file that the runtime or the admin named.
#[expect(clippy::disallowed_methods, reason = "the bundle is the host's")]
fn open_host_file(path: &Path) -> Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        bail!("not a regular file");
    }
    Ok(File::open(path)?)
}

lenient_object!(State, "an OCI state object",
    "id" => id, "status" => status, "pid" => pid, "bundle" => bundle, "root" => root, "annotations" => annotations);
lenient_object!(Config, "a config.json object", "root" => root);
lenient_object!(ConfigRoot, "an object with the member path", "path" => path);

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

    #[test]
    fn only_root_path_of_config_json_counts() {
        let config = |text: &str| json::read::<Config>(text.as_bytes(), MAX_CONFIG);
        let text = r#"{"process":7,"ROOT":{"x":1,"PATH":"rootfs"},"mounts":"none"} trailing"#;
        assert_eq!(config(text).unwrap().root.path, Path::new("rootfs"));
        assert_eq!(config("{}").unwrap(), Config::default());
        assert_eq!(config(r#"{"root":null}"#).unwrap(), Config::default());
        assert!(config(r#"{"root":"rootfs"}"#).is_err());
    }

    #[test]
    fn a_root_comes_from_the_state_first() {
        let bundle = tempfile::tempdir().unwrap();
        let path = |state: &State| state.root_path();
        std::fs::write(
            bundle.path().join("config.json"),
            r#"{"root":{"path":"rootfs"}}"#,
        )
        .unwrap();
        let mut state = State {
            bundle: bundle.path().into(),
            ..State::default()
        };
        assert_eq!(path(&state).unwrap(), bundle.path().join("rootfs"));
        state.root = "other".into();
        assert_eq!(path(&state).unwrap(), bundle.path().join("other"));
        state.root = "/absolute".into();
        assert_eq!(path(&state).unwrap(), Path::new("/absolute"));
    }

    #[test]
    fn accidental_roots_are_refused() {
        let bundle = tempfile::tempdir().unwrap();
        let open = |config: &str| {
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            let state = State {
                bundle: bundle.path().into(),
                ..State::default()
            };
            state.open_root().map(|_| ())
        };
        std::fs::create_dir(bundle.path().join("rootfs")).unwrap();
        open(r#"{"root":{"path":"rootfs"}}"#).unwrap();
        for config in [
            "{}",
            r#"{"root":{"path":""}}"#,
            r#"{"root":{"path":"."}}"#,
            r#"{"root":{"path":"/"}}"#,
            r#"{"root":{"path":"../../../../../.."}}"#,
            r#"{"root":{"path":"missing"}}"#,
            r#"{"root":{"path":"config.json"}}"#,
        ] {
            assert!(open(config).is_err(), "{config}");
        }
        assert!(State::default().open_root().is_err());
    }
}
