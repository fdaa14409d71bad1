//! From the names of devices to what a container gets: by the specs that are there, or by one that is built for it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::arguments::Call;
use super::request::{Device, Request};
use super::settings::Settings;
use crate::cdi::{self, ContainerEdits, Registry, Spec, SpecFile};
use crate::driver::Driver;
use crate::driver::kernel;
use crate::driver::name::driver_version;
use crate::driver::root::Asked;
use crate::driver::smi::List;
use crate::generate::hooks::{Hooks, Style};
use crate::generate::mode::{Csv, MODES, Mode};
use crate::generate::names::Strategy;
use crate::generate::{Failure, Options, generate};
use crate::rootfs::Root;

const OWN_PROGRAM: &str = "/proc/self/exe";
const ALL: &str = "all";
const LIBCUDA: &str = "libcuda.so.";
/// Most broken specs that an error names.
const MAX_NAMED: usize = 3;

/// The edits for what is requested, in the order in which they are applied. Fails if a device is not found.
pub(super) fn edits(
    request: &Request,
    settings: &Settings,
    host: &Root,
    call: &Call,
) -> Result<Vec<ContainerEdits>> {
    let files = cdi::read_all(host, &settings.spec_dirs);
    let specs = Specs {
        registry: Registry::of(&files),
        files: &files,
        settings,
        host,
    };
    let (mut found, mut plain, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for device in &request.devices {
        match device {
            Device::Qualified(name) => match specs.find(name) {
                Some(file) => found.push((name.clone(), file)),
                None => missing.push(name.as_str()),
            },
            Device::Plain(name) => plain.push(name.clone()),
        }
    }
    ensure!(missing.is_empty(), "{}", specs.unresolvable(&missing));
    let mut edits = Vec::new();
    match specs.find_plain(&plain, call) {
        Some(files) => found.extend(files),
        None => edits.extend(specs.build(&plain, request)?),
    }
    edits.extend(of_files(&found));
    Ok(edits)
}

/// Spec files, and the host that they are for.
struct Specs<'s> {
    registry: Registry<'s>,
    files: &'s [SpecFile],
    settings: &'s Settings,
    host: &'s Root,
}

impl<'s> Specs<'s> {
    fn find(&self, name: &str) -> Option<&'s SpecFile> {
        let mut devices = self.registry.devices();
        devices.find(|(it, _)| *it == name).map(|(_, file)| file)
    }

    /// The files that have the devices that are named without a kind; none if one of them is in no file that fits the driver.
    fn find_plain(&self, names: &[String], call: &Call) -> Option<Vec<(String, &'s SpecFile)>> {
        let mut found = Vec::new();
        for name in names {
            let name = format!("{}={name}", self.settings.default_kind);
            let file = self.find(&name)?;
            found.push((name, file));
        }
        let loaded = kernel::version(self.host);
        let is_stale = |file: &SpecFile| match (&loaded, file.spec.as_ref().ok().and_then(version))
        {
            (Some(loaded), Some(version)) => *loaded != version,
            _ => false,
        };
        let stale = found.iter().find(|(_, file)| is_stale(file));
        if let Some((_, file)) = stale {
            call.log.warn(&format!(
                "{} is of another driver than the one that is loaded, {}, and is not used: 'nvidia-ctk cdi generate' writes it anew",
                file.path.display(),
                loaded.as_deref().unwrap_or_default()
            ));
            return None;
        }
        Some(found)
    }

    /// What a spec for these devices would have in it, built from the host as it is.
    fn build(&self, names: &[String], request: &Request) -> Result<Vec<ContainerEdits>> {
        let asked = Asked {
            driver_root: self.settings.driver_root.as_deref(),
            ..Asked::default()
        };
        let driver = Driver::read(self.host, asked)?;
        let mut edits = Vec::new();
        let mut generate = |mode, ids: &[String]| {
            let options = self.options(mode, ids)?;
            let generated = generate(self.host, asked, &driver, &List::default(), &options);
            let generated = generated.map_err(|failure| match failure {
                Failure::NotLoaded(err) | Failure::NoDevices(err) | Failure::Other(err) => err,
            });
            let generated = generated.with_context(|| {
                self.unresolvable(&ids.iter().map(String::as_str).collect::<Vec<_>>())
            })?;
            for (_, spec) in generated.specs {
                let all = spec.devices.into_iter().find(|it| it.name == ALL);
                edits.push(spec.container_edits);
                edits.extend(all.map(|it| it.container_edits));
            }
            anyhow::Ok(())
        };
        generate(Mode::Auto, names)?;
        for name in &request.beside {
            let mode = MODES.iter().find(|(it, _)| it == name);
            generate(
                mode.map_or(Mode::Auto, |(_, mode)| *mode),
                &[ALL.to_owned()],
            )?;
        }
        if !request.channels.is_empty() {
            generate(Mode::Imex, &request.channels)?;
        }
        Ok(edits)
    }

    fn options(&self, mode: Mode, ids: &[String]) -> Result<Options> {
        let kind = self.settings.default_kind.split_once('/');
        let (vendor, class) = kind.with_context(|| {
            format!(
                "default-kind \"{}\" is not VENDOR/CLASS",
                self.settings.default_kind
            )
        })?;
        let program = own_program().context("/proc is missing")?;
        Ok(Options {
            mode,
            strategies: vec![Strategy::Index],
            ids: ids.to_vec(),
            hooks: Hooks {
                style: Style::Apply,
                program,
                ldconfig: None,
                disabled: Vec::new(),
                enabled: Vec::new(),
            },
            vendor: vendor.to_owned(),
            class: class.to_owned(),
            makes_all: true,
            adds_groups: self.settings.adds_groups,
            explicit_libraries: false,
            ipc: true,
            splits_coherent: false,
            csv: Csv {
                lists: None,
                ignored: Vec::new(),
            },
        })
    }

    /// What an engine shows: names, places, and what is wrong there.
    fn unresolvable(&self, names: &[&str]) -> String {
        let directories = self
            .settings
            .spec_dirs
            .iter()
            .map(|it| it.display().to_string());
        let directories: Vec<_> = directories.collect();
        let broken = self.files.iter().filter_map(|file| {
            let err = file.spec.as_ref().err()?;
            Some(format!("; {} is of no use: {err}", file.path.display()))
        });
        let broken: String = broken.take(MAX_NAMED).collect();
        format!(
            "unresolvable CDI devices {}: in {} no spec has them{broken}",
            names.join(", "),
            directories.join(", ")
        )
    }
}

/// The common edits of each spec once, where its first device is, and the devices' own.
fn of_files(found: &[(String, &SpecFile)]) -> Vec<ContainerEdits> {
    let mut seen: Vec<&Path> = Vec::new();
    let mut edits = Vec::new();
    for (name, file) in found {
        let Ok(spec) = &file.spec else { continue };
        if !seen.contains(&file.path.as_path()) {
            seen.push(&file.path);
            edits.push(spec.container_edits.clone());
        }
        let device = spec
            .devices
            .iter()
            .find(|it| name.ends_with(&format!("={}", it.name)));
        edits.extend(device.map(|it| it.container_edits.clone()));
    }
    edits
}

/// The version of the driver whose libcuda a spec mounts.
fn version(spec: &Spec) -> Option<String> {
    let mut mounts = spec.edits().flat_map(|it| &it.mounts);
    mounts.find_map(|mount| {
        let name = Path::new(&mount.host_path).file_name()?;
        driver_version(name).filter(|_| name.to_string_lossy().starts_with(LIBCUDA))
    })
}

#[expect(clippy::disallowed_methods, reason = "the program's own path")]
fn own_program() -> io::Result<PathBuf> {
    std::fs::read_link(OWN_PROGRAM)
}
