//! The environment of config.json's process, reduced to this program's variables.

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

/// The prefixes of this program's variables.
const PREFIXES: [&str; 2] = ["NVIDIA_CTK_", "NVIDIA_CDI_"];

/// More bytes than this program's variables can have together.
const MAX_OWN: usize = 1 << 20;

/// The entries of a list that begin with one of the prefixes; others are discarded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnVariables(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OwnVariables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = OwnVariables;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of NAME=VALUE")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut entries: A,
            ) -> Result<OwnVariables, A::Error> {
                let mut own = Vec::new();
                let mut left = MAX_OWN;
                while let Some(entry) = entries.next_element::<String>()? {
                    if is_own_variable(&entry) {
                        left = left
                            .checked_sub(entry.len() + size_of::<String>())
                            .ok_or_else(|| A::Error::custom("too many variables"))?;
                        own.push(entry);
                    }
                }
                Ok(OwnVariables(own))
            }
        }

        deserializer.deserialize_seq(Entries)
    }
}

/// Whether a variable belongs to this program.
pub(super) fn is_own_variable(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::config::Config;

    fn own_of(variables: &[String]) -> Option<Vec<String>> {
        let config = tempfile::NamedTempFile::new().unwrap();
        let text = serde_json::json!({"process": {"env": variables}}).to_string();
        std::fs::write(&config, text).unwrap();
        let config = Config::read(config.path()).ok()?;
        Some(config.process.env.0)
    }

    #[test]
    fn variables_of_this_program_are_kept() {
        let variables = [
            "A=b",
            "NVIDIA_CTK_DEBUG=1",
            "NVIDIA_VISIBLE_DEVICES=all",
            "A_NVIDIA_CTK_DEBUG=1",
            "NVIDIA_CDI_QUIET=1",
        ];
        let found = own_of(&variables.map(String::from)).unwrap();
        assert_eq!(found, ["NVIDIA_CTK_DEBUG=1", "NVIDIA_CDI_QUIET=1"]);
    }

    #[test]
    fn their_size_is_bounded() {
        let size = 1024 - size_of::<String>();
        let variable = format!("{:x<size$}", "NVIDIA_CTK_A=");
        let of_number = |count| own_of(&vec![variable.clone(); count]);
        assert_eq!(of_number(MAX_OWN / 1024).unwrap().len(), MAX_OWN / 1024);
        assert_eq!(of_number(MAX_OWN / 1024 + 1), None);
        let others = vec!["A=b".to_owned(); MAX_OWN / 16];
        assert_eq!(own_of(&others), Some(Vec::new()));
    }
}
