//! The container engines: the places of their configuration, its settings for NVIDIA's runtime and CDI, and its edits.
//!
//! Each engine has a module for its documents; [`setup`] reads the configuration of all engines of a host, and [`configuration`]
//! has what edits of their documents share.

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
    /// All engines.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Containerd, Self::Crio, Self::Podman];

    /// Returns the display name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "CRI-O",
            Self::Podman => "podman",
        }
    }

    /// Returns the name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Podman => "podman",
        }
    }

    /// Returns the configuration file that the engine's manual names.
    #[must_use]
    pub fn default_config(self) -> &'static str {
        match self {
            Self::Docker => "/etc/docker/daemon.json",
            Self::Containerd => "/etc/containerd/config.toml",
            Self::Crio => "/etc/crio/crio.conf",
            Self::Podman => "/etc/containers/containers.conf",
        }
    }

    /// Returns the name of the drop-in directory beside the configuration file; `None` if the engine has none.
    #[must_use]
    pub fn drop_in_folder(self) -> Option<&'static str> {
        match self {
            Self::Containerd => Some("conf.d"),
            Self::Crio => Some("crio.conf.d"),
            Self::Docker | Self::Podman => None,
        }
    }
}

/// Formats the name for the command line.
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
                format!("unrecognized runtime '{name}'; valid values: {known}")
            })
    }
}
