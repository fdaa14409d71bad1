//! The Windows GPUs in WSL: the driver is a directory of Windows' driver store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::hooks::Link;
use super::part::Part;
use super::{Parts, Source, nodes};
use crate::driver::files::DriverFile;
use crate::driver::platform::DXG;
use crate::rootfs::Kind;

const STORE: &str = "/usr/lib/wsl/drivers";
const LIBRARIES: &str = "/usr/lib/wsl/lib";
/// The library that communicates with Windows, which no driver package contains.
const DXCORE: &str = "libdxcore.so";
const NVIDIA_SMI: &str = "nvidia-smi";

/// Returns the files of the newest package, and the only node. Fails if there is no package.
pub(super) fn parts(source: &Source<'_>) -> Result<Parts> {
    let name = Path::new(DXG).file_name().unwrap_or_default();
    let Some(node) = source.dev.node(name) else {
        return Ok(Parts::default());
    };
    let mut part = Part::default();
    part.node(&node, source.options.adds_groups);
    Ok(Parts {
        common: common(source)?,
        devices: vec![nodes::all(part)],
    })
}

fn common(source: &Source<'_>) -> Result<Part> {
    let packages = source.driver.libraries.directories.iter();
    let mut packages = packages.filter(|it| it.path.starts_with(STORE));
    let store = packages.next().map(|it| it.path.clone());
    let store = store.with_context(|| {
        format!("Windows has no NVIDIA driver for WSL in {STORE}: install the driver on Windows, and run 'wsl --shutdown' there")
    })?;
    let mut common = Part::default();
    let dxcore = Path::new(LIBRARIES).join(DXCORE);
    let root = source.root()?;
    let mut paths = vec![dxcore];
    let entries = root.directory(&store).and_then(|it| it.entries());
    let entries = entries.with_context(|| format!("cannot read {}", store.display()))?;
    let files = entries.iter().filter(|it| it.kind == Kind::File);
    let names = files.filter_map(|it| it.name.to_str());
    paths.extend(names.filter(|it| is_of_driver(it)).map(|it| store.join(it)));
    paths.retain(|path| root.stat(path).is_ok_and(|it| it.kind == Kind::File));
    let files: Vec<_> = paths.into_iter().map(|path| file(source, path)).collect();
    common.files(&files);
    let program = store.join(NVIDIA_SMI);
    if files.iter().any(|it| it.inside == program) {
        let link = Path::new("/usr/bin").join(NVIDIA_SMI);
        let link = Link::new(program.to_string_lossy(), link);
        common.work.links.push(vec![link]);
    }
    common.work.folders = vec![store, PathBuf::from(LIBRARIES)];
    Ok(common)
}

fn file(source: &Source<'_>, path: PathBuf) -> DriverFile {
    DriverFile {
        on_host: source.driver.on_host(&path),
        inside: path,
    }
}

fn is_of_driver(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    name == NVIDIA_SMI || name.contains(".so") || matches!(extension, Some("bin" | "dll"))
}
