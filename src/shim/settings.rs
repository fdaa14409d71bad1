//! The settings of the runtime in the toolkit's config.toml.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};

use super::file;
use crate::document::toml::Document;
use crate::rootfs::{Root, is_not_there};

/// The maximum size of the file.
const MAX_SETTINGS: u64 = 1 << 20;
const VARIABLE: &str = "NVIDIA_CTK_CONFIG_FILE_PATH";
const XDG: &str = "XDG_CONFIG_HOME";
const USUAL: &str = "/etc";
/// All modes but csv, the one for Jetson, are equivalent here.
const MODES: [&str; 5] = ["auto", "cdi", "csv", "jit-cdi", "legacy"];
/// The table of the runtime's keys.
const RUNTIME: &str = "nvidia-container-runtime";
const FILE: &str = "nvidia-container-runtime/config.toml";

/// The settings. Values that a broken file does not contain are the defaults, and `broken` has the error.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// The error in it.
    pub broken: Option<Error>,
    /// An additional file for errors.
    pub debug: Option<PathBuf>,
    /// Whether specs are generated from Jetson's CSV files.
    pub uses_lists: bool,
    /// Low-level runtimes, in order of preference.
    pub runtimes: Vec<String>,
    /// Whether variables are accepted from unprivileged containers.
    pub accepts_variables: bool,
    /// Whether mounts can request devices.
    pub accepts_mounts: bool,
    /// Variables that precede the usual one.
    pub swarm: Vec<String>,
    /// The prefixes of annotations that request devices.
    pub annotation_prefixes: Vec<String>,
    /// The kind of devices that are requested without one.
    pub default_kind: String,
    /// The directories of specs, lowest precedence first.
    pub spec_dirs: Vec<PathBuf>,
    /// The driver root.
    pub driver_root: Option<PathBuf>,
    /// Whether containers get IMEX channels.
    pub gives_channels: bool,
    /// Whether a container's process gets the groups of nodes.
    pub adds_groups: bool,
}

impl Settings {
    /// Reads the file, or returns the defaults without one.
    pub(super) fn read() -> Self {
        let path = path();
        let bytes = file::read(&path, MAX_SETTINGS);
        Self::of(path, bytes)
    }

    /// Reads the settings of the host below `root`, from the file's usual path.
    pub(crate) fn read_below(root: &Root) -> Self {
        let path = Path::new(USUAL).join(FILE);
        let bytes = root.read(&path, MAX_SETTINGS);
        Self::of(path, bytes)
    }

    fn of(path: PathBuf, bytes: io::Result<Vec<u8>>) -> Self {
        let mut settings = Self::new(path);
        let read = match bytes {
            Ok(bytes) => settings.set(&String::from_utf8_lossy(&bytes)),
            Err(err) if is_not_there(&err) => Ok(()),
            Err(err) => Err(err.into()),
        };
        // Values before the error are in effect.
        settings.broken = read.err();
        settings
    }

    /// Returns the defaults.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            broken: None,
            debug: None,
            uses_lists: false,
            runtimes: vec!["runc".to_owned(), "crun".to_owned()],
            accepts_variables: true,
            accepts_mounts: false,
            swarm: Vec::new(),
            annotation_prefixes: vec!["cdi.k8s.io/".to_owned()],
            default_kind: "nvidia.com/gpu".to_owned(),
            spec_dirs: crate::cdi::DIRECTORIES.map(PathBuf::from).to_vec(),
            driver_root: None,
            gives_channels: true,
            adds_groups: true,
        }
    }

    /// Returns the settings. Fails if the file is broken: a container with GPUs must not start with guessed settings.
    pub(super) fn whole(&self) -> Result<&Self> {
        match &self.broken {
            None => Ok(self),
            Some(why) => Err(anyhow!(
                "{}: {why:#}; 'nvidia-ctk config' shows it",
                self.path.display()
            )),
        }
    }

    fn set(&mut self, text: &str) -> Result<()> {
        let document = Document::parse(text)?;
        let bool = |path: &[&str], value: &mut bool| -> Result<()> {
            if let Some(item) = document.get(path)? {
                *value = item
                    .as_bool()
                    .with_context(|| format!("{} is neither true nor false", path.join(".")))?;
            }
            Ok(())
        };
        let list = |path: &[&str]| -> Result<Option<Vec<String>>> {
            let Some(item) = document.get(path)? else {
                return Ok(None);
            };
            let texts = || {
                let texts = item.as_array()?.iter();
                texts
                    .map(|it| it.as_str().map(str::to_owned))
                    .collect::<Option<Vec<_>>>()
            };
            let texts =
                texts().with_context(|| format!("{} is not a list of strings", path.join(".")))?;
            Ok(Some(texts))
        };
        let text = |path: &[&str]| -> Result<Option<String>> {
            let Some(item) = document.get(path)? else {
                return Ok(None);
            };
            let text = item.as_str();
            let text = text.with_context(|| format!("{} is not a string", path.join(".")))?;
            Ok(Some(text.to_owned()).filter(|it| !it.is_empty()))
        };
        let cdi = |key| [RUNTIME, "modes", "cdi", key];
        if let Some(runtimes) = list(&[RUNTIME, "runtimes"])? {
            self.runtimes = runtimes;
        }
        bool(
            &["accept-nvidia-visible-devices-envvar-when-unprivileged"],
            &mut self.accepts_variables,
        )?;
        bool(
            &["accept-nvidia-visible-devices-as-volume-mounts"],
            &mut self.accepts_mounts,
        )?;
        let mut ignores = false;
        bool(&["features", "ignore-imex-channel-requests"], &mut ignores)?;
        self.gives_channels = !ignores;
        let mut leaves_out = false;
        bool(
            &["features", "no-additional-gids-for-device-nodes"],
            &mut leaves_out,
        )?;
        self.adds_groups = !leaves_out;
        if let Some(names) = text(&["swarm-resource"])? {
            let names = names.split(',').map(str::trim).filter(|it| !it.is_empty());
            self.swarm = names.map(str::to_owned).collect();
        }
        self.driver_root = text(&["nvidia-container-cli", "root"])?.map(PathBuf::from);
        self.debug = text(&[RUNTIME, "debug"])?.map(PathBuf::from);
        if let Some(mode) = text(&[RUNTIME, "mode"])? {
            let is_known = MODES.contains(&mode.as_str());
            ensure!(
                is_known,
                "{RUNTIME}.mode is \"{mode}\", which is not one of {}",
                MODES.join(", ")
            );
            self.uses_lists = mode == "csv";
        }
        if let Some(kind) = text(&cdi("default-kind"))? {
            self.default_kind = kind;
        }
        if let Some(directories) = list(&cdi("spec-dirs"))? {
            self.spec_dirs = directories.into_iter().map(PathBuf::from).collect();
        }
        if let Some(prefixes) = list(&cdi("annotation-prefixes"))? {
            self.annotation_prefixes = prefixes;
        }
        Ok(())
    }
}

fn path() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|it| !it.is_empty());
    if let Some(path) = variable(VARIABLE) {
        return path.into();
    }
    let directory = variable(XDG).map_or(PathBuf::from(USUAL), PathBuf::from);
    directory.join(FILE)
}
