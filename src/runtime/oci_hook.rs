//! The hook of NVIDIA's own runtime as a file of a hooks.d directory, in the form that the toolkit writes.

use std::path::Path;

use serde_json::Value;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The document of oci-hooks(5) 1.0.0 that runs `program`, an absolute path, before each container starts.
#[must_use]
pub fn document(program: &str) -> String {
    let path = Path::new(program);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(path).to_string_lossy();
    let search = if PATH.split(':').any(|known| known == folder) {
        PATH.to_owned()
    } else {
        format!("{PATH}:{folder}")
    };
    let [program, name, search] = [program, &*name, &format!("PATH={search}")].map(Value::from);
    // Written out because the order of the members is that of the manual.
    format!(
        r#"{{
  "version": "1.0.0",
  "hook": {{
    "path": {program},
    "args": [
      {name},
      "prestart"
    ],
    "env": [
      {search}
    ]
  }},
  "when": {{
    "always": true,
    "commands": [
      ".*"
    ]
  }},
  "stages": [
    "prestart"
  ]
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_search_path_holds_the_program() {
        for (program, search) in [
            ("/usr/bin/hook", PATH.to_owned()),
            ("/opt/x/hook", format!("{PATH}:/opt/x")),
            ("/opt/\"x\"/hook", format!("{PATH}:/opt/\"x\"")),
        ] {
            let hook: Value = serde_json::from_str(&document(program)).unwrap();
            let expected = json!({
                "path": program,
                "args": ["hook", "prestart"],
                "env": [format!("PATH={search}")],
            });
            assert_eq!(hook["hook"], expected);
        }
    }
}
