//! The mounts of config.json, as far as hooks need them.

use std::iter::once;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ldcache::driver_names;
use crate::rootfs::Root;

/// The maximum number of directories that mounts add to the search for the driver.
pub(super) const MAX_PLACES: usize = 64;
/// The names of mounted library directories.
const LIBRARY_DIRECTORIES: [&str; 3] = ["lib", "lib64", "lib32"];
const VENDOR: &str = "nvidia";

/// A mount; `type` and `options` may have any JSON type.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) destination: PathBuf,
    kind: Value,
    options: Value,
}

lenient_object!(Mount, "a mount", "destination" => destination, "type" => kind, "options" => options);

impl Mount {
    /// Whether it shows files of the host: `bind` is its type or one of its options.
    pub(super) fn is_bind(&self) -> bool {
        let options = self.options.as_array().into_iter().flatten();
        let mut words = options.chain([&self.kind]);
        words.any(|word| word == "bind" || word == "rbind")
    }
}

/// Returns the destinations of bind mounts.
pub(super) fn binds(mounts: Vec<Mount>) -> Vec<PathBuf> {
    let binds = mounts.into_iter().filter(Mount::is_bind);
    binds.map(|mount| mount.destination).collect()
}

/// Returns the destination of a mount if config.json has mounts and none of them is mounted yet. A hook that runs so early finds
/// neither the driver's libraries nor its devices, and does not run in the container's mount namespace yet.
pub(super) fn missing<'m>(mounts: &'m [Mount], root: &Root) -> Option<&'m Path> {
    if mounts.iter().any(|it| root.has_mount_at(&it.destination)) {
        return None;
    }
    mounts.first().map(|mount| mount.destination.as_path())
}

/// Returns the directories where driver libraries may be mounted: those of a mounted libcuda or libnvidia-ml, and mounted library
/// directories.
pub(super) fn driver_places(mounts: &[Mount]) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for mount in mounts {
        for place in places_of(&mount.destination) {
            if places.len() < MAX_PLACES && !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

fn places_of(destination: &Path) -> Vec<PathBuf> {
    if destination
        .file_name()
        .is_some_and(driver_names::is_witness)
    {
        return destination
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .collect();
    }
    // Other volumes are not searched: they may be large or slow.
    let is_of_libraries = LIBRARY_DIRECTORIES
        .iter()
        .any(|name| destination.ends_with(name))
        || destination.to_string_lossy().contains(VENDOR);
    if !is_of_libraries {
        return Vec::new();
    }
    let below = LIBRARY_DIRECTORIES
        .iter()
        .map(|name| destination.join(name));
    once(destination.to_owned()).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::config::Config;

    #[test]
    fn drivers_are_where_they_are_mounted() {
        for (destination, places) in [
            (
                "/nix/store/x-nvidia-x11-550/lib/libcuda.so.550.1",
                "/nix/store/x-nvidia-x11-550/lib",
            ),
            ("/usr/lib64/libnvidia-ml.so.550.1", "/usr/lib64"),
            (
                "/run/opengl-driver/lib",
                "/run/opengl-driver/lib /run/opengl-driver/lib/lib /run/opengl-driver/lib/lib64 /run/opengl-driver/lib/lib32",
            ),
            (
                "/opt/nvidia",
                "/opt/nvidia /opt/nvidia/lib /opt/nvidia/lib64 /opt/nvidia/lib32",
            ),
            ("/data/library", ""),
            ("/dev/shm", ""),
            ("/usr/lib64/libc.so.6", ""),
        ] {
            let found = places_of(Path::new(destination));
            let expected: Vec<_> = places.split_whitespace().map(PathBuf::from).collect();
            assert_eq!(found, expected, "{destination}");
        }
    }

    #[test]
    fn binds_are_told_by_type_and_options() {
        let config = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{"mounts":[
            {"destination":"/a","type":"bind"},
            {"destination":"/b","type":"none","options":["ro","rbind"]},
            {"destination":"/c","options":["bind"]},
            {"destination":"/d","type":"tmpfs","options":["nosuid","size=1m"]},
            {"destination":"/e","type":"proc"},
            {"destination":"/f","options":[]},
            {"destination":"/g"}]}"#;
        std::fs::write(&config, text).unwrap();
        let config = Config::read(config.path()).unwrap();
        assert_eq!(binds(config.mounts), ["/a", "/b", "/c"].map(PathBuf::from));
    }
}
