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
    command: Command,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Configure(Configure),
    Unconfigure(Unconfigure),
}

impl Runtime {
    /// Edits the configuration of an engine.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Configure(configure) => configure.run(),
            Command::Unconfigure(unconfigure) => unconfigure.run(),
        }
    }
}
