//! Where specs go: to files, or to standard output.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::request::lookup;
use crate::cdi::{Format, Spec, to_text};
use crate::document::lines::unified_diff;
use crate::host::file;
use crate::stdout::output_document;

const FORMATS: [(&str, Format); 2] = [("yaml", Format::Yaml), ("json", Format::Json)];

/// What to do with the specs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Write them.
    Write,
    /// Print them.
    Print,
    /// Print the changes to the files.
    Diff,
}

/// The file, or standard output, and the format.
pub(super) struct Output {
    path: Option<PathBuf>,
    format: Format,
}

impl Purpose {
    pub(super) fn new(dry_run: bool, diff: bool) -> Self {
        match (dry_run, diff) {
            (_, true) => Self::Diff,
            (true, false) => Self::Print,
            (false, false) => Self::Write,
        }
    }
}

impl Output {
    /// Reads the options. Refuses names that engines ignore, and a name that contradicts the format.
    pub(super) fn new(path: &str, format: Option<&str>) -> Result<Self> {
        let asked = format
            .map(|it| lookup("format", it, &FORMATS))
            .transpose()?;
        let format = asked.unwrap_or(Format::Yaml);
        let path = Path::new(path);
        let Some(name) = path.file_name().and_then(|it| it.to_str()) else {
            return Ok(Self { path: None, format });
        };
        let extension = path
            .extension()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        if extension == "yml" {
            bail!("{}: engines read .yaml and .json, not .yml", path.display());
        }
        let Some((_, by_name)) = FORMATS.iter().find(|(it, _)| *it == extension) else {
            let path = path.with_file_name(format!("{name}.{}", name_of(format)));
            return Ok(Self {
                path: Some(path),
                format,
            });
        };
        if asked.is_some_and(|it| it != *by_name) {
            bail!(
                "--format {} contradicts the name {}",
                name_of(format),
                path.display()
            );
        }
        Ok(Self {
            path: Some(path.to_owned()),
            format: *by_name,
        })
    }

    /// The file for the spec with this suffix; `None` is standard output.
    pub(super) fn path(&self, suffix: &str) -> Option<PathBuf> {
        let path = self.path.as_ref()?;
        Some(with_suffix(path, suffix))
    }

    /// Writes or prints a spec. Returns whether a file has changed.
    pub(super) fn put(&self, suffix: &str, spec: &Spec, purpose: Purpose) -> Result<bool> {
        let text = to_text(spec, self.format);
        match (self.path(suffix), purpose) {
            (Some(path), Purpose::Write) => {
                let written = file::publish(&path, text.as_bytes());
                return written.with_context(|| {
                    format!("cannot write {}, which is unchanged", path.display())
                });
            }
            (Some(path), Purpose::Diff) => output_document(&diff(&path, &text)?)?,
            _ => output_document(&text)?,
        }
        Ok(false)
    }
}

fn diff(path: &Path, text: &str) -> Result<String> {
    let there = file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.display().to_string();
    let old_name = if there.is_some() { &name } else { "/dev/null" };
    Ok(unified_diff(
        &there.unwrap_or_default(),
        text,
        old_name,
        &name,
    ))
}

fn name_of(format: Format) -> &'static str {
    let mut formats = FORMATS.iter();
    formats
        .find(|(_, it)| *it == format)
        .map_or("", |(name, _)| name)
}

/// `nvidia.coherent.yaml` for `nvidia.yaml`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    if suffix.is_empty() {
        return path.to_owned();
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("{suffix}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (path, format, expected) in [
            ("/a/x.yaml", None, Some("/a/x.yaml")),
            ("x.json", Some("json"), Some("x.json")),
            ("x", None, Some("x.yaml")),
            ("/a/x.d", Some("json"), Some("/a/x.d.json")),
            ("x.yml", None, None),
            ("x.yaml", Some("json"), None),
            ("x.yaml", Some("toml"), None),
        ] {
            let output = Output::new(path, format).ok();
            let found = output.and_then(|it| it.path(""));
            assert_eq!(found, expected.map(PathBuf::from), "{path}");
        }
        assert_eq!(Output::new("", None).unwrap().path(""), None);
        assert_eq!(
            with_suffix(Path::new("/a/nvidia.yaml"), "coherent"),
            Path::new("/a/nvidia.coherent.yaml")
        );
    }
}
