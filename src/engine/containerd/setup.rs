//! containerd's `config.toml` and its imports, as installed.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::Item;

use super::distribution::{self, Distribution};
use super::{BINARY_NAME, ConfigVersion, DEFAULT_RUNTIME, ENABLE_CDI, IMPORTS, RUNTIMES};
use crate::document::toml::Document;
use crate::engine::Engine;
use crate::engine::setup::{MAX_CONFIGS, Setup, item_at, members};
use crate::glob;
use crate::host::allowance::Allowance;
use crate::host::program;
use crate::rootfs::Root;

/// The first line of k0s' file as long as k0s generates it.
const K0S: &str = "# k0s_managed=true";
const SYSTEMD_CGROUP: [&str; 2] = ["options", "SystemdCgroup"];
/// The maximum number of imported patterns and files.
const MAX_IMPORTS: usize = 256;

/// Reads the host's own containerd, and those of Kubernetes distributions.
pub(in crate::engine) fn read_all(root: &Root) -> Vec<Setup> {
    let own = read(root, None, &[Engine::Containerd.default_config()]);
    let others = distribution::ALL
        .iter()
        .map(|it| read(root, Some(it), it.configs));
    std::iter::once(own).chain(others).collect()
}

fn read(root: &Root, distribution: Option<&'static Distribution>, configs: &[&str]) -> Setup {
    let mut setup = Setup {
        distribution,
        ..Setup::new(Engine::Containerd)
    };
    let drop_ins = distribution.and_then(|it| it.drop_ins);
    let mut bytes = Allowance::new(MAX_CONFIGS);
    let mut left = MAX_IMPORTS;
    let mut queue: VecDeque<_> = configs.iter().map(PathBuf::from).collect();
    while let Some(path) = queue.pop_front() {
        if setup.configs.contains(&path) {
            continue;
        }
        setup.read_config((root, &mut bytes), &path, |setup, text| {
            let document = Document::parse(text)?;
            read_config(setup, &document)?;
            let mut patterns = document.strings(IMPORTS)?.unwrap_or_default();
            let is_generated = text.lines().next().map(str::trim_end) == Some(K0S);
            patterns.extend(drop_ins.filter(|_| is_generated));
            let folder = path.parent().unwrap_or(Path::new("/"));
            for pattern in patterns {
                let files = expand(root, &folder.join(pattern));
                left = left.checked_sub(1 + files.len()).ok_or_else(too_many)?;
                queue.extend(files);
            }
            Ok(())
        });
    }
    let usual = distribution.and_then(|it| it.usual_runtime);
    if usual.is_some_and(|name| is_absent_and_unused(root, &setup, name)) {
        setup.nvidia_runtime = None;
    }
    setup
}

fn is_absent_and_unused(root: &Root, setup: &Setup, runtime: &str) -> bool {
    let is_named = setup.nvidia_runtime.as_deref() == Some(Path::new(runtime));
    let is_default = setup.default_runtime.as_deref() == Some(runtime);
    is_named && !is_default && program::find(root, runtime.as_ref()).is_none()
}

fn read_config(setup: &mut Setup, config: &Document) -> Result<()> {
    for version in [ConfigVersion::V3, ConfigVersion::V2, ConfigVersion::V1] {
        let Some(cri) = config.get(&version.cri())? else {
            continue;
        };
        for (name, runtime) in members(cri, &RUNTIMES) {
            let program = item_at(runtime, &BINARY_NAME).and_then(Item::as_str);
            if let Some(path) = program {
                setup.note_runtime(name, path);
            }
            let systemd = item_at(runtime, &SYSTEMD_CGROUP).and_then(Item::as_bool);
            setup.systemd_cgroup = setup.systemd_cgroup.max(systemd);
        }
        let default = item_at(cri, &DEFAULT_RUNTIME).and_then(Item::as_str);
        setup.default_runtime = default.map(str::to_owned).or(setup.default_runtime.take());
        setup.cdi = item_at(cri, &[ENABLE_CDI])
            .and_then(Item::as_bool)
            .or(setup.cdi);
    }
    Ok(())
}

fn too_many() -> io::Error {
    let message = format!("it leads to more than {MAX_IMPORTS} imports");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Expands a pattern to files in sorted order; only the last component of the path may be a pattern.
#[must_use]
pub fn expand(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    if !glob::is_pattern(name) {
        return vec![pattern.to_owned()];
    }
    let entries = root
        .directory(folder)
        .and_then(|it| it.entries())
        .unwrap_or_default();
    let mut paths: Vec<_> = entries
        .iter()
        .filter(|entry| glob::matches(name, &entry.name))
        .map(|entry| folder.join(&entry.name))
        .collect();
    paths.sort();
    paths
}
