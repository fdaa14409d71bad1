//! The commands that look at a system.

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use super::print_ldcache::PrintLdcache;

/// Look at the libraries that a system's loader knows of.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "system", help_triggers("-h", "--help"))]
pub struct System {
    #[argh(subcommand)]
    /// which command
    pub command: SystemCommand,
}

/// Every command of the group.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum SystemCommand {
    /// `print-ldcache`
    PrintLdcache(PrintLdcache),
}

impl System {
    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            SystemCommand::PrintLdcache(command) => command.run(),
        }
    }
}
