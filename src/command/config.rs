//! `config` and `config default`: the toolkit's configuration file.
#![expect(
    clippy::disallowed_methods,
    reason = "works on the host's own files, which its admin names"
)]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};

use crate::config::{self, Setting};
use crate::host::file;
use crate::stdout::output_document;

mod host;

/// The configuration file's path below the directory of all configuration files.
const BELOW_CONFIG_HOME: &str = "nvidia-container-runtime/config.toml";
const ETC: &str = "/etc";

/// Print the toolkit's configuration file, or set keys in it. If the file does not exist, the default configuration is used.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "config",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk config --set nvidia-container-runtime.mode=cdi\n\
               nvidia-ctk config --in-place --set nvidia-container-cli.debug=/var/log/cli.log"
)]
#[expect(clippy::doc_markdown, reason = "help texts have no backticks")]
pub struct Config {
    /// file to read (default: nvidia-container-runtime/config.toml in $XDG_CONFIG_HOME or /etc;
    /// also: --config; NVIDIA_CTK_CONFIG_FILE_PATH)
    #[argh(option, short = 'c', arg_name = "file")]
    pub config_file: Option<PathBuf>,
    /// set a key; a boolean needs no value; the value nil removes a key of features; may be repeated
    #[argh(option, arg_name = "key=value")]
    pub set: Vec<String>,
    /// separator between the elements of a list (default: a colon if the value has one, else a comma)
    #[argh(option, arg_name = "text")]
    pub set_list_separator: Option<String>,
    /// write to the file that was read
    #[argh(switch, short = 'i')]
    pub in_place: bool,
    /// write to this file (default: standard output)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<PathBuf>,
    #[argh(subcommand)]
    /// which command
    pub command: Option<ConfigCommand>,
}

/// The subcommands of `config`, which also acts without one.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum ConfigCommand {
    /// `default`
    Default(PrintDefault),
}

/// Print the default configuration for this host.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "default",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk config default --output /etc/nvidia-container-runtime/config.toml"
)]
pub struct PrintDefault {
    /// write to this file (default: standard output)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<PathBuf>,
}

impl Config {
    /// Prints or writes the configuration. Fails, and writes nothing, if an option is wrong or a file cannot be read or written.
    pub fn run(&self) -> Result<()> {
        if let Some(ConfigCommand::Default(default)) = &self.command {
            ensure!(
                self.set.is_empty() && !self.in_place,
                "config default takes neither --set nor --in-place"
            );
            let path = default.output.as_deref().or(self.output.as_deref());
            return write(path, &config::default_document(&host::values())?);
        }
        ensure!(
            !(self.in_place && self.output.is_some()),
            "--in-place and --output exclude each other"
        );
        let separator = self.set_list_separator.as_deref();
        ensure!(separator != Some(""), "set-list-separator must be set");
        let settings: Vec<_> = self
            .set
            .iter()
            .map(|text| Setting::parse(text, separator))
            .collect::<Result<_>>()?;
        let path = self.config_file.clone().unwrap_or_else(default_path);
        if self.in_place {
            file::check(&path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let document = load(&path)?;
        let document = settings
            .iter()
            .try_fold(document, |document, setting| setting.apply(&document))
            .with_context(|| path.display().to_string())?;
        for objection in settings.iter().filter_map(Setting::objection) {
            log::warn!("{objection}");
        }
        let target = self.in_place.then_some(path.as_path());
        write(target.or(self.output.as_deref()), &document)
    }
}

fn default_path() -> PathBuf {
    env::var_os("XDG_CONFIG_HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| ETC.into(), PathBuf::from)
        .join(BELOW_CONFIG_HOME)
}

fn load(path: &Path) -> Result<String> {
    let document = match fs::read_to_string(path) {
        Ok(document) => document,
        Err(err) if err.kind() == ErrorKind::NotFound => {
            log::info!(
                "{} does not exist: the default configuration is used",
                path.display()
            );
            return config::default_document(&host::values());
        }
        Err(err) => {
            let context = format!("cannot read the configuration {}", path.display());
            return Err(err).context(context);
        }
    };
    config::check(&document).with_context(|| format!("{} is not TOML", path.display()))?;
    Ok(document)
}

/// Writes to the file, or else to standard output.
fn write(path: Option<&Path>, document: &str) -> Result<()> {
    let Some(path) = path else {
        return Ok(output_document(document)?);
    };
    let is_device = fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
    let written = if is_device {
        file::check(path)
            .and_then(|()| fs::write(path, document))
            .map(|()| true)
    } else {
        file::replace(path, document.as_bytes())
    };
    if written.with_context(|| format!("cannot write {}", path.display()))? {
        log::info!("wrote {}", path.display());
    } else {
        log::info!("{} is unchanged", path.display());
    }
    Ok(())
}
