//! CRI-O's `crio.conf` and its drop-ins.

use std::path::Path;

use anyhow::{Error, Result};
use toml_edit::Item;

use super::{Engine, MAX_CONFIGS, members};
use crate::document::toml::Document;
use crate::host::allowance::Allowance;
use crate::rootfs::{Kind, Root};
use crate::runtime::Runtime;

pub(super) fn read(root: &Root) -> Engine {
    let mut engine = Engine {
        name: "CRI-O",
        cdi: Some(true),
        ..Engine::default()
    };
    let mut bytes = Allowance::new(MAX_CONFIGS);
    let mut look = |path: &Path| engine.look((root, &mut bytes), path, read_config);
    let config = Path::new(Runtime::Crio.default_config());
    look(config);
    let drop_in_folder = config.with_file_name(Runtime::Crio.drop_in_folder().unwrap_or_default());
    let entries = root.directory(&drop_in_folder).map(|it| it.entries());
    let mut drop_ins = match entries {
        Ok(Ok(entries)) => entries,
        Ok(Err(err)) => {
            let err = Error::new(err).context(drop_in_folder.display().to_string());
            engine.error.get_or_insert(err);
            return engine;
        }
        Err(_) => Vec::new(),
    };
    drop_ins.retain(|entry| matches!(entry.kind, Kind::File | Kind::Link));
    drop_ins.sort_by(|a, b| a.name.cmp(&b.name));
    for drop_in in drop_ins {
        look(&drop_in_folder.join(drop_in.name));
    }
    engine
}

fn read_config(engine: &mut Engine, text: &str) -> Result<()> {
    let document = Document::parse(text)?;
    let Some(runtime) = document.get(&["crio", "runtime"])? else {
        return Ok(());
    };
    for (name, entry) in members(runtime, &["runtimes"]) {
        if let Some(path) = entry.get("runtime_path").and_then(Item::as_str) {
            engine.meet_runtime(name, path);
        }
    }
    let default = runtime.get("default_runtime").and_then(Item::as_str);
    engine.default_runtime = default.map(str::to_owned).or(engine.default_runtime.take());
    let manager = runtime.get("cgroup_manager").and_then(Item::as_str);
    engine.systemd_cgroup = manager.map(|it| it == "systemd").or(engine.systemd_cgroup);
    Ok(())
}
