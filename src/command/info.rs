//! `info`: what there is on this host.

mod json;
mod text;

use std::path::PathBuf;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use crate::inventory::Inventory;
use crate::stdout::{output, output_json};

/// Tell what there is on this host: driver, GPUs, device nodes, libraries, container engines, CDI specs, hooks.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info", help_triggers("-h", "--help"))]
pub struct Info {
    /// print JSON, with everything in it
    #[argh(switch)]
    pub json: bool,
    /// root directory of the host (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub root: PathBuf,
}

impl Info {
    /// Prints it. A host without a driver is no error.
    pub fn run(&self) -> Result<()> {
        let inventory = Inventory::read(&self.root)?;
        Ok(if self.json {
            output_json(&json::of(&inventory))
        } else {
            output(&text::of(&inventory))
        }?)
    }
}
