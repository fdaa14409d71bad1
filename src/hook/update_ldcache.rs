//! `update-ldcache`: makes the container's loader find libraries.

use argh::{ArgsInfo, FromArgs};

/// Update the container's ld.so.cache and SONAME links, as its own ldconfig would.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "update-ldcache")]
pub struct UpdateLdcache {
    /// library directory in the container to add to its ld.so.conf.d; may be repeated
    #[argh(option, arg_name = "dir")]
    pub folder: Vec<String>,
    /// ignored: no ldconfig of the host is needed
    #[argh(option, arg_name = "path")]
    pub ldconfig_path: Option<String>,
    /// file that holds the OCI state; "-" is standard input, the default
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

impl UpdateLdcache {
    /// Refuses what can be seen to be wrong without the container.
    pub fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// x
    pub fn apply(&self, root: &crate::rootfs::ContainerRoot) -> anyhow::Result<()> {
        crate::ldcache::update(root, &[]).map(|_| ())
    }
}
