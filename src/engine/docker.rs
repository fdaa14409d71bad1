//! Docker's `daemon.json`.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::{Engine, MAX_CONFIGS};
use crate::host::allowance::Allowance;
use crate::rootfs::Root;
use crate::runtime::Runtime;

const CGROUP_DRIVER: &str = "native.cgroupdriver=";

pub(super) fn read(root: &Root) -> Engine {
    let mut engine = Engine {
        name: "docker",
        ..Engine::default()
    };
    let config = Path::new(Runtime::Docker.default_config());
    let mut bytes = Allowance::new(MAX_CONFIGS);
    engine.look((root, &mut bytes), config, read_config);
    engine
}

fn read_config(engine: &mut Engine, text: &str) -> Result<()> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(()); // so says dockerd
    }
    let config: Map<String, Value> = serde_json::from_str(text)?;
    let member = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(config.get(*first)?, |value, name| value.get(name))
    };
    for (name, runtime) in member(&["runtimes"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let Some(path) = runtime.get("path").and_then(Value::as_str) {
            engine.meet_runtime(name, path);
        }
    }
    let default = member(&["default-runtime"]).and_then(Value::as_str);
    engine.default_runtime = default.map(str::to_owned);
    engine.cdi = member(&["features", "cdi"]).and_then(Value::as_bool);
    let options = member(&["exec-opts"]).and_then(Value::as_array);
    engine.systemd_cgroup = options
        .into_iter()
        .flatten()
        .filter_map(|option| option.as_str()?.strip_prefix(CGROUP_DRIVER))
        .next_back()
        .map(|driver| driver == "systemd");
    Ok(())
}
