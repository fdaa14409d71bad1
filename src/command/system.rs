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
    pub command: Command,
}

/// Every command of the group.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum Command {
    /// `print-ldcache`
    PrintLdcache(PrintLdcache),
}

impl System {
    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::PrintLdcache(command) => command.run(),
        }
    }
}
