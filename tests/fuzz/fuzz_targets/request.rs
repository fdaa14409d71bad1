//! What any config.json asks for: each device once, nothing that is not asked for, and of variables what a simple program makes of
//! them. The bits of the first byte are settings, the rest is the config.json.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::document::json::scan::Value;
use nvidia_ctk::shim::request::{Device, Request};
use nvidia_ctk::shim::settings::Settings;
use serde_json::Value as Tree;

const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";
/// Words that a request has not: they are no names.
const NO_NAMES: [&str; 3] = ["none", "void", ""];

fuzz_target!(|bytes: &[u8]| {
    let Some((bits, text)) = bytes.split_first() else {
        return;
    };
    let bit = |number: u8| bits & (1 << number) != 0;
    let mut settings = Settings::new("/config.toml".into());
    settings.accepts_variables = bit(0);
    settings.accepts_mounts = bit(1);
    settings.gives_channels = bit(2);
    if bit(3) {
        settings.swarm = vec!["SWARM".to_owned(), "SWARM2".to_owned()];
    }
    if bit(4) {
        settings.annotation_prefixes = vec!["x/".to_owned(), String::new()];
    }
    let Some(config) = Value::of(text) else {
        return;
    };
    let asked = Request::of(config, &settings);
    if let Ok(Some(expected)) = simple(text, &settings).as_ref().map(Option::as_ref) {
        let found = asked
            .as_ref()
            .map(|it| it.devices.iter().map(name).collect::<Vec<_>>());
        if let Ok(found) = found {
            assert_eq!(&found, expected);
        }
    }
    let Ok(asked) = asked else {
        return;
    };
    let names: BTreeSet<_> = asked.devices.iter().map(name).collect();
    assert_eq!(names.len(), asked.devices.len(), "{names:?}");
    // What is no UTF-8 takes three bytes for one.
    let length: usize = names.iter().map(String::len).sum();
    assert!(length <= 3 * text.len() + "all".len(), "{names:?}");
    let is_unprivileged = !asked.ignored.is_empty();
    assert!(!is_unprivileged || !settings.accepts_variables && names.is_empty());
    assert!(!names.is_empty() || asked.beside.is_empty() && asked.channels.is_empty());
    assert!(settings.gives_channels || asked.channels.is_empty());
    for channel in &asked.channels {
        assert!(!NO_NAMES.contains(&channel.as_str()) && channel != "all");
    }
    for device in &asked.devices {
        match device {
            Device::Qualified(name) => assert!(name.contains('/') && name.contains('=')),
            Device::Plain(name) => assert!(!name.is_empty()),
        }
    }
});

fn name(device: &Device) -> String {
    let (Device::Qualified(name) | Device::Plain(name)) = device;
    name.clone()
}

/// What a container asks for that has variables alone; none of another one. Fails for what is no tree.
fn simple(text: &[u8], settings: &Settings) -> serde_json::Result<Option<Vec<String>>> {
    let config: Tree = serde_json::from_slice(text)?;
    let has_more = !config["annotations"].is_null() || !config["mounts"].is_null();
    let process = &config["process"];
    if has_more || !settings.swarm.is_empty() || !process["capabilities"].is_null() {
        return Ok(None);
    }
    let env = process["env"].as_array().into_iter().flatten();
    let env: Vec<_> = env.filter_map(|it| it.as_str()?.split_once('=')).collect();
    let value = |name| env.iter().rev().find(|it| it.0 == name).map(|it| it.1);
    let is_legacy = value("CUDA_VERSION").is_some_and(|it| !it.is_empty())
        && value("NVIDIA_REQUIRE_CUDA").is_none_or(str::is_empty);
    let value = value(VISIBLE).unwrap_or(if is_legacy { "all" } else { "" });
    let items: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    let of_all = items.iter().find(|it| ["all", "none"].contains(it));
    let mut names = match of_all {
        _ if items.contains(&"void") => Vec::new(),
        Some(&"none") => Vec::new(),
        Some(_) => vec!["all"],
        None => items,
    };
    if !settings.accepts_variables {
        names.clear();
    }
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.iter().any(|it| it == name) {
            once.push(name.to_owned());
        }
    }
    Ok(Some(once))
}
