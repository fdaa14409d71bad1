//! containerd's `config.toml` and what it imports.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::Item;

use super::{Engine, MAX_CONFIGS, at, members};
use crate::document::toml::Document;
use crate::host::allowance::Allowance;
use crate::rootfs::Root;
use crate::runtime::Runtime;

/// The CRI plugin's names in the versions 3, 2 and 1 of the file.
const PLUGINS: [&str; 3] = [
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "cri",
];
/// Most patterns and files that are imported in all.
const MAX_IMPORTS: usize = 256;

pub(super) fn read(root: &Root) -> Engine {
    let mut engine = Engine {
        name: "containerd",
        ..Engine::default()
    };
    let mut bytes = Allowance::new(MAX_CONFIGS);
    let mut left = MAX_IMPORTS;
    let mut queue = VecDeque::<PathBuf>::from([Runtime::Containerd.default_config().into()]);
    while let Some(path) = queue.pop_front() {
        if engine.configs.contains(&path) {
            continue;
        }
        engine.look((root, &mut bytes), &path, |engine, text| {
            let document = Document::parse(text)?;
            read_config(engine, &document)?;
            let patterns = document.strings(&["imports"])?.unwrap_or_default();
            let folder = path.parent().unwrap_or(Path::new("/"));
            for pattern in patterns {
                let files = expand(root, &folder.join(pattern));
                left = left.checked_sub(1 + files.len()).ok_or_else(too_many)?;
                queue.extend(files);
            }
            Ok(())
        });
    }
    engine
}

fn read_config(engine: &mut Engine, config: &Document) -> Result<()> {
    for plugin in PLUGINS {
        let Some(cri) = config.get(&["plugins", plugin])? else {
            continue;
        };
        for (name, runtime) in members(cri, &["containerd", "runtimes"]) {
            let options = |key| at(runtime, &["options", key]);
            if let Some(path) = options("BinaryName").and_then(Item::as_str) {
                engine.meet_runtime(name, path);
            }
            let systemd = options("SystemdCgroup").and_then(Item::as_bool);
            engine.systemd_cgroup = engine.systemd_cgroup.max(systemd);
        }
        let default = at(cri, &["containerd", "default_runtime_name"]).and_then(Item::as_str);
        engine.default_runtime = default.map(str::to_owned).or(engine.default_runtime.take());
        engine.cdi = cri.get("enable_cdi").and_then(Item::as_bool).or(engine.cdi);
    }
    Ok(())
}

fn too_many() -> io::Error {
    let message = format!("it leads to more than {MAX_IMPORTS} imports");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// The files that a pattern means; a star stands for any part of a name.
fn expand(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (
        pattern.parent(),
        pattern.file_name().and_then(|it| it.to_str()),
    ) else {
        return Vec::new();
    };
    let Some((start, end)) = name.split_once('*') else {
        return vec![pattern.to_owned()];
    };
    let entries = root
        .directory(folder)
        .and_then(|it| it.entries())
        .unwrap_or_default();
    let mut paths: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.name.to_str())
        .filter(|name| {
            name.strip_prefix(start)
                .is_some_and(|rest| rest.ends_with(end))
        })
        .map(|name| folder.join(name))
        .collect();
    paths.sort();
    paths
}
