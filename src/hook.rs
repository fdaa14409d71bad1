//! The hooks: what OCI runtimes call while they make a container.
//!
//! A hook is a straight line: it checks its options, reads the [`State`], opens the container's root, and does its one job there.

pub mod chmod;
pub mod create_symlinks;
pub mod update_ldcache;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::{Mode, umask};

use crate::log::{set_container, set_hook};
use crate::oci::State;
use crate::rootfs::ContainerRoot;
use crate::sandbox::{self, Mounts};

/// Annotation with which a container's owner says that no hook shall touch it: `off`.
const OPT_OUT: &str = "nvidia-ctk.hooks";

/// Run one of the hooks that container runtimes call, with the OCI state on standard input.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "hook", help_triggers("-h", "--help"))]
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
            !(self.strict && crate::log::has_warned()),
            "there were warnings, and --strict was asked for"
        );
        Ok(())
    }

    fn run_command(&self) -> Result<()> {
        match &self.command {
            Command::UpdateLdcache(hook) => {
                set_hook("update-ldcache");
                hook.check()?;
                in_container_that(
                    hook.container_spec.as_deref(),
                    update_ldcache::UpdateLdcache::mounts,
                    |root| hook.apply(root),
                )
            }
            Command::CreateSymlinks(hook) => {
                set_hook("create-symlinks");
                in_container(hook.container_spec.as_deref(), |root| hook.apply(root))
            }
            Command::Chmod(hook) => {
                set_hook("chmod");
                hook.check()?;
                in_container(hook.container_spec.as_deref(), |root| hook.apply(root))
            }
            Command::Noop(Noop {}) => Ok(()),
        }
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
    let root = state.open_root()?;
    sandbox::enter(&root, mounts(&root));
    effect(&root)
}
