//! One look at the host, and the specs for it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use nix::sys::stat::{Mode, umask};

use super::output::{Output, Purpose};
use super::{Generate, request};
use crate::cdi::{self, Spec};
use crate::config;
use crate::driver::Driver;
use crate::driver::node::WantedNodes;
use crate::driver::root::Asked;
use crate::driver::smi::List;
use crate::generate::{Failure, Notes, Options, Specs, generate};
use crate::host::file;
use crate::rootfs::{Root, is_not_there};

const CONFIG: &str = "/etc/nvidia-container-runtime/config.toml";
const MAX_CONFIG: u64 = 1 << 20;
/// Largest list: one of 32 GPUs with 7 parts each has 20 KiB.
const MAX_LIST: u64 = 1 << 20;

/// What is generated, and from what.
pub(super) struct Generator<'c> {
    command: &'c Generate,
    options: Options,
    pub(super) host: Root,
    driver_root: Option<PathBuf>,
    makes_nodes: bool,
    list: List,
}

/// A host as it is at one time, and the specs for it.
pub(super) struct Seen {
    pub(super) driver: Driver,
    pub(super) notes: Notes,
    pub(super) specs: Result<Specs, Failure>,
}

/// Generates the specs, and writes or prints them.
pub(super) fn run(
    generator: &Generator<'_>,
    output: &Output,
    purpose: Purpose,
) -> Result<ExitCode> {
    let seen = generator.look()?;
    report(&seen.notes);
    let specs = seen.specs.map_err(Failure::into_error)?;
    put(&specs, output, purpose)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes or prints all specs.
pub(super) fn put(specs: &Specs, output: &Output, purpose: Purpose) -> Result<()> {
    if purpose == Purpose::Write {
        warn_of_others(specs, output);
    }
    for (suffix, spec) in specs {
        let is_new = output.put(suffix, spec, purpose)?;
        if let (true, Some(path)) = (is_new, output.path(suffix)) {
            log::info!(
                "Wrote {}: {} devices, {} mounts, CDI {}",
                path.display(),
                spec.devices.len(),
                spec.container_edits.mounts.len(),
                spec.cdi_version
            );
        }
    }
    Ok(())
}

/// Warns of other files in the directory that define the same devices: engines then use neither definition.
fn warn_of_others(specs: &Specs, output: &Output) {
    let paths = specs.iter().filter_map(|(suffix, _)| output.path(suffix));
    let paths: Vec<_> = paths
        .filter_map(|it| std::path::absolute(it).ok())
        .collect();
    let directory = paths.first().and_then(|it| it.parent());
    let (Some(directory), Ok(host)) = (directory, Root::host()) else {
        return;
    };
    let specs = specs.iter().map(|(_, spec)| spec);
    let ours: BTreeSet<_> = specs.flat_map(Spec::qualified_names).collect();
    let files = cdi::read_all(&host, &[directory.to_owned()]);
    for file in files.iter().filter(|file| !paths.contains(&file.path)) {
        let Ok(spec) = &file.spec else { continue };
        if let Some(name) = spec.qualified_names().find(|name| ours.contains(name)) {
            log::warn!(
                "{} defines the device {name} as well: engines use neither, so remove one of the files",
                file.path.display()
            );
        }
    }
}

/// Logs the notes about the specs.
pub(super) fn report(notes: &Notes) {
    for (level, text) in &notes.0 {
        log::log!(*level, "{text}");
    }
}

impl<'c> Generator<'c> {
    /// Reads what does not change later: options, configuration, the list of nvidia-smi.
    pub(super) fn new(command: &'c Generate) -> Result<Self> {
        let root = &command.root;
        let host = Root::open(root)
            .with_context(|| format!("cannot open the root directory {}", root.display()))?;
        let options = request::options(command, &host)?;
        let driver_root = match &command.driver_root {
            Some(path) => Some(path.clone()),
            None => configured_root(&host)?,
        };
        Ok(Self {
            list: list(command.nvidia_smi_list.as_deref())?,
            driver_root,
            makes_nodes: command.create_devices && !command.dry_run && !command.diff,
            command,
            options,
            host,
        })
    }

    /// Whether there is a list of nvidia-smi, which lacks new devices. It is empty if there were no devices when it was written.
    pub(super) fn has_list(&self) -> bool {
        self.command.nvidia_smi_list.is_some()
    }

    /// Reads the host, and generates the specs for it.
    pub(super) fn look(&self) -> Result<Seen> {
        let asked = Asked {
            driver_root: self.driver_root.as_deref(),
            dev_root: self.command.dev_root.as_deref(),
            library_paths: &self.command.library_search_path,
            config_paths: &self.command.config_search_path,
        };
        let mut notes = Notes::default();
        let mut driver = self.driver(asked)?;
        if self.makes_nodes && self.make_nodes(&driver, &mut notes)? {
            driver = self.driver(asked)?;
        }
        // The nodes stay open until the driver is read again: by then it reports the UUIDs.
        let open = self.initialise(&driver, &mut notes)?;
        if !open.is_empty() {
            driver = self.driver(asked)?;
        }
        let (list, options) = (&self.list, &self.options);
        let mut specs = generate(&self.host, asked, &driver, list, options, &mut notes);
        if specs.is_ok() && self.command.strict && !notes.0.is_empty() {
            let refusal = "nothing is written: --strict treats the messages above as errors";
            specs = Err(anyhow!(refusal).into());
        }
        Ok(Seen {
            driver,
            notes,
            specs,
        })
    }

    fn driver(&self, asked: Asked<'_>) -> Result<Driver> {
        let is_by_config = self.driver_root.is_some() && self.command.driver_root.is_none();
        Driver::read(&self.host, asked).map_err(|err| {
            if is_by_config {
                err.context(format!("the driver's root is set in {CONFIG}"))
            } else {
                err
            }
        })
    }

    /// Creates missing device nodes. Returns whether any were created.
    fn make_nodes(&self, driver: &Driver, notes: &mut Notes) -> Result<bool> {
        if driver.kernel.is_none() {
            return Ok(false);
        }
        let wanted = WantedNodes::read(&self.host)?;
        if !wanted.may_be_made() {
            notes.warn(
                "no device node is created: the kernel module's option NVreg_ModifyDeviceFiles leaves them to the administrator",
            );
            return Ok(false);
        }
        // Programs of other users need the nodes, whatever the administrator's umask is.
        umask(Mode::empty());
        let path = driver.dev_root.join("dev");
        let dev = self.host.open_root(&path);
        let dev = dev.with_context(|| format!("cannot open {}", path.display()))?;
        let gpus = driver.gpus.iter().filter(|it| !it.excluded);
        let gpus = gpus.filter_map(|it| Some(wanted.gpu(it.minor?.into())));
        let mut has_made = false;
        for node in wanted.control().chain(gpus) {
            let path = path.join(&node.name);
            match node.make_in(&dev) {
                Ok(true) => log::info!("Created {}", path.display()),
                Ok(false) => continue,
                Err(err) => {
                    notes.warn(format!("cannot create {}: {err}", path.display()));
                    continue;
                }
            }
            has_made = true;
        }
        Ok(has_made)
    }

    /// Opens the nodes of GPUs that have no UUID yet, and returns the open files.
    fn initialise(&self, driver: &Driver, notes: &mut Notes) -> Result<Vec<File>> {
        let mut open = Vec::new();
        if !self.command.init_devices {
            return Ok(open);
        }
        let dev = driver
            .dev(&self.host)
            .context("cannot open the root of /dev")?;
        let gpus = driver
            .gpus
            .iter()
            .filter(|it| it.uuid.is_none() && !it.excluded);
        let names = gpus.filter_map(|it| Some(format!("nvidia{}", it.minor?)));
        // Opening another device may have any effect.
        let is_right = |name: &String| {
            let mut right = driver.nodes.iter().filter(|it| it.is_right());
            right.any(|it| it.name == Path::new(name))
        };
        for name in names.filter(is_right) {
            match dev.open(&name) {
                Ok(file) => open.push(file),
                Err(err) => notes.warn(format!("cannot open /dev/{name}: {err}")),
            }
        }
        Ok(open)
    }
}

/// The driver's root in the toolkit's configuration, if it has one.
fn configured_root(host: &Root) -> Result<Option<PathBuf>> {
    let bytes = match host.read(Path::new(CONFIG), MAX_CONFIG) {
        Err(err) if is_not_there(&err) => return Ok(None),
        bytes => bytes.with_context(|| format!("cannot read {CONFIG}"))?,
    };
    let root = config::driver_root(&String::from_utf8_lossy(&bytes));
    let root = root.with_context(|| format!("{CONFIG} cannot be read"))?;
    Ok(root.filter(|it| !it.is_empty()).map(PathBuf::from))
}

/// The list in the output of `nvidia-smi -L`, empty if no file is named.
fn list(path: Option<&str>) -> Result<List> {
    let Some(path) = path else {
        return Ok(List::default());
    };
    let text = if path == super::STDIN {
        let mut text = String::new();
        let read = stdin().take(MAX_LIST).read_to_string(&mut text);
        read.context("cannot read the list of nvidia-smi from standard input")?;
        text
    } else {
        let read = file::read(Path::new(path));
        let read = read.with_context(|| format!("cannot read the list of nvidia-smi {path}"))?;
        read.with_context(|| format!("the list of nvidia-smi {path} does not exist"))?
    };
    let list = List::parse(&text);
    if list.is_empty() && !text.is_empty() {
        let first = text.lines().next().unwrap_or_default();
        log::warn!("{path}: this list of nvidia-smi has no GPU: {first}");
    }
    Ok(list)
}
