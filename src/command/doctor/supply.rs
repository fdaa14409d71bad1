//! Whether there is a CDI spec of NVIDIA GPUs for the engines that need one.

use std::path::{Path, PathBuf};

use super::Finding;
use super::cdi::describes_nvidia;
use super::driver::has_driver;
use crate::cdi::{DIRECTORIES, read_all};
use crate::driver::platform::Kind;
use crate::engine::Engine;
use crate::engine::setup::Setup;
use crate::engine::version::Newest;
use crate::host::{program, service};
use crate::inventory::Inventory;
use crate::names::{CDI_HOOK, RUNTIME_HOOK};

/// The unit that keeps a spec up to date.
const UNIT: &str = "nvidia-ctk-cdi.service";
const GENERATE: &str = "'nvidia-ctk cdi generate --output /run/cdi/nvidia.yaml'";
/// The directory that exists while systemd manages the host.
const SYSTEMD: &str = "/run/systemd/system";

pub(super) fn engines_have_a_spec(host: &Inventory) -> Vec<Finding> {
    let has_own = |engine: &Setup| {
        let specs = read_all(&host.root, &engine.cdi_spec_dirs);
        specs.iter().any(describes_nvidia)
    };
    let mut engines = host.engines.iter();
    if !engines.any(|it| needs_spec(host, it)) || host.engines.iter().any(has_own) {
        return Vec::new();
    }
    spec_is_there(host, &DIRECTORIES.map(PathBuf::from))
}

/// Returns a finding if no spec of the host describes an NVIDIA GPU, but its driver runs. An unusable spec is another finding.
pub(in crate::command) fn spec_is_there(host: &Inventory, directories: &[PathBuf]) -> Vec<Finding> {
    let may_describe = |it| describes_nvidia(it) || it.spec.is_err();
    if !has_driver(&host.driver) || host.specs.iter().any(may_describe) {
        return Vec::new();
    }
    let directories: Vec<_> = directories.iter().map(|it| it.to_string_lossy()).collect();
    let is_managed = host.root.stat(Path::new(SYSTEMD)).is_ok();
    let fix = if is_managed && service::start(&host.root, UNIT).is_some() {
        format!("run 'systemctl enable --now {UNIT}', or once {GENERATE}")
    } else {
        format!("run {GENERATE}")
    };
    vec![Finding::warning(
        "cdi-spec-missing",
        format!(
            "no CDI spec in {} describes an NVIDIA GPU",
            directories.join(" or ")
        ),
        "none was written since the host was started, or it was removed: engines do not resolve nvidia.com/gpu=all",
        fix,
    )]
}

/// Whether containers of the engine get GPUs by a spec only.
fn needs_spec(host: &Inventory, engine: &Setup) -> bool {
    // podman and CRI-O always read specs.
    let can_choose = matches!(engine.engine, Engine::Docker | Engine::Containerd);
    let is_chosen = can_choose && engine.cdi == Some(true);
    let can_read = engine.newest_cdi() != Some(Newest::None) && engine.cdi != Some(false);
    can_read && (is_chosen || !has_other_way(host))
}

/// Whether the host is set up for GPUs without specs in files: with NVIDIA's runtime or hook, with hooks.d alone, or as a node of
/// GKE, whose device plugin supplies nodes and mounts.
fn has_other_way(host: &Inventory) -> bool {
    let is_there = |name: &str| program::find(&host.root, Path::new(name)).is_some();
    let has_hooks = host.hooks.iter().any(|it| it.program.is_ok());
    host.engines.iter().any(|it| it.nvidia_runtime.is_some())
        || is_there(RUNTIME_HOOK)
        || has_hooks && !is_there(CDI_HOOK)
        || host.driver.platform.kind == Kind::Gke
}
