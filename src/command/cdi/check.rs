//! `cdi check`: compares CDI specs with this host.

use std::path::{PathBuf, absolute};
use std::process::ExitCode;

use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};

use super::directories;
use crate::cdi::{read_all, read_files};
use crate::command::doctor::cdi::CHECKS;
use crate::command::doctor::supply::spec_is_there;
use crate::command::finding::report;
use crate::driver::root::Asked;
use crate::inventory::Inventory;
use crate::rootfs::Root;

/// Check CDI specs against this host, and explain each fault and its fix. The exit code is 0 if all is well, 1 for warnings, 2 for
/// errors.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "check",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk cdi check\nnvidia-ctk cdi check /etc/cdi/nvidia.yaml"
)]
#[expect(clippy::doc_markdown, reason = "help texts have no backticks")]
pub struct Check {
    /// spec to check (default: all specs in the directories)
    #[argh(positional, arg_name = "file")]
    pub files: Vec<PathBuf>,
    /// directory of specs, of which a later one takes precedence; may be repeated (default: /etc/cdi and /var/run/cdi;
    /// also: NVIDIA_CTK_CDI_SPEC_DIRS)
    #[argh(option, arg_name = "dir")]
    pub spec_dir: Vec<PathBuf>,
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

impl Check {
    /// Prints the findings, and returns their worst severity as exit code. Fails if the root directory cannot be opened.
    pub fn run(&self) -> Result<ExitCode> {
        let root = Root::open(&self.root)
            .with_context(|| format!("cannot open the root directory {}", self.root.display()))?;
        let directories = directories(&self.spec_dir, &self.root)?;
        let specs = if self.files.is_empty() {
            read_all(&root, &directories)
        } else {
            let paths = self.files.iter().map(absolute);
            read_files(&Root::host()?, &paths.collect::<Result<Vec<_>, _>>()?)
        };
        let asked = Asked {
            driver_root: self.driver_root.as_deref(),
            dev_root: self.dev_root.as_deref(),
            ..Asked::default()
        };
        let host = Inventory::of_specs(root, specs, asked)?;
        let mut findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&host)).collect();
        if self.files.is_empty() {
            findings.extend(spec_is_there(&host, &directories));
        }
        report(&findings, self.json)
    }
}
