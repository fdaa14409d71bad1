//! The hooks: what OCI runtimes call while they make a container.
//!
//! A hook is a straight line: it checks its options, reads the [`State`], opens the container's root, and does its one job there.
//! That job is the `run` of each module, a function of a root and of options, for [`apply`] and for other programs as well: it
//! knows no command line and no state, gives up no privileges, and makes directories under the umask of its caller.

pub mod apply;
pub mod chmod;
pub mod create_soname_symlinks;
pub mod create_symlinks;
pub mod disable_device_node_modification;
mod disabled;
mod drop_in;
pub mod enable_cuda_compat;
pub mod update_application_profile;
pub mod update_ldcache;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs, SubCommand};
use nix::sys::stat::{Mode, umask};

use disabled::Disabled;

use crate::log::{set_container, set_hook};
use crate::oci::State;
use crate::rootfs::ContainerRoot;
use crate::sandbox::{self, Mounts};
use crate::watchdog;

/// Annotation with which a container's owner says that no hook shall touch it: `off`.
const OPT_OUT: &str = "nvidia-ctk.hooks";

/// Run one of the hooks that container runtimes call, with the OCI state on standard input.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "hook",
    help_triggers("-h", "--help"),
    note = "Hooks named in NVIDIA_CTK_DISABLE_HOOKS, with commas between them, or in nvidia-ctk.disabled-hooks of the host's \
            config.toml do nothing; \"all\" are all of them."
)]
pub struct Hook {
    /// fail where a warning is given
    #[argh(switch)]
    pub strict: bool,
    #[argh(subcommand)]
    /// which hook
    pub command: Command,
}

/// Every hook, under the name that CDI specs use.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum Command {
    /// `update-ldcache`
    UpdateLdcache(update_ldcache::UpdateLdcache),
    /// `create-symlinks`
    CreateSymlinks(create_symlinks::CreateSymlinks),
    /// `chmod`
    Chmod(chmod::Chmod),
    /// `enable-cuda-compat`
    EnableCudaCompat(enable_cuda_compat::EnableCudaCompat),
    /// `disable-device-node-modification`
    DisableDeviceNodeModification(disable_device_node_modification::DisableDeviceNodeModification),
    /// `update-application-profile`
    UpdateApplicationProfile(update_application_profile::UpdateApplicationProfile),
    /// `create-soname-symlinks`
    CreateSonameSymlinks(create_soname_symlinks::CreateSonameSymlinks),
    /// `apply`
    Apply(apply::Apply),
    /// `noop`
    Noop(Noop),
}

/// Do nothing and exit 0, without reading standard input.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "noop", help_triggers("-h", "--help"))]
pub struct Noop {}

impl Hook {
    /// Does what the hook is for, in the container whose state the runtime tells.
    pub fn run(&self) -> Result<()> {
        self.run_command()?;
        ensure!(
            !(self.strict && crate::log::warnings() > 0),
            "there were warnings, and --strict was asked for"
        );
        Ok(())
    }

    fn run_command(&self) -> Result<()> {
        match &self.command {
            Command::UpdateLdcache(hook) => run(hook, |_| {
                let options = hook.options()?;
                in_container_that(
                    hook.container_spec.as_deref(),
                    update_ldcache::mounts,
                    |root| update_ldcache::run(root, &options),
                )
            }),
            Command::CreateSymlinks(hook) => run(hook, |_| {
                in_container(hook.container_spec.as_deref(), |root| hook.run(root))
            }),
            Command::Chmod(hook) => run(hook, |_| {
                let options = hook.options()?;
                in_container(hook.container_spec.as_deref(), |root| {
                    chmod::run(root, &options)
                })
            }),
            Command::EnableCudaCompat(hook) => run(hook, |_| {
                let options = hook.options();
                if !options.has_versions() {
                    log::debug!("no version of the host is given: nothing is done");
                    return Ok(());
                }
                in_container(hook.container_spec.as_deref(), |root| {
                    enable_cuda_compat::run(root, &options);
                    Ok(())
                })
            }),
            Command::DisableDeviceNodeModification(hook) => run(hook, |_| {
                let Some(params) = disable_device_node_modification::params_for_container() else {
                    return Ok(());
                };
                in_container_that(
                    hook.container_spec.as_deref(),
                    disable_device_node_modification::mounts,
                    |root| {
                        disable_device_node_modification::run(root, &params);
                        Ok(())
                    },
                )
            }),
            Command::UpdateApplicationProfile(hook) => run(hook, |_| {
                in_container(
                    hook.container_spec.as_deref(),
                    update_application_profile::run,
                )
            }),
            Command::CreateSonameSymlinks(hook) => run(hook, |_| {
                let folders = hook.folders()?;
                in_container(hook.container_spec.as_deref(), |root| {
                    create_soname_symlinks::run(root, &folders);
                    Ok(())
                })
            }),
            Command::Apply(hook) => run(hook, |disabled| {
                let options = hook.options(disabled)?;
                in_container_that(
                    hook.container_spec.as_deref(),
                    |root| apply::mounts(root, &options),
                    |root| apply::run(root, &options),
                )
            }),
            Command::Noop(Noop {}) => Ok(()),
        }
    }
}

/// The name of a hook.
fn name<H: SubCommand>() -> &'static str {
    H::COMMAND.name
}

/// Does the work of a hook, unless it is switched off.
fn run<H: SubCommand>(_: &H, work: impl FnOnce(&Disabled) -> Result<()>) -> Result<()> {
    set_hook(name::<H>());
    let disabled = Disabled::read();
    if disabled.leaves::<H>(true) {
        work(&disabled)
    } else {
        Ok(())
    }
}

fn in_container(spec: Option<&str>, effect: impl Fn(&ContainerRoot) -> Result<()>) -> Result<()> {
    in_container_that(spec, |_| Mounts::None, effect)
}

/// The same for a hook that may have to mount something.
fn in_container_that(
    spec: Option<&str>,
    mounts: impl Fn(&ContainerRoot) -> Mounts,
    effect: impl Fn(&ContainerRoot) -> Result<()>,
) -> Result<()> {
    // Modes are what the hook says, whatever the runtime's umask is.
    umask(Mode::empty());
    let state = State::load(spec)?;
    set_container(&state.id);
    if state.annotations.get(OPT_OUT).is_some_and(|it| it == "off") {
        log::debug!("the annotation {OPT_OUT} is off: nothing is done");
        return Ok(());
    }
    watchdog::start();
    let mut root = state.open_root()?;
    let mounts = mounts(&root);
    sandbox::enter(&mut root, mounts);
    effect(&root)
}
