//! Docker's `daemon.json`.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::{CDI, DEFAULT, RUNTIMES};
use crate::engine::Engine;
use crate::engine::setup::{MAX_CONFIGS, Setup};
use crate::host::allowance::Allowance;
use crate::rootfs::Root;

const CGROUP_DRIVER: &str = "native.cgroupdriver=";

pub(in crate::engine) fn read(root: &Root) -> Setup {
    let mut setup = Setup::new(Engine::Docker);
    let config = Path::new(Engine::Docker.default_config());
    let mut bytes = Allowance::new(MAX_CONFIGS);
    setup.read_config((root, &mut bytes), config, read_config);
    setup
}

fn read_config(setup: &mut Setup, text: &str) -> Result<()> {
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
    for (name, runtime) in member(&[RUNTIMES])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let Some(path) = runtime.get("path").and_then(Value::as_str) {
            setup.note_runtime(name, path);
        }
    }
    let default = member(DEFAULT).and_then(Value::as_str);
    setup.default_runtime = default.map(str::to_owned);
    setup.cdi = member(CDI).and_then(Value::as_bool);
    let options = member(&["exec-opts"]).and_then(Value::as_array);
    setup.systemd_cgroup = options
        .into_iter()
        .flatten()
        .filter_map(|option| option.as_str()?.strip_prefix(CGROUP_DRIVER))
        .next_back()
        .map(|driver| driver == "systemd");
    Ok(())
}
