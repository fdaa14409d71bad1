//! `nvidia-container-runtime-hook`: Docker before 29.2 accepts `--gpus` only if a program of this name exists.
//!
//! The runtime does the work. The hook rejects a container that requests GPUs but was not created by it, since that container
//! would have none.

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
/// A node of every container with GPUs.
const CONTROL: &str = "/dev/nvidiactl";

/// Runs the hook, which does nothing at stages other than prestart.
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
    let config = config.with_context(|| format!("{} is not JSON", path.display()))?;
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
        "this container requests GPUs, but was not created by nvidia-container-runtime: use --device nvidia.com/gpu=all, or \
         --runtime nvidia ('nvidia-ctk runtime configure --runtime docker --set-as-default')"
    )
}
