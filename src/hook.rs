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
mod environment;
pub mod update_application_profile;
pub mod update_ldcache;

use std::cell::Cell;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs, SubCommand};
use nix::sys::stat::{Mode, umask};

use disabled::Disabled;
use environment::Environment;

use crate::diagnostics::{set_container, set_hook};
use crate::oci::State;
use crate::rootfs::ContainerRoot;
use crate::sandbox::{self, Mounts};
use crate::watchdog;

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
    /// Does what the hook is for, in the container whose state the runtime gives it.
    pub fn run(&self) -> Result<()> {
        let caller = Caller {
            by_config: Disabled::by_config(),
            is_strict: Cell::new(self.strict),
        };
        self.run_command(&caller)?;
        ensure!(
            !(caller.is_strict.get() && crate::diagnostics::warnings() > 0),
            "there were warnings, and --strict was asked for"
        );
        Ok(())
    }

    fn run_command(&self, caller: &Caller) -> Result<()> {
        match &self.command {
            Command::UpdateLdcache(hook) => run(caller, hook, || {
                let options = hook.options()?;
                let spec = hook.container_spec.as_deref();
                caller.in_container_that(hook, spec, update_ldcache::mounts, |root| {
                    update_ldcache::run(root, &options)
                })
            }),
            Command::CreateSymlinks(hook) => run(caller, hook, || {
                let spec = hook.container_spec.as_deref();
                caller.in_container(hook, spec, |root| hook.run(root))
            }),
            Command::Chmod(hook) => run(caller, hook, || {
                let options = hook.options()?;
                let spec = hook.container_spec.as_deref();
                caller.in_container(hook, spec, |root| chmod::run(root, &options))
            }),
            Command::EnableCudaCompat(hook) => run(caller, hook, || {
                let options = hook.options();
                if !options.has_versions() {
                    log::debug!("no version of the host is given: nothing is done");
                    return Ok(());
                }
                caller.in_container(hook, hook.container_spec.as_deref(), |root| {
                    enable_cuda_compat::run(root, &options);
                    Ok(())
                })
            }),
            Command::DisableDeviceNodeModification(hook) => run(caller, hook, || {
                let Some(params) = disable_device_node_modification::params_for_container() else {
                    return Ok(());
                };
                let spec = hook.container_spec.as_deref();
                let mounts = disable_device_node_modification::mounts;
                caller.in_container_that(hook, spec, mounts, |root| {
                    disable_device_node_modification::run(root, &params);
                    Ok(())
                })
            }),
            Command::UpdateApplicationProfile(hook) => run(caller, hook, || {
                let spec = hook.container_spec.as_deref();
                caller.in_container(hook, spec, update_application_profile::run)
            }),
            Command::CreateSonameSymlinks(hook) => run(caller, hook, || {
                let folders = hook.folders()?;
                caller.in_container(hook, hook.container_spec.as_deref(), |root| {
                    create_soname_symlinks::run(root, &folders);
                    Ok(())
                })
            }),
            Command::Apply(hook) => run(caller, hook, || {
                let options = hook.options(&caller.by_config)?;
                let (state, disabled) = caller.load(hook.container_spec.as_deref())?;
                let options = options.without(&disabled);
                if options.is_nothing() {
                    return Ok(());
                }
                let root = open(&state, |root| apply::mounts(root, &options))?;
                apply::run(&root, &options)
            }),
            Command::Noop(Noop {}) => Ok(()),
        }
    }
}

/// The name of a hook.
fn name<H: SubCommand>() -> &'static str {
    H::COMMAND.name
}

/// Does the work of a hook, unless the host's configuration switches it off.
fn run<H: SubCommand>(caller: &Caller, _: &H, work: impl FnOnce() -> Result<()>) -> Result<()> {
    set_hook(name::<H>());
    if caller.by_config.leaves::<H>(true) {
        work()
    } else {
        Ok(())
    }
}

/// Who calls the hook, and how.
struct Caller {
    by_config: Disabled,
    is_strict: Cell<bool>,
}

impl Caller {
    /// Reads the state, and what the environment and annotations say of hooks.
    fn load(&self, spec: Option<&str>) -> Result<(State, Disabled)> {
        // Modes are what the hook says, whatever the runtime's umask is.
        umask(Mode::empty());
        let state = State::load(spec)?;
        set_container(&state.id);
        let environment = Environment::of(&state);
        self.is_strict
            .set(self.is_strict.get() || environment.is_strict);
        let disabled = Disabled::by_caller(&state, &environment);
        Ok((state, disabled))
    }

    fn in_container<H: SubCommand>(
        &self,
        hook: &H,
        spec: Option<&str>,
        effect: impl Fn(&ContainerRoot) -> Result<()>,
    ) -> Result<()> {
        self.in_container_that(hook, spec, |_| Mounts::None, effect)
    }

    /// The same for a hook that may have to mount something.
    fn in_container_that<H: SubCommand>(
        &self,
        _: &H,
        spec: Option<&str>,
        mounts: impl Fn(&ContainerRoot) -> Mounts,
        effect: impl Fn(&ContainerRoot) -> Result<()>,
    ) -> Result<()> {
        let (state, disabled) = self.load(spec)?;
        if !disabled.leaves::<H>(true) {
            return Ok(());
        }
        effect(&open(&state, mounts)?)
    }
}

/// Opens the container's root and gives up what the hook does not need there.
fn open(state: &State, mounts: impl Fn(&ContainerRoot) -> Mounts) -> Result<ContainerRoot> {
    watchdog::start();
    let mut root = state.open_root()?;
    let mounts = mounts(&root);
    sandbox::enter(&mut root, mounts);
    Ok(root)
}
