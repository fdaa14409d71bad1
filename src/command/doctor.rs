//! `doctor`: what is wrong on this host, why, and how to fix it.

pub(super) mod cdi;
mod crun;
mod docker;
mod driver;
mod engine;
mod formats;
mod hooks;
mod runtime;
pub(super) mod supply;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use super::finding::{Finding, few, report};
use crate::driver::root::Asked;
use crate::inventory::Inventory;

/// Diagnose this host: what is wrong, why, and how to fix it. The exit code is 0 if all is well, 1 for warnings, 2 for errors.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "doctor",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk doctor\nnvidia-ctk doctor --json"
)]
pub struct Doctor {
    /// print JSON
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

/// Looks for one kind of fault.
pub(super) type Check = fn(&Inventory) -> Vec<Finding>;

const CHECKS: [&[Check]; 3] = [
    &[
        driver::all_is_read,
        driver::is_loaded,
        driver::versions_agree,
        driver::libraries_are_found,
        driver::links_lead_somewhere,
        driver::nodes_are_there,
        driver::nodes_are_right,
        engine::configs_are_valid,
        engine::flags_are_not_in_configs,
        engine::runtimes_are_there,
        engine::device_links_are_there,
        docker::cdi_is_enabled,
        docker::spec_is_in_its_directories,
        docker::cdi_hook_is_in_path,
        docker::runtime_hook_is_not_in_path,
        runtime::settings_are_valid,
        runtime::low_level_runtime_is_there,
        crun::calls_hooks_after_mounting,
    ],
    &cdi::CHECKS,
    &[
        supply::engines_have_a_spec,
        formats::engines_know_the_specs,
        hooks::hooks_dir_is_valid,
        hooks::programs_can_be_called,
        hooks::links_lead_somewhere,
    ],
];

impl Doctor {
    /// Prints the findings, and returns their worst severity as exit code. Fails if the root directory cannot be opened.
    pub fn run(&self) -> Result<ExitCode> {
        let asked = Asked {
            driver_root: self.driver_root.as_deref(),
            dev_root: self.dev_root.as_deref(),
            ..Asked::default()
        };
        let host = Inventory::read(&self.root, asked)?;
        let findings: Vec<_> = CHECKS
            .iter()
            .flat_map(|checks| *checks)
            .flat_map(|check| check(&host))
            .collect();
        report(&findings, self.json)
    }
}
