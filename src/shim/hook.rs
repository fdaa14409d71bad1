//! `nvidia-container-runtime-hook`: Docker before 29.2 takes `--gpus` only where a program of this name is there.
//!
//! The work is the runtime's. A container that asks for GPUs and was started without it is refused, since it would have none.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::file::{self, MAX_CONFIG};
use super::request::Request;
use super::settings::Settings;
use crate::document::json::scan::Value;
use crate::oci::State;

const STAGE: &str = "prestart";
const CONFIG: &str = "config.json";
/// A node that every container with GPUs has.
const CONTROL: &str = "/dev/nvidiactl";

/// Runs the hook; other stages than prestart have nothing to do.
pub(super) fn run(words: &[OsString]) -> ExitCode {
    if words.iter().all(|it| it != STAGE) {
        return ExitCode::SUCCESS;
    }
    match check() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            log::error!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<()> {
    let state = State::load(None)?;
    ensure!(
        state.bundle.is_absolute(),
        "the OCI state names no bundle with an absolute path"
    );
    let path = state.bundle.join(CONFIG);
    let text = file::read(&path, MAX_CONFIG);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let config = Value::of(&text);
    let config = config.with_context(|| format!("{} is no JSON", path.display()))?;
    let devices = config
        .at(&["linux", "devices"])
        .into_iter()
        .flat_map(Value::items);
    let mut paths = devices.filter_map(|it| it.member("path")?.text());
    let is_served = paths.any(|it| it == CONTROL);
    let request = Request::of(config, &Settings::read()).map_err(anyhow::Error::msg)?;
    if request.devices.is_empty() || is_served {
        return Ok(());
    }
    bail!(
        "this container asks for GPUs, and is not started by nvidia-container-runtime: use --device nvidia.com/gpu=all, or --runtime \
         nvidia ('nvidia-ctk runtime configure --runtime docker --set-as-default')"
    )
}
