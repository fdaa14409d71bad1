//! The commands for a system: its device nodes and its ld.so.cache.

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use super::create_dev_char_symlinks::CreateDevCharSymlinks;
use super::create_device_nodes::CreateDeviceNodes;
use super::print_ldcache::PrintLdcache;

/// Create the driver's device nodes and links to them, or print ld.so.cache.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "system",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk system create-device-nodes --control-devices\nnvidia-ctk system print-ldcache"
)]
pub struct System {
    #[argh(subcommand)]
    /// which command
    pub command: SystemCommand,
}

/// Every command of the group.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum SystemCommand {
    /// `create-device-nodes`
    CreateDeviceNodes(CreateDeviceNodes),
    /// `create-dev-char-symlinks`
    CreateDevCharSymlinks(CreateDevCharSymlinks),
    /// `print-ldcache`
    PrintLdcache(PrintLdcache),
}

impl System {
    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            SystemCommand::CreateDeviceNodes(command) => command.run(),
            SystemCommand::CreateDevCharSymlinks(command) => command.run(),
            SystemCommand::PrintLdcache(command) => command.run(),
        }
    }
}
