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

/// Run a hook that container runtimes call with the OCI state on standard input.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "hook",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook update-ldcache --folder /usr/lib64 <state.json\nnvidia-cdi-hook help update-ldcache",
    note = "The hooks named in NVIDIA_CTK_DISABLE_HOOKS, separated by commas, or in nvidia-ctk.disabled-hooks of the host's \
            config.toml do nothing; \"all\" names every hook."
)]
pub struct Hook {
    /// treat warnings as errors
    #[argh(switch)]
    pub strict: bool,
    #[argh(subcommand)]
    /// which hook
    pub command: HookCommand,
}

/// Whether to use a variable of this name and with this value.
pub type Counts<'c> = &'c dyn Fn(&str, &str) -> bool;

/// Every hook, under the name that CDI specs use.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum HookCommand {
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

/// Do nothing and succeed.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "noop",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook noop <state.json"
)]
pub struct Noop {}

impl Hook {
    /// Does the work of the hook in the container whose state the runtime passes.
    ///
    /// `read_again` reads the command line again with only those variables for which its argument returns true, sets the level of
    /// the log, and returns whether `--strict` is on. Fails if the hook fails, or with `--strict` if there were warnings.
    pub fn run(&self, read_again: &dyn Fn(Counts<'_>) -> bool) -> Result<()> {
        let caller = Caller {
            read_again,
            is_strict: Cell::new(self.strict),
        };
        self.run_command(&caller)?;
        ensure!(
            !(caller.is_strict.get() && crate::diagnostics::warnings() > 0),
            "there were warnings, and --strict was asked for"
        );
        Ok(())
    }

    fn run_command(&self, caller: &Caller<'_>) -> Result<()> {
        match &self.command {
            HookCommand::UpdateLdcache(hook) => caller.call(hook),
            HookCommand::CreateSymlinks(hook) => caller.call(hook),
            HookCommand::Chmod(hook) => caller.call(hook),
            HookCommand::EnableCudaCompat(hook) => caller.call(hook),
            HookCommand::DisableDeviceNodeModification(hook) => caller.call(hook),
            HookCommand::UpdateApplicationProfile(hook) => caller.call(hook),
            HookCommand::CreateSonameSymlinks(hook) => caller.call(hook),
            HookCommand::Apply(hook) => caller.call(hook),
            HookCommand::Noop(Noop {}) => {
                State::skip();
                Ok(())
            }
        }
    }
}

/// A hook's command line, and what it does in the container.
trait InContainer: SubCommand {
    /// What the command line asks for, as [`Self::run`] takes it.
    type Options;

    /// Whether the hook restricts what the container can do: only the host's configuration switches it off.
    const RESTRICTS: bool = false;

    /// The file to read the state from; `None` is standard input.
    fn container_spec(&self) -> Option<&str>;

    /// Reads the command line; `None` if there is nothing to do in any container. Refuses what is wrong in any container.
    fn options(&self, by_config: &Disabled) -> Result<Option<Self::Options>>;

    /// The work that remains if the caller of the hook switches hooks off.
    fn allowed(options: Self::Options, by_caller: &Disabled) -> Option<Self::Options> {
        by_caller.allows::<Self>(true).then_some(options)
    }

    /// Adds what the state and config.json contain to the options. Returns whether any work remains.
    fn learn(&self, _: &mut Self::Options, _: &State) -> bool {
        true
    }

    /// Whether it may have to mount something.
    fn needs_mount(_: &ContainerRoot, _: &Self::Options) -> Mounts {
        Mounts::None
    }

    /// Does the work.
    fn run(&self, root: &ContainerRoot, options: &Self::Options) -> Result<()>;
}

/// The name of a hook.
fn name<H: SubCommand>() -> &'static str {
    H::COMMAND.name
}

/// Who calls the hook, and how.
struct Caller<'c> {
    read_again: &'c dyn Fn(Counts<'_>) -> bool,
    is_strict: Cell<bool>,
}

impl Caller<'_> {
    /// Lets a hook do its work: the straight line from the command line to the container.
    fn call<H: InContainer>(&self, hook: &H) -> Result<()> {
        set_hook(name::<H>());
        let by_config = Disabled::by_config();
        let options = if by_config.allows::<H>(true) {
            hook.options(&by_config)?
        } else {
            None
        };
        let Some(options) = options else {
            if hook.container_spec().is_none() {
                State::skip();
            }
            return Ok(());
        };
        // Modes are those that the hook sets, whatever the runtime's umask is.
        umask(Mode::empty());
        let state = State::load(hook.container_spec())?;
        set_container(&state.id);
        let environment = Environment::of(&state);
        if !matches!(environment, Environment::Empty) {
            let is_strict = (self.read_again)(&|name, value| environment.counts(name, value));
            self.is_strict.set(is_strict);
        }
        let by_caller = Disabled::by_caller(&state, &environment);
        let Some(mut options) = H::allowed(options, &by_caller) else {
            return Ok(());
        };
        watchdog::start();
        if !hook.learn(&mut options, &state) {
            return Ok(());
        }
        let mut root = state.open_root()?;
        let mounts = H::needs_mount(&root, &options);
        sandbox::enter(&mut root, mounts);
        hook.run(&root, &options)
    }
}
