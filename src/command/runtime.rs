//! `runtime`: tells the container engines of the NVIDIA runtime.

mod apply;
mod configure;
mod plan;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use configure::{Configure, Unconfigure};

/// Tell container engines of the NVIDIA runtime, or no longer.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "runtime", help_triggers("-h", "--help"))]
pub struct Runtime {
    #[argh(subcommand)]
    command: RuntimeCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum RuntimeCommand {
    Configure(Configure),
    Unconfigure(Unconfigure),
}

impl Runtime {
    /// Edits the configuration of an engine.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            RuntimeCommand::Configure(configure) => configure.run(),
            RuntimeCommand::Unconfigure(unconfigure) => unconfigure.run(),
        }
    }
}
