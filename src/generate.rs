//! Generates CDI specs from a host's driver.
//!
//! The edits match those of NVIDIA's generator as far as the host has the files; its rules that fail on some distributions are
//! not followed. No library of the driver is loaded.

mod csv;
mod gpu;
pub mod hooks;
mod imex;
mod links;
pub mod mode;
pub mod names;
mod nodes;
mod notes;
mod part;
mod select;
mod wsl;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::cdi::{self, Spec};
use crate::driver::Driver;
use crate::driver::dev::{Dev, Node};
use crate::driver::files::Files;
use crate::driver::root::Asked;
use crate::driver::smi::List;
use crate::rootfs::Root;
use hooks::Hooks;
use mode::Mode;
use names::{Names, Strategy};
use part::Part;

pub use notes::{Note, Notes};

/// Prevents the toolkit's runtime from adding devices that the image requests.
const VOID: &str = "NVIDIA_VISIBLE_DEVICES=void";
/// The device that comprises all others.
const ALL: &str = "all";

/// The options of a spec.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// The devices that it is for.
    pub mode: Mode,
    /// The naming of devices.
    pub strategies: Vec<Strategy>,
    /// The identifiers of the devices: `all`, `none`, or those of [`names::Strategy`].
    pub ids: Vec<String>,
    /// The hooks.
    pub hooks: Hooks,
    /// The vendor: the part of the kind before the slash.
    pub vendor: String,
    /// The class: the part of the kind after the slash.
    pub class: String,
    /// Whether to add the device `all`.
    pub makes_all: bool,
    /// Whether a container's process gets the groups of nodes with restricted access.
    pub adds_groups: bool,
    /// Whether to mount libraries of other packages that GPU programs need.
    pub explicit_libraries: bool,
    /// Whether to mount sockets of daemons.
    pub ipc: bool,
    /// Whether to generate a spec for each kind of GPU as well: with coherent memory, and without.
    pub splits_coherent: bool,
    /// Jetson's CSV files.
    pub csv: mode::Csv,
}

/// The spec and additional ones, each with the suffix of its file name before the extension.
pub type Specs = Vec<(&'static str, Spec)>;

/// Why no spec was generated.
pub enum Failure {
    /// The kernel module is not loaded.
    NotLoaded(anyhow::Error),
    /// There is no device.
    NoDevices(anyhow::Error),
    /// Another error.
    Other(anyhow::Error),
}

/// The sources of specs.
struct Source<'s> {
    host: &'s Root,
    asked: Asked<'s>,
    driver: &'s Driver,
    dev: &'s Dev,
    list: &'s List,
    options: &'s Options,
}

/// A device and its part of the spec.
struct Device {
    names: Names,
    part: Part,
    /// Whether its memory is coherent with the host's, if known.
    is_coherent: Option<bool>,
}

/// The parts of a mode's spec: the common one, and the devices.
#[derive(Default)]
struct Parts {
    common: Part,
    devices: Vec<Device>,
}

/// Generates the specs of the selected mode for the host with this driver. `list` is the output of `nvidia-smi -L` on it. `notes`
/// gets messages for the administrator, whether the call succeeds or not. Fails if there is no device, or if the driver or its
/// libraries cannot be found.
pub fn generate(
    host: &Root,
    asked: Asked<'_>,
    driver: &Driver,
    list: &List,
    options: &Options,
    notes: &mut Notes,
) -> Result<Specs, Failure> {
    let dev = driver.dev(host).context("cannot open the root of /dev")?;
    let source = Source {
        host,
        asked,
        driver,
        dev: &dev,
        list,
        options,
    };
    for problem in &driver.problems {
        notes.warn(format!("{}: {}", problem.path.display(), problem.error));
    }
    let parts = mode::parts(&source, notes)?;
    if parts.devices.is_empty() {
        return Err(Failure::NoDevices(mode::nothing(&source)));
    }
    let mut specs = vec![("", source.spec(&options.class, &parts, |_| true)?)];
    if options.splits_coherent {
        for (suffix, wanted) in [("coherent", true), ("noncoherent", false)] {
            let is_wanted = |device: &Device| device.is_coherent == Some(wanted);
            if parts.devices.iter().any(is_wanted) {
                let class = format!("{}.{suffix}", options.class);
                specs.push((suffix, source.spec(&class, &parts, is_wanted)?));
            }
        }
    }
    Ok(specs)
}

impl Source<'_> {
    /// Opens the driver root.
    fn root(&self) -> Result<Root> {
        let path = &self.driver.root;
        let root = self.host.open_root(path);
        root.with_context(|| format!("cannot open the driver's root {}", path.display()))
    }

    /// Returns the node of this name below /dev, or why a container could not use it.
    fn node(&self, name: impl AsRef<Path>) -> Result<Node, String> {
        let name = name.as_ref();
        let known = self.driver.nodes.iter().find(|it| it.name == name);
        let path = self.dev.on_host(&Path::new("/dev").join(name));
        match self.dev.node(name) {
            None => Err(format!("there is no device {}", path.display())),
            Some(_) if known.is_some_and(|it| !it.is_right()) => Err(format!(
                "{} does not have the numbers that the kernel assigned to it: remove it",
                path.display()
            )),
            Some(node) => Ok(node),
        }
    }

    /// Returns the driver's version. Fails if it is unknown, or if there are no libraries of this version.
    fn version(&self) -> Result<&str> {
        let libraries = &self.driver.libraries;
        let of_kernel = self.driver.version();
        let version = of_kernel.or_else(|| libraries.version());
        let version = version.context(
            "the driver's version is unknown: neither the kernel module nor a libcuda has one",
        )?;
        if libraries.has_version(version) {
            return Ok(version);
        }
        let others = libraries.directories.iter();
        let others = others.filter_map(|it| {
            let path = self.driver.on_host(&it.path);
            Some(format!("{} ({})", it.version.as_deref()?, path.display()))
        });
        let others: Vec<_> = others.collect();
        Err(match (&others[..], self.asked.library_paths) {
            ([], []) => anyhow!(
                "the kernel module is {version}, but the driver's libraries were not found: install them, or name their \
                 directory with --library-search-path"
            ),
            ([], _) => anyhow!(
                "the kernel module is {version}, but --library-search-path names no directory with the driver's libraries"
            ),
            _ => anyhow!(
                "the kernel module is {version}, but the libraries are {}: after an update of the driver, reboot or reload its \
                 modules",
                others.join(", ")
            ),
        })
    }

    /// Returns the driver's files of this version.
    fn files(&self, version: &str, notes: &mut Notes) -> Files {
        let explicit = self.options.explicit_libraries;
        let (files, problems) = self.driver.files(self.asked, version, explicit);
        for problem in problems {
            notes.warn(format!("{}: {}", problem.path.display(), problem.error));
        }
        files
    }

    /// Builds the spec from the common part and the selected devices. Fails if it would be invalid.
    fn spec(
        &self,
        class: &str,
        parts: &Parts,
        is_wanted: impl Fn(&Device) -> bool,
    ) -> Result<Spec> {
        let options = self.options;
        let devices: Vec<_> = parts.devices.iter().filter(|it| is_wanted(it)).collect();
        let mut common = parts.common.edits.clone();
        common.env.push(VOID.to_owned());
        let work = devices.iter().map(|it| &it.part.work);
        common.hooks = options.hooks.common(&parts.common.work, work);
        let mut spec = Spec {
            kind: format!("{}/{class}", options.vendor),
            container_edits: common,
            ..Spec::default()
        };
        for device in &devices {
            let mut edits = device.part.edits.clone();
            edits.hooks = options.hooks.of_device(&device.part.work);
            let named = |name: &String| cdi::Device {
                name: name.clone(),
                container_edits: edits.clone(),
                ..cdi::Device::default()
            };
            spec.devices.extend(device.names.iter().map(named));
        }
        cdi::simplify(&mut spec);
        if options.makes_all && !spec.devices.iter().any(|it| it.name == ALL) {
            spec.devices.push(all(&spec));
            cdi::simplify(&mut spec);
        }
        cdi::minimum_version(&spec).clone_into(&mut spec.cdi_version);
        cdi::check(&spec).map_err(|err| anyhow!("the spec would be invalid: {err}"))?;
        Ok(spec)
    }
}

/// Returns the device with the edits of all others.
fn all(spec: &Spec) -> cdi::Device {
    let mut all = cdi::Device {
        name: ALL.to_owned(),
        ..cdi::Device::default()
    };
    let edits = &mut all.container_edits;
    for device in spec.devices.iter().map(|it| &it.container_edits) {
        edits.env.extend(device.env.iter().cloned());
        edits
            .device_nodes
            .extend(device.device_nodes.iter().cloned());
        edits.hooks.extend(device.hooks.iter().cloned());
        edits.mounts.extend(device.mounts.iter().cloned());
        edits.additional_gids.extend(&device.additional_gids);
    }
    all
}

/// Returns the variable with library directories that hooks read.
fn libcuda_directories(directories: &[PathBuf]) -> String {
    let directories: Vec<_> = directories
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    format!("NVIDIA_CTK_LIBCUDA_DIR={}", directories.join(":"))
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

impl Failure {
    /// Converts to the underlying error.
    #[must_use]
    pub fn into_error(self) -> anyhow::Error {
        let (Self::NotLoaded(err) | Self::NoDevices(err) | Self::Other(err)) = self;
        err
    }
}

impl From<anyhow::Error> for Failure {
    fn from(err: anyhow::Error) -> Self {
        Self::Other(err)
    }
}
