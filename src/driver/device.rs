//! Device nodes and their required numbers.

use std::io;
use std::path::{Path, PathBuf};

use super::tree::{Problems, Tree};
use crate::rootfs::{Kind, Root};

pub(super) const PROC_DEVICES: &str = "/proc/devices";
const DEV: &str = "/dev";
/// The prefixes of the driver's nodes; the last two also exist on Jetson, and `dxg` is the only one on WSL.
const NAMES: [&str; 4] = ["nvidia", "dxg", "nvmap", "nvhost-"];
/// The directories of /dev that contain nodes of the driver.
const SUBDIRECTORIES: [&str; 3] = ["nvidia-caps", "nvidia-caps-imex-channels", "nvgpu/igpu0"];
/// The fixed major number of GPUs and their control devices.
const MAJOR: u64 = 195;

/// The major numbers that the kernel assigned to the driver's devices, with their names.
#[derive(Debug)]
pub struct Majors(Vec<(String, u64)>);

/// A device node of the driver.
#[derive(Debug)]
pub struct DriverNode {
    /// The path on the host.
    pub path: PathBuf,
    /// The path below /dev.
    pub name: PathBuf,
    /// The major and minor number; `None` if it is not a character device.
    pub number: Option<(u64, u64)>,
    /// The required numbers, as far as the kernel reports them.
    pub expected: (Option<u64>, Option<u64>),
    /// The permission bits.
    pub mode: u32,
}

impl Majors {
    pub(super) fn read(host: &Tree) -> Self {
        Self::parse(&host.text(PROC_DEVICES).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .skip_while(|line| *line != "Character devices:")
            .take_while(|line| !line.is_empty());
        let device = |line: &str| {
            let (number, name) = line.trim().split_once(' ')?;
            name.starts_with("nvidia")
                .then(|| Some((name.to_owned(), number.parse().ok()?)))?
        };
        Self(lines.filter_map(device).collect())
    }

    /// Iterates over all names and numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, major)| (name.as_str(), *major))
    }

    /// Whether the driver of the GPUs is loaded; its device has another name before version 545.
    pub(super) fn has_driver(&self) -> bool {
        ["nvidia", "nvidia-frontend", "nvidiactl"]
            .iter()
            .any(|name| self.of(name) == Some(MAJOR))
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.iter()
            .find(|(it, _)| *it == name)
            .map(|(_, major)| major)
    }

    /// Returns the required numbers of the node at this path below /dev, as far as the kernel reports them.
    #[must_use]
    pub fn expected(&self, path: &Path) -> (Option<u64>, Option<u64>) {
        let text = path.to_str().unwrap_or_default();
        let number = |prefix| text.strip_prefix(prefix)?.parse().ok();
        match text {
            "nvidiactl" => (Some(MAJOR), Some(255)),
            "nvidia-modeset" => (Some(MAJOR), Some(254)),
            "nvidia-uvm" => (self.of("nvidia-uvm"), Some(0)),
            "nvidia-uvm-tools" => (self.of("nvidia-uvm"), Some(1)),
            _ if text.starts_with("nvidia-caps/") => {
                (self.of("nvidia-caps"), number("nvidia-caps/nvidia-cap"))
            }
            _ if text.starts_with("nvidia-caps-imex-channels/") => (
                self.of("nvidia-caps-imex-channels"),
                number("nvidia-caps-imex-channels/channel"),
            ),
            _ => match number("nvidia") {
                Some(minor) => (Some(MAJOR), Some(minor)),
                None => (None, None),
            },
        }
    }
}

impl DriverNode {
    /// Whether the node has the required numbers.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let (expected_major, expected_minor) = self.expected;
        self.number.is_some_and(|(major, minor)| {
            expected_major.is_none_or(|it| it == major)
                && expected_minor.is_none_or(|it| it == minor)
        })
    }
}

/// Reads the nodes in the `/dev` below a directory of the host. Fails if that cannot be read.
pub fn read_nodes(host: &Root, dev_root: &Path) -> io::Result<Vec<DriverNode>> {
    let problems = Problems::default();
    let majors = Majors::read(&Tree::open(host, Path::new("/"), &problems)?);
    let nodes = nodes(&Tree::open(host, dev_root, &problems)?, &majors);
    match problems.take().pop() {
        Some(problem) => Err(problem.error),
        None => Ok(nodes),
    }
}

/// Returns the nodes in the /dev of a tree.
pub(super) fn nodes(tree: &Tree, majors: &Majors) -> Vec<DriverNode> {
    let mut paths = names(tree, Path::new(""));
    paths.extend(
        SUBDIRECTORIES
            .iter()
            .flat_map(|it| names(tree, Path::new(it))),
    );
    let node = |name: PathBuf| {
        let path = Path::new(DEV).join(&name);
        let file = tree.stat(&path)?;
        (file.kind != Kind::Directory).then(|| DriverNode {
            number: file.device_number,
            expected: majors.expected(&name),
            mode: file.mode.bits(),
            path: tree.on_host(&path),
            name,
        })
    };
    paths.into_iter().filter_map(node).collect()
}

/// Returns the driver's names in a directory of /dev, in numeric order.
fn names(tree: &Tree, directory: &Path) -> Vec<PathBuf> {
    let is_driver = |name: &str| NAMES.iter().any(|start| name.starts_with(start));
    let mut names = tree.names(Path::new(DEV).join(directory), |name| {
        directory != Path::new("") || is_driver(name)
    });
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    names.iter().map(|name| directory.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_nodes() {
        let majors = Majors::parse(
            "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n236 nvidia-caps\n\nBlock devices:\n 99 nvidia-x\n",
        );
        assert_eq!(majors.iter().count(), 4);
        for (path, major, minor) in [
            ("nvidia0", Some(195), Some(0)),
            ("nvidia12", Some(195), Some(12)),
            ("nvidiactl", Some(195), Some(255)),
            ("nvidia-uvm-tools", Some(508), Some(1)),
            ("nvidia-caps/nvidia-cap2", Some(236), Some(2)),
            ("nvidia-caps-imex-channels/channel3", None, Some(3)),
            ("nvidia-other", None, None),
        ] {
            assert_eq!(majors.expected(Path::new(path)), (major, minor), "{path}");
        }
    }
}
