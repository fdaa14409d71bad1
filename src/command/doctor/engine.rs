//! Container engines.

use std::io;
use std::path::Path;

use super::{Finding, few};
use crate::engine::Engine;
use crate::engine::setup::Setup;
use crate::host::program;
use crate::inventory::Inventory;

pub(super) fn configs_are_valid(host: &Inventory) -> Vec<Finding> {
    let errors = host
        .engines
        .iter()
        .filter_map(|engine| Some((engine, engine.error.as_ref()?)));
    errors
        .map(|(engine, err)| {
            let cause = err.root_cause().downcast_ref::<io::Error>();
            if cause.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied) {
                return Finding::unreadable("engine-config-unreadable", format!("{err:#}"));
            }
            if cause.is_some_and(|it| it.kind() == io::ErrorKind::FileTooLarge) {
                return Finding::left_out("engine-config-left-out", format!("{err:#}"));
            }
            Finding::error(
                "engine-config-invalid",
                format!("{err:#}"),
                "the file was damaged by an edit",
                format!("repair the file: {} does not start with it", engine.title()),
            )
        })
        .collect()
}

pub(super) fn flags_are_not_in_configs(host: &Inventory) -> Vec<Finding> {
    let conflicts = host.engines.iter().flat_map(|engine| &engine.conflicts);
    conflicts
        .map(|conflict| {
            Finding::error(
                "docker-flag-conflict",
                format!("dockerd gets one setting twice: {conflict}"),
                "dockerd refuses a directive that is both a flag and in its configuration file: it does not start",
                "remove one of the two; after a change to a drop-in of systemd, run 'systemctl daemon-reload'",
            )
        })
        .collect()
}

pub(super) fn runtimes_are_there(host: &Inventory) -> Vec<Finding> {
    let runtimes = host
        .engines
        .iter()
        .filter_map(|engine| Some((engine, engine.nvidia_runtime.as_ref()?)));
    runtimes
        .filter(|(_, path)| program::find(&host.root, path).is_none())
        .map(|(engine, path)| {
            Finding::error(
                "engine-runtime-missing",
                format!(
                    "{} is configured to use the runtime {}, which does not exist",
                    engine.title(),
                    path.display()
                ),
                "the runtime was removed, or the configuration was written for another host",
                format!(
                    "install it, or remove it from {}",
                    few(engine.configs.iter().map(|it| it.display()))
                ),
            )
        })
        .collect()
}

pub(super) fn device_links_are_there(host: &Inventory) -> Vec<Finding> {
    let Some(engine) = host
        .engines
        .iter()
        .find(|engine| uses_systemd_cgroup(host, engine))
    else {
        return Vec::new();
    };
    // udev makes the links of the others.
    let nodes = host.driver.nodes.iter();
    let numbers = nodes
        .filter(|node| node.name.to_string_lossy().starts_with("nvidia"))
        .filter_map(|node| node.number);
    let missing: Vec<_> = numbers
        .map(|(major, minor)| ((major, minor), format!("/dev/char/{major}:{minor}")))
        .filter(|(number, link)| {
            let there = host.root.stat(Path::new(link)).ok();
            there.and_then(|it| it.device_number) != Some(*number)
        })
        .map(|(_, link)| link)
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Finding::warning(
        "dev-char-links-missing",
        format!(
            "{} lets systemd manage cgroups, but links are missing: {}",
            engine.title(),
            few(missing)
        ),
        "the driver's devices are not known to udev: containers lose them at 'systemctl daemon-reload'",
        "at each start run 'nvidia-ctk system create-dev-char-symlinks', or use the cgroupfs driver",
    )]
}

fn uses_systemd_cgroup(host: &Inventory, engine: &Setup) -> bool {
    engine
        .systemd_cgroup
        .unwrap_or_else(|| match engine.engine {
            Engine::Crio => true,
            Engine::Docker => ["/run/systemd/system", "/sys/fs/cgroup/cgroup.controllers"]
                .iter()
                .all(|path| host.root.stat(Path::new(path)).is_ok()),
            _ => false,
        })
}
