//! The container's root: its path, and how a hook opens it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::config::Config;
use super::{CONFIG, MAX_CONFIG, State, json, mounts, namespace, open_host_file};
use crate::rootfs::{
    ContainerRoot, FileId, MountNamespace, Root, Surroundings, is_obstacle, is_root_of_mount,
};
use crate::watchdog;

/// The status of a container that runs no process yet.
const CREATING: &str = "creating";

/// The members of config.json that locate the root.
#[derive(Debug, Default, PartialEq, Eq)]
struct RootConfig {
    root: RootMember,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct RootMember {
    path: PathBuf,
}

impl State {
    /// Opens the container's root.
    ///
    /// In a hook that runs in the runtime's mount namespace (prestart, createRuntime), opens the root as the container's first
    /// process sees it, with all mounts. Fails if the root cannot be opened, and if it is the host's root or the bundle itself.
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
            && let Some(first) = self.missing_mount(&root)
        {
            log::warn!(
                "{} and all other mounts of the container are missing: the runtime calls this hook too early to \
                 use what they provide; if the runtime is crun, install 1.29 or a later version",
                first.display()
            );
            namespace = MountNamespace::Unknown;
        }
        Ok(ContainerRoot::new(
            root,
            Surroundings {
                namespace,
                is_creating: self.status == CREATING || namespace == MountNamespace::Own,
                binds: Box::new(move || Some(mounts::binds(Config::read(&config).ok()?.mounts))),
            },
        ))
    }

    /// Returns the first mount if config.json has any and none of them is mounted yet.
    fn missing_mount(&self, root: &Root) -> Option<&Path> {
        // Nearly every container has this mount; it saves reading config.json.
        if root.has_mount_at(Path::new("/proc")) {
            return None;
        }
        mounts::missing(&self.config()?.mounts, root)
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
        let RootConfig { root } = match open_host_file(&config) {
            Err(err)
                if err.downcast_ref().is_some_and(is_obstacle)
                    && namespace::of_hook(self.pid) == MountNamespace::Own
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

    fn open_through_container(&self, path: &Path) -> io::Result<(Root, MountNamespace)> {
        let namespace = namespace::of_hook(self.pid);
        if let MountNamespace::Other { pid } = namespace {
            match Root::open(Path::new(&format!("/proc/{pid}/root"))) {
                Ok(outside) => return Ok((outside.open_root(path)?, namespace)),
                Err(err) => {
                    log::warn!(
                        "cannot enter /proc/{pid}/root: {err}; the container's mounts are invisible to this hook"
                    );
                    return Ok((Root::open(path)?, MountNamespace::Unknown));
                }
            }
        }
        Ok((Root::open(path)?, namespace))
    }
}

lenient_object!(RootConfig, "a config.json object", "root" => root);
lenient_object!(RootMember, "an object with the member path", "path" => path);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_path_of_config_json_counts() {
        let config = |text: &str| json::read::<RootConfig>(text.as_bytes(), MAX_CONFIG);
        let text = r#"{"process":7,"ROOT":{"x":1,"PATH":"rootfs"},"mounts":"none"} trailing"#;
        assert_eq!(config(text).unwrap().root.path, Path::new("rootfs"));
        assert_eq!(config("{}").unwrap(), RootConfig::default());
        assert_eq!(config(r#"{"root":null}"#).unwrap(), RootConfig::default());
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
