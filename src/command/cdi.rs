//! The commands for CDI specs.

mod check;
mod generate;
mod list;
mod transform;

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};

use crate::cdi::DIRECTORIES;
use check::Check;
use generate::Generate;
use list::List;
use transform::Transform;

/// Generate, list, check and transform CDI specs.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "cdi",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml\nnvidia-ctk cdi list"
)]
pub struct Cdi {
    #[argh(subcommand)]
    /// which command
    pub command: CdiCommand,
}

/// Every command of the group.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum CdiCommand {
    /// `generate`
    Generate(Generate),
    /// `list`
    List(List),
    /// `check`
    Check(Check),
    /// `transform`
    Transform(Transform),
}

impl Cdi {
    /// Runs the command and returns the exit code, or the error of the command.
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            CdiCommand::Generate(command) => command.run(),
            CdiCommand::List(command) => command.run(),
            CdiCommand::Check(command) => command.run(),
            CdiCommand::Transform(command) => command.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// The directories that `--spec-dir` names below `root`, else those in which engines look. Refuses an empty name.
fn directories(spec_dirs: &[PathBuf], root: &Path) -> Result<Vec<PathBuf>> {
    if spec_dirs.is_empty() {
        return Ok(DIRECTORIES.map(PathBuf::from).into());
    }
    let is_named = |dir: &PathBuf| !dir.as_os_str().is_empty();
    ensure!(spec_dirs.iter().all(is_named), "--spec-dir has no value");
    Ok(spec_dirs
        .iter()
        .map(|dir| below(root, dir))
        .collect::<io::Result<_>>()?)
}

/// The path below `root`; on this host it may be relative.
fn below(root: &Path, path: &Path) -> io::Result<PathBuf> {
    if root == Path::new("/") {
        return absolute(path);
    }
    Ok(path.to_owned())
}
