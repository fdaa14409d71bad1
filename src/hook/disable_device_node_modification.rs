//! `disable-device-node-modification`: keeps the driver's programs in the container from creating device nodes.

use std::io;
use std::path::Path;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::Mode;

use super::InContainer;
use super::disabled::Disabled;
use crate::rootfs::{ContainerRoot, Covered, Root};
use crate::sandbox::Mounts;

/// Keep the driver's programs in the container from creating or changing device nodes.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "disable-device-node-modification",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook disable-device-node-modification <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct DisableDeviceNodeModification {
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

impl InContainer for DisableDeviceNodeModification {
    type Options = Vec<u8>;

    const RESTRICTS: bool = true;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Vec<u8>>> {
        Ok(params_for_container())
    }

    fn needs_mount(root: &ContainerRoot, _: &Vec<u8>) -> Mounts {
        needs_mount(root)
    }

    fn run(&self, root: &ContainerRoot, options: &Vec<u8>) -> Result<()> {
        run(root, options);
        Ok(())
    }
}

/// The parameters of the kernel module, on the host and in a container.
const PARAMS: &str = "/proc/driver/nvidia/params";
const MAX_PARAMS: u64 = 64 << 10;
const ON: &[u8] = b"ModifyDeviceFiles: 1";
const OFF: &[u8] = b"ModifyDeviceFiles: 0";
const MODE: Mode = Mode::from_bits_truncate(0o444);

/// Returns the parameters of the kernel module that the container must see; `None` if the host has none, or has the switch off
/// already.
#[must_use]
pub fn params_for_container() -> Option<Vec<u8>> {
    match Root::host().and_then(|host| host.read(Path::new(PARAMS), MAX_PARAMS)) {
        Ok(params) => switch_off(&params),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            log::debug!("{PARAMS}: not on this host, nothing is done");
            None
        }
        Err(err) => {
            log::warn!("{PARAMS}: programs may modify device files: cannot read the host's: {err}");
            None
        }
    }
}

/// The parameters with `ModifyDeviceFiles` off, if it was on.
fn switch_off(params: &[u8]) -> Option<Vec<u8>> {
    let params = params.strip_suffix(b"\n").unwrap_or(params);
    let mut lines: Vec<_> = params.split(|&byte| byte == b'\n').collect();
    if !lines.contains(&ON) || lines.contains(&OFF) {
        log::debug!("{PARAMS}: has no \"ModifyDeviceFiles: 1\", nothing is done");
        return None;
    }
    for line in lines.iter_mut().filter(|line| **line == ON) {
        *line = OFF;
    }
    lines.push(b"");
    Some(lines.join(&b'\n'))
}

/// Returns what [`run`] needs of the sandbox.
#[must_use]
pub fn needs_mount(root: &ContainerRoot) -> Mounts {
    if root.may_mount() {
        Mounts::Needed
    } else {
        Mounts::None
    }
}

/// Mounts a read-only file with these parameters over the container's, once. A failure is only a warning.
pub fn run(root: &ContainerRoot, params: &[u8]) {
    match root.has_other(Covered::NvidiaParams, params) {
        Ok(true) => {}
        Ok(false) => {
            log::debug!("{PARAMS}: not in the container, or says so already: nothing is done");
            return;
        }
        Err(err) => {
            log::warn!("{PARAMS}: programs may modify device files: {err}");
            return;
        }
    }
    if !root.may_mount() {
        log::warn!(
            "{PARAMS}: programs may modify device files: this hook is not in a mount namespace of the container; \
             call it at createContainer"
        );
        return;
    }
    match root.cover(Covered::NvidiaParams, params, MODE) {
        Ok(_) => log::debug!("{PARAMS}: device files are not to be modified"),
        Err(err) => log::warn!("{PARAMS}: programs may modify device files: cannot mount: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_switched_off() {
        for (params, switched) in [
            ("", None),
            ("# Some other content\n", None),
            ("ModifyDeviceFiles: 0", None),
            (" ModifyDeviceFiles: 1", None),
            ("ModifyDeviceFiles: 1 ", None),
            ("ModifyDeviceFiles: 11", None),
            ("ModifyDeviceFiles: 1\nModifyDeviceFiles: 0\n", None),
            ("ModifyDeviceFiles: 1", Some("ModifyDeviceFiles: 0\n")),
            ("ModifyDeviceFiles: 1\n", Some("ModifyDeviceFiles: 0\n")),
            (
                "ModifyDeviceFiles: 1\na\n\nb",
                Some("ModifyDeviceFiles: 0\na\n\nb\n"),
            ),
            (
                "a: 1\nModifyDeviceFiles: 1\nb: \"\"\n",
                Some("a: 1\nModifyDeviceFiles: 0\nb: \"\"\n"),
            ),
        ] {
            let found = switch_off(params.as_bytes());
            assert_eq!(found.as_deref(), switched.map(str::as_bytes), "{params}");
        }
    }
}
