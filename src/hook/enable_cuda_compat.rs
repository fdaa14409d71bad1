//! `enable-cuda-compat`: lets the container use its own, newer libcuda if the host's driver supports it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};

use super::InContainer;
use super::disabled::Disabled;
use super::drop_in;
use crate::cuda::{Compatibility, Version};
use crate::elf::{Head, Object, OpenFile};
use crate::rootfs::{ContainerRoot, Directory, Kind, is_not_there};

/// Prefer the container's CUDA compatibility libraries if the host's driver supports them.
///
/// Run update-ldcache afterwards.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "enable-cuda-compat",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook enable-cuda-compat --host-driver-version 570.133.20 <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
pub struct EnableCudaCompat {
    /// version of the host's driver, such as 570.133.20
    #[argh(option, arg_name = "version", default = "String::new()")]
    pub host_driver_version: String,
    /// version of CUDA that the host's driver supports, such as 12.8
    #[argh(option, arg_name = "version", default = "String::new()")]
    pub host_cuda_version: String,
    /// directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)
    #[argh(option, arg_name = "dir", default = "String::from(COMPAT_ROOT)")]
    pub cuda_compat_container_root: String,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

/// The directory of the libraries in NVIDIA's images.
pub(super) const COMPAT_ROOT: &str = "/usr/local/cuda/compat";
const LIBCUDA: &[u8] = b"libcuda.so.";
/// The section in which NVIDIA names the drivers that a libcuda supports.
const SECTION: &[u8] = b".note.cuda.fwd_compatibility";
const OWNER: &[u8] = b"NVIDIA Corporation";

/// The versions of the host, and the directory of the container's libraries.
pub struct Options {
    /// Version of the host's driver; empty if unknown.
    pub host_driver_version: String,
    /// Version of CUDA that the host's driver supports; empty if unknown.
    pub host_cuda_version: String,
    /// Directory of the compatibility libraries in the container.
    pub container_root: PathBuf,
}

impl InContainer for EnableCudaCompat {
    type Options = Options;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Options>> {
        let options = Options {
            host_driver_version: self.host_driver_version.clone(),
            host_cuda_version: self.host_cuda_version.clone(),
            container_root: self.cuda_compat_container_root.clone().into(),
        };
        if !options.has_versions() {
            log::debug!("no version of the host is given: nothing is done");
            return Ok(None);
        }
        Ok(Some(options))
    }

    fn run(&self, root: &ContainerRoot, options: &Options) -> Result<()> {
        run(root, options);
        Ok(())
    }
}

impl Options {
    /// Whether a version of the host is known. If none is, there is nothing to decide.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        !(self.host_driver_version.is_empty() && self.host_cuda_version.is_empty())
    }
}

/// Decides which libcuda to use, and names its directory in the container's ld.so.conf.d, or removes the name that an earlier run
/// wrote. Returns the directory. A failure is only a warning.
pub fn run(root: &ContainerRoot, options: &Options) -> Option<PathBuf> {
    let directory = find(root, options);
    let done = match &directory {
        Some(path) => {
            let line = [path.as_os_str().as_bytes(), b"\n"].concat();
            drop_in::write(root, drop_in::COMPAT, |_| Ok(line)).map(|_| ())
        }
        None => drop_in::remove(root, drop_in::COMPAT),
    };
    if let Err(err) = done {
        log::warn!("ld.so.conf.d does not say which libcuda is to be used: {err:#}");
    }
    directory
}

/// Returns the directory of the container whose libcuda replaces the host's, if one does.
#[must_use]
pub fn find(root: &ContainerRoot, options: &Options) -> Option<PathBuf> {
    let path = Path::new("/").join(&options.container_root);
    let shown = path.display();
    let directory = match root.directory(&path) {
        Ok(directory) => directory,
        Err(err) if is_not_there(&err) => {
            log::debug!("{shown}: not in the container, its driver is the host's");
            return None;
        }
        Err(err) => {
            log::warn!("{shown}: not used: cannot open it: {err}");
            return None;
        }
    };
    match decide(&directory, options) {
        Ok(false) => return None,
        Ok(true) => log::debug!("{shown}: its libcuda is used"),
        Err(err) => {
            log::warn!("{shown}: not used: {err:#}");
            return None;
        }
    }
    let path = root.real_path(&path).unwrap_or(path);
    if !drop_in::fits(&path) {
        log::warn!(
            "{}: not used, no line of ld.so.conf can hold this path",
            path.display()
        );
        return None;
    }
    Some(path)
}

fn decide(directory: &Directory, options: &Options) -> Result<bool> {
    let Some(name) = libcuda(directory)? else {
        log::debug!("no libcuda.so.VERSION there");
        return Ok(false);
    };
    let note = note(directory, &name).unwrap_or_else(|err| {
        log::warn!("{}: its note is not used: {err:#}", name.display());
        None
    });
    let compat = name
        .to_str()
        .and_then(|name| version(name.strip_prefix("libcuda.so.")?));
    let driver = version(&options.host_driver_version);
    let decision = match (note, compat.zip(driver)) {
        (Some(note), Some((compat, driver))) => {
            note.drivers.contains(&driver.major()) && compat > driver
        }
        (Some(note), None) => {
            let host = version(&options.host_cuda_version);
            note.cuda.zip(host).is_some_and(|(cuda, host)| cuda > host)
        }
        // Libraries without a note are older than the comparison by versions of CUDA.
        (None, Some((compat, driver))) if options.host_cuda_version.is_empty() => {
            driver.major() < compat.major()
        }
        (None, _) => false,
    };
    log::debug!(
        "{}: newer than the host's driver: {decision}",
        name.display()
    );
    Ok(decision)
}

/// The version; `None` if the text is empty, or with a warning if it is not a version.
fn version(text: &str) -> Option<Version> {
    let version = Version::parse(text);
    if version.is_none() && !text.is_empty() {
        log::warn!("\"{text}\" is not a version and is ignored");
    }
    version
}

/// The one regular file `libcuda.so.X.Y…` in the directory.
fn libcuda(directory: &Directory) -> Result<Option<OsString>> {
    let entries = directory.entries().context("cannot list it")?;
    let is_libcuda = |name: &OsStr| {
        let version = name.as_bytes().strip_prefix(LIBCUDA);
        version.is_some_and(|version| version.contains(&b'.'))
    };
    let mut names = entries
        .into_iter()
        .filter(|entry| entry.kind == Kind::File && is_libcuda(&entry.name))
        .map(|entry| entry.name);
    let first = names.next();
    ensure!(
        names.next().is_none(),
        "it has more than one libcuda.so.VERSION"
    );
    Ok(first)
}

fn note(directory: &Directory, name: &OsStr) -> Result<Option<Compatibility>> {
    let (file, metadata) = directory.open_file(name)?;
    let source = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    let note = Object::read(&source, &mut head)
        .and_then(|object| object.note_in_section(SECTION, OWNER))
        .map_err(anyhow::Error::msg)?;
    note.map(|text| Compatibility::parse(&text)).transpose()
}
