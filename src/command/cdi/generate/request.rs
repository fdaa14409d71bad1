//! Translates the options for the generator.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::Generate;
use crate::cdi::{is_device_name, is_kind_part};
use crate::generate::Options;
use crate::generate::hooks::{ALL, Hooks, NAMES, Style};
use crate::generate::mode::{Csv, MODES};
use crate::generate::names::{STRATEGIES, Strategy};
use crate::host::{file, program};
use crate::names::CDI_HOOK;
use crate::rootfs::Root;

/// Where the program is expected if it is not found.
const PROGRAMS: &str = "/usr/bin";
/// The device without content.
const NONE: &str = "none";

const EXPLICIT_LIBRARIES: &str = "enable-explicit-driver-libraries";
const COHERENT: &str = "enable-coherent-annotations";
const NO_GROUPS: &str = "no-additional-gids-for-device-nodes";
const NO_IPC: &str = "disable-ipc-discoverer";
const FEATURES: [&str; 4] = [EXPLICIT_LIBRARIES, COHERENT, NO_GROUPS, NO_IPC];
/// Features that concern libraries which this program does not use, and devices that it does not distinguish.
const WITHOUT_EFFECT: [&str; 3] = [
    "disable-nvsandboxutils",
    "disable-nvsandbox-utils",
    "disable-multiple-csv-devices",
];
const STYLES: [(&str, Style); 2] = [("apply", Style::Apply), ("separate", Style::Separate)];

/// Reads the options. Refuses unknown values; unknown hooks and features are only warnings.
pub(super) fn options(command: &Generate, host: &Root) -> Result<Options> {
    warn_of_unknown(command);
    ensure!(
        !command.enable_hook.iter().any(|it| it == ALL),
        "--enable-hook does not accept all: name the hooks"
    );
    for (option, value) in [("vendor", &command.vendor), ("class", &command.class)] {
        ensure!(
            is_kind_part(value),
            "--{option} {value}: must begin with a letter, end with a letter or digit, and contain only letters, digits, '_', '-' and '.'"
        );
    }
    let has = |flag: &str| command.feature_flag.iter().any(|it| it == flag);
    let ids = ids(command)?;
    let is_none = ids.iter().any(|it| it == NONE);
    if is_none && !command.no_all_device {
        log::warn!("the device \"all\" is left out because of --device-id none");
    }
    let program = hook_program(command, host)?;
    let name = program.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    Ok(Options {
        mode: lookup("mode", &command.mode.to_ascii_lowercase(), &MODES)?,
        strategies: strategies(&command.device_name_strategy)?,
        ids,
        hooks: Hooks {
            style: lookup("hooks", &command.hooks, &STYLES)?,
            program,
            name,
            ldconfig: command.ldconfig_path.clone(),
            disabled: command.disable_hook.clone(),
            enabled: command.enable_hook.clone(),
        },
        vendor: command.vendor.clone(),
        class: command.class.clone(),
        makes_all: !command.no_all_device && !is_none,
        adds_groups: !has(NO_GROUPS),
        explicit_libraries: has(EXPLICIT_LIBRARIES),
        ipc: !has(NO_IPC),
        splits_coherent: has(COHERENT),
        csv: Csv {
            lists: csv_lists(&command.csv_file)?,
            ignored: command.csv_ignore_pattern.clone(),
        },
    })
}

fn warn_of_unknown(command: &Generate) {
    let hooks = command.disable_hook.iter().chain(&command.enable_hook);
    for hook in hooks.filter(|it| *it != ALL && !NAMES.contains(&it.as_str())) {
        log::warn!("unknown hook \"{hook}\"; known are {}", NAMES.join(", "));
    }
    for flag in command.feature_flag.iter().map(String::as_str) {
        if WITHOUT_EFFECT.contains(&flag) {
            log::debug!("--feature-flag {flag} has no effect here");
        } else if !FEATURES.contains(&flag) {
            log::warn!(
                "unknown feature \"{flag}\"; known are {}",
                FEATURES.join(", ")
            );
        }
    }
    if command.csv_compat_container_root.is_some() {
        log::warn!(
            "--csv.compat-container-root has no effect: it depends on a version of CUDA that only NVML knows"
        );
    }
}

fn ids(command: &Generate) -> Result<Vec<String>> {
    if command.device_id.is_empty() {
        return Ok(vec![ALL.to_owned()]);
    }
    let mut ids = command.device_id.iter();
    if let Some(id) = ids.find(|it| !is_device_name(&it.replace('/', ":"))) {
        bail!("device \"{id}\" is neither an index, a UUID nor a PCI name");
    }
    Ok(command.device_id.clone())
}

fn strategies(names: &[String]) -> Result<Vec<Strategy>> {
    if names.is_empty() {
        return Ok(vec![Strategy::Index, Strategy::Uuid]);
    }
    let names = names.iter();
    let strategies = names.map(|name| lookup("device-name-strategy", name, &STRATEGIES));
    strategies.collect()
}

/// Looks up the value of a name; the error lists all names.
pub(super) fn lookup<T: Copy>(option: &str, name: &str, values: &[(&str, T)]) -> Result<T> {
    let found = values.iter().find(|(it, _)| *it == name);
    let (_, value) = found.ok_or_else(|| {
        let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
        anyhow!("--{option} {name}: must be one of {}", names.join(", "))
    })?;
    Ok(*value)
}

/// The program that engines call, by its absolute path on the host.
fn hook_program(command: &Generate, host: &Root) -> Result<PathBuf> {
    let asked = Path::new(&command.nvidia_cdi_hook_path);
    let is_asked = !command.nvidia_cdi_hook_path.is_empty();
    if asked.is_absolute() {
        return Ok(asked.to_owned());
    }
    let name = if is_asked { asked } else { Path::new(CDI_HOOK) };
    let is_here = command.root == Path::new("/");
    let found = if is_here {
        program::find_here(name)
    } else {
        program::find(host, name)
    };
    match found {
        Some(found) => std::path::absolute(found).context("the current directory is gone"),
        None if is_asked => bail!(
            "--nvidia-cdi-hook-path {}: no such program",
            asked.display()
        ),
        None => {
            let path = Path::new(PROGRAMS).join(CDI_HOOK);
            if is_here {
                log::warn!(
                    "{} does not exist: no container starts without it; 'nvidia-ctk install' installs it, and --nvidia-cdi-hook-path \
                     names another program",
                    path.display()
                );
            }
            Ok(path)
        }
    }
}

fn csv_lists(paths: &[PathBuf]) -> Result<Option<Vec<String>>> {
    let read = |path: &PathBuf| {
        let text = file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        text.with_context(|| format!("{} does not exist", path.display()))
    };
    let lists = (!paths.is_empty()).then(|| paths.iter().map(read).collect());
    lists.transpose()
}
