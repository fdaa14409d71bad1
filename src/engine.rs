//! The container engines: where their configuration is, what it says of NVIDIA's runtime and of CDI, and how it is edited.
//!
//! Each engine has a module, which knows its documents; [`setup`] is what a host has of all of them, and [`configuration`] what edits
//! of their documents have in common.

pub mod configuration;
pub mod containerd;
pub mod crio;
pub mod docker;
pub mod podman;
pub mod setup;
pub mod version;

use std::fmt;
use std::str::FromStr;

/// A container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker
    Docker,
    /// containerd
    Containerd,
    /// CRI-O
    Crio,
    /// podman
    Podman,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Containerd, Self::Crio, Self::Podman];

    /// The name under which people know it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "CRI-O",
            Self::Podman => "podman",
        }
    }

    /// The name of its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Podman => "podman",
        }
    }

    /// The configuration file that its manual names.
    #[must_use]
    pub fn default_config(self) -> &'static str {
        match self {
            Self::Docker => "/etc/docker/daemon.json",
            Self::Containerd => "/etc/containerd/config.toml",
            Self::Crio => "/etc/crio/crio.conf",
            Self::Podman => "/etc/containers/containers.conf",
        }
    }

    /// The folder of its drop-ins, in the folder of its configuration file; none for an engine that has no such folder.
    #[must_use]
    pub fn drop_in_folder(self) -> Option<&'static str> {
        match self {
            Self::Containerd => Some("conf.d"),
            Self::Crio => Some("crio.conf.d"),
            Self::Docker | Self::Podman => None,
        }
    }
}

/// As on the command line.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Podman => "podman",
        })
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.to_string() == name)
            .ok_or_else(|| {
                let known = Self::ALL.map(|engine| engine.to_string()).join(", ");
                format!("unrecognized runtime '{name}'; known are {known}")
            })
    }
}
