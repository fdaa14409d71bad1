//! `system create-dev-char-symlinks`: creates links in /dev/char for devices that udev does not know.
//!
//! systemd finds a device by its numbers there: without a link a container loses the device at `systemctl daemon-reload`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::{Mode, umask};

use super::create_device_nodes::{load_modules, make_nodes};
use crate::driver::device::read_nodes;
use crate::driver::node::{WantedNode, WantedNodes};
use crate::host::pause::{Pause, Woken};
use crate::rootfs::Root;
use crate::stdout::output;

/// How often --watch looks for new nodes.
const PERIOD: Duration = Duration::from_secs(5);

/// Create links in /dev/char to the driver's device nodes, which systemd needs to manage the cgroups of containers.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create-dev-char-symlinks",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk system create-dev-char-symlinks --create-all",
    note = "A link that leads to the right device is kept; any other is replaced."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
pub struct CreateDevCharSymlinks {
    /// directory of the links (default: /dev/char)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/dev/char\")")]
    pub dev_char_path: PathBuf,
    /// directory whose dev holds the nodes, and in which modprobe runs (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub driver_root: PathBuf,
    /// create links to all nodes that the GPUs of this host may get, whether these exist or not
    #[argh(switch)]
    pub create_all: bool,
    /// with --create-all, load the modules nvidia, nvidia-uvm and nvidia-modeset first
    #[argh(switch)]
    pub load_kernel_modules: bool,
    /// with --create-all, create nodes as create-device-nodes --control-devices does
    #[argh(switch)]
    pub create_device_nodes: bool,
    /// keep running, and create links to new nodes within 5 seconds
    #[argh(switch)]
    pub watch: bool,
    /// print what would be done and change nothing
    #[argh(switch)]
    pub dry_run: bool,
}

/// A node, and its numbers.
type Target = (PathBuf, (u64, u64));

impl CreateDevCharSymlinks {
    /// Creates the links, and prints each new one. Fails if one cannot be created.
    pub fn run(&self) -> Result<()> {
        ensure!(
            !(self.watch && (self.create_all || self.dry_run)),
            "--watch excludes --create-all and --dry-run"
        );
        if !self.create_all && (self.load_kernel_modules || self.create_device_nodes) {
            log::warn!(
                "--load-kernel-modules and --create-device-nodes have no effect without --create-all"
            );
        }
        // Everybody may read the links, whatever the administrator's umask is.
        umask(Mode::empty());
        if self.watch {
            return self.stay();
        }
        let targets = if self.create_all {
            self.prepare_all()?
        } else {
            self.existing()?
        };
        if targets.is_empty() {
            log::info!("no NVIDIA devices in {}", self.driver_root.display());
        }
        self.link_all(&targets)
    }

    fn stay(&self) -> Result<()> {
        let pause = Pause::new()?;
        loop {
            self.link_all(&self.existing()?)?;
            if pause.wait(PERIOD)? == Woken::Signal {
                return Ok(());
            }
        }
    }

    /// The existing nodes.
    fn existing(&self) -> Result<Vec<Target>> {
        let nodes = read_nodes(&Root::host()?, &self.driver_root).with_context(|| {
            format!("cannot read the devices in {}", self.driver_root.display())
        })?;
        // udev knows those of Jetson and WSL.
        let nodes = nodes
            .into_iter()
            .filter(|node| node.name.to_string_lossy().starts_with("nvidia"));
        Ok(nodes
            .filter_map(|node| Some((node.path, node.number?)))
            .collect())
    }

    /// Loads modules and creates nodes if that is wanted. Returns all nodes that may exist.
    fn prepare_all(&self) -> Result<Vec<Target>> {
        if self.load_kernel_modules {
            load_modules(&self.driver_root, self.dry_run)?;
        }
        if self.create_device_nodes {
            make_nodes(&self.driver_root, self.dry_run)?;
        }
        let dev = Path::new("/").join(&self.driver_root).join("dev");
        let nodes = WantedNodes::read(&Root::host()?)?;
        let target = |node: WantedNode| {
            let path = dev.join(&node.name);
            let number = node
                .number()
                .with_context(|| format!("no link to {}", path.display()))?;
            Ok((path, number))
        };
        nodes.possible().map(target).collect()
    }

    fn link_all(&self, targets: &[Target]) -> Result<()> {
        let host = Root::host()?;
        for (target, number) in targets {
            let name = format!("{}:{}", number.0, number.1);
            let path = self.dev_char_path.join(&name);
            let leads_to = host.stat(&path).ok().and_then(|there| there.device_number);
            if leads_to == Some(*number) {
                continue;
            }
            let would = if self.dry_run { "would " } else { "" };
            let is_new = self.dry_run
                || self
                    .link(&host, &name, target)
                    .with_context(|| format!("cannot create the link {}", path.display()))?;
            if is_new {
                output(&format!(
                    "{would}link {} -> {}\n",
                    path.display(),
                    target.display()
                ))?;
            }
        }
        Ok(())
    }

    fn link(&self, host: &Root, name: &str, target: &Path) -> io::Result<bool> {
        let directory = host.create_directory(&self.dev_char_path)?;
        directory.symlink(target.as_os_str(), OsStr::new(name))
    }
}
