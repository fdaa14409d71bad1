//! `chmod`: sets the mode of files in the container.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
pub use nix::sys::stat::Mode;

use super::InContainer;
use super::disabled::Disabled;
use crate::rootfs::{ContainerRoot, is_obstacle};

/// Set the mode of files in the container, following symbolic links within its root.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "chmod",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook chmod --mode 755 --path /dev/dri <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct Chmod {
    /// file in the container, skipped if it is missing; may be repeated
    #[argh(option, arg_name = "path")]
    pub path: Vec<String>,
    /// mode to set, in octal, up to 7777
    #[argh(option, arg_name = "octal", from_str_fn(parse_mode))]
    pub mode: Mode,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

/// A mode, and the files to set it on.
#[derive(Clone)]
pub struct Options {
    /// Paths in the container.
    pub paths: Vec<PathBuf>,
    /// The bits 07777.
    pub mode: Mode,
}

impl InContainer for Chmod {
    type Options = Options;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Options>> {
        ensure!(
            !self.path.is_empty() && self.path.iter().all(|path| !path.trim().is_empty()),
            "chmod needs at least one --path, and none of them empty"
        );
        Ok(Some(Options {
            paths: self.path.iter().map(Into::into).collect(),
            mode: self.mode,
        }))
    }

    fn run(&self, root: &ContainerRoot, options: &Options) -> Result<()> {
        run(root, options)
    }
}

/// Sets the mode of each file that has another one. Every path is tried, each failure is logged. Fails if any path failed.
pub fn run(root: &ContainerRoot, options: &Options) -> Result<()> {
    let Options { paths, mode } = options;
    let failed = paths
        .iter()
        .filter(|path| !set_mode(root, path, *mode))
        .count();
    ensure!(
        failed == 0,
        "chmod failed for {failed} of {} paths",
        paths.len()
    );
    Ok(())
}

/// Returns `false` if it failed; the error has been logged.
fn set_mode(root: &ContainerRoot, path: &Path, mode: Mode) -> bool {
    let (shown, bits) = (path.display(), mode.bits());
    match root.chmod(path, mode) {
        Ok(true) => log::debug!("{shown}: mode is now {bits:04o}"),
        Ok(false) => log::debug!("{shown}: mode is {bits:04o} already"),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            log::debug!("{shown}: not in the container, skipped");
        }
        Err(err) if is_obstacle(&err) => {
            log::warn!("{shown}: the mode is not set to {bits:04o}: {err}");
        }
        Err(err) => {
            log::error!("{shown}: cannot set the mode to {bits:04o}: {err}");
            return false;
        }
    }
    true
}

pub(super) fn parse_mode(text: &str) -> Result<Mode, String> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|_| digits_only)
        .and_then(Mode::from_bits)
        .ok_or_else(|| "a mode is octal, from 0 to 7777, such as 755".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [
            ("755", 0o755),
            ("0755", 0o755),
            ("1777", 0o1777),
            ("7777", 0o7777),
            ("0", 0),
        ] {
            assert_eq!(parse_mode(text).unwrap().bits(), mode, "{text}");
        }
        for text in [
            "",
            " 755",
            "+755",
            "0o755",
            "7_5_5",
            "u+x",
            "9",
            "10000",
            "100644",
            "-1",
            "37777777777",
        ] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }
}
