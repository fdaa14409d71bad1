//! The `/dev` that has the driver's nodes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Driver;
use super::tree::{Problems, Tree};
use crate::rootfs::Root;

const DEV: &str = "/dev";

/// An open `/dev`.
pub struct Dev(Tree);

/// A character device in `/dev`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// The path in a container: `/dev/nvidia0`.
    pub inside: PathBuf,
    /// The path on the host.
    pub on_host: PathBuf,
    /// The major and the minor number.
    pub number: (u64, u64),
    /// The mode bits.
    pub mode: u32,
    /// The group.
    pub group: u32,
}

impl Driver {
    /// Opens the `/dev` with the driver's nodes. Fails if its root no longer exists.
    pub fn dev(&self, host: &Root) -> io::Result<Dev> {
        let problems = Problems::default();
        Ok(Dev(Tree::open(host, &self.dev_root, &problems)?))
    }
}

impl Dev {
    /// Returns the node of this name below /dev; `None` if there is none or the file is not a character device.
    #[must_use]
    pub fn node(&self, name: impl AsRef<Path>) -> Option<Node> {
        let inside = Path::new(DEV).join(name);
        let folder = self.0.folder(inside.parent()?).ok()?;
        let found = folder.directory.stat(inside.file_name()?).ok()?;
        Some(Node {
            number: found.device_number?,
            mode: found.mode.bits(),
            group: found.group,
            on_host: self.on_host(&inside),
            inside,
        })
    }

    /// Returns the nodes in a directory below /dev whose names begin with `start`, in numeric order.
    #[must_use]
    pub fn nodes(&self, directory: &str, start: &str) -> Vec<Node> {
        let path = Path::new(DEV).join(directory);
        let mut names = self.0.names(&path, |name| name.starts_with(start));
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        let names = names.iter().map(|name| Path::new(directory).join(name));
        names.filter_map(|name| self.node(name)).collect()
    }

    /// Returns the target of a link below /dev.
    #[must_use]
    pub fn link(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        let path = Path::new(DEV).join(name);
        let folder = self.0.folder(path.parent()?).ok()?;
        folder.directory.read_link(path.file_name()?).ok()
    }

    /// Opens the node of this name below /dev, as a program that uses the device does. Fails as open(2) does.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let folder = self.0.folder(Path::new(DEV))?;
        folder.directory.open_device(OsStr::new(name))
    }

    /// Converts a path in this root to a path on the host.
    #[must_use]
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.0.on_host(path)
    }
}

impl Node {
    /// Returns the path below /dev.
    #[must_use]
    pub fn below_dev(&self) -> &Path {
        self.inside.strip_prefix(DEV).unwrap_or(&self.inside)
    }

    /// Returns the file name.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.inside.file_name().and_then(OsStr::to_str);
        name.unwrap_or_default()
    }
}
