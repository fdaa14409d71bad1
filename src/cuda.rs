//! Versions of CUDA and of drivers, and the compatibility note in a libcuda.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// A version of up to three numbers, such as `575.57.08` or `12.9`; a pre-release (`570.1-rc1`) is older than its release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    numbers: [u64; 3],
    is_release: bool,
}

/// The note in a libcuda that names the drivers it works with.
///
/// Format: JSON, `{"Format":1,"CUDA Version":"12.9","Driver":[535,550],"Device":[1,2]}`, keys in any case.
#[derive(PartialEq, Eq, Debug)]
pub struct Compatibility {
    /// The version of CUDA that the library implements, if the note names it.
    pub cuda: Option<Version>,
    /// The major versions of the drivers that it works with.
    pub drivers: Vec<u64>,
}

impl Version {
    /// Reads one to three numbers separated by dots, ignoring a leading `v`, leading zeros and a build suffix after `+`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (text, pre_release) = match text.split_once('-') {
            Some((text, pre_release)) => (text, Some(pre_release)),
            None => (text, None),
        };
        let mut numbers = [0; 3];
        let mut places = numbers.iter_mut();
        for number in text.split('.') {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            *places.next()? = number.parse().ok().filter(|_| is_number)?;
        }
        Some(Self {
            numbers,
            is_release: pre_release.is_none(),
        })
    }

    /// Returns the first number.
    #[must_use]
    pub fn major(&self) -> u64 {
        let [major, _, _] = self.numbers;
        major
    }
}

/// Whether the text is a driver version as in file names and in the kernel module: two or more numbers separated by dots.
#[must_use]
pub fn is_driver_version(text: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    text.contains(&b'.') && text.split(|&byte| byte == b'.').all(is_number)
}

impl Compatibility {
    /// Reads the text of the note. Fails if it is not a JSON object.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let note: Map<String, Value> = serde_json::from_slice(text).context("not JSON")?;
        let member = |name: &str| {
            let mut members = note.iter();
            members.rfind(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let cuda = member("CUDA Version").and_then(|(_, value)| Version::parse(value.as_str()?));
        let drivers = member("Driver").and_then(|(_, value)| value.as_array());
        Ok(Self {
            cuda,
            drivers: drivers
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_up_to_three_numbers() {
        let version = |text: &str| Version::parse(text).unwrap();
        for (less, more) in [
            ("12.9", "12.10"),
            ("99", "222"),
            ("570.86.9", "570.86.10"),
            ("570.86.10-rc1", "570.86.10"),
            ("535", "535.0.1"),
        ] {
            assert!(version(less) < version(more), "{less}, {more}");
        }
        for (one, other) in [
            ("0570.1.1", "570.1.1"),
            ("v570.1.1", "570.1.1"),
            ("570.086.10", "570.86.10"),
            ("535", "535.0.0"),
            ("1.2.3+4", "1.2.3"),
        ] {
            assert_eq!(version(one), version(other));
        }
        assert_eq!(version("575.57.08").major(), 575);
        for text in [
            "",
            ".",
            "v",
            "1.",
            "1..2",
            "1.2.3.4",
            "x",
            "1.x",
            " 1",
            "+1",
            "-1",
            "1.-1",
            "99999999999999999999",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn notes_are_json_with_keys_in_any_case() {
        let note = |text: &str| Compatibility::parse(text.as_bytes());
        let full = r#"{"Format":1,"CUDA Version":"12.9","Driver":[535,550,"x",-1],"Device":[1]}"#;
        let full = note(full).unwrap();
        assert_eq!(full.cuda, Version::parse("12.9"));
        assert_eq!(full.drivers, [535, 550]);
        let orin = note(r#"{"cuda version":"13.2"}"#).unwrap();
        assert_eq!((orin.cuda, orin.drivers), (Version::parse("13.2"), vec![]));
        assert_eq!(note(r#"{"CUDA Version":13}"#).unwrap().cuda, None);
        for text in ["", "[]", "{", "\u{0}"] {
            assert!(note(text).is_err(), "{text}");
        }
    }
}
