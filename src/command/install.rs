//! `install` and `uninstall`: the binary, its links, and the hooks.d files.

mod layout;
mod system;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};

use crate::hooks_dir;
use crate::sys;
use layout::Layout;
use system::System;

const HOOKS_DIRECTORY: &str = hooks_dir::DIRECTORIES[0];

/// Install this program, its links and the hooks.d files. A second run changes nothing.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "install",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk install --dry-run\nnvidia-ctk install --root /mnt"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
pub struct Install {
    /// root directory of the system to install into (default: /)
    #[argh(option, arg_name = "dir", default = "String::from(\"/\")")]
    pub root: String,
    /// directory of the program (default: /usr/bin)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/bin\")")]
    pub bindir: String,
    /// directory of the links that name the hooks (default: /usr/libexec)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/libexec\")")]
    pub libexecdir: String,
    /// directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)
    #[argh(option, arg_name = "dir", default = "String::from(HOOKS_DIRECTORY)")]
    pub hooksdir: String,
    /// install the name nvidia-container-runtime-hook as well: Docker before 29.2 needs it for --gpus, later releases must not
    /// have it
    #[argh(switch)]
    pub with_runtime_hook: bool,
    /// print what would be done and change nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// keep running until SIGTERM or SIGINT, for a container that a cluster runs on each node
    #[argh(switch)]
    pub wait: bool,
    /// with --wait, uninstall at the end
    #[argh(switch)]
    pub uninstall_at_exit: bool,
}

/// Remove what install installed, and the CDI specs that call its hook apply.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "uninstall",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk uninstall --dry-run\nnvidia-ctk uninstall --root /mnt"
)]
pub struct Uninstall {
    /// root directory of the system to remove from (default: /)
    #[argh(option, arg_name = "dir", default = "String::from(\"/\")")]
    pub root: String,
    /// directory of the program (default: /usr/bin)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/bin\")")]
    pub bindir: String,
    /// directory of the links that name the hooks (default: /usr/libexec)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/libexec\")")]
    pub libexecdir: String,
    /// directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)
    #[argh(option, arg_name = "dir", default = "String::from(HOOKS_DIRECTORY)")]
    pub hooksdir: String,
    /// remove only the CDI specs, for package managers, which remove the rest themselves
    #[argh(switch)]
    pub only_specs: bool,
    /// print what would be done and change nothing
    #[argh(switch)]
    pub dry_run: bool,
}

impl Install {
    /// Installs in an order in which no file refers to one that does not exist yet. Refuses to replace files of others. Returns
    /// when that is done, or with `wait` at the first signal to end.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.wait || !self.uninstall_at_exit,
            "--uninstall-at-exit needs --wait"
        );
        ensure!(!(self.wait && self.dry_run), "--dry-run excludes --wait");
        // A signal during the installation takes effect at its end.
        let end: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        if self.wait {
            end.thread_block()?;
        }
        self.install()?;
        if self.wait {
            end.wait()?;
        }
        if self.uninstall_at_exit {
            self.opposite().run()?;
        }
        Ok(())
    }

    fn install(&self) -> Result<()> {
        // Everybody may use what is installed, whatever the administrator's umask is.
        umask(Mode::empty());
        let program = sys::map_own_program().context("cannot read this program")?;
        let system = System::open(&self.root, self.dry_run)?;
        let layout = Layout::new(&system.root, &self.bindir, &self.libexecdir, &self.hooksdir)?;
        system.install_program(&layout.program(), &program)?;
        for (link, target) in layout.links(self.with_runtime_hook) {
            system.install_link(&link, &target)?;
        }
        let (path, text) = layout.hook();
        system.install_hook(&path, &text)
    }

    fn opposite(&self) -> Uninstall {
        Uninstall {
            root: self.root.clone(),
            bindir: self.bindir.clone(),
            libexecdir: self.libexecdir.clone(),
            hooksdir: self.hooksdir.clone(),
            only_specs: false,
            dry_run: false,
        }
    }
}

impl Uninstall {
    /// Removes in the opposite order. Files that are not as install wrote them are kept, with a warning. Fails if one cannot be
    /// removed.
    pub fn run(&self) -> Result<()> {
        let system = System::open(&self.root, self.dry_run)?;
        let layout = Layout::new(&system.root, &self.bindir, &self.libexecdir, &self.hooksdir)?;
        system.remove_specs(|hook| layout.has_hook(Path::new(&hook.path)) && hook.calls_apply())?;
        if self.only_specs {
            return Ok(());
        }
        let (path, text) = layout.hook();
        system.remove_hook(&path, &text)?;
        for (link, target) in layout.links(true) {
            system.remove_link(&link, &target)?;
        }
        system.remove_program(&layout.program())
    }
}
