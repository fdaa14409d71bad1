//! `cdi list`: lists the devices that engines find.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::directories;
use crate::cdi::{Registry, SpecFile, read_all};
use crate::command::finding::few;
use crate::rootfs::Root;
use crate::stdout::{output, output_json};

/// List the qualified names of the devices that containers can request.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "list",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk cdi list\nnvidia-ctk cdi list --json --spec-dir /run/cdi",
    note = "The exit code is 1 if engines cannot use a spec, or if two specs in one directory define the same device."
)]
#[expect(clippy::doc_markdown, reason = "help texts have no backticks")]
pub struct List {
    /// directory of specs, of which a later one takes precedence; may be repeated (default: /etc/cdi and /var/run/cdi;
    /// also: NVIDIA_CTK_CDI_SPEC_DIRS)
    #[argh(option, arg_name = "dir")]
    pub spec_dir: Vec<PathBuf>,
    /// print JSON, with the file of each device
    #[argh(switch)]
    pub json: bool,
    /// root directory of the host (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub root: PathBuf,
}

/// A file, and why engines cannot use it or a part of it.
type Fault<'f> = (&'f SpecFile, String);

impl List {
    /// Prints the devices, or a warning if there are none, and reports the specs that engines cannot use: then the exit code is 1. Fails if the root directory
    /// cannot be opened.
    pub fn run(&self) -> Result<ExitCode> {
        let root = Root::open(&self.root)
            .with_context(|| format!("cannot open the root directory {}", self.root.display()))?;
        let directories = directories(&self.spec_dir, &self.root)?;
        let files = read_all(&root, &directories);
        let registry = Registry::of(&files);
        let faults = faults(&files, &registry);
        if self.json {
            output_json(&as_json(&registry, &faults))?;
        } else {
            let lines = registry.devices().flat_map(|(name, _)| [name, "\n"]);
            output(&lines.collect::<String>())?;
        }
        if registry.devices().next().is_none() {
            let directories: Vec<_> = directories.iter().map(|it| it.to_string_lossy()).collect();
            log::warn!("no CDI device is defined in {}", directories.join(" or "));
        }
        for (file, reason) in &faults {
            log::error!("{}: {reason}", file.path.display());
        }
        Ok(if faults.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn faults<'f>(files: &'f [SpecFile], registry: &'f Registry<'f>) -> Vec<Fault<'f>> {
    let unusable = files
        .iter()
        .filter_map(|file| Some((file, file.spec.as_ref().err()?.to_string())));
    let conflicts = registry.shared().into_iter().filter_map(|shared| {
        let (first, others) = shared.files.split_first()?;
        let others = few(others.iter().map(|file| file.path.display()));
        let names = few(&shared.names);
        let reason = format!(
            "{names}: also defined in {others}: engines use neither; remove one of the files"
        );
        shared.winner().is_none().then_some((*first, reason))
    });
    unusable.chain(conflicts).collect()
}

fn as_json(registry: &Registry<'_>, faults: &[Fault<'_>]) -> Value {
    let devices = registry.devices().map(|(qualified, file)| {
        let (kind, device) = qualified.split_once('=').unwrap_or_default();
        let (vendor, class) = kind.split_once('/').unwrap_or_default();
        json!({
            "name": qualified,
            "vendor": vendor,
            "class": class,
            "device": device,
            "file": file.path.to_string_lossy(),
        })
    });
    let errors = faults
        .iter()
        .map(|(file, reason)| json!({"file": file.path.to_string_lossy(), "error": reason}));
    json!({
        "devices": devices.collect::<Value>(),
        "errors": errors.collect::<Value>(),
    })
}
