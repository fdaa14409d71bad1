//! `runtime configure` and `runtime unconfigure`: their options.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};

use super::apply::{self, Mode};
use super::plan::{self, DropIn, Request, Source};
use crate::engine::Engine;
use crate::engine::configuration::Handler;
use crate::hooks_dir::nvidia_runtime_hook;
use crate::host::program;

const PROGRAM: &str = "nvidia-container-runtime";
const PROGRAM_PATH: &str = "/usr/bin/nvidia-container-runtime";
const HOOK_PROGRAM: &str = "/usr/bin/nvidia-container-runtime-hook";

/// Add the NVIDIA runtime to the configuration of a container engine. Other settings stay as they are, a second run changes
/// nothing, and unconfigure reverts it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "configure",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk runtime configure --runtime docker --enable-cdi --diff\n\
               nvidia-ctk runtime configure --runtime containerd --nvidia-set-as-default"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
pub(super) struct Configure {
    /// engine: docker, containerd, crio or podman (default: docker)
    #[argh(
        option,
        long = "runtime",
        arg_name = "name",
        default = "Engine::Docker"
    )]
    engine: Engine,
    /// configuration file of the engine (default: the system's, such as
    /// /etc/docker/daemon.json)
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// drop-in file to edit, for containerd and crio; "" to edit the configuration
    /// file itself
    #[argh(option, arg_name = "file")]
    drop_in_config: Option<String>,
    /// name of the runtime (default: nvidia)
    #[argh(option, arg_name = "name", default = "String::from(\"nvidia\")")]
    nvidia_runtime_name: String,
    /// program of the runtime (default: the configured one if it exists, else
    /// nvidia-container-runtime); also --runtime-path
    #[argh(option, arg_name = "path")]
    nvidia_runtime_path: Option<String>,
    /// make it the default, for containers that name no runtime; also --set-as-default
    #[argh(switch)]
    nvidia_set_as_default: bool,
    /// let the engine resolve CDI devices; also --cdi.enabled
    #[argh(switch)]
    enable_cdi: bool,
    /// source of the new runtime's settings: file, or command, which asks the
    /// engine (default: file)
    #[argh(option, arg_name = "source", default = "String::from(\"file\")")]
    config_source: String,
    /// program of the engine, asked for its version and with
    /// --config-source=command
    #[argh(option, arg_name = "path")]
    executable_path: Option<String>,
    /// what to write: config-file, or oci-hook, a file for hooks.d (default:
    /// config-file)
    #[argh(option, arg_name = "mode", default = "String::new()")]
    config_mode: String,
    /// file to write with --config-mode=oci-hook (default: standard output); for
    /// podman, a file in the hooks directory
    #[argh(option, arg_name = "file")]
    oci_hook_path: Option<String>,
    /// program of that hook (default: /usr/bin/nvidia-container-runtime-hook)
    #[argh(option, arg_name = "path", default = "String::from(HOOK_PROGRAM)")]
    nvidia_runtime_hook_path: String,
    /// remove the runtime, as unconfigure does
    #[argh(switch)]
    remove: bool,
    /// print the new documents and write nothing
    #[argh(switch)]
    dry_run: bool,
    /// print the changes as diff -u does and write nothing
    #[argh(switch)]
    diff: bool,
}

/// Remove the NVIDIA runtime from the configuration of a container engine, and restore the previous default. A file that nobody has
/// edited since is restored byte for byte.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "unconfigure",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk runtime unconfigure --runtime docker --diff\nnvidia-ctk runtime unconfigure --runtime containerd"
)]
pub(super) struct Unconfigure {
    /// engine: docker, containerd, crio or podman (default: docker)
    #[argh(
        option,
        long = "runtime",
        arg_name = "name",
        default = "Engine::Docker"
    )]
    engine: Engine,
    /// configuration file of the engine (default: the system's, such as
    /// /etc/docker/daemon.json)
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// drop-in file that was edited, for containerd and crio; "" if it was the
    /// configuration file itself
    #[argh(option, arg_name = "file")]
    drop_in_config: Option<String>,
    /// name of the runtime (default: nvidia)
    #[argh(option, arg_name = "name", default = "String::from(\"nvidia\")")]
    nvidia_runtime_name: String,
    /// what was written: config-file, or oci-hook, a file for hooks.d (default:
    /// config-file)
    #[argh(option, arg_name = "mode", default = "String::new()")]
    config_mode: String,
    /// file that --config-mode=oci-hook wrote; for podman, a file in the hooks
    /// directory
    #[argh(option, arg_name = "file")]
    oci_hook_path: Option<String>,
    /// program of that hook (default: /usr/bin/nvidia-container-runtime-hook)
    #[argh(option, arg_name = "path", default = "String::from(HOOK_PROGRAM)")]
    nvidia_runtime_hook_path: String,
    /// print the new documents and write nothing
    #[argh(switch)]
    dry_run: bool,
    /// print the changes as diff -u does and write nothing
    #[argh(switch)]
    diff: bool,
}

impl Configure {
    /// Edits the configuration. Refuses contradictory options before anything is read; options without effect are only warnings.
    pub(super) fn run(&self) -> Result<()> {
        let mode = Mode::new(self.dry_run, self.diff);
        if is_hook_mode(&self.config_mode, self.engine) {
            return self.write_hook(mode);
        }
        let request = self.request()?;
        if self.remove {
            return apply::remove(plan::remove(request)?, mode);
        }
        let plan = plan::add(request)?;
        let program = plan.handler.path.clone();
        apply::add(plan, mode)?;
        if self.engine != Engine::Podman {
            warn_if_missing(&program);
        }
        Ok(())
    }

    fn request(&self) -> Result<Request> {
        let engine = self.engine;
        let handler = Handler {
            name: name(&self.nvidia_runtime_name)?,
            path: self.program()?,
            is_default: self.nvidia_set_as_default,
            cdi: self.enable_cdi,
        };
        self.warn_of_what_is_ignored();
        let source = match (self.config_source.as_str(), engine) {
            ("file", _) => Source::File,
            ("command", Engine::Containerd | Engine::Crio) => Source::Command,
            ("command", _) => {
                log::warn!("A command Config Source is not supported for {engine}; using file");
                Source::File
            }
            (unknown, _) => bail!("unrecognized Config Source: {unknown}; known are file, command"),
        };
        Ok(Request {
            engine,
            handler,
            is_path_given: self.nvidia_runtime_path.is_some(),
            config: config(self.config.as_deref(), engine)?,
            drop_in: drop_in(self.drop_in_config.as_deref(), engine)?,
            source,
            executable: self.executable_path.clone(),
            hook: self.oci_hook_path.as_deref().map(absolute).transpose()?,
        })
    }

    fn program(&self) -> Result<String> {
        let path = self.nvidia_runtime_path.as_deref().unwrap_or(PROGRAM);
        ensure!(!path.is_empty(), "the NVIDIA runtime path is empty");
        match self.engine {
            // Docker looks a bare name up in its PATH; the others do not.
            Engine::Docker if !path.contains('/') => Ok(path.to_owned()),
            Engine::Containerd | Engine::Crio if path == PROGRAM => Ok(PROGRAM_PATH.to_owned()),
            Engine::Podman => Ok(path.to_owned()),
            _ => {
                ensure!(
                    path.starts_with('/'),
                    "the NVIDIA runtime path \"{path}\" is not an absolute path"
                );
                Ok(path.to_owned())
            }
        }
    }

    fn warn_of_what_is_ignored(&self) {
        let engine = self.engine;
        let is_podman = engine == Engine::Podman;
        if self.enable_cdi && (is_podman || engine == Engine::Crio) {
            log::warn!("Ignoring cdi.enabled flag for {engine}");
        }
        if self.nvidia_set_as_default && is_podman {
            log::warn!(
                "Ignoring nvidia-set-as-default flag for podman: it has hooks, not a runtime"
            );
        }
        if let Some(path) = &self.executable_path
            && matches!(engine, Engine::Docker | Engine::Podman)
        {
            log::warn!("Ignoring executable-path=\"{path}\" flag for {engine}");
        }
    }

    fn write_hook(&self, mode: Mode) -> Result<()> {
        let (path, program) = (&self.oci_hook_path, &self.nvidia_runtime_hook_path);
        if self.remove {
            return remove_hook(path.as_deref(), program, mode);
        }
        let document = hook_document(program)?;
        match path {
            Some(path) => {
                apply::write_hook(Path::new(path), &document, mode)?;
                warn_if_missing(program);
                Ok(())
            }
            None => Ok(crate::stdout::output(&document)?),
        }
    }
}

impl Unconfigure {
    pub(super) fn run(&self) -> Result<()> {
        let mode = Mode::new(self.dry_run, self.diff);
        if is_hook_mode(&self.config_mode, self.engine) {
            let path = self.oci_hook_path.as_deref();
            return remove_hook(path, &self.nvidia_runtime_hook_path, mode);
        }
        let request = Request {
            engine: self.engine,
            handler: Handler {
                name: name(&self.nvidia_runtime_name)?,
                ..Handler::default()
            },
            is_path_given: false,
            config: config(self.config.as_deref(), self.engine)?,
            drop_in: drop_in(self.drop_in_config.as_deref(), self.engine)?,
            source: Source::File,
            executable: None,
            hook: self.oci_hook_path.as_deref().map(absolute).transpose()?,
        };
        apply::remove(plan::remove(request)?, mode)
    }
}

/// Whether to write the file of a hook instead of the configuration of an engine.
fn is_hook_mode(mode: &str, engine: Engine) -> bool {
    let is_hook = matches!(mode, "hook" | "oci-hook");
    if is_hook {
        log::warn!("The \"oci-hook\" config-mode is deprecated");
    } else if !matches!(mode, "" | "config" | "config-file") {
        log::warn!("Ignoring unsupported config mode for {engine}: \"{mode}\"");
    }
    is_hook
}

fn hook_document(program: &str) -> Result<String> {
    ensure!(
        program.starts_with('/'),
        "the NVIDIA runtime hook path \"{program}\" is not an absolute path"
    );
    nvidia_runtime_hook::document(program)
}

fn remove_hook(path: Option<&str>, program: &str, mode: Mode) -> Result<()> {
    let path = path.context("--oci-hook-path is missing: name the file that was written")?;
    apply::remove_hook(Path::new(path), &hook_document(program)?, mode)
}

fn name(name: &str) -> Result<String> {
    ensure!(!name.is_empty(), "the NVIDIA runtime name is empty");
    Ok(name.to_owned())
}

fn config(path: Option<&str>, engine: Engine) -> Result<PathBuf> {
    let path = path.filter(|path| !path.is_empty());
    absolute(path.unwrap_or_else(|| engine.default_config()))
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find \"{path}\""))
}

fn drop_in(path: Option<&str>, engine: Engine) -> Result<DropIn> {
    match path {
        None => Ok(DropIn::Default),
        Some("") => Ok(DropIn::InPlace),
        Some(_) if engine.drop_in_folder().is_none() => {
            bail!("runtime {engine} does not support drop-in configs")
        }
        Some(path) => {
            ensure!(
                path.starts_with('/'),
                "the drop-in-config path \"{path}\" is not an absolute path"
            );
            Ok(DropIn::File(path.into()))
        }
    }
}

/// The engine reports a missing program only when the first container starts.
fn warn_if_missing(program: &str) {
    if program::find_here(program.as_ref()).is_none() {
        log::warn!("{program} is not there: containers that ask for it will not start");
    }
}
