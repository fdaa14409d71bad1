//! `info`: what there is on this host.

mod json;
mod text;

use std::path::PathBuf;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use crate::driver::root::Asked;
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
    /// root directory of the driver on the host, as /run/nvidia/driver (default: where one is found)
    #[argh(option, arg_name = "dir")]
    pub driver_root: Option<PathBuf>,
    /// directory on the host whose dev has the driver's nodes (default: that of the driver if it has them, or /)
    #[argh(option, arg_name = "dir")]
    pub dev_root: Option<PathBuf>,
}

impl Info {
    /// Prints it. A host without a driver is no error.
    pub fn run(&self) -> Result<()> {
        let asked = Asked {
            driver_root: self.driver_root.as_deref(),
            dev_root: self.dev_root.as_deref(),
            ..Asked::default()
        };
        let inventory = Inventory::read(&self.root, asked)?;
        Ok(if self.json {
            output_json(&json::of(&inventory))
        } else {
            output(&text::of(&inventory))
        }?)
    }
}
