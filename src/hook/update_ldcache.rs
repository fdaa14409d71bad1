//! `update-ldcache`: makes the container's loader find libraries.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};
use nix::sys::stat::Mode;

use super::InContainer;
use super::disabled::Disabled;
use super::drop_in;
use crate::driver::directories;
use crate::ldcache::{Ldconfig, SearchPath};
use crate::oci::State;
use crate::rootfs::{ContainerRoot, Entry, FileId, is_not_there, is_obstacle};
use crate::sandbox::Mounts;

/// Update the container's ld.so.cache and SONAME links, as its own ldconfig would.
///
/// The driver's libraries take precedence over others of the same name.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "update-ldcache",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook update-ldcache --folder /usr/lib64 <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct UpdateLdcache {
    /// library directory in the container to add to its ld.so.conf.d; may be repeated
    #[argh(option, arg_name = "dir")]
    pub folder: Vec<String>,
    /// add the directories that hold driver libraries; do nothing if the container has none
    #[argh(switch)]
    pub find_driver: bool,
    /// accepted without effect: no ldconfig of the host is needed
    #[argh(option, arg_name = "path")]
    pub ldconfig_path: Option<String>,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

const ETC: &str = "/etc";
const MAX_CONF: u64 = 1 << 20;
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// The directory of musl's loader, and the start and end of its name.
const MUSL_DIRECTORY: &str = "/lib";
const MUSL_LOADER: (&[u8], &[u8]) = (b"ld-musl-", b".so.1");
/// The directories that musl searches if there is no path file, which replaces them.
const MUSL_DEFAULT: &str = "/lib:/usr/local/lib:/usr/lib";

/// What the loader must find.
#[derive(Clone, Default)]
pub struct Options {
    /// Library directories in the container to add to its ld.so.conf.d.
    pub folders: Vec<PathBuf>,
    /// Whether to add the directories in which driver libraries lie, and to do nothing if there are none at all.
    pub find_driver: bool,
    /// Where to look for driver libraries first.
    pub driver_places: Vec<PathBuf>,
    /// A directory whose libraries come before the driver's.
    pub preferred: Preferred,
}

/// The decision of enable-cuda-compat.
#[derive(Clone, Default)]
pub enum Preferred {
    /// The directory in its drop-in, at the place that ld.so.conf gives it.
    #[default]
    ByDropIn,
    /// This directory, which comes first even if ld.so.conf does not include it; or none.
    Decided(Option<PathBuf>),
}

/// A directory of the container, and its identity if it exists.
struct Folder {
    path: PathBuf,
    id: Option<FileId>,
}

impl Folder {
    fn find(root: &ContainerRoot, path: &Path) -> Self {
        let id = root
            .directory(path)
            .and_then(|directory| directory.id())
            .ok();
        let path = path.to_owned();
        Self { path, id }
    }

    fn is_in(&self, search_path: &SearchPath<'_>) -> bool {
        self.id.is_some_and(|id| search_path.contains(id))
    }
}

impl InContainer for UpdateLdcache {
    type Options = Options;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Options>> {
        if let Some(path) = &self.ldconfig_path {
            log::debug!("--ldconfig-path {path}: ignored, no ldconfig is run");
        }
        Ok(Some(Options {
            folders: drop_in::folders(&self.folder)?,
            find_driver: self.find_driver,
            ..Options::default()
        }))
    }

    fn learn(&self, options: &mut Options, state: &State) -> bool {
        if options.find_driver {
            options.driver_places = state.driver_places();
        }
        true
    }

    fn needs_mount(root: &ContainerRoot, _: &Options) -> Mounts {
        needs_mount(root)
    }

    fn run(&self, root: &ContainerRoot, options: &Options) -> Result<()> {
        run(root, options)
    }
}

/// Returns whether a mount is needed: if the cache cannot be replaced, a new one is mounted over it.
#[must_use]
pub fn needs_mount(root: &ContainerRoot) -> Mounts {
    if root.needs_mount() {
        Mounts::Needed
    } else {
        Mounts::None
    }
}

/// Adds the folders to the container's configuration, makes SONAME links, and writes the cache. Fails if the cache cannot be
/// written.
pub fn run(root: &ContainerRoot, options: &Options) -> Result<()> {
    run_with(&Ldconfig::new(root), root, options)
}

/// The same, with the ldconfig of the root.
pub(super) fn run_with(
    ldconfig: &Ldconfig<'_>,
    root: &ContainerRoot,
    options: &Options,
) -> Result<()> {
    let configured = ldconfig.search_path([]);
    let find = |path: &PathBuf| Folder::find(root, path);
    let mut folders: Vec<_> = options.folders.iter().map(find).collect();
    if options.find_driver {
        let drivers = directories::find(root, &options.driver_places, &configured);
        if drivers.is_empty() && folders.is_empty() {
            log::debug!("no driver libraries in the container: nothing is done");
            return Ok(());
        }
        folders.extend(drivers.into_iter().map(|driver| Folder {
            id: driver.directory.id().ok(),
            path: driver.path,
        }));
    }
    report(
        add_to_musl(root, &folders),
        "musl's search path is not changed",
    )?;
    let drivers = folders
        .iter()
        .filter_map(|it| Some((it.id?, it.path.clone())));
    let drivers: Vec<_> = drivers.collect();
    folders.retain(|folder| !folder.is_in(&configured));
    report(add_to_conf(root, &folders), "ld.so.conf.d is not changed")?;
    let mut search_path = configured;
    if !folders.is_empty() {
        search_path = ldconfig.search_path([]);
    }
    let preferred = preferred(root, options, !drivers.is_empty());
    // The directory of the drop-in has its place; the one that was decided may be in none.
    let decided = match options.preferred {
        Preferred::Decided(_) => &preferred[..],
        Preferred::ByDropIn => &[],
    };
    // If the image's ld.so.conf does not include the drop-in, the cache has the folders nevertheless.
    let first = decided.iter().chain(&folders);
    let first = first.filter(|folder| !folder.is_in(&search_path));
    let first: Vec<_> = first.map(|folder| folder.path.as_path()).collect();
    if !first.is_empty() {
        search_path = ldconfig.search_path(first);
    }
    let preferred = preferred.iter().filter_map(|folder| folder.id);
    search_path.set_drivers(drivers, preferred.collect());
    report(ldconfig.update(search_path), "the cache is not updated")
}

/// Lets a container start that cannot be written to: what that means for it is a warning.
fn report(result: Result<bool>, consequence: &str) -> Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(err) if err.root_cause().downcast_ref().is_some_and(is_harmless) => {
            log::warn!("{consequence}: {err:#}");
            Ok(())
        }
        Err(err) => Err(err),
    }
}

/// Whether a container starts all the same: it cannot be written to, or its author passes a bound.
fn is_harmless(err: &io::Error) -> bool {
    is_obstacle(err) || err.kind() == io::ErrorKind::FileTooLarge
}

/// The directory whose libraries come before the driver's, if there are any of a driver.
fn preferred(root: &ContainerRoot, options: &Options, has_driver: bool) -> Vec<Folder> {
    let path = match &options.preferred {
        Preferred::Decided(path) => path.clone(),
        Preferred::ByDropIn if has_driver => drop_in::compat(root),
        Preferred::ByDropIn => None,
    };
    let find = |path: PathBuf| Folder::find(root, &path);
    path.map(find).into_iter().collect()
}

/// Adds the folders to the drop-in.
fn add_to_conf(root: &ContainerRoot, folders: &[Folder]) -> Result<bool> {
    if folders.is_empty() {
        return Ok(false);
    }
    drop_in::write(root, drop_in::DRIVER, |directory| {
        let mut text = match directory.read(OsStr::new(drop_in::DRIVER), MAX_CONF) {
            Ok(text) => text,
            // It cannot be read, so it is kept.
            Err(err) if is_obstacle(&err) => return Err(err),
            Err(_) => Vec::new(),
        };
        for folder in folders {
            add_line(&mut text, folder.path.as_os_str().as_bytes());
        }
        Ok(text)
    })
}

/// Adds the folders to the path file of musl's loader, if the root has that loader, after the directories that it searches already.
fn add_to_musl(root: &ContainerRoot, folders: &[Folder]) -> Result<bool> {
    if folders.is_empty() {
        return Ok(false);
    }
    let arch = musl_arch(root).with_context(|| format!("cannot look into {MUSL_DIRECTORY}"))?;
    let Some(arch) = arch else {
        return Ok(false);
    };
    let name = OsString::from_vec([b"ld-musl-", arch.as_slice(), b".path"].concat());
    let path = Path::new(ETC).join(&name);
    let mut text = match root.read_own(&path, MAX_CONF) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => MUSL_DEFAULT.into(),
        Err(err) => return Err(err).with_context(|| format!("cannot read {}", path.display())),
    };
    for folder in folders {
        add_line(&mut text, folder.path.as_os_str().as_bytes());
    }
    root.create_directory(Path::new(ETC))
        .and_then(|etc| etc.write(&name, &text, MODE))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The `ARCH` of `/lib/ld-musl-ARCH.so.1`.
fn musl_arch(root: &ContainerRoot) -> io::Result<Option<Vec<u8>>> {
    let (start, end) = MUSL_LOADER;
    let lib = match root.directory(Path::new(MUSL_DIRECTORY)) {
        Err(err) if is_not_there(&err) => return Ok(None),
        lib => lib?,
    };
    let arch = |entry: &Entry| {
        let name = entry.name.as_bytes();
        Some(name.strip_prefix(start)?.strip_suffix(end)?.to_vec())
    };
    Ok(lib.entries()?.iter().find_map(arch))
}

/// Adds a line unless it exists; in musl's file colons separate as newlines do.
fn add_line(text: &mut Vec<u8>, line: &[u8]) {
    if text
        .split(|byte| b"\n:".contains(byte))
        .any(|it| it == line)
    {
        return;
    }
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    text.extend(line);
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_once() {
        let mut text = b"/lib:/usr/lib".to_vec();
        add_line(&mut text, b"/usr/lib");
        add_line(&mut text, b"/opt/a");
        add_line(&mut text, b"/opt/a");
        assert_eq!(text, b"/lib:/usr/lib\n/opt/a\n");
        let mut empty = Vec::new();
        add_line(&mut empty, b"/opt/b");
        assert_eq!(empty, b"/opt/b\n");
    }
}
