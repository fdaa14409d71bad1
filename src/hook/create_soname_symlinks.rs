//! `create-soname-symlinks`: makes SONAME links in the container, and leaves the cache as it is.

use std::path::PathBuf;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

use super::InContainer;
use super::disabled::Disabled;
use super::drop_in::folders;
use crate::ldcache::Ldconfig;
use crate::rootfs::ContainerRoot;

/// Create SONAME links in directories of the container, as its own ldconfig would.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create-soname-symlinks",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook create-soname-symlinks --folder /usr/lib64 <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct CreateSonameSymlinks {
    /// library directory in the container; may be repeated
    #[argh(option, arg_name = "dir")]
    pub folder: Vec<String>,
    /// accepted without effect: no ldconfig of the host is needed
    #[argh(option, arg_name = "path")]
    pub ldconfig_path: Option<String>,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

impl InContainer for CreateSonameSymlinks {
    type Options = Vec<PathBuf>;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Vec<PathBuf>>> {
        Ok(Some(folders(&self.folder)?))
    }

    fn run(&self, root: &ContainerRoot, options: &Vec<PathBuf>) -> Result<()> {
        run(root, options);
        Ok(())
    }
}

/// Makes the links in these directories of the root. A link that cannot be made is a warning.
pub fn run(root: &ContainerRoot, folders: &[PathBuf]) {
    Ldconfig::new(root).link(folders.iter().map(PathBuf::as_path));
}
