//! The mounts of config.json, as far as hooks ask for them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use oci_spec::runtime::Mount;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{MAX_CONFIG, json, open_host_file};
use crate::rootfs::Root;

#[derive(Default)]
struct Mounts {
    mounts: Vec<Mount>,
}

lenient_object!(Mounts, "a config.json object", "mounts" => mounts);

/// The destinations of mounts that show files of the host: `bind` is their type or one of their options.
pub(super) fn binds(config: &Path) -> Vec<PathBuf> {
    let is_bind = |mount: &Mount| {
        let options = mount.options().iter().flatten();
        let mut words = mount.typ().iter().chain(options);
        words.any(|word| word == "bind" || word == "rbind")
    };
    let mounts = read(config).into_iter().filter(is_bind);
    mounts.map(|mount| mount.destination().clone()).collect()
}

/// Returns the destination of a mount, if config.json has mounts and none of them is made. A hook that is called so early sees
/// neither the driver's libraries nor the devices, and the mount namespace is not the container's yet.
pub(super) fn missing(config: &Path, root: &Root) -> Option<PathBuf> {
    // Nearly every container has this one, so that config.json is not read.
    if root.has_mount_at(Path::new("/proc")) {
        return None;
    }
    let mounts = read(config);
    let is_made = |mount: &Mount| root.has_mount_at(mount.destination());
    if mounts.iter().any(is_made) {
        return None;
    }
    mounts.first().map(|mount| mount.destination().clone())
}

fn read(config: &Path) -> Vec<Mount> {
    let mounts: Result<Mounts> =
        open_host_file(config).and_then(|file| json::read(file, MAX_CONFIG));
    mounts.map_or_else(
        |err| {
            log::debug!("{}: its mounts are not known: {err:#}", config.display());
            Vec::new()
        },
        |config| config.mounts,
    )
}
