//! Container creation: adds the requested devices to the configuration.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use memchr::memmem;

use super::arguments::Call;
use super::file::MAX_CONFIG;
use super::request::Request;
use super::settings::Settings;
use super::{file, resolve};
use crate::cdi::{apply, remove_nvidia_hook};
use crate::document::json::scan::Value;
use crate::rootfs::Root;

/// The common prefix of NVIDIA's hooks.
const HOOK_NAMES: &[u8] = b"nvidia-container-";

/// Edits the configuration if the call creates a container that requests devices. Fails if the request cannot be read or met.
pub(super) fn prepare(call: &Call, settings: &Settings) -> Result<()> {
    let Some(path) = &call.config else {
        return Ok(());
    };
    let path = path.as_ref().map_err(|err| anyhow!("{err}"))?;
    // Without its configuration the container's request is unknown, so it must not start.
    let text = file::read(path, MAX_CONFIG);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let config = Value::of(&text);
    let config = config.with_context(|| format!("{} is not JSON", path.display()))?;
    let request = Request::of(config, settings).map_err(|err| anyhow!(err))?;
    if !request.ignored.is_empty() {
        call.log.warn(&format!(
            "{} asks for devices in an unprivileged container: accept-nvidia-visible-devices-envvar-when-unprivileged is false in {}",
            request.ignored.join(", "),
            settings.path.display()
        ));
    }
    if request.devices.is_empty() {
        return remove_hook(path, &text);
    }
    let host = Root::host().context("cannot open /")?;
    let edits = resolve::edits(&request, settings.whole()?, &host, call)?;
    let edits: Vec<_> = edits.iter().collect();
    let mut warnings = Vec::new();
    let edited = apply(&text, &edits, &host, &mut warnings)?;
    for warning in &warnings {
        call.log.warn(warning);
    }
    edited.map_or(Ok(()), |text| file::replace(path, &text))
}

/// Removes NVIDIA's hook from the configuration of a container that requests nothing; all else stays.
fn remove_hook(path: &Path, text: &[u8]) -> Result<()> {
    if memmem::find(text, HOOK_NAMES).is_none() {
        return Ok(());
    }
    match remove_nvidia_hook(text) {
        Ok(Some(text)) => file::replace(path, &text),
        // The low-level runtime reports errors in it best.
        Ok(None) | Err(_) => Ok(()),
    }
}
