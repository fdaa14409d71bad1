//! `runtime`: registers the NVIDIA runtime with container engines.

mod apply;
mod configure;
mod plan;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use configure::{Configure, Unconfigure};

/// Register or unregister the NVIDIA runtime with a container engine.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "runtime",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk runtime configure --runtime docker --enable-cdi\nnvidia-ctk runtime unconfigure --runtime docker"
)]
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
    /// Edits the configuration of an engine. Fails, and changes nothing, if it cannot be read, is invalid or cannot be written.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            RuntimeCommand::Configure(configure) => configure.run(),
            RuntimeCommand::Unconfigure(unconfigure) => unconfigure.run(),
        }
    }
}
