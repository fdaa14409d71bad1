//! Which documents of an engine change, and how.

mod containerd;
mod crio;
mod current;
mod files;
mod generated;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use toml_edit::Table;

use crate::engine::Engine;
use crate::engine::configuration::{Base, Configuration, Handler};
use crate::engine::crio::CrioConf;
use crate::engine::docker::DaemonJson;
use crate::engine::podman::ContainersConf;
use crate::hooks_dir;
pub(super) use current::{Current, advise};
use files::Files;

use generated::Generator;

/// The name of our drop-in file.
const DROP_IN: &str = "99-nvidia.toml";

/// The request of the command line.
pub(super) struct Request {
    pub(super) engine: Engine,
    pub(super) handler: Handler,
    /// Whether the program was named; if not, a configured one that works is kept.
    pub(super) is_path_given: bool,
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
    /// The usual one of the engine.
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

/// What is edited, and for which runtime.
pub(super) struct Plan {
    pub(super) engine: Engine,
    pub(super) handler: Handler,
    pub(super) targets: Vec<Target>,
}

/// A file, and what is to be edited in it.
pub(super) struct Target {
    pub(super) current: Current,
    pub(super) document: Box<dyn Configuration>,
    /// Whether it is our drop-in file, not the engine's own.
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
    /// The drop-in file that was named, or the usual one.
    fn drop_in_file(&self, generator: Option<Generator>) -> Option<PathBuf> {
        match &self.drop_in {
            DropIn::InPlace => None,
            DropIn::File(path) => Some(path.clone()),
            DropIn::Default => {
                let generators = generator.and_then(Generator::drop_in_folder);
                let folder = generators.or(self.engine.drop_in_folder())?;
                Some(self.config.parent()?.join(folder).join(DROP_IN))
            }
        }
    }

    /// How to find a configured runtime in the engine's file.
    fn document(&self) -> Option<Box<dyn Configuration>> {
        match self.engine {
            Engine::Docker => Some(Box::new(DaemonJson)),
            Engine::Containerd => Some(Box::new(containerd::any())),
            Engine::Crio => Some(Box::new(CrioConf { base: Base::Own })),
            Engine::Podman => None,
        }
    }

    fn program(&self) -> &str {
        let default = match self.engine {
            Engine::Crio => "crio",
            _ => "containerd",
        };
        self.executable.as_deref().unwrap_or(default)
    }
}

/// The edits that add the runtime, in an order in which no file refers to one that does not exist yet.
pub(super) fn add(mut request: Request) -> Result<Plan> {
    let files = Files::read(&request)?;
    if let Some(generator) = files.generator {
        generator.permit(&files.main, request.engine)?;
    }
    if !request.is_path_given
        && let Some(document) = request.document()
        && let Some(path) = files.working_program(&*document, &request.handler.name)
    {
        request.handler.path = path;
    }
    let targets = match request.engine {
        Engine::Docker => vec![Target::main(files.main, DaemonJson)],
        Engine::Containerd => containerd::add(&request, files)?,
        Engine::Crio => crio::add(&request, files)?,
        Engine::Podman => {
            let containers = containers(&request);
            ensure!(
                is_directory(&containers.hooks_dir),
                "{} does not exist: 'nvidia-ctk install' installs the hooks there",
                containers.hooks_dir
            );
            vec![Target::main(files.main, containers)]
        }
    };
    Ok(Plan::new(request, targets))
}

/// The edits that remove the runtime, in the opposite order.
pub(super) fn remove(request: Request) -> Result<Plan> {
    let files = Files::read(&request)?;
    let targets = match request.engine {
        Engine::Docker => vec![Target::main(files.main, DaemonJson)],
        Engine::Podman => vec![Target::main(files.main, containers(&request))],
        Engine::Crio => crio::remove(&request, files)?,
        Engine::Containerd => containerd::remove(&request, files)?,
    };
    Ok(Plan::new(request, targets))
}

impl Plan {
    fn new(request: Request, targets: Vec<Target>) -> Self {
        Self {
            engine: request.engine,
            handler: request.handler,
            targets,
        }
    }
}

fn settings(base: Option<Table>, plain: impl FnOnce() -> Table) -> Table {
    base.unwrap_or_else(|| {
        log::info!(
            "No configured runtime has suitable settings (the default one, runc or crun, of runc's type): the usual ones are used"
        );
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
