//! The names in dockerd's PATH that decide what `docker run --gpus` does.

use std::path::Path;

use super::Finding;
use crate::engine::Engine;
use crate::engine::version::numbers;
use crate::host::program;
use crate::inventory::Inventory;
use crate::names::{CDI_HOOK, RUNTIME_HOOK};

/// The first version that maps `--gpus` to CDI devices.
const BY_CDI: [u64; 2] = [29, 2];

pub(super) fn cdi_hook_is_in_path(host: &Inventory) -> Vec<Finding> {
    let Some(version) = version_by_cdi(host) else {
        return Vec::new();
    };
    if program::find(&host.root, Path::new(CDI_HOOK)).is_some() {
        return Vec::new();
    }
    vec![Finding::warning(
        "docker-cdi-hook-missing",
        format!("docker {version} looks for {CDI_HOOK} in its PATH and does not find it"),
        "docker maps --gpus to CDI devices only if a program of that name exists, whatever CDI specs exist",
        "run 'nvidia-ctk install' and restart docker, which looks for it when it starts",
    )]
}

pub(super) fn runtime_hook_is_not_in_path(host: &Inventory) -> Vec<Finding> {
    let Some(version) = version_by_cdi(host) else {
        return Vec::new();
    };
    let path = program::find(&host.root, Path::new(RUNTIME_HOOK));
    let findings = path.map(|path| {
        Finding::warning(
            "docker-runtime-hook-in-path",
            format!("{} is installed beside docker {version}", path.display()),
            "docker 29.2 and later do not need it, but use it for --gpus if CDI fails, or before they try CDI: the container is \
             refused or gets no GPU, and the fault of CDI is not reported",
            format!("remove it: rm {}", path.display()),
        )
    });
    findings.into_iter().collect()
}

/// The version of Docker, if it is known and maps `--gpus` to CDI devices.
fn version_by_cdi(host: &Inventory) -> Option<&str> {
    let docker = host.engines.iter().find(|it| it.engine == Engine::Docker)?;
    let version = docker.version.as_deref()?;
    (numbers(version)? >= BY_CDI).then_some(version)
}
