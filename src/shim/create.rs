//! A container that is made: what it asks for is put into its configuration.

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

/// What the names of NVIDIA's hooks have in common.
const HOOK_NAMES: &[u8] = b"nvidia-container-";

/// Edits the configuration of the container that the call makes, if it makes one that asks for devices.
pub(super) fn prepare(call: &Call, settings: &Settings) -> Result<()> {
    let Some(path) = &call.config else {
        return Ok(());
    };
    let path = path.as_ref().map_err(|err| anyhow!("{err}"))?;
    // Nobody can tell what the container asks for, and it is not to start without it.
    let text = file::read(path, MAX_CONFIG);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let config = Value::of(&text);
    let config = config.with_context(|| format!("{} is no JSON", path.display()))?;
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

/// Takes NVIDIA's hook out of the configuration of a container that asks for nothing; nothing else of it is touched.
fn remove_hook(path: &Path, text: &[u8]) -> Result<()> {
    if memmem::find(text, HOOK_NAMES).is_none() {
        return Ok(());
    }
    match remove_nvidia_hook(text) {
        Ok(Some(text)) => file::replace(path, &text),
        // What is wrong with it the low-level runtime says best.
        Ok(None) | Err(_) => Ok(()),
    }
}
