//! The description for a person, on one screen.

use std::fmt::Write;

use log::Level;

use crate::cdi::SpecFile;
use crate::diagnostics::Reader;
use crate::driver::Driver;
use crate::driver::device::DriverNode;
use crate::driver::gpu::Gpu;
use crate::driver::library::DriverLibrary;
use crate::driver::mig::MigInstance;
use crate::driver::platform::{Kind, Platform};
use crate::elf::Class;
use crate::engine::setup::Setup;
use crate::hooks_dir::{Fault, HookFile};
use crate::inventory::{Inventory, Program};
use crate::printable::escape;

/// Libraries that are shown one by one; the others are counted.
const SHOWN: [&str; 2] = ["libcuda.so", "libnvidia-ml.so"];
/// Where the right column begins, and how wide it is.
const INDENT: usize = 11;
const WIDTH: usize = 80 - INDENT;
/// Before a line that belongs to the one above it.
const DETAIL: &str = "  ";
/// Between the cells of a row.
const GAP: &str = "  ";

/// An entry in the right column.
struct Entry {
    /// Its cells, aligned with those of the other entries.
    cells: Vec<String>,
    /// More about it, on lines of their own.
    details: Vec<String>,
    /// What is wrong with it, and how severe that is.
    fault: Option<(Level, String)>,
}

impl Entry {
    fn new(cells: impl IntoIterator<Item = String>) -> Self {
        Self {
            cells: cells.into_iter().collect(),
            details: Vec::new(),
            fault: None,
        }
    }

    fn with_error(self, error: Option<impl ToString>) -> Self {
        Self {
            fault: error.map(|it| (Level::Error, it.to_string())),
            ..self
        }
    }
}

/// The inventory as `reader` reads it.
pub(super) fn of(host: &Inventory, reader: Reader) -> String {
    let version = concat!("nvidia-ctk ", env!("CARGO_PKG_VERSION"), "\n").to_owned();
    [
        ("Programs", host.programs.iter().map(program).collect()),
        ("Platform", lines([platform(&host.driver.platform)])),
        ("Driver", lines(driver(host))),
        (
            "Modules",
            lines(joined(
                host.driver.modules.iter().map(|it| it.name.to_owned()),
            )),
        ),
        ("GPUs", host.driver.gpus.iter().map(gpu).collect()),
        ("MIG", host.driver.mig.iter().map(mig).collect()),
        ("Devices", devices(&host.driver.nodes)),
        ("Libraries", lines(libraries(host))),
        ("Engines", host.engines.iter().map(engine).collect()),
        ("CDI specs", host.specs.iter().map(spec).collect()),
        ("Hooks", host.hooks.iter().map(hook).collect()),
    ]
    .into_iter()
    .filter(|(title, entries): &(_, Vec<_>)| !entries.is_empty() || *title != "MIG")
    .fold(version, |text, (title, entries)| {
        text + &section(title, entries, reader)
    })
}

fn lines(lines: impl IntoIterator<Item = String>) -> Vec<Entry> {
    lines.into_iter().map(|it| Entry::new([it])).collect()
}

/// The entries below each other, with the title before the first.
fn section(title: &str, mut entries: Vec<Entry>, reader: Reader) -> String {
    if entries.is_empty() {
        entries = lines(["none".to_owned()]);
    }
    let widths = widths(&entries);
    let mut text = String::new();
    let mut title = title;
    for entry in entries {
        let details = entry
            .details
            .iter()
            .map(|it| format!("{DETAIL}{}", escape(it)));
        let fault = entry.fault.iter().map(|(level, what)| {
            let word = match level {
                Level::Error => "error:",
                _ => "warning:",
            };
            format!("{DETAIL}{} {}", reader.paint(*level, word), escape(what))
        });
        for line in std::iter::once(row(&entry.cells, &widths))
            .chain(details)
            .chain(fault)
        {
            let line = format!("{title:INDENT$}{line}");
            let _ = writeln!(text, "{}", reader.fold(&line, INDENT + DETAIL.len()));
            title = "";
        }
    }
    text
}

/// The width of each column.
fn widths(entries: &[Entry]) -> Vec<usize> {
    let mut widths = Vec::new();
    for entry in entries {
        for (column, cell) in entry.cells.iter().enumerate() {
            let width = escape(cell).chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    widths
}

fn row(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths);
    let padded: Vec<_> = cells
        .map(|(cell, width)| format!("{:width$}", escape(cell)))
        .collect();
    padded.join(GAP).trim_end().to_owned()
}

/// The words in lines that fit, with commas between.
fn joined(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() + ", ,".len() <= WIDTH - DETAIL.len() => {
                line.push_str(", ");
                line.push_str(&word);
            }
            Some(line) => {
                line.push(',');
                lines.push(word);
            }
            None => lines.push(word),
        }
    }
    lines
}

fn program(program: &Program) -> Entry {
    let path = program.path.display().to_string();
    let target = program
        .target
        .as_ref()
        .map(|it| format!("-> {}", it.display()));
    let missing = (!program.exists).then_some("the target does not exist");
    Entry::new([path].into_iter().chain(target)).with_error(missing)
}

fn platform(platform: &Platform) -> String {
    let title = platform.kind.title();
    let l4t = platform.l4t.as_ref().map(|it| format!("L4T {it}"));
    let system = platform.system.clone();
    let kind = match (&system, platform.kind) {
        // These have a name of their own.
        (Some(_), Kind::Linux | Kind::NixOs | Kind::Talos | Kind::Bottlerocket) => None,
        _ => Some(title.to_owned()),
    };
    let parts: Vec<_> = [kind, l4t, system].into_iter().flatten().collect();
    parts.join(", ")
}

fn driver(host: &Inventory) -> Vec<String> {
    let driver = &host.driver;
    let mut lines = vec![module(host)];
    let directories = driver.libraries.directories.iter();
    lines.extend(directories.map(|it| {
        let version = it.version.as_deref().unwrap_or("of an unknown version");
        let path = driver.on_host(&it.path);
        let by = if it.place == it.path {
            String::new()
        } else {
            format!(", by {}", driver.on_host(&it.place).display())
        };
        format!("libraries {version} in {}{by}", path.display())
    }));
    lines
}

fn module(host: &Inventory) -> String {
    let driver = &host.driver;
    let version = driver.version().unwrap_or("unknown version");
    match (&driver.kernel, driver.platform.kind) {
        (_, Kind::Wsl) => format!("{version}, the driver of Windows"),
        (Some(kernel), _) => {
            let kind = if kernel.open { "open" } else { "proprietary" };
            format!("{version}, {kind} kernel module")
        }
        (None, Kind::Jetson) => format!("{version}, no NVIDIA kernel module but nvgpu"),
        (None, _) => match host.pci_devices {
            0 => "no NVIDIA kernel module is loaded; no NVIDIA GPU on the PCI bus".to_owned(),
            count => {
                format!("no NVIDIA kernel module is loaded; NVIDIA GPUs on the PCI bus: {count}")
            }
        },
    }
}

fn mig(instance: &MigInstance) -> Entry {
    let MigInstance {
        gpu,
        gpu_instance,
        compute_instance,
        capabilities,
    } = instance;
    let nodes = capabilities.map(|it| match it {
        Some(minor) => format!("nvidia-cap{minor}"),
        None => "no capability".to_owned(),
    });
    Entry::new([
        format!("/dev/nvidia{gpu}"),
        format!("GI {gpu_instance}"),
        format!("CI {compute_instance}"),
        nodes.join(", "),
    ])
}

fn gpu(gpu: &Gpu) -> Entry {
    let minor = gpu.minor.map_or("?".to_owned(), |minor| minor.to_string());
    let model = gpu.model.as_deref().unwrap_or("unknown model");
    let uuid = gpu.uuid.as_deref().unwrap_or("not initialised yet");
    let excluded = if gpu.excluded { ", excluded" } else { "" };
    Entry {
        details: vec![uuid.to_owned()],
        ..Entry::new([
            format!("/dev/nvidia{minor}"),
            gpu.bus_id.clone(),
            format!("{model}{excluded}"),
        ])
    }
}

/// Nodes that are right share lines; each other one has its own.
fn devices(nodes: &[DriverNode]) -> Vec<Entry> {
    let (right, wrong): (Vec<_>, Vec<_>) = nodes.iter().partition(|it| it.is_right());
    let mut entries = lines(joined(right.into_iter().map(node)));
    entries.extend(
        wrong
            .into_iter()
            .map(|it| Entry::new([node(it)]).with_error(Some(fault(it)))),
    );
    entries
}

fn node(node: &DriverNode) -> String {
    let path = node.path.display();
    match node.number {
        Some((major, minor)) => format!("{path} {major}:{minor}"),
        None => path.to_string(),
    }
}

fn fault(node: &DriverNode) -> String {
    if node.number.is_none() {
        return "not a device".to_owned();
    }
    let [major, minor] = <[Option<u64>; 2]>::from(node.expected)
        .map(|it| it.map_or("*".to_owned(), |it| it.to_string()));
    format!("must be {major}:{minor}")
}

fn libraries(host: &Inventory) -> Vec<String> {
    let driver = &host.driver;
    let is_shown =
        |library: &&DriverLibrary| SHOWN.iter().any(|name| library.soname.starts_with(name));
    let (shown, others): (Vec<_>, Vec<_>) = host.cached.libraries.iter().partition(is_shown);
    let mut lines: Vec<_> = shown.into_iter().map(|it| library(driver, it)).collect();
    if !others.is_empty() {
        lines.push(format!("and {} more in ld.so.cache", others.len()));
    } else if lines.is_empty() && !driver.libraries.directories.is_empty() {
        lines.push("none of them is in ld.so.cache".to_owned());
    }
    lines
}

fn library(driver: &Driver, library: &DriverLibrary) -> String {
    let class = match library.class {
        Class::Bits32 => "32-bit",
        Class::Bits64 => "64-bit",
    };
    format!("{class} {}", driver.on_host(&library.path).display())
}

fn engine(engine: &Setup) -> Entry {
    let version = engine.version.as_ref().map(|it| format!(" {it}"));
    let cdi = match engine.cdi {
        Some(true) => "CDI on",
        Some(false) => "CDI off",
        None => "CDI default",
    };
    let runtime = match &engine.nvidia_runtime {
        Some(path) => format!("nvidia runtime {}", path.display()),
        None => "no nvidia runtime".to_owned(),
    };
    let is_missing = engine.program.is_none();
    Entry {
        details: is_missing
            .then(|| "not installed".to_owned())
            .into_iter()
            .collect(),
        ..Entry::new([
            engine.title() + &version.unwrap_or_default(),
            cdi.to_owned(),
            runtime,
        ])
    }
    .with_error(engine.error.as_ref().map(|it| format!("{it:#}")))
}

fn spec(file: &SpecFile) -> Entry {
    let path = file.path.display();
    match &file.spec {
        Ok(spec) => Entry {
            details: joined(spec.devices.iter().map(|device| device.name.clone())),
            ..Entry::new([format!("{path}: {}", spec.kind)])
        },
        Err(err) => Entry::new([path.to_string()]).with_error(Some(err)),
    }
}

fn hook(file: &HookFile) -> Entry {
    let entry = Entry::new([file.path.display().to_string()]);
    match &file.program {
        Ok(program) => Entry {
            details: vec![format!("-> {}", program.display())],
            fault: file.fault.as_ref().map(|fault| {
                let level = match fault {
                    Fault::Missing(_) => Level::Warn,
                    Fault::Unusable(_) => Level::Error,
                };
                (level, fault.to_string())
            }),
            ..entry
        },
        Err(err) => entry.with_error(Some(err)),
    }
}
