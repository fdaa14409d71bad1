//! Docker: its settings for CDI, and the names in dockerd's PATH that decide what `docker run --gpus` does.

use std::path::Path;

use super::cdi::describes_nvidia;
use super::driver::has_driver;
use super::{Finding, few};
use crate::cdi::read_all;
use crate::engine::Engine;
use crate::engine::setup::Setup;
use crate::engine::version::{Newest, numbers};
use crate::host::program;
use crate::inventory::Inventory;
use crate::names::{CDI_HOOK, RUNTIME_HOOK};

/// The first version that reads CDI specs without `features.cdi`.
const CDI_BY_DEFAULT: [u64; 2] = [28, 2];
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

/// Not for a Docker that has another way to GPUs: NVIDIA's runtime, or its hook for `--gpus`.
pub(super) fn cdi_is_enabled(host: &Inventory) -> Vec<Finding> {
    let Some(docker) = docker(host) else {
        return Vec::new();
    };
    let has_other_way = docker.nvidia_runtime.is_some()
        || program::find(&host.root, Path::new(RUNTIME_HOOK)).is_some();
    if has_other_way || !has_driver(&host.driver) || docker.newest_cdi() == Some(Newest::None) {
        return Vec::new();
    }
    let version = docker.version.as_deref().unwrap_or_default();
    let what = match docker.cdi {
        Some(false) => format!(
            "docker does not read CDI specs: features.cdi is false in {}",
            few(docker.configs.iter().map(|it| it.display()))
        ),
        None if numbers(version).is_some_and(|it| it < CDI_BY_DEFAULT) => {
            format!("docker {version} does not read CDI specs: features.cdi is not set")
        }
        _ => return Vec::new(),
    };
    vec![Finding::warning(
        "docker-cdi-disabled",
        what,
        "docker before 28.2 reads CDI specs only if features.cdi is true, and later ones unless it is false: it refuses \
         --device nvidia.com/gpu=all with 'could not select device driver \"cdi\" with capabilities: []'",
        "run 'nvidia-ctk runtime configure --runtime docker --enable-cdi', then 'systemctl restart docker'",
    )]
}

pub(super) fn spec_is_in_its_directories(host: &Inventory) -> Vec<Finding> {
    let Some(docker) = docker(host).filter(|it| !it.cdi_spec_dirs.is_empty()) else {
        return Vec::new();
    };
    let dirs = &docker.cdi_spec_dirs;
    let (Some(dir), Some(spec)) = (
        dirs.last(),
        host.specs.iter().find(|it| describes_nvidia(it)),
    ) else {
        return Vec::new();
    };
    if read_all(&host.root, dirs).iter().any(describes_nvidia) {
        return Vec::new();
    }
    vec![Finding::warning(
        "docker-cdi-spec-dirs",
        format!(
            "docker reads CDI specs in {}, but the spec of NVIDIA's devices is {}",
            few(dirs.iter().map(|it| it.display())),
            spec.path.display()
        ),
        "cdi-spec-dirs replaces the directories that docker reads by default, /etc/cdi and /var/run/cdi",
        format!(
            "remove cdi-spec-dirs from {} and restart docker, or run 'nvidia-ctk cdi generate --output {}'",
            few(docker.configs.iter().map(|it| it.display())),
            dir.join("nvidia.yaml").display()
        ),
    )]
}

fn docker(host: &Inventory) -> Option<&Setup> {
    host.engines.iter().find(|it| it.engine == Engine::Docker)
}

/// The version of Docker, if it is known and maps `--gpus` to CDI devices.
fn version_by_cdi(host: &Inventory) -> Option<&str> {
    let docker = docker(host)?;
    let version = docker.version.as_deref()?;
    (numbers(version)? >= BY_CDI).then_some(version)
}
