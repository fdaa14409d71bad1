//! `nvidia-container-runtime`, if an engine calls it: its settings and its low-level runtime.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::engine::setup::Setup;
use crate::host::program;
use crate::inventory::Inventory;
use crate::names::{self, Program};
use crate::shim::low_level;
use crate::shim::settings::Settings;

pub(super) fn settings_are_valid(host: &Inventory) -> Vec<Finding> {
    if callers(host).next().is_none() {
        return Vec::new();
    }
    let settings = Settings::read_below(&host.root);
    let Some(err) = settings.broken else {
        return Vec::new();
    };
    let what = format!("{}: {err:#}", settings.path.display());
    let cause = err.root_cause().downcast_ref::<io::Error>();
    if cause.is_some_and(|it| it.kind() == ErrorKind::PermissionDenied) {
        return vec![Finding::unreadable("runtime-config-unreadable", what)];
    }
    vec![Finding::error(
        "runtime-config-invalid",
        what,
        "the file was damaged by an edit: nvidia-container-runtime starts no container that requests GPUs",
        "repair the file; 'nvidia-ctk config default' prints a valid one",
    )]
}

pub(super) fn low_level_runtime_is_there(host: &Inventory) -> Vec<Finding> {
    let settings = Settings::read_below(&host.root);
    let missing = callers(host).filter_map(|(engine, path)| {
        // The PATH of an engine that is not installed is unknown.
        let beside = engine.program.as_deref()?.parent()?;
        low_level::is_below(&host.root, &settings, &path, beside).err()
    });
    let missing = missing.map(|[why, fix]| {
        Finding::error(
            "low-level-runtime-missing",
            why,
            "nvidia-container-runtime passes containers to the first of its low-level runtimes that exists: without one it starts \
             none",
            fix,
        )
    });
    missing.take(1).collect()
}

/// The engines that call it, and its path.
fn callers(host: &Inventory) -> impl Iterator<Item = (&Setup, PathBuf)> {
    host.engines.iter().filter_map(|engine| {
        let path = program::find(&host.root, engine.nvidia_runtime.as_deref()?)?;
        is_runtime(&path).then_some((engine, path))
    })
}

fn is_runtime(path: &Path) -> bool {
    names::program(path.as_os_str()) == Some(Program::Runtime)
}
