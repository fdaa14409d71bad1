//! The driver root, and the root with its /dev.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::place::{self, Libraries};
use super::tree::{Problems, Tree};
use crate::rootfs::{Root, is_not_there};

/// The mount point of the GPU operator's driver container.
pub const OPERATOR: &str = "/run/nvidia/driver";
/// The node that every program with a GPU needs.
const CONTROL: &str = "/dev/nvidiactl";

/// The administrator's settings for the driver's places; all are paths on the host.
#[derive(Clone, Copy, Default, Debug)]
pub struct Asked<'a> {
    /// The driver's root directory.
    pub driver_root: Option<&'a Path>,
    /// The directory whose `dev` has the nodes.
    pub dev_root: Option<&'a Path>,
    /// The only directories to search for libraries; empty for the usual ones.
    pub library_paths: &'a [PathBuf],
    /// The only directories to search for configurations; empty for the usual ones.
    pub config_paths: &'a [PathBuf],
}

/// Finds the driver root for this version and its libraries: the requested one, or the host's own, or the GPU operator's if the
/// host has no driver or another one. Fails if the root cannot be opened.
pub(super) fn find(
    host: &Root,
    asked: Asked<'_>,
    version: Option<&str>,
    problems: &Problems,
) -> Result<(Tree, Libraries)> {
    let read = |path: &Path| {
        let tree = Tree::open(host, path, problems)?;
        let libraries = place::find(&tree, version, asked.library_paths);
        io::Result::Ok((tree, libraries))
    };
    if let Some(path) = asked.driver_root {
        return read(path)
            .with_context(|| format!("cannot open the driver's root {}", path.display()));
    }
    let own = read(Path::new("/"))?;
    let fits = |libraries: &Libraries| match version {
        Some(version) => libraries.has_version(version),
        None => libraries.version().is_some(),
    };
    if fits(&own.1) {
        return Ok(own);
    }
    let is_better = |other: &Libraries| {
        fits(other) || own.1.directories.is_empty() && !other.directories.is_empty()
    };
    match read(Path::new(OPERATOR)) {
        Ok(operator) if is_better(&operator.1) => return Ok(operator),
        Err(err) if !is_not_there(&err) => {
            own.0.noted(Path::new(OPERATOR), Err::<(), _>(err));
        }
        _ => {}
    }
    Ok(own)
}

/// Finds the directory whose /dev has the driver's nodes: the requested one, or the driver root if it has them, or the host's
/// root. Fails if it cannot be opened.
pub(super) fn find_dev(
    host: &Root,
    driver: &Tree,
    asked: Asked<'_>,
    problems: &Problems,
) -> Result<Tree> {
    if let Some(path) = asked.dev_root {
        return Tree::open(host, path, problems)
            .with_context(|| format!("cannot open the root of /dev, {}", path.display()));
    }
    let has_nodes = driver.stat(CONTROL).is_some();
    let path = if has_nodes {
        driver.path()
    } else {
        Path::new("/")
    };
    Ok(Tree::open(host, path, problems)?)
}
