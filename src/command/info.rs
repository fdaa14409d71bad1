//! `info`: describes this host.

mod json;
mod text;

use std::path::PathBuf;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use crate::driver::root::Asked;
use crate::inventory::Inventory;
use crate::stdout::{output, output_json, reader};

/// Describe this host: driver, GPUs, device nodes, libraries, container engines, CDI specs and hooks.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "info",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk info\nnvidia-ctk info --json"
)]
pub struct Info {
    /// print JSON, with every detail
    #[argh(switch)]
    pub json: bool,
    /// root directory of the host (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub root: PathBuf,
    /// root directory of the driver on the host, such as /run/nvidia/driver (default: detected)
    #[argh(option, arg_name = "dir")]
    pub driver_root: Option<PathBuf>,
    /// directory on the host whose dev holds the driver's nodes (default: the driver's root if it has them, else /)
    #[argh(option, arg_name = "dir")]
    pub dev_root: Option<PathBuf>,
}

impl Info {
    /// Prints the description. Fails if the root directory cannot be opened; a host without a driver is not an error.
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
            output(&text::of(&inventory, reader()))
        }?)
    }
}
