//! Which documents of an engine change, and how.

mod containerd;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use toml_edit::Table;

use crate::document::EditError;
use crate::document::toml::unindent;
use crate::engine::Engine;
use crate::engine::configuration::{Base, Configuration, Handler};
use crate::engine::crio::{self, CrioConf};
use crate::engine::docker::DaemonJson;
use crate::engine::podman::ContainersConf;
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

/// A file of an engine as it is, read once.
pub(super) struct Current {
    pub(super) path: PathBuf,
    /// None if it is not there.
    pub(super) text: Option<String>,
}

impl Current {
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let text = file::read(&path)
            .map_err(advise)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, text })
    }

    /// A file that is not there is taken as empty.
    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(super) fn invalid(&self, err: &EditError) -> anyhow::Error {
        anyhow!("{}:{err}", self.path.display())
    }
}

/// Says what to do about an error that the user can do something about.
pub(super) fn advise(err: io::Error) -> anyhow::Error {
    match err.kind() {
        io::ErrorKind::PermissionDenied => {
            anyhow!("{err}: be root, or name a file of yours with --config")
        }
        _ => err.into(),
    }
}

/// A file, and what is to be edited in it.
pub(super) struct Target {
    pub(super) current: Current,
    pub(super) document: Box<dyn Configuration>,
    /// Whether it is a file of ours beside the engine's own.
    pub(super) is_drop_in: bool,
}

impl Target {
    fn main(current: Current, document: impl Configuration + 'static) -> Self {
        Self {
            current,
            document: Box::new(document),
            is_drop_in: false,
        }
    }

    fn drop_in(current: Current, document: impl Configuration + 'static) -> Self {
        Self {
            is_drop_in: true,
            ..Self::main(current, document)
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

    /// The engine's configuration file.
    fn read_config(&self) -> Result<Current> {
        let config = Current::read(self.config.clone())?;
        if config.text.is_none() {
            log::debug!(
                "{} does not exist: it is taken as empty",
                self.config.display()
            );
        }
        Ok(config)
    }
}

/// The edits that put the runtime in, in their order: nothing names a file that is not there yet.
pub(super) fn add(request: &Request) -> Result<Vec<Target>> {
    let main = request.read_config()?;
    match request.engine {
        Engine::Docker => Ok(vec![Target::main(main, DaemonJson)]),
        Engine::Containerd => containerd::add(request, main),
        Engine::Crio => Ok(vec![add_to_crio(request, main)?]),
        Engine::Podman => {
            let containers = containers(request);
            ensure!(
                is_directory(&containers.hooks_dir),
                "{} is not there: `nvidia-ctk install` puts the hooks there",
                containers.hooks_dir
            );
            Ok(vec![Target::main(main, containers)])
        }
    }
}

/// The edits that take it out of the file that it is in, in the opposite order.
pub(super) fn remove(request: &Request) -> Result<Vec<Target>> {
    let main = request.read_config()?;
    match request.engine {
        Engine::Docker => Ok(vec![Target::main(main, DaemonJson)]),
        Engine::Podman => Ok(vec![Target::main(main, containers(request))]),
        Engine::Crio => {
            let conf = CrioConf { base: Base::Own };
            Ok(vec![match drop_in_with_runtime(request, &conf)? {
                Some(drop_in) => Target::drop_in(drop_in, conf),
                None => Target::main(main, conf),
            }])
        }
        Engine::Containerd => containerd::remove(request, main),
    }
}

/// The drop-in, if the runtime is in it: then one of the same name elsewhere is not ours.
fn drop_in_with_runtime(
    request: &Request,
    document: &impl Configuration,
) -> Result<Option<Current>> {
    let Some(path) = request.drop_in_file() else {
        return Ok(None);
    };
    let drop_in = Current::read(path)?;
    let found = document.find(drop_in.text(), &request.handler.name);
    let found = found.map_err(|err| drop_in.invalid(&err))?;
    Ok(found.map(|_| drop_in))
}

fn add_to_crio(request: &Request, main: Current) -> Result<Target> {
    let base = match request.source {
        Source::File => crio::base(main.text()).map_err(|err| main.invalid(&err)),
        Source::Command => crio::base(&ask_crio(request)?)
            .map_err(|err| anyhow!("the answer of {}: {err}", request.program())),
    }?;
    let mut base = settings(base, Table::new);
    Ok(match (request.drop_in_file(), request.source) {
        (Some(path), _) => {
            unindent(&mut base);
            let base = Base::Followed(base);
            Target::drop_in(Current::read(path)?, CrioConf { base })
        }
        (None, Source::Command) => {
            let base = Base::Other(base);
            Target::main(main, CrioConf { base })
        }
        (None, Source::File) => Target::main(main, CrioConf { base: Base::Own }),
    })
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
