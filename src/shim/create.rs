//! A container that is made: what it asks for is put into its configuration.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::arguments::Call;
use super::request::Request;
use super::settings::Settings;
use super::{file, resolve};
use crate::cdi::apply::{apply, has_nvidia_hook};
use crate::document::json::scan::Value;
use crate::rootfs::Root;

/// Edits the configuration of the container that the call makes, if it makes one that asks for devices.
pub(super) fn prepare(call: &Call, settings: &Settings) -> Result<()> {
    let Some(path) = &call.config else {
        return Ok(());
    };
    // What is wrong with the file the low-level runtime says best.
    let Ok(text) = file::read(path) else {
        return Ok(());
    };
    let Some(config) = Value::of(&text) else {
        return Ok(());
    };
    let request = Request::of(config, settings).map_err(|err| anyhow!(err))?;
    if !request.ignored.is_empty() {
        call.log.warn(&format!(
            "{} asks for devices in an unprivileged container: accept-nvidia-visible-devices-envvar-when-unprivileged is false in {}",
            request.ignored.join(", "),
            settings.path.display()
        ));
    }
    if request.devices.is_empty() && !has_nvidia_hook(config) {
        return Ok(());
    }
    edit(path, &text, &request, call, settings)
}

fn edit(
    path: &Path,
    text: &[u8],
    request: &Request,
    call: &Call,
    settings: &Settings,
) -> Result<()> {
    let host = Root::host().context("cannot open /")?;
    let edits = if request.devices.is_empty() {
        Vec::new()
    } else {
        resolve::edits(request, settings.whole()?, &host, call)?
    };
    let applied = apply(text, &edits, &host).map_err(|err| anyhow!("{err}"))?;
    for warning in &applied.warnings {
        call.log.warn(warning);
    }
    match applied.text {
        Some(text) => file::replace(path, &text),
        None => Ok(()),
    }
}
