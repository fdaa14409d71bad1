//! The device nodes that the driver's programs need, and their creation.
//!
//! Formats, as NVIDIA's open kernel modules write them: `/proc/driver/nvidia/params` and the files below
//! `/proc/driver/nvidia/capabilities` have lines such as `DeviceFileMode: 438`, with decimal numbers;
//! `/proc/driver/nvidia-caps/mig-minors` has lines such as `gpu0/gi1/access 12`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use nix::sys::stat::Mode;

use super::device::Majors;
use super::gpu;
use super::tree::{Problems, Tree};
use crate::rootfs::{Kind, Root};

const PARAMS: &str = "/proc/driver/nvidia/params";
pub(super) const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";
pub(super) const MIG_MINORS: &str = "/proc/driver/nvidia-caps/mig-minors";
/// The devices that programs need with any GPU.
pub const CONTROL: [&str; 4] = [
    "nvidiactl",
    "nvidia-modeset",
    "nvidia-uvm",
    "nvidia-uvm-tools",
];
/// The maximum depth of a capability: `gpu0/mig/gi1/ci0/access`.
const MAX_DEPTH: usize = 5;
/// The maximum number of capabilities: 32 GPUs have 4,322.
const MAX_CAPABILITIES: usize = 8192;

/// A device node that the driver's programs need.
#[derive(Debug, PartialEq, Eq)]
pub struct WantedNode {
    /// The path below /dev.
    pub name: PathBuf,
    /// The permission bits.
    pub mode: Mode,
    /// The user and the group.
    pub owner: (u32, u32),
    major: Option<u64>,
    minor: u64,
}

/// The driver's description of the nodes that a host needs.
#[derive(Debug)]
pub struct WantedNodes {
    policy: Policy,
    majors: Majors,
    capabilities: Vec<Capability>,
    /// The GPU of each possible capability, `None` for those of the host, and its minor number.
    mig_minors: Vec<(Option<u64>, u64)>,
    gpus: usize,
}

/// The properties of new nodes.
#[derive(Debug, PartialEq, Eq)]
struct Policy {
    owner: (u32, u32),
    mode: u32,
    may_make: bool,
}

/// A permission that an open node grants.
#[derive(Debug, PartialEq, Eq)]
struct Capability {
    minor: u64,
    mode: u32,
}

impl WantedNodes {
    /// Reads the description. Fails if the driver is not loaded, or if one of its files cannot be read.
    pub fn read(host: &Root) -> Result<Self> {
        let problems = Problems::default();
        let tree = Tree::open(host, Path::new("/"), &problems)?;
        let nodes = Self {
            policy: Policy::parse(&tree.text(PARAMS).unwrap_or_default()),
            majors: Majors::read(&tree),
            capabilities: capabilities(&tree),
            mig_minors: mig_minors(&tree.text(MIG_MINORS).unwrap_or_default()),
            gpus: gpu::count_on_pci(&tree),
        };
        if let Some(problem) = problems.take().first() {
            bail!("cannot read {}: {}", problem.path.display(), problem.error);
        }
        ensure!(
            nodes.majors.has_driver(),
            "no NVIDIA driver is in /proc/devices; 'modprobe nvidia', or --load-kernel-modules, loads it"
        );
        Ok(nodes)
    }

    /// Whether programs may create nodes: the module's option `NVreg_ModifyDeviceFiles` can leave that to the administrator.
    #[must_use]
    pub fn may_be_made(&self) -> bool {
        self.policy.may_make
    }

    /// Returns the nodes that do not belong to one GPU: those of the control devices and of the existing capabilities.
    pub fn control(&self) -> impl Iterator<Item = WantedNode> {
        let control = CONTROL.iter().map(|name| self.node((*name).into()));
        let capabilities = self.capabilities.iter().map(|it| WantedNode {
            mode: Mode::from_bits_truncate(it.mode),
            ..self.capability(it.minor)
        });
        control.chain(capabilities)
    }

    /// Returns the node of the GPU with this minor number.
    #[must_use]
    pub fn gpu(&self, minor: u64) -> WantedNode {
        self.node(format!("nvidia{minor}").into())
    }

    /// Returns all nodes that the GPUs on the PCI bus can have; none without a GPU.
    pub fn possible(&self) -> impl Iterator<Item = WantedNode> {
        let gpus = u64::try_from(self.gpus).unwrap_or(u64::MAX);
        let control = CONTROL.iter().map(|name| self.node((*name).into()));
        let capabilities = self.mig_minors.iter();
        let capabilities = capabilities.filter(move |(gpu, _)| gpu.is_none_or(|it| it < gpus));
        control
            .chain((0..gpus).map(|minor| self.gpu(minor)))
            .chain(capabilities.map(|(_, minor)| self.capability(*minor)))
            .filter(move |_| gpus > 0)
    }

    fn capability(&self, minor: u64) -> WantedNode {
        self.node(format!("nvidia-caps/nvidia-cap{minor}").into())
    }

    fn node(&self, name: PathBuf) -> WantedNode {
        let (major, minor) = self.majors.expected(&name);
        WantedNode {
            name,
            mode: Mode::from_bits_truncate(self.policy.mode),
            owner: self.policy.owner,
            major,
            minor: minor.unwrap_or_default(),
        }
    }
}

impl WantedNode {
    /// Returns the major and the minor number. Fails if the module that gets the major number is not loaded.
    pub fn number(&self) -> io::Result<(u64, u64)> {
        let major = self.major.ok_or_else(|| {
            let reason = "/proc/devices does not have its number: the module is not loaded";
            io::Error::new(io::ErrorKind::NotFound, reason)
        })?;
        Ok((major, self.minor))
    }

    /// Whether the node exists in `dev`, a directory such as /dev. Fails if another file has its name.
    pub fn is_in(&self, dev: &Root) -> io::Result<bool> {
        let (major, minor) = self.number()?;
        let there = match dev.stat(&self.name) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => there?.device_number,
        };
        let found = match there {
            Some(number) if number == (major, minor) => return Ok(true),
            Some((major, minor)) => format!("the character device {major}:{minor}"),
            None => "not a character device".to_owned(),
        };
        Err(io::Error::other(format!(
            "it is {found}, but must be {major}:{minor}; remove it"
        )))
    }

    /// Creates the node in `dev`, with its mode if the process has no umask. Returns whether it did not exist. Fails as
    /// [`Self::is_in`] does.
    pub fn make_in(&self, dev: &Root) -> io::Result<bool> {
        if self.is_in(dev)? {
            return Ok(false);
        }
        let directory = dev.create_directory(self.name.parent().unwrap_or(Path::new("")))?;
        let name = self.name.file_name().unwrap_or(OsStr::new(""));
        match directory.make_device(name, self.number()?, self.mode, self.owner) {
            // Another program may create it at the same time.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists && self.is_in(dev)? => Ok(false),
            made => made.map(|()| true),
        }
    }
}

impl Policy {
    fn parse(text: &str) -> Self {
        let mut policy = Self {
            owner: (0, 0),
            mode: 0o666,
            may_make: true,
        };
        for (name, value) in fields(text) {
            match name {
                "DeviceFileUID" => policy.owner.0 = value,
                "DeviceFileGID" => policy.owner.1 = value,
                "DeviceFileMode" => policy.mode = value,
                "ModifyDeviceFiles" => policy.may_make = value != 0,
                _ => {}
            }
        }
        policy
    }
}

fn fields(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// Returns the number in the line with this name.
pub(super) fn field(text: &str, name: &str) -> Option<u32> {
    let (_, value) = fields(text).find(|(it, _)| *it == name)?;
    Some(value)
}

/// Returns the capabilities whose nodes programs may create, sorted by number.
fn capabilities(host: &Tree) -> Vec<Capability> {
    let mut found = Vec::new();
    let mut left = vec![(PathBuf::from(CAPABILITIES), 0)];
    while let Some((directory, depth)) = left.pop() {
        for entry in host.entries(&directory).iter() {
            let path = directory.join(&entry.name);
            if entry.kind == Kind::Directory && depth < MAX_DEPTH {
                left.push((path, depth + 1));
            } else if entry.kind == Kind::File && found.len() < MAX_CAPABILITIES {
                found.extend(host.text(path).and_then(|text| capability(&text)));
            }
        }
    }
    found.sort_by_key(|it| it.minor);
    found
}

fn capability(text: &str) -> Option<Capability> {
    let minor = field(text, "DeviceFileMinor")?.into();
    let mode = field(text, "DeviceFileMode")?;
    (field(text, "DeviceFileModify") != Some(0)).then_some(Capability { minor, mode })
}

fn mig_minors(text: &str) -> Vec<(Option<u64>, u64)> {
    let capability = |line: &str| {
        let (name, minor) = line.split_once(' ')?;
        let gpu = match name.strip_prefix("gpu") {
            Some(rest) => Some(rest.split('/').next()?.parse().ok()?),
            None => None,
        };
        Some((gpu, minor.trim().parse().ok()?))
    };
    let found = text.lines().filter_map(capability);
    found.take(MAX_CAPABILITIES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_say_how_nodes_are() {
        let policy = |owner, mode, may_make| Policy {
            owner,
            mode,
            may_make,
        };
        let text = "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 0\nDeviceFileUID: 1\nDeviceFileGID: 44\n\
            DeviceFileMode: 432\nRegistryDwords: \"\"\nDeviceFileMode\n";
        assert_eq!(Policy::parse(text), policy((1, 44), 0o660, false));
        assert_eq!(Policy::parse(""), policy((0, 0), 0o666, true));
        assert_eq!(Policy::parse("DeviceFileMode: x"), Policy::parse(""));
    }

    #[test]
    fn capabilities_have_a_number_and_a_mode() {
        let text = "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n";
        let found = capability(text);
        assert_eq!(
            found,
            Some(Capability {
                minor: 1,
                mode: 0o400
            })
        );
        for text in [
            "",
            "DeviceFileMinor: 1\n",
            "DeviceFileMinor: -1\nDeviceFileMode: 256\n",
            "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 0\n",
        ] {
            assert_eq!(capability(text), None, "{text}");
        }
        let text = "config 1\ngpu0/gi0/access 3\ngpu31/gi14/ci7/access 4322\nbroken\ngpux/a 5\n\n";
        assert_eq!(
            mig_minors(text),
            [(None, 1), (Some(0), 3), (Some(31), 4322)]
        );
    }
}
