//! Resolves device names to container edits: from existing specs, or from one that is generated for the container.

use std::cell::Cell;
use std::fmt::{Display, Write};
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
use crate::generate::{Failure, Notes, Options, generate};
use crate::names::CDI_HOOK;
use crate::rootfs::Root;

const OWN_PROGRAM: &str = "/proc/self/exe";
const ALL: &str = "all";
const LIBCUDA: &str = "libcuda.so.";
/// The maximum number of names, devices and files in an error message.
const MAX_NAMED: usize = 8;

/// Returns the edits for a request in the order of application. Fails if a device is not found or a spec cannot be generated.
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
        warned: Cell::new(false),
    };
    let (mut found, mut to_build, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for device in &request.devices {
        match device {
            Device::Qualified(name) => match specs.find(name) {
                Some(file) => found.push((name.clone(), file)),
                None => missing.push(name.as_str()),
            },
            Device::Plain(name) => match specs.find_plain(name, call)? {
                Some(file) => found.push(file),
                None => to_build.push(name.clone()),
            },
        }
    }
    ensure!(missing.is_empty(), "{}", specs.unresolvable(&missing));
    let mut edits = of_files(&found);
    if !to_build.is_empty() || !request.beside.is_empty() || !request.channels.is_empty() {
        edits.extend(specs.build(&to_build, request, call)?);
    }
    Ok(edits)
}

/// Spec files, and the host that they are for.
struct Specs<'s> {
    registry: Registry<'s>,
    files: &'s [SpecFile],
    settings: &'s Settings,
    host: &'s Root,
    warned: Cell<bool>,
}

impl<'s> Specs<'s> {
    fn find(&self, name: &str) -> Option<&'s SpecFile> {
        let mut devices = self.registry.devices();
        devices.find(|(it, _)| *it == name).map(|(_, file)| file)
    }

    /// Returns the file with a device that is requested without a kind; `None` if there is none, or none for the loaded driver.
    /// Fails for a device without a node: the container would have no GPU.
    fn find_plain(&self, name: &str, call: &Call) -> Result<Option<(String, &'s SpecFile)>> {
        let name = format!("{}={name}", self.settings.default_kind);
        let Some(file) = self.find(&name) else {
            return Ok(None);
        };
        if self.is_stale(file, call) {
            return Ok(None);
        }
        let device = device(&name, file);
        let has_nodes = device.is_some_and(|it| !it.container_edits.device_nodes.is_empty());
        ensure!(
            has_nodes,
            "{} gives a container no device node for {name}",
            file.path.display()
        );
        Ok(Some((name, file)))
    }

    /// Whether the file has libraries of a driver other than the loaded one. Logs one warning.
    fn is_stale(&self, file: &SpecFile, call: &Call) -> bool {
        let Some(loaded) = kernel::version(self.host) else {
            return false;
        };
        let version = file.spec.as_ref().ok().and_then(version);
        let Some(other) = version.filter(|it| *it != loaded) else {
            return false;
        };
        if !self.warned.replace(true) {
            call.log.warn(&format!(
                "{} is ignored: it is for driver {other}, but {loaded} is loaded; 'nvidia-ctk cdi generate' regenerates it",
                file.path.display()
            ));
        }
        true
    }

    /// Generates a spec for these devices from the host and returns its edits. Fails if that is impossible.
    fn build(
        &self,
        names: &[String],
        request: &Request,
        call: &Call,
    ) -> Result<Vec<ContainerEdits>> {
        let asked = Asked {
            driver_root: self.settings.driver_root.as_deref(),
            ..Asked::default()
        };
        let driver = Driver::read(self.host, asked)?;
        let mut edits = Vec::new();
        let mut generate = |mode, ids: &[String]| {
            let options = self.options(mode, ids)?;
            let mut notes = Notes::default();
            let generated = generate(
                self.host,
                asked,
                &driver,
                &List::default(),
                &options,
                &mut notes,
            );
            // The container starts without the devices that "all" leaves out, so their notes become warnings.
            for (_, note) in &notes.0 {
                call.log.warn(note);
            }
            for (_, spec) in generated.map_err(Failure::into_error)? {
                let all = spec.devices.into_iter().find(|it| it.name == ALL);
                edits.push(spec.container_edits);
                edits.extend(all.map(|it| it.container_edits));
            }
            anyhow::Ok(())
        };
        let mode = if self.settings.uses_lists {
            Mode::Csv
        } else {
            Mode::Auto
        };
        if !names.is_empty() {
            generate(mode, names).with_context(|| {
                self.unresolvable(&names.iter().map(String::as_str).collect::<Vec<_>>())
            })?;
        }
        for name in &request.beside {
            let mode = MODES.iter().find(|(it, _)| it == name);
            generate(
                mode.map_or(Mode::Auto, |(_, mode)| *mode),
                &[ALL.to_owned()],
            )
            .with_context(|| format!("NVIDIA_{}=enabled", name.to_uppercase()))?;
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
                // Under the runtime's own name the program would be a runtime again.
                name: CDI_HOOK.to_owned(),
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

    /// Formats the error that an engine shows: names, directories, faults, and the available devices.
    fn unresolvable(&self, names: &[&str]) -> String {
        let directories = self
            .settings
            .spec_dirs
            .iter()
            .map(|it| it.display().to_string());
        let directories: Vec<_> = directories.collect();
        let mut text = format!(
            "unresolvable CDI devices {}: no spec in {} defines them",
            few(names.iter()),
            directories.join(", ")
        );
        for shared in self.registry.shared() {
            if shared.winner().is_none() && names.iter().any(|it| shared.names.contains(it)) {
                let files = shared.files.iter().map(|it| it.path.display());
                let _ = write!(
                    text,
                    "; these files conflict, since they define the same device: {}",
                    few(files)
                );
            }
        }
        let broken = self
            .files
            .iter()
            .filter_map(|file| Some((file, file.spec.as_ref().err()?)));
        for (file, err) in broken.take(MAX_NAMED) {
            let _ = write!(text, "; {} is unusable: {err}", file.path.display());
        }
        let there = few(self.registry.devices().map(|(name, _)| name));
        if !there.is_empty() {
            let _ = write!(text, "; available: {there}");
        }
        text
    }
}

/// Joins the first texts, and indicates whether there are more.
fn few(texts: impl Iterator<Item = impl Display>) -> String {
    let texts: Vec<_> = texts.take(MAX_NAMED + 1).map(|it| it.to_string()).collect();
    match texts.get(..MAX_NAMED) {
        Some(first) if texts.len() > MAX_NAMED => format!("{}, ...", first.join(", ")),
        _ => texts.join(", "),
    }
}

fn device<'s>(name: &str, file: &'s SpecFile) -> Option<&'s cdi::Device> {
    let spec = file.spec.as_ref().ok()?;
    let (_, name) = name.split_once('=')?;
    spec.devices.iter().find(|it| it.name == name)
}

/// Collects edits: the common ones of each spec once, at its first device, and those of the devices.
fn of_files(found: &[(String, &SpecFile)]) -> Vec<ContainerEdits> {
    let mut seen: Vec<&Path> = Vec::new();
    let mut edits = Vec::new();
    for (name, file) in found {
        let Ok(spec) = &file.spec else { continue };
        if !seen.contains(&file.path.as_path()) {
            seen.push(&file.path);
            edits.push(spec.container_edits.clone());
        }
        edits.extend(device(name, file).map(|it| it.container_edits.clone()));
    }
    edits
}

/// Returns the version of the driver whose libcuda a spec mounts.
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
