//! The hooks.d file of NVIDIA's own runtime hook, as the toolkit writes it.

use std::path::Path;

use anyhow::Result;
use oci_spec::runtime::{Hook, HookBuilder};
use serde::Serialize;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const STAGE: &str = "prestart";

/// The members, in the order of oci-hooks(5).
#[derive(Serialize)]
struct Document {
    version: &'static str,
    hook: Hook,
    when: When,
    stages: [&'static str; 1],
}

#[derive(Serialize)]
struct When {
    always: bool,
    commands: [&'static str; 1],
}

/// Returns the hooks.d document that runs `program`, an absolute path, before each container starts. Fails if it cannot be
/// serialised.
pub fn document(program: &str) -> Result<String> {
    let path = Path::new(program);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(path).to_string_lossy();
    let search = if PATH.split(':').any(|known| known == folder) {
        PATH.to_owned()
    } else {
        format!("{PATH}:{folder}")
    };
    let hook = HookBuilder::default()
        .path(program)
        .args([name.into_owned(), STAGE.to_owned()])
        .env([format!("PATH={search}")])
        .build()?;
    let document = Document {
        version: super::VERSION,
        hook,
        when: When {
            always: true,
            commands: [".*"],
        },
        stages: [STAGE],
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_search_path_holds_the_program() {
        for (program, search) in [
            ("/usr/bin/hook", PATH.to_owned()),
            ("/opt/x/hook", format!("{PATH}:/opt/x")),
            ("/opt/\"x\"/hook", format!("{PATH}:/opt/\"x\"")),
        ] {
            let hook: Value = serde_json::from_str(&document(program).unwrap()).unwrap();
            let expected = json!({
                "path": program,
                "args": ["hook", "prestart"],
                "env": [format!("PATH={search}")],
            });
            assert_eq!(hook["hook"], expected);
        }
    }
}
