//! Configuration files of containerd that a distribution of Kubernetes generates: edits in them are lost.

use std::path::Path;

use anyhow::{Result, bail};

use super::current::Current;
use crate::engine::Engine;

/// How many lines at the start of a file may contain the remark of its generator.
const HEAD_LINES: usize = 5;
/// k0s rewrites its file as long as this is the first line.
const K0S: &str = "# k0s_managed=true";
/// The folder of drop-ins from which k0s makes containerd's settings.
const K0S_DROP_INS: &str = "containerd.d";
/// The source of the file of `MicroK8s`.
const MICROK8S_TEMPLATE: &str = "containerd-template.toml";
const MICROK8S: &str = "containerd.toml";

/// The generator of a configuration file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Generator {
    /// k3s or RKE2, at each start
    Rancher,
    /// `MicroK8s`, at each start
    MicroK8s,
    /// k0s, which adds the drop-ins of a folder
    K0s,
    /// A program that says so
    Other,
}

impl Generator {
    /// The generator of the file, by its first lines or the files in its directory.
    pub(super) fn of(file: &Current) -> Option<Self> {
        let mut head = file.text().lines().take(HEAD_LINES);
        if head
            .clone()
            .next()
            .is_some_and(|line| line.trim_end() == K0S)
        {
            return Some(Self::K0s);
        }
        let is_microk8s = file.path.ends_with(MICROK8S)
            && Path::new(&file.path.with_file_name(MICROK8S_TEMPLATE))
                .try_exists()
                .unwrap_or(false);
        if is_microk8s {
            return Some(Self::MicroK8s);
        }
        let remark = head.find(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with('#') && line.contains("do not edit")
        })?;
        Some(if remark.contains(".toml.tmpl") {
            Self::Rancher
        } else {
            Self::Other
        })
    }

    /// The folder of the drop-ins, in the directory of the configuration file.
    pub(super) fn drop_in_folder(self) -> Option<&'static str> {
        (self == Self::K0s).then_some(K0S_DROP_INS)
    }

    /// Refuses to edit a file that is generated from another one.
    pub(super) fn permit(self, file: &Current, engine: Engine) -> Result<()> {
        let path = file.path.display();
        match self {
            Self::K0s => {}
            Self::Rancher => {
                let (v2, v3) = (
                    file.path.with_file_name("config.toml.tmpl"),
                    file.path.with_file_name("config-v3.toml.tmpl"),
                );
                bail!(
                    "{path} is written anew at each start of the cluster's agent, as its first line says. k3s and RKE2 add the \
                     runtime nvidia themselves when its program is installed, and --default-runtime=nvidia makes it the default; \
                     for other settings edit {} (for containerd 2: {}) and name it with --config",
                    v2.display(),
                    v3.display()
                )
            }
            Self::MicroK8s => bail!(
                "{path} is written anew at each start of MicroK8s, from {0}: name that one, --config {0}",
                file.path.with_file_name(MICROK8S_TEMPLATE).display()
            ),
            Self::Other => log::warn!(
                "{path} is marked \"do not edit\": the program that writes it may undo this, and {engine} would lose the runtime"
            ),
        }
        Ok(())
    }
}
