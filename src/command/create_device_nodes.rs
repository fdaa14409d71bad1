//! `system create-device-nodes`: does the work of nvidia-modprobe.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::{Mode, umask};

use crate::driver::node::{WantedNode, WantedNodes};
use crate::host::program::ask_within;
use crate::rootfs::Root;
use crate::stdout::output;

const MODPROBE: &str = "/sbin/modprobe";
const MODULES: [&str; 3] = ["nvidia", "nvidia-uvm", "nvidia-modeset"];
/// How long a module may take to load: it starts the firmware of the GPUs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Create the device nodes that all GPUs share and those of MIG capabilities, with the numbers of the loaded driver.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create-device-nodes",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk system create-device-nodes --control-devices --load-kernel-modules",
    note = "Mode and owner are those of /proc/driver/nvidia/params; with ModifyDeviceFiles: 0 there, no node is created. Another \
            file in the place of a node is kept, and the exit code is 1."
)]
pub struct CreateDeviceNodes {
    /// create nvidiactl, nvidia-modeset, nvidia-uvm, nvidia-uvm-tools, and nvidia-caps/*
    #[argh(switch)]
    pub control_devices: bool,
    /// load the modules nvidia, nvidia-uvm and nvidia-modeset first
    #[argh(switch)]
    pub load_kernel_modules: bool,
    /// root directory of the driver, in which modprobe runs (default: /); also --root
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub driver_root: PathBuf,
    /// directory whose dev gets the nodes (default: the driver's root)
    #[argh(option, arg_name = "dir")]
    pub dev_root: Option<PathBuf>,
    /// print what would be done and change nothing
    #[argh(switch)]
    pub dry_run: bool,
}

impl CreateDeviceNodes {
    /// Loads the modules, creates the nodes, and prints each change. Fails if a module cannot be loaded or a node cannot be
    /// created.
    pub fn run(&self) -> Result<()> {
        // Programs of other users need the nodes, whatever the administrator's umask is.
        umask(Mode::empty());
        if !self.control_devices && !self.load_kernel_modules {
            log::warn!("nothing to do without --control-devices or --load-kernel-modules");
        }
        if self.load_kernel_modules {
            load_modules(&self.driver_root, self.dry_run)?;
        }
        if !self.control_devices {
            return Ok(());
        }
        let dev_root = self.dev_root.as_ref().unwrap_or(&self.driver_root);
        match make_nodes(dev_root, self.dry_run) {
            Err(err) if self.dry_run && self.load_kernel_modules => {
                log::warn!(
                    "which nodes to create is not known before the modules are loaded: {err:#}"
                );
                Ok(())
            }
            result => result,
        }
    }
}

/// Loads the driver's modules with the modprobe of the driver's root. A loaded module is left alone.
pub(super) fn load_modules(driver_root: &Path, dry_run: bool) -> Result<()> {
    let root = Path::new("/").join(driver_root);
    let root = root.to_str().context("the driver's root is not UTF-8")?;
    for module in MODULES {
        let mut words = vec![MODPROBE, module];
        if root != "/" {
            words.splice(..0, ["chroot", root]);
        }
        if dry_run {
            output(&format!("would run {}\n", words.join(" ")))?;
        } else if let Some((program, arguments)) = words.split_first() {
            ask_within(PATIENCE, program, arguments)
                .with_context(|| format!("cannot load the kernel module {module}"))?;
        }
    }
    Ok(())
}

/// Creates the nodes that do not belong to one GPU. Each is tried, and each failure is logged.
pub(super) fn make_nodes(dev_root: &Path, dry_run: bool) -> Result<()> {
    let host = Root::host()?;
    let wanted = WantedNodes::read(&host)?;
    if !wanted.may_be_made() {
        log::warn!(
            "no device node is created: /proc/driver/nvidia/params has ModifyDeviceFiles: 0, which leaves them to the administrator"
        );
        return Ok(());
    }
    let path = Path::new("/").join(dev_root).join("dev");
    let dev = host
        .open_root(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut failed = 0;
    for node in wanted.control() {
        let path = path.join(&node.name);
        match make(&node, &dev, dry_run) {
            Ok(true) => tell(&node, &path, dry_run)?,
            Ok(false) => {}
            Err(err) => {
                log::error!("{}: not created: {err}", path.display());
                failed += 1;
            }
        }
    }
    ensure!(failed == 0, "{failed} device nodes could not be created");
    Ok(())
}

/// Creates a node. Returns whether it was missing.
fn make(node: &WantedNode, dev: &Root, dry_run: bool) -> io::Result<bool> {
    if dry_run {
        return node.is_in(dev).map(|is_there| !is_there);
    }
    node.make_in(dev)
}

fn tell(node: &WantedNode, path: &Path, dry_run: bool) -> Result<()> {
    let (major, minor) = node.number()?;
    let would = if dry_run { "would " } else { "" };
    let mode = node.mode.bits();
    let line = format!(
        "{would}create {} c {major}:{minor}, mode {mode:04o}\n",
        path.display()
    );
    Ok(output(&line)?)
}
