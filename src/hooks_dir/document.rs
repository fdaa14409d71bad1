//! The content of a hooks.d file as podman and CRI-O read it: versions 1.0.0 and 0.1.0 of oci-hooks(5).

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Hook;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::VERSION;

/// The version of a file without a version.
const OLD_VERSION: &str = "0.1.0";
/// The stages of the OCI specification and podman's `precreate`.
const STAGES: [&str; 7] = [
    "precreate",
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

#[derive(Deserialize)]
struct Document {
    hook: Hook,
    #[serde(rename = "when")]
    _when: Option<When>,
    stages: Vec<String>,
}

/// Only the types are checked; the conditions themselves are not evaluated.
#[derive(Deserialize)]
struct When {
    #[serde(rename = "always")]
    _always: Option<bool>,
    #[serde(rename = "annotations")]
    _annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "commands")]
    _commands: Option<Vec<String>>,
    #[serde(rename = "hasbindmounts")]
    _has_bind_mounts: Option<bool>,
}

#[derive(Deserialize)]
struct OldDocument {
    hook: PathBuf,
    stage: Option<Vec<String>>,
    stages: Option<Vec<String>>,
}

/// Returns the program that a file runs. Fails with the reason if engines reject the file.
pub(super) fn program(bytes: &[u8]) -> Result<PathBuf, String> {
    let members: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|err| err.to_string())?;
    let mut members = in_lower_case(members);
    let (program, stages) = match members.get("version") {
        None | Some(Value::Null) => old(members)?,
        Some(Value::String(version)) if ["", OLD_VERSION].contains(&version.as_str()) => {
            old(members)?
        }
        Some(Value::String(version)) if version == VERSION => {
            for name in ["hook", "when"] {
                if let Some(Value::Object(inside)) = members.get_mut(name) {
                    *inside = in_lower_case(std::mem::take(inside));
                }
            }
            let document: Document = parse(members)?;
            (document.hook.path().clone(), document.stages)
        }
        Some(version) => return Err(format!("version {version} is not {VERSION}")),
    };
    if program.as_os_str().is_empty() {
        return Err("the hook has no path".to_owned());
    }
    let is_unknown = |stage: &&String| !STAGES.contains(&stage.as_str());
    match stages.iter().find(is_unknown) {
        Some(stage) => Err(format!("stage '{stage}' is not known")),
        None => Ok(program),
    }
}

fn old(members: Map<String, Value>) -> Result<(PathBuf, Vec<String>), String> {
    let document: OldDocument = parse(members)?;
    match (document.stage, document.stages) {
        (Some(_), Some(_)) => Err("it has both 'stage' and 'stages'".to_owned()),
        (one, other) => {
            let stages = one.or(other).ok_or("it has no stages")?;
            Ok((document.hook, stages))
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(members: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(members.into()).map_err(|err| err.to_string())
}

/// Lowers names, since Go's JSON decoder accepts them in any case.
fn in_lower_case(members: Map<String, Value>) -> Map<String, Value> {
    let members = members.into_iter();
    members
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}
