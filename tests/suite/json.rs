//! Every document that `--json` prints is as its schema in `packaging/schemas` says, its version first.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::common::gpu_host::GpuHost;
use crate::common::healthy::{SPEC, healthy};
use crate::common::host::Host;

/// A schema, and the commands whose output it describes.
const DOCUMENTS: [(&str, &[&str]); 5] = [
    ("findings", &["doctor", "cdi check"]),
    ("info", &["info"]),
    ("cdi-list", &["cdi list"]),
    ("ldcache", &["system print-ldcache"]),
    ("ldcache-problems", &["system print-ldcache --check"]),
];

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("packaging/schemas/{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What is wrong with a value, by the words that these schemas use. A property without a description in the schema is wrong as well,
/// and so is a word that is not known here.
fn faults(schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |is_right: bool, what: &str| {
        if !is_right {
            found.push(format!("{place}: {what}: {value}"));
        }
    };
    let empty = Map::new();
    let members = value.as_object().unwrap_or(&empty);
    let mut inner = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$id" | "title" | "description" => {}
            "type" => expect(is_of_type(rule, value), "type"),
            "const" => expect(value == rule, "const"),
            "enum" => expect(rule.as_array().unwrap().contains(value), "enum"),
            "minimum" => expect(
                value.as_i64().is_none_or(|it| Some(it) >= rule.as_i64()),
                "minimum",
            ),
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                expect(
                    names.all(|it| members.contains_key(it.as_str().unwrap())),
                    "required",
                );
            }
            "properties" => {
                for (name, member) in members {
                    let place = format!("{place}.{name}");
                    match rule.get(name) {
                        Some(rule) => inner.extend(faults(rule, member, &place)),
                        None => inner.push(format!("{place}: not described")),
                    }
                }
            }
            "items" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let place = format!("{place}[]");
                inner.extend(items.iter().flat_map(|it| faults(rule, it, &place)));
            }
            unknown => panic!("{place}: this test does not know {unknown}"),
        }
    }
    found.extend(inner);
    found
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match rule {
        Value::Array(names) => names.iter().any(|it| it == name),
        rule => rule == name,
    }
}

/// Checks all documents of a host.
fn check(host: &Host) {
    for (name, commands) in DOCUMENTS {
        let schema = schema(name);
        for command in commands {
            let outcome = host.run(&format!("{command} --json --root @ROOT@"));
            if outcome.stdout.is_empty() {
                assert!(
                    outcome.stderr.contains("ld.so.cache"),
                    "{command}: {outcome:?}"
                );
                continue;
            }
            let text = &outcome.stdout;
            assert!(
                text.starts_with("{\n  \"schemaVersion\": 1,\n"),
                "{command}: {text}"
            );
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(faults(&schema, &document, name), [""; 0], "{command}");
        }
    }
}

#[test]
fn documents_are_as_their_schemas_say() {
    check(&Host::new());
    let Some(host) = healthy() else { return };
    check(&host);
    // What is wrong shows in other fields.
    host.remove("/usr/bin/nvidia-ctk")
        .file("/etc/cdi/other.json", "{")
        .file("/etc/cdi/nvidia.json", SPEC)
        .file("/etc/docker/daemon.json", "{\n// no\n}")
        .file("/usr/share/containers/oci/hooks.d/x.json", "{")
        .file("/etc/nvidia-container-runtime/config.toml", "");
    check(&host);
    host.remove("/proc/driver/nvidia/version");
    check(&host);
}

#[test]
fn documents_of_other_hosts_are_as_well() {
    for spec in ["small-2gpu.yaml", "full-mig.yaml"] {
        let Some(host) = GpuHost::of(spec) else {
            return;
        };
        check(&host);
    }
}

/// Every object of a schema demands and describes each of its members, and names itself without a host.
#[test]
fn schemas_are_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/schemas");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    let mut known: Vec<_> = DOCUMENTS
        .map(|(name, _)| OsString::from(format!("{name}.json")))
        .to_vec();
    known.sort();
    assert_eq!(names, known);
    for (name, _) in DOCUMENTS {
        let schema = schema(name);
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["$id"], format!("urn:nvidia-ctk:schema:1:{name}"));
        let mut left = vec![(name.to_owned(), schema)];
        while let Some((place, schema)) = left.pop() {
            let is_plain = schema == serde_json::json!({"type": "string"});
            assert!(is_plain || schema["description"].is_string(), "{place}");
            if let Some(properties) = schema["properties"].as_object() {
                let required = schema["required"].as_array().unwrap();
                assert_eq!(required.len(), properties.len(), "{place}");
                left.extend(
                    properties
                        .iter()
                        .map(|(name, it)| (format!("{place}.{name}"), it.clone())),
                );
            }
            if schema["type"] == "array" {
                left.push((format!("{place}[]"), schema["items"].clone()));
            }
        }
    }
}

/// Guard of the test itself: what does not fit a schema is found.
#[test]
fn what_does_not_fit_is_found() {
    let schema = schema("findings");
    for (text, fault) in [
        (r#"{"schemaVersion": 2, "findings": []}"#, "const"),
        (r#"{"schemaVersion": 1}"#, "required"),
        (r#"{"schemaVersion": 1, "findings": null}"#, "type"),
        (
            r#"{"schemaVersion": 1, "findings": [], "x": 1}"#,
            "not described",
        ),
        (
            r#"{"schemaVersion": 1, "findings": [{"code": "a", "severity": "bad", "finding": "", "cause": "", "fix": ""}]}"#,
            "enum",
        ),
        (
            r#"{"schemaVersion": 1, "findings": [{"code": 1, "severity": "error", "finding": "", "cause": "", "fix": ""}]}"#,
            "type",
        ),
    ] {
        let faults = faults(&schema, &serde_json::from_str(text).unwrap(), "");
        assert!(
            faults.len() == 1 && faults[0].contains(fault),
            "{text}: {faults:?}"
        );
    }
}
