//! Which documents of an engine change, and how.

mod containerd;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use toml_edit::Table;

use crate::document::Invalid;
use crate::document::toml::unindent;
use crate::engine::configuration::{Base, Configuration, Handler};
use crate::engine::docker::DaemonJson;
use crate::engine::podman::ContainersConf;
use crate::engine::{Engine, crio};
use crate::hooks_dir;
use crate::host::{file, program};

/// The name of our file among those that an engine reads besides.
const DROP_IN: &str = "99-nvidia.toml";

/// What is asked for.
pub(super) struct Request {
    pub(super) engine: Engine,
    pub(super) handler: Handler,
    /// The engine's configuration file, absolute.
    pub(super) config: PathBuf,
    pub(super) drop_in: DropIn,
    pub(super) source: Source,
    /// The engine's program.
    pub(super) executable: Option<String>,
    /// A file in a hooks.d directory.
    pub(super) hook: Option<PathBuf>,
}

/// Which file the runtime is written to.
pub(super) enum DropIn {
    /// The one that suits the engine.
    Default,
    /// The configuration file itself.
    InPlace,
    /// This one, absolute.
    File(PathBuf),
}

/// Where the settings of the new runtime come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration file.
    File,
    /// The engine's program.
    Command,
}

/// A file, and what is to be edited in it.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) document: Box<dyn Configuration>,
    /// Whether it is a file of ours beside the engine's own.
    pub(super) is_drop_in: bool,
}

impl Target {
    fn main(request: &Request, document: impl Configuration + 'static) -> Self {
        Self {
            path: request.config.clone(),
            document: Box::new(document),
            is_drop_in: false,
        }
    }

    fn drop_in(path: PathBuf, document: impl Configuration + 'static) -> Self {
        Self {
            path,
            document: Box::new(document),
            is_drop_in: true,
        }
    }
}

impl Request {
    /// The drop-in file that is asked for, or the usual one.
    fn drop_in_file(&self) -> Option<PathBuf> {
        match &self.drop_in {
            DropIn::InPlace => None,
            DropIn::File(path) => Some(path.clone()),
            DropIn::Default => {
                let folder = self.config.parent()?;
                Some(folder.join(self.engine.drop_in_folder()?).join(DROP_IN))
            }
        }
    }

    fn program(&self) -> &str {
        let default = match self.engine {
            Engine::Crio => "crio",
            _ => "containerd",
        };
        self.executable.as_deref().unwrap_or(default)
    }

    fn read_config(&self) -> Result<String> {
        let text = file::read(&self.config)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        if text.is_none() {
            log::debug!(
                "{} does not exist: it is taken as empty",
                self.config.display()
            );
        }
        Ok(text.unwrap_or_default())
    }

    fn invalid(&self, err: &Invalid) -> anyhow::Error {
        anyhow!("{}:{err}", self.config.display())
    }
}

/// The edits that put the runtime in, in their order: nothing names a file that is not there yet.
pub(super) fn add(request: &Request) -> Result<Vec<Target>> {
    match request.engine {
        Engine::Docker => Ok(vec![Target::main(request, DaemonJson)]),
        Engine::Containerd => containerd::add(request),
        Engine::Crio => add_to_crio(request),
        Engine::Podman => {
            let containers = containers(request);
            ensure!(
                is_directory(&containers.hooks_dir),
                "{} is not there: `nvidia-ctk install` puts the hooks there",
                containers.hooks_dir
            );
            Ok(vec![Target::main(request, containers)])
        }
    }
}

/// The edits that take it out of the file that it is in, in the opposite order.
pub(super) fn remove(request: &Request) -> Result<Vec<Target>> {
    match request.engine {
        Engine::Docker => Ok(vec![Target::main(request, DaemonJson)]),
        Engine::Podman => Ok(vec![Target::main(request, containers(request))]),
        Engine::Crio => {
            let conf = || crio::CrioConf { base: Base::Own };
            let main = Target::main(request, conf());
            Ok(match request.drop_in_file() {
                Some(path) if is_in(request, &path, &conf())? => {
                    vec![Target::drop_in(path, conf())]
                }
                _ => vec![main],
            })
        }
        Engine::Containerd => containerd::remove(request),
    }
}

/// Whether the runtime is in this file: then one of the same name elsewhere is not ours.
fn is_in(request: &Request, path: &Path, document: &impl Configuration) -> Result<bool> {
    let text = file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = document.find(&text.unwrap_or_default(), &request.handler.name);
    let found = found.map_err(|err| anyhow!("{}:{err}", path.display()))?;
    Ok(found.is_some())
}

fn add_to_crio(request: &Request) -> Result<Vec<Target>> {
    let text = match request.source {
        Source::File => request.read_config()?,
        Source::Command => ask_crio(request)?,
    };
    let base = crio::base(&text).map_err(|err| match request.source {
        Source::File => request.invalid(&err),
        Source::Command => anyhow!("the answer of {}: {err}", request.program()),
    })?;
    let mut base = settings(base, Table::new);
    Ok(vec![match (request.drop_in_file(), request.source) {
        (Some(path), _) => {
            unindent(&mut base);
            let base = Base::Followed(base);
            Target::drop_in(path, crio::CrioConf { base })
        }
        (None, Source::Command) => {
            let base = Base::Other(base);
            Target::main(request, crio::CrioConf { base })
        }
        (None, Source::File) => Target::main(request, crio::CrioConf { base: Base::Own }),
    }])
}

fn ask_crio(request: &Request) -> Result<String> {
    program::ask(request.program(), &["status", "config"]).or_else(|first| {
        program::ask("crio-status", &["config"]).map_err(|second| anyhow!("{first:#}; {second:#}"))
    })
}

fn settings(base: Option<Table>, plain: impl FnOnce() -> Table) -> Table {
    base.unwrap_or_else(|| {
        log::info!("No default runtime, runc or crun is configured to take settings from; the usual ones do");
        plain()
    })
}

fn containers(request: &Request) -> ContainersConf {
    let [default, _] = hooks_dir::DIRECTORIES;
    let folder = request.hook.as_deref().and_then(Path::parent);
    let hooks_dir = folder.map_or(default.into(), Path::to_string_lossy);
    ContainersConf {
        hooks_dir: hooks_dir.into_owned(),
        default_dirs: hooks_dir::DIRECTORIES
            .into_iter()
            .filter(|directory| is_directory(directory))
            .map(str::to_owned)
            .collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a directory of the host")]
fn is_directory(path: &str) -> bool {
    Path::new(path).is_dir()
}
