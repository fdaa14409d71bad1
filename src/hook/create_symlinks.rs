//! `create-symlinks`: makes symbolic links in the container.

use argh::{ArgsInfo, FromArgs};

/// Create symbolic links in the container.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create-symlinks")]
pub struct CreateSymlinks {
    /// link to make, as TARGET::LINK; may be repeated
    #[argh(option, arg_name = "target::link")]
    pub link: Vec<String>,
    /// CSV file whose "sym" lines name links of the host to make in the container; may be repeated
    #[argh(option, arg_name = "file")]
    pub csv_filename: Vec<String>,
    /// where the links that --csv-filename names are found on the host (default: /)
    #[argh(option, arg_name = "dir")]
    pub host_root: Option<String>,
    /// file that holds the OCI state; "-" is standard input, the default
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

impl CreateSymlinks {
    /// Refuses what can be seen to be wrong without the container.
    pub fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// x
    pub fn apply(&self, _root: &crate::rootfs::ContainerRoot) -> anyhow::Result<()> {
        Ok(())
    }
}
