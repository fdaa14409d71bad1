//! CRI-O's `crio.conf` and its drop-ins, as installed.

use std::path::Path;

use anyhow::{Error, Result};
use toml_edit::Item;

use super::drop_ins;
use crate::document::toml::Document;
use crate::engine::Engine;
use crate::engine::setup::{MAX_CONFIGS, Setup, item_at, members};
use crate::host::allowance::Allowance;
use crate::rootfs::Root;

pub(in crate::engine) fn read(root: &Root) -> Setup {
    let mut setup = Setup {
        cdi: Some(true),
        ..Setup::new(Engine::Crio)
    };
    let mut bytes = Allowance::new(MAX_CONFIGS);
    let mut look = |path: &Path| setup.read_config((root, &mut bytes), path, read_config);
    let config = Path::new(Engine::Crio.default_config());
    look(config);
    let folder = config.with_file_name(Engine::Crio.drop_in_folder().unwrap_or_default());
    match drop_ins(root, &folder) {
        Ok(paths) => paths.iter().for_each(|path| look(path)),
        Err(err) => {
            let err = Error::new(err).context(folder.display().to_string());
            setup.error.get_or_insert(err);
        }
    }
    setup
}

fn read_config(setup: &mut Setup, text: &str) -> Result<()> {
    let document = Document::parse(text)?;
    let Some(runtime) = document.get(&["crio", "runtime"])? else {
        return Ok(());
    };
    for (name, entry) in members(runtime, &["runtimes"]) {
        if let Some(path) = item_at(entry, &["runtime_path"]).and_then(Item::as_str) {
            setup.note_runtime(name, path);
        }
    }
    let default = item_at(runtime, &["default_runtime"]).and_then(Item::as_str);
    setup.default_runtime = default.map(str::to_owned).or(setup.default_runtime.take());
    let manager = item_at(runtime, &["cgroup_manager"]).and_then(Item::as_str);
    setup.systemd_cgroup = manager.map(|it| it == "systemd").or(setup.systemd_cgroup);
    Ok(())
}
