//! `update-application-profile`: names the container's GPUs to EGL.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::Mode;

use super::InContainer;
use super::disabled::Disabled;
use crate::rootfs::{ContainerRoot, Directory, is_not_there, is_obstacle};

/// Write a profile of the driver that names the container's GPUs to EGL.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "update-application-profile",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook update-application-profile <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct UpdateApplicationProfile {
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

impl InContainer for UpdateApplicationProfile {
    type Options = ();

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<()>> {
        Ok(Some(()))
    }

    fn run(&self, root: &ContainerRoot, (): &()) -> Result<()> {
        run(root)
    }
}

const DEV: &str = "/dev";
/// The start of the names of GPU devices; a number follows.
const GPU: &[u8] = b"nvidia";
const PROFILES: &str = "/etc/nvidia/nvidia-application-profiles-rc.d";
const PROFILE: &str = "10-container.conf";
const MODE: Mode = Mode::from_bits_truncate(0o444);

/// Writes the profile if the container has GPUs. Fails if it cannot be written.
pub fn run(root: &ContainerRoot) -> Result<()> {
    let mask = match root.directory(Path::new(DEV)) {
        Ok(dev) => visible_gpus(&dev).context("cannot list /dev")?,
        Err(err) if is_not_there(&err) => 0,
        Err(err) => {
            log::warn!("{PROFILES}/{PROFILE}: not written: cannot open {DEV}: {err}");
            return Ok(());
        }
    };
    if mask == 0 {
        log::debug!("{DEV}: no GPUs in the container, nothing is done");
        return Ok(());
    }
    let written = root
        .create_directory(Path::new(PROFILES))
        .and_then(|directory| directory.write(OsStr::new(PROFILE), profile(mask).as_bytes(), MODE));
    match written {
        Ok(_) => Ok(()),
        Err(err) if is_obstacle(&err) => {
            log::warn!("{PROFILES}/{PROFILE}: not written: {err}");
            Ok(())
        }
        Err(err) => Err(err).with_context(|| format!("cannot write {PROFILES}/{PROFILE}")),
    }
}

/// A mask with the bit of each GPU's minor number.
fn visible_gpus(dev: &Directory) -> io::Result<u64> {
    let mut mask = 0;
    for entry in dev.entries()? {
        if !is_gpu(&entry.name) {
            continue;
        }
        // If a device is mounted over a file, the listing shows the file.
        let Some((_, minor)) = dev.stat(&entry.name)?.device_number else {
            continue;
        };
        match u32::try_from(minor)
            .ok()
            .and_then(|it| 1_u64.checked_shl(it))
        {
            Some(bit) => mask |= bit,
            None => log::warn!(
                "{DEV}/{}: its minor number {minor} is above 63, no profile can name it",
                entry.name.display()
            ),
        }
    }
    Ok(mask)
}

fn is_gpu(name: &OsStr) -> bool {
    let number = name.as_bytes().strip_prefix(GPU);
    number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
}

/// The driver's format has hexadecimal numbers, unlike JSON.
fn profile(mask: u64) -> String {
    const NAME: &str = "_container_";
    format!(
        r#"{{"profiles":[{{"name":"{NAME}","settings":["EGLVisibleDGPUDevices",{mask:#x}]}}],"rules":[{{"pattern":[],"profile":"{NAME}"}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_named_by_numbers() {
        for name in ["nvidia0", "nvidia10", "nvidia63"] {
            assert!(is_gpu(OsStr::new(name)), "{name}");
        }
        for name in ["nvidia", "nvidiactl", "nvidia-uvm", "nvidia0a", "xnvidia0"] {
            assert!(!is_gpu(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn masks_are_hexadecimal() {
        for (mask, text) in [(1, "0x1"), (1 << 8, "0x100"), (1 | 1 << 15, "0x8001")] {
            assert_eq!(
                profile(mask),
                format!(
                    "{{\"profiles\":[{{\"name\":\"_container_\",\"settings\":[\"EGLVisibleDGPUDevices\",{text}]}}],\
                     \"rules\":[{{\"pattern\":[],\"profile\":\"_container_\"}}]}}"
                )
            );
        }
    }
}
