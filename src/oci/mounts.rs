//! The mounts of config.json, as far as hooks ask for them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::{MAX_CONFIG, json, open_host_file};
use crate::rootfs::Root;

#[derive(Default)]
struct MountsConfig {
    mounts: Vec<Mount>,
}

/// A mount, as far as its members are what the specification says.
#[derive(Default)]
struct Mount {
    destination: PathBuf,
    kind: Value,
    options: Value,
}

lenient_object!(MountsConfig, "a config.json object", "mounts" => mounts);
lenient_object!(Mount, "a mount", "destination" => destination, "type" => kind, "options" => options);

/// The destinations of mounts that show files of the host: `bind` is their type or one of their options. None where config.json
/// cannot be read.
pub(super) fn binds(config: &Path) -> Option<Vec<PathBuf>> {
    let is_bind = |mount: &Mount| {
        let options = mount.options.as_array().into_iter().flatten();
        let mut words = options.chain([&mount.kind]);
        words.any(|word| word == "bind" || word == "rbind")
    };
    let mounts = read(config)?.into_iter().filter(is_bind);
    Some(mounts.map(|mount| mount.destination).collect())
}

/// Returns the destination of a mount, if config.json has mounts and none of them is made. A hook that is called so early sees
/// neither the driver's libraries nor the devices, and the mount namespace is not the container's yet.
pub(super) fn missing(config: &Path, root: &Root) -> Option<PathBuf> {
    // Nearly every container has this one, so that config.json is not read.
    if root.has_mount_at(Path::new("/proc")) {
        return None;
    }
    let mounts = read(config).unwrap_or_default();
    if mounts.iter().any(|it| root.has_mount_at(&it.destination)) {
        return None;
    }
    mounts.into_iter().next().map(|mount| mount.destination)
}

fn read(config: &Path) -> Option<Vec<Mount>> {
    let mounts: Result<MountsConfig> =
        open_host_file(config).and_then(|file| json::read(file, MAX_CONFIG));
    let tell = |err: &_| log::debug!("{}: its mounts are not known: {err:#}", config.display());
    mounts.inspect_err(tell).ok().map(|config| config.mounts)
}
