//! Engines that are too old for a CDI spec.

use super::Finding;
use crate::cdi::{Spec, minimum_version};
use crate::engine::Engine;
use crate::engine::setup::Setup;
use crate::engine::version::{Newest, numbers};
use crate::inventory::Inventory;

pub(super) fn engines_know_the_specs(host: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for engine in host.engines.iter().filter(|it| needs_cdi(host, it)) {
        for file in &host.specs {
            let Ok(spec) = &file.spec else { continue };
            let path = file.path.display().to_string();
            findings.extend(match engine.newest_cdi() {
                Some(Newest::None) => Some(knows_none(engine, &path, spec)),
                Some(Newest::Format(newest)) if numbers(&spec.cdi_version) > Some(newest) => {
                    Some(knows_older(engine, newest, &path, spec))
                }
                _ => None,
            });
        }
    }
    findings
}

/// Whether the engine gets GPUs by CDI: not one with NVIDIA's runtime, nor the containerd of Docker, unless CDI is enabled there.
fn needs_cdi(host: &Inventory, engine: &Setup) -> bool {
    let is_engine = |it: &Setup| it.engine == Engine::Docker;
    let is_dockers = engine.engine == Engine::Containerd && host.engines.iter().any(is_engine);
    engine.cdi == Some(true) || engine.nvidia_runtime.is_none() && !is_dockers
}

fn knows_none(engine: &Setup, path: &str, spec: &Spec) -> Finding {
    let [major, minor] = engine.engine.first_with_cdi();
    Finding::warning(
        "cdi-spec-too-new",
        format!(
            "{} does not read {path}, which is of version {}: it does not support CDI",
            named(engine),
            spec.cdi_version
        ),
        "the engine is older than CDI: no device of the spec can be requested",
        format!(
            "update {} to {major}.{minor} or later, or let it use NVIDIA's runtime: see 'nvidia-ctk runtime configure --help'",
            engine.title()
        ),
    )
}

fn knows_older(engine: &Setup, [major, minor]: [u64; 2], path: &str, spec: &Spec) -> Finding {
    let needed = minimum_version(spec);
    let update = format!("update {}", engine.title());
    let fix = if numbers(needed) > Some([major, minor]) {
        format!("{update}: the content of the spec needs version {needed}")
    } else {
        format!("{update}, or write the spec in version {needed}, which suffices for its content")
    };
    Finding::warning(
        "cdi-spec-too-new",
        format!(
            "{} does not read {path}, which is of version {}: it supports CDI up to version {major}.{minor}.0",
            named(engine),
            spec.cdi_version
        ),
        "the spec was written for newer engines: this one ignores the file",
        fix,
    )
}

/// The engine with its version.
fn named(engine: &Setup) -> String {
    let version = engine.version.as_ref().map(|it| format!(" {it}"));
    engine.title() + &version.unwrap_or_default()
}
