//! The commands for CDI specs.

mod generate;

use std::process::ExitCode;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use generate::Generate;

/// Write CDI specs, the files in which container engines look devices up.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cdi", help_triggers("-h", "--help"))]
pub struct Cdi {
    #[argh(subcommand)]
    /// which command
    pub command: CdiCommand,
}

/// Every command of the group.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum CdiCommand {
    /// `generate`
    Generate(Generate),
}

impl Cdi {
    /// Runs the command.
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            CdiCommand::Generate(command) => command.run(),
        }
    }
}
