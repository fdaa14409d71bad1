//! The parts of config.json that hooks need besides the root's path.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::mounts::Mount;
use super::variables::OwnVariables;
use super::{MAX_CONFIG, json, open_host_file};

/// More bytes than any relevant string can have in JSON: Linux limits one argument or variable to 128 KiB.
const MAX_STRING: u64 = 1 << 20;
/// The prefixes of the driver's device paths: native, WSL, and Jetson.
const DEVICES: [&str; 4] = ["/dev/nvidia", "/dev/dxg", "/dev/nvmap", "/dev/nvhost-"];
/// A bind mount of the host's whole device directory may contain any of them.
const DEV: &str = "/dev";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) mounts: Vec<Mount>,
    pub(super) process: Process,
    linux: Linux,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) env: OwnVariables,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Linux {
    devices: Vec<Device>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Device {
    path: PathBuf,
}

lenient_object!(Config, "a config.json object", "mounts" => mounts, "process" => process, "linux" => linux);
lenient_object!(Process, "a process object", "env" => env);
lenient_object!(Linux, "a linux object", "devices" => devices);
lenient_object!(Device, "a device", "path" => path);

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        json::read_short(open_host_file(path)?, MAX_CONFIG, MAX_STRING)
    }

    /// Whether the container gets a driver device, as a node or by a mount.
    pub(super) fn has_driver_device(&self) -> bool {
        let devices = self.linux.devices.iter().map(|it| &it.path);
        let binds = self.mounts.iter().filter(|it| it.is_bind());
        let mut paths = devices.chain(binds.map(|it| &it.destination));
        paths.any(|path| {
            let path = path.to_string_lossy();
            path.trim_end_matches('/') == DEV || DEVICES.iter().any(|it| path.starts_with(it))
        })
    }
}
