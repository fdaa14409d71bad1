//! Files in `ld.so.conf.d`, by which hooks add directories to the container's loader.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::Mode;

use crate::rootfs::{ContainerRoot, Directory, is_not_there};

/// Names the directory of the preferred libcuda. It comes before [`DRIVER`].
pub(super) const COMPAT: &str = "00-compat-nvidia-ctk.conf";
/// Names the driver's directories. It comes before the files of distributions, so that the driver's libraries take precedence.
pub(super) const DRIVER: &str = "00-nvidia-ctk.conf";

const DIRECTORY: &str = "/etc/ld.so.conf.d";
const ETC: &str = "/etc";
const CONF: &str = "ld.so.conf";
/// The text for a missing ld.so.conf.
const CONF_TEXT: &str = "include /etc/ld.so.conf.d/*.conf\n";
/// Longest drop-in of one line.
const MAX_LINE: u64 = 8 << 10;
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// Writes the text that `edit` returns to the drop-in `name`, and creates ld.so.conf if it is missing. Returns whether the drop-in
/// has changed. Fails, and keeps the file, if `edit` cannot read it or it cannot be written.
pub(super) fn write(
    root: &ContainerRoot,
    name: &str,
    edit: impl FnOnce(&Directory) -> io::Result<Vec<u8>>,
) -> Result<bool> {
    let directory = root
        .create_directory(Path::new(DIRECTORY))
        .with_context(|| format!("cannot make {DIRECTORY}"))?;
    let text = edit(&directory).with_context(|| format!("cannot read {DIRECTORY}/{name}"))?;
    let changed = directory
        .write(OsStr::new(name), &text, MODE)
        .with_context(|| format!("cannot write {DIRECTORY}/{name}"))?;
    let etc = root.directory(Path::new(ETC))?;
    if etc.stat(OsStr::new(CONF)).is_err() {
        etc.write(OsStr::new(CONF), CONF_TEXT.as_bytes(), MODE)
            .with_context(|| format!("cannot write {ETC}/{CONF}"))?;
    }
    Ok(changed)
}

/// Removes the drop-in `name` if it exists.
pub(super) fn remove(root: &ContainerRoot, name: &str) -> Result<()> {
    let directory = root.directory(Path::new(DIRECTORY));
    let removed = directory.and_then(|directory| {
        directory.stat(OsStr::new(name))?;
        directory.remove(OsStr::new(name))
    });
    match removed {
        Err(err) if is_not_there(&err) => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {DIRECTORY}/{name}")),
    }
}

/// The directory that the drop-in [`COMPAT`] names.
pub(super) fn compat(root: &ContainerRoot) -> Option<PathBuf> {
    let path = Path::new(DIRECTORY).join(COMPAT);
    let text = root.read(&path, MAX_LINE).ok()?;
    let line = PathBuf::from(String::from_utf8(text).ok()?.lines().next()?);
    fits(&line).then_some(line)
}

/// The directories that `--folder` names. Refuses what a line of ld.so.conf cannot hold.
pub(super) fn folders(folders: &[String]) -> Result<Vec<PathBuf>> {
    for folder in folders {
        ensure!(
            fits(Path::new(folder)),
            "--folder {folder:?}: not an absolute path that a line of ld.so.conf can hold"
        );
    }
    Ok(folders.iter().map(Into::into).collect())
}

/// Whether a line of a drop-in can hold the path.
pub(super) fn fits(path: &Path) -> bool {
    let is_plain = |text: &str| !text.contains(|c: char| c.is_control() || c == '#');
    path.is_absolute() && path.to_str().is_some_and(is_plain)
}
