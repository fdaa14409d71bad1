//! The setup of a host's engines: programs, configuration files, and their settings for NVIDIA's runtime and CDI.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use toml_edit::{Item, TableLike};

use super::configuration::field;
use super::containerd::distribution::Distribution;
use super::version::{self, Newest, Packaged};
use super::{Engine, containerd, crio, docker};
use crate::host::allowance::Allowance;
use crate::host::program;
use crate::rootfs::Root;

/// The maximum size of a configuration file, and of all files of an engine: a TOML parser takes 140 times as much memory.
const MAX_CONFIG: u64 = 512 << 10;
pub(super) const MAX_CONFIGS: u64 = 2 << 20;
/// The prefix of NVIDIA's runtime and its variants.
const RUNTIME: &str = "nvidia-container-runtime";

/// The setup of an engine.
#[derive(Debug)]
pub struct Setup {
    /// The engine.
    pub engine: Engine,
    /// The Kubernetes distribution that includes it; `None` for the host's own.
    pub distribution: Option<&'static Distribution>,
    /// The path of its program.
    pub program: Option<PathBuf>,
    /// Its version, if known.
    pub version: Option<String>,
    /// The version of the library that it reads CDI specs with, if known.
    pub cdi_library: Option<String>,
    /// Its configuration files, in reading order.
    pub configs: Vec<PathBuf>,
    /// The first error in one of them.
    pub error: Option<Error>,
    /// Command line flags that conflict with one of these files, so that the engine does not start.
    pub conflicts: Vec<String>,
    /// The program of NVIDIA's runtime, if the engine is configured to use it.
    pub nvidia_runtime: Option<PathBuf>,
    /// The default runtime, if configured.
    pub default_runtime: Option<String>,
    /// Whether CDI is enabled; `None` if the engine's version decides.
    pub cdi: Option<bool>,
    /// The directories in which it looks for CDI specs; empty for the default ones, and if they are not read from its configuration.
    pub cdi_spec_dirs: Vec<PathBuf>,
    /// Whether systemd manages the containers' cgroups; `None` if the engine decides.
    pub systemd_cgroup: Option<bool>,
}

/// Reads the engines that are installed or configured below `root`.
#[must_use]
pub fn read_all(root: &Root) -> Vec<Setup> {
    let podman = || Setup {
        cdi: Some(true),
        ..Setup::new(Engine::Podman)
    };
    let packaged = Packaged::read(root);
    let docker = || {
        let program = program::find(root, Engine::Docker.program().as_ref());
        let version = packaged.version(Engine::Docker, program.as_deref());
        docker::setup::read(root, version.as_deref())
    };
    let setups = Engine::ALL.into_iter().flat_map(|engine| match engine {
        Engine::Docker => vec![docker()],
        Engine::Containerd => containerd::setup::read_all(root),
        Engine::Crio => vec![crio::setup::read(root)],
        Engine::Podman => vec![podman()],
    });
    let setups = setups.map(|setup| {
        let program = program::find(root, setup.program_name().as_ref());
        let version = packaged.version(setup.engine, program.as_deref());
        Setup {
            program,
            version: version.filter(|_| setup.distribution.is_none()),
            ..setup
        }
    });
    setups.filter(Setup::is_there).collect()
}

/// Searches the engines' programs for version information, except those known not to support CDI.
pub fn search_programs(root: &Root, setups: &mut [Setup]) {
    let deadline = version::deadline();
    for setup in setups {
        if setup.newest_cdi() == Some(Newest::None) {
            continue;
        }
        let file = setup.program.as_deref().map(|path| root.open_file(path));
        if let Some(Ok((file, _))) = file {
            let found = version::search(file, setup.engine, deadline);
            setup.version = setup.version.take().or(found.version);
            setup.cdi_library = found.library;
        }
    }
}

impl Setup {
    /// Returns an engine without any information.
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            distribution: None,
            program: None,
            version: None,
            cdi_library: None,
            configs: Vec::new(),
            error: None,
            conflicts: Vec::new(),
            nvidia_runtime: None,
            default_runtime: None,
            cdi: None,
            cdi_spec_dirs: Vec::new(),
            systemd_cgroup: None,
        }
    }

    /// Returns the display name.
    #[must_use]
    pub fn title(&self) -> String {
        let engine = self.engine.title();
        match self.distribution {
            Some(distribution) => format!("{engine} ({})", distribution.name),
            None => engine.to_owned(),
        }
    }

    /// Returns the newest version of CDI specs that it supports; `None` if that is unknown.
    #[must_use]
    pub fn newest_cdi(&self) -> Option<Newest> {
        let library = self.cdi_library.as_deref();
        version::newest_cdi(self.engine, self.version.as_deref(), library)
    }

    fn program_name(&self) -> &'static str {
        let own = self.distribution.map(|it| it.program);
        own.unwrap_or_else(|| self.engine.program())
    }

    /// Whether the engine exists. A removed distribution may leave its program behind, but no configuration.
    fn is_there(&self) -> bool {
        let is_installed = self.program.is_some() || self.version.is_some();
        let is_installed = is_installed && self.distribution.is_none();
        is_installed || !self.configs.is_empty() || self.error.is_some()
    }

    /// Reads a configuration file with `read`; keeps the first error of all files.
    pub(super) fn read_config(
        &mut self,
        (root, bytes): (&Root, &mut Allowance),
        path: &Path,
        read: impl FnOnce(&mut Self, &str) -> Result<()>,
    ) {
        let text = match bytes.read(root, path, MAX_CONFIG) {
            Ok(bytes) => String::from_utf8(bytes).map_err(Error::from),
            Err(err) if err.kind() == ErrorKind::NotFound => return,
            Err(err) => Err(err.into()),
        };
        self.configs.push(path.to_owned());
        let read = text.and_then(|text| read(self, &text));
        if let Err(err) = read.with_context(|| path.display().to_string()) {
            self.error.get_or_insert(err);
        }
    }

    /// Notes `path` as NVIDIA's runtime if its name or the runtime's name says that it is.
    pub(super) fn note_runtime(&mut self, name: &str, path: &str) {
        let program = Path::new(path).file_name().unwrap_or_default();
        if name == "nvidia" || program.to_string_lossy().starts_with(RUNTIME) {
            self.nvidia_runtime = Some(path.into());
        }
    }
}

/// Returns the item at `path` below `item`; the last name ignores case, as most engines do.
pub(super) fn item_at<'i>(item: &'i Item, path: &[&str]) -> Option<&'i Item> {
    let (name, parents) = path.split_last()?;
    field(table_at(item, parents)?, name)
}

fn table_at<'i>(item: &'i Item, path: &[&str]) -> Option<&'i dyn TableLike> {
    path.iter()
        .try_fold(item, |item, name| item.get(name))
        .and_then(Item::as_table_like)
}

/// Returns the members of the table at `path` below `item`.
pub(super) fn members<'i>(
    item: &'i Item,
    path: &[&str],
) -> impl Iterator<Item = (&'i str, &'i Item)> {
    table_at(item, path)
        .into_iter()
        .flat_map(|table| table.iter())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn engines(files: &[(&str, &str)]) -> Vec<Setup> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        read_all(&Root::open(folder.path()).unwrap())
    }

    fn only(files: &[(&str, &str)]) -> Setup {
        let mut engines = engines(files);
        assert_eq!(engines.len(), 1, "{engines:?}");
        engines.pop().unwrap()
    }

    #[test]
    fn docker() {
        let engine = only(&[(
            "etc/docker/daemon.json",
            r#"{"runtimes": {"gpu": {"path": "/opt/nvidia-container-runtime.cdi"}}, "default-runtime": "gpu",
                "features": {"cdi": false}, "exec-opts": ["native.cgroupdriver=cgroupfs"]}"#,
        )]);
        assert_eq!(engine.engine, Engine::Docker);
        assert_eq!(
            engine.nvidia_runtime,
            Some("/opt/nvidia-container-runtime.cdi".into())
        );
        assert_eq!(engine.default_runtime.as_deref(), Some("gpu"));
        assert_eq!(
            (engine.cdi, engine.systemd_cgroup),
            (Some(false), Some(false))
        );
        for (text, wrong) in [
            ("", false),
            (" \n", false),
            ("null", false),
            ("[]", true),
            ("{} x", true),
            ("// c\n{}", true),
        ] {
            let engine = only(&[("etc/docker/daemon.json", text)]);
            assert_eq!(engine.error.is_some(), wrong, "{text}");
            assert_eq!((engine.cdi, engine.nvidia_runtime), (None, None));
        }
    }

    #[test]
    fn containerd_with_imports() {
        let engine = only(&[
            (
                "etc/containerd/config.toml",
                "version = 2\nimports = [\"conf.d/*.toml\", \"/etc/containerd/config.toml\"]\n",
            ),
            (
                "etc/containerd/conf.d/99-nvidia.toml",
                "[plugins.'io.containerd.grpc.v1.cri']\nenable_cdi = true\n\
                 [plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'runc'\n\
                 [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.nvidia.options]\n\
                 BinaryName = '/usr/bin/nvidia-container-runtime'\nSystemdCgroup = true\n",
            ),
            ("etc/containerd/conf.d/ignored.conf", "["),
        ]);
        assert_eq!(
            engine.nvidia_runtime,
            Some("/usr/bin/nvidia-container-runtime".into())
        );
        assert_eq!(engine.default_runtime.as_deref(), Some("runc"));
        assert_eq!(
            (engine.cdi, engine.systemd_cgroup),
            (Some(true), Some(true))
        );
        assert_eq!(engine.configs.len(), 2);
        let engine = only(&[("etc/containerd/config.toml", "a = [")]);
        assert!(
            engine
                .error
                .unwrap()
                .to_string()
                .starts_with("/etc/containerd/config.toml")
        );
    }

    #[test]
    fn crio_and_podman() {
        let engines = engines(&[
            (
                "etc/crio/crio.conf",
                "[crio.runtime]\ncgroup_manager = 'cgroupfs'\n",
            ),
            (
                "etc/crio/crio.conf.d/99-nvidia.toml",
                "[crio.runtime]\ndefault_runtime = 'nvidia'\n[crio.runtime.runtimes.nvidia]\nruntime_path = '/x'\n",
            ),
            ("usr/bin/podman", ""),
        ]);
        let [crio, podman] = engines.as_slice() else {
            panic!("{engines:?}")
        };
        assert_eq!(crio.nvidia_runtime, Some("/x".into()));
        assert_eq!(crio.default_runtime.as_deref(), Some("nvidia"));
        assert_eq!(crio.systemd_cgroup, Some(false));
        assert_eq!(podman.program, Some("/usr/bin/podman".into()));
        assert_eq!(podman.cdi, Some(true));
    }
}
