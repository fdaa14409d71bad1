//! `--set KEY=VALUE`: a key with a value of its type.

use anyhow::{Context, Result, bail};
use toml_edit::{Array, Value};

use super::edit;
use super::key::{self, Key, Kind};
use crate::spelling::parse_bool;

/// The value that removes an optional bool from the file.
const NIL: &str = "nil";

/// A key and its new value.
#[derive(Debug)]
pub struct Setting {
    key: &'static Key,
    /// `None` removes the key from the file.
    value: Option<Value>,
}

impl Setting {
    /// Reads `KEY=VALUE`, or the `KEY` of a bool. Splits a list at `separator`; by default at colons if there are any, else at
    /// commas.
    ///
    /// Fails for a key that the toolkit does not have, and for a value that does not have the key's type.
    pub fn parse(text: &str, separator: Option<&str>) -> Result<Self> {
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, Some(value)),
            None => (text, None),
        };
        Self::new(path, value, separator).with_context(|| format!("invalid --set option {text}"))
    }

    fn new(path: &str, value: Option<&str>, separator: Option<&str>) -> Result<Self> {
        let key = key::find(path).with_context(|| no_such_key(path))?;
        let value = typed(key.kind, value, separator).context("invalid format")?;
        Ok(Self { key, value })
    }

    /// Returns the document `text` with the key set; all other bytes stay. Fails if `text` is not TOML or has a table in the
    /// key's place.
    pub fn apply(&self, text: &str) -> Result<String> {
        match &self.value {
            Some(value) => edit::set(text, self.key, value),
            None => edit::remove(text, self.key),
        }
        .with_context(|| format!("cannot set {}", self.key.path))
    }

    /// Returns an objection to a value that has the right type but that the toolkit does not accept.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        let value = self.value.as_ref()?.as_str()?;
        let path = self.key.path;
        let known: &[&str] = match path {
            "nvidia-container-cli.ldconfig" if !value.starts_with('@') => {
                return Some(format!(
                    "{path} = '{value}' does not begin with '@': the toolkit refuses it, unless \
                     features.allow-ldconfig-from-container is true"
                ));
            }
            "nvidia-container-runtime.mode" => &["auto", "legacy", "csv", "cdi", "jit-cdi"],
            "nvidia-container-runtime.log-level" => &[
                "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic",
            ],
            "nvidia-container-runtime.modes.legacy.cuda-compat-mode" => {
                &["disabled", "hook", "ldconfig", "mount"]
            }
            _ => return None,
        };
        let known_values = || {
            format!(
                "'{value}' is not a valid {path}; valid values: {}",
                known.join(", ")
            )
        };
        (!known.contains(&value)).then(known_values)
    }
}

fn no_such_key(path: &str) -> String {
    let what = if key::is_table(path) {
        "is a table, not a key; it has"
    } else {
        "is not a key of the toolkit; similar keys"
    };
    match key::candidates(path).as_slice() {
        [] => format!("invalid config option: {path} is not a key of the toolkit"),
        candidates => format!(
            "invalid config option: {path} {what}: {}",
            candidates.join(", ")
        ),
    }
}

fn typed(kind: Kind, text: Option<&str>, separator: Option<&str>) -> Result<Option<Value>> {
    let value = match (kind, text) {
        (Kind::OptionalBool, Some(NIL)) => return Ok(None),
        (Kind::Bool | Kind::OptionalBool, None) => true.into(),
        (Kind::Bool | Kind::OptionalBool, Some(word)) => parse_bool(word)
            .with_context(|| format!("'{word}' is not a bool, which is true or false"))?
            .into(),
        (Kind::Text, Some(text)) => text.into(),
        (Kind::List, Some(text)) => split(text, separator).into(),
        (Kind::Text | Kind::List, None) => bail!("expected KEY=VALUE"),
    };
    Ok(Some(value))
}

fn split(text: &str, separator: Option<&str>) -> Array {
    match separator {
        Some(separator) => text.split(separator).collect(),
        None if text.contains(':') => text.split(':').collect(),
        None => text.split(',').collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTS: [&str; 6] = [
        "",
        include_str!("default.toml"),
        "# c\r\n\r\n[nvidia-container-cli] # d\r\n#debug = \"/x\"\r\n[other]\r\na = 1 # e",
        "x = '''\n[features]\n#user = \"root:video\"\n'''\n[nvidia-container-runtime.modes.cdi]\n",
        "nvidia-container-cli.root = '/'\n[nvidia-container-runtime]\nmodes.csv.mount-spec-path = 'a'\n",
        "features = { a = 1 }\nnvidia-container-cli = { }\nnvidia-container-runtime = {modes={}}\n",
    ];

    fn set(text: &str, setting: &str) -> String {
        Setting::parse(setting, None).unwrap().apply(text).unwrap()
    }

    #[test]
    fn every_key_can_be_set_in_every_document_and_nothing_else_changes() {
        for (key, document) in key::KEYS
            .iter()
            .flat_map(|key| DOCUMENTS.map(|it| (key, it)))
        {
            let value = match key.kind {
                Kind::Bool | Kind::OptionalBool => "true",
                Kind::Text => "a # \"b\" \\ é",
                Kind::List => "c:d",
            };
            let setting = format!("{}={value}", key.path);
            let edited = set(document, &setting);
            assert_eq!(set(&edited, &setting), edited, "{setting} in {document}");
            let segments = key.segments();
            let name = segments.last().unwrap();
            let is_about = |line: &str| {
                line.trim().is_empty() || line.contains(name) || line.contains(['[', '{'])
            };
            let mut rest = edited.lines();
            for line in document.lines() {
                let stays = is_about(line) || rest.any(|it| it == line);
                assert!(stays, "{setting}: '{line}' is not in {edited}");
            }
            assert!(rest.all(is_about), "{setting} in {document}: {edited}");
        }
    }

    #[test]
    fn values_have_the_types_of_their_keys() {
        let value = |text: &str| Setting::parse(text, None).map(|it| it.value.unwrap().to_string());
        for (text, expected) in [
            ("disable-require", "true"),
            ("disable-require=true", "true"),
            ("disable-require=false", "false"),
            ("disable-require=F", "false"),
            ("swarm-resource=string-value", "\"string-value\""),
            ("swarm-resource=string-value=more", "\"string-value=more\""),
            ("swarm-resource=true", "\"true\""),
            ("swarm-resource=5", "\"5\""),
            ("swarm-resource=nil", "\"nil\""),
            ("swarm-resource=", "\"\""),
            (
                "nvidia-container-cli.environment=string-value",
                "[\"string-value\"]",
            ),
            (
                "nvidia-container-cli.environment=first,second",
                "[\"first\", \"second\"]",
            ),
            (
                "nvidia-container-cli.environment=first=1,second=2",
                "[\"first=1\", \"second=2\"]",
            ),
            ("nvidia-container-cli.environment=a,b:c", "[\"a,b\", \"c\"]"),
            ("nvidia-container-cli.environment=", "[\"\"]"),
        ] {
            assert_eq!(value(text).unwrap(), expected, "{text}");
        }
        for text in [
            "undefined=new-value",
            "nvidia-container-cli.undefined",
            "disable-require=something",
            "swarm-resource",
            "",
            "=",
            "features",
            "Disable-Require",
        ] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
