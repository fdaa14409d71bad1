//! Docker's `daemon.json` and flags, as installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Deserializer, Map, Value};

use super::flags::{self, Flags};
use super::{CDI, DEFAULT, RUNTIMES};
use crate::engine::Engine;
use crate::engine::setup::{MAX_CONFIGS, Setup};
use crate::engine::version::numbers;
use crate::host::allowance::Allowance;
use crate::rootfs::Root;

const CGROUP_DRIVER: &str = "native.cgroupdriver=";
const SPEC_DIRS: &str = "cdi-spec-dirs";

pub(in crate::engine) fn read(root: &Root, version: Option<&str>) -> Setup {
    let mut setup = Setup::new(Engine::Docker);
    let mut bytes = Allowance::new(MAX_CONFIGS);
    let all = flags::read(root);
    let path = all.first().map_or_else(default_config, config_path);
    setup.read_config((root, &mut bytes), &path, |setup, text| {
        let config = parse(text, version)?;
        read_config(setup, &config);
        for flags in all.iter().filter(|it| config_path(it) == path) {
            note_conflicts(setup, flags, &config, &path);
        }
        Ok(())
    });
    if let Some(flags) = all.first() {
        read_flags(&mut setup, flags);
    }
    setup
}

fn default_config() -> PathBuf {
    Engine::Docker.default_config().into()
}

fn config_path(flags: &Flags) -> PathBuf {
    let path = flags.values("config-file").last();
    path.map_or_else(default_config, PathBuf::from)
}

/// Notes each conflicting flag once, even if several command lines contain it.
fn note_conflicts(setup: &mut Setup, flags: &Flags, config: &Map<String, Value>, path: &Path) {
    for (flag, key) in flags.conflicts(config) {
        let start = format!("--{flag} ");
        if !setup.conflicts.iter().any(|it| it.starts_with(&start)) {
            let files: Vec<_> = flags.files.iter().map(|it| it.to_string_lossy()).collect();
            setup.conflicts.push(format!(
                "{start}in {}, {key} in {}",
                files.join(" and "),
                path.display()
            ));
        }
    }
}

/// Reads the flags that add to the file or replace its settings.
fn read_flags(setup: &mut Setup, flags: &Flags) {
    let mut takes_any = false;
    for runtime in flags.values("add-runtime") {
        if let Some((name, path)) = runtime.split_once('=') {
            setup.note_runtime(name, path);
            takes_any = true;
        }
    }
    if let Some(name) = flags.values("default-runtime").last() {
        setup.default_runtime = Some(name.to_owned());
        takes_any = true;
    }
    if let Some(driver) = cgroup_driver(flags.values("exec-opt")) {
        setup.systemd_cgroup = Some(driver == "systemd");
        takes_any = true;
    }
    let features = flags.values("feature").filter_map(feature_cdi);
    if let Some(cdi) = features.last() {
        setup.cdi = Some(cdi);
        takes_any = true;
    }
    let spec_dirs = setup.cdi_spec_dirs.len();
    setup
        .cdi_spec_dirs
        .extend(flags.values("cdi-spec-dir").map(PathBuf::from));
    takes_any |= setup.cdi_spec_dirs.len() > spec_dirs;
    if takes_any {
        setup.configs.extend(flags.files.iter().cloned());
    }
}

/// The types of the settings that are read.
#[derive(Deserialize)]
struct Types {
    #[serde(rename = "runtimes")]
    _runtimes: Option<BTreeMap<String, Option<Map<String, Value>>>>,
    #[serde(rename = "default-runtime")]
    _default_runtime: Option<String>,
    #[serde(rename = "features")]
    _features: Option<BTreeMap<String, Option<bool>>>,
    #[serde(rename = "exec-opts")]
    _exec_opts: Option<Vec<Option<String>>>,
}

/// Parses the file as this version of dockerd does: up to 20.10 the first value, later the whole file, which may be empty or
/// begin with a byte order mark. `null` counts as an empty object in all versions.
fn parse(text: &str, version: Option<&str>) -> Result<Map<String, Value>> {
    let is_old = version.and_then(numbers).is_some_and(|it| it < [23, 0]);
    let value = if is_old {
        let mut values = Deserializer::from_slice(text.as_bytes()).into_iter();
        values.next().context("it is empty")??
    } else {
        match text.trim_start_matches('\u{feff}').trim() {
            "" => Value::Null,
            text => serde_json::from_slice(text.as_bytes())?,
        }
    };
    let config: Option<Map<String, Value>> = serde_json::from_value(value)?;
    let config = config.unwrap_or_default();
    Types::deserialize(&Value::from(config.clone()))?;
    Ok(config)
}

fn read_config(setup: &mut Setup, config: &Map<String, Value>) {
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
    let strings = |name| {
        let array = member(&[name]).and_then(Value::as_array);
        array.into_iter().flatten().filter_map(Value::as_str)
    };
    setup.cdi_spec_dirs = strings(SPEC_DIRS).map(PathBuf::from).collect();
    setup.systemd_cgroup = cgroup_driver(strings("exec-opts")).map(|driver| driver == "systemd");
}

/// Parses a value of `--feature`: `cdi` or `cdi=BOOL`; `None` for another feature.
fn feature_cdi(feature: &str) -> Option<bool> {
    match feature.split_once('=').unwrap_or((feature, "true")) {
        ("cdi", value) => value.parse().ok(),
        _ => None,
    }
}

fn cgroup_driver<'o>(options: impl Iterator<Item = &'o str>) -> Option<&'o str> {
    options
        .filter_map(|option| option.strip_prefix(CGROUP_DRIVER))
        .last()
}
