//! For a person: one screen.

use std::fmt::Write;

use crate::cdi::SpecFile;
use crate::driver::Driver;
use crate::driver::device::DriverNode;
use crate::driver::gpu::Gpu;
use crate::driver::library::DriverLibrary;
use crate::driver::mig::MigInstance;
use crate::driver::platform::{Kind, Platform};
use crate::elf::Class;
use crate::engine::setup::Setup;
use crate::hooks_dir::HookFile;
use crate::host::allowance::Unusable;
use crate::inventory::{Inventory, Program};
use crate::printable::escape;

/// Libraries that are shown one by one; the others are counted.
const SHOWN: [&str; 2] = ["libcuda.so", "libnvidia-ml.so"];
/// Where the right column begins, and how wide it is.
const INDENT: usize = 11;
const WIDTH: usize = 80 - INDENT;

pub(super) fn of(host: &Inventory) -> String {
    let version = concat!("nvidia-ctk ", env!("CARGO_PKG_VERSION"), "\n").to_owned();
    [
        ("Programs", host.programs.iter().map(program).collect()),
        ("Platform", vec![platform(&host.driver.platform)]),
        ("Driver", driver(host)),
        (
            "Modules",
            joined(host.driver.modules.iter().map(|it| it.name.to_owned())),
        ),
        ("GPUs", host.driver.gpus.iter().map(gpu).collect()),
        ("MIG", host.driver.mig.iter().map(mig).collect()),
        ("Devices", joined(host.driver.nodes.iter().map(node))),
        ("Libraries", libraries(host)),
        ("Engines", host.engines.iter().map(engine).collect()),
        ("CDI specs", host.specs.iter().flat_map(spec).collect()),
        ("Hooks", host.hooks.iter().map(hook).collect()),
    ]
    .into_iter()
    .filter(|(title, lines): &(_, Vec<_>)| !lines.is_empty() || *title != "MIG")
    .fold(version, |text, (title, lines)| {
        text + &section(title, lines)
    })
}

fn section(title: &str, mut lines: Vec<String>) -> String {
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    let mut text = String::new();
    let mut title = title;
    for line in lines {
        let _ = writeln!(text, "{title:INDENT$}{}", escape(&line));
        title = "";
    }
    text
}

/// The words in lines that fit, with commas between.
fn joined(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() + ", ,".len() <= WIDTH => {
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

fn program(program: &Program) -> String {
    let path = program.path.display();
    let missing = if program.exists {
        ""
    } else {
        ", which is not there"
    };
    match &program.target {
        Some(target) => format!("{path} -> {}{missing}", target.display()),
        None => path.to_string(),
    }
}

fn platform(platform: &Platform) -> String {
    let title = platform.kind.title();
    let l4t = platform.l4t.as_ref().map(|it| format!("L4T {it}"));
    let system = platform.system.clone();
    let kind = match (&system, platform.kind) {
        // They are systems of their own, which say who they are.
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

fn mig(instance: &MigInstance) -> String {
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
    format!(
        "/dev/nvidia{gpu}: GPU instance {gpu_instance}, compute instance {compute_instance} ({})",
        nodes.join(", ")
    )
}

fn gpu(gpu: &Gpu) -> String {
    let minor = gpu.minor.map_or("?".to_owned(), |minor| minor.to_string());
    let model = gpu.model.as_deref().unwrap_or("unknown model");
    let uuid = gpu.uuid.as_deref().unwrap_or("not initialised yet");
    let excluded = if gpu.excluded { ", excluded" } else { "" };
    format!(
        "/dev/nvidia{minor}: {model}, {uuid}, {}{excluded}",
        gpu.bus_id
    )
}

fn node(node: &DriverNode) -> String {
    let path = node.path.display();
    let Some((major, minor)) = node.number else {
        return format!("{path} (no device)");
    };
    if node.is_right() {
        return format!("{path} {major}:{minor}");
    }
    let number = |it: Option<u64>| it.map_or("*".to_owned(), |it| it.to_string());
    let (expected_major, expected_minor) = node.expected;
    let (expected_major, expected_minor) = (number(expected_major), number(expected_minor));
    format!("{path} {major}:{minor} (must be {expected_major}:{expected_minor})")
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
    let path = driver.on_host(&library.path);
    format!("{} {class} {}", library.soname, path.display())
}

fn engine(engine: &Setup) -> String {
    let runtime = match &engine.nvidia_runtime {
        Some(path) => format!("nvidia runtime {}", path.display()),
        None => "no nvidia runtime".to_owned(),
    };
    let cdi = match engine.cdi {
        Some(true) => "on",
        Some(false) => "off",
        None => "as its version has it",
    };
    let program = if engine.program.is_some() {
        ""
    } else {
        " (not installed)"
    };
    let version = engine.version.as_ref().map(|it| format!(" {it}"));
    let error = engine.error.as_ref().map(|it| format!("; broken: {it:#}"));
    format!(
        "{}{}{program}: {runtime}, CDI {cdi}{}",
        engine.title(),
        version.unwrap_or_default(),
        error.unwrap_or_default()
    )
}

fn spec(file: &SpecFile) -> Vec<String> {
    let path = file.path.display();
    match &file.spec {
        Ok(spec) => {
            let names = joined(spec.devices.iter().map(|device| device.name.clone()));
            let first = format!("{path}: {}", spec.kind);
            std::iter::once(first)
                .chain(names.into_iter().map(|line| format!("  {line}")))
                .collect()
        }
        Err(err) => vec![format!("{path}: {}", unusable(err))],
    }
}

fn hook(file: &HookFile) -> String {
    let path = file.path.display();
    match &file.program {
        Ok(program) => {
            let fault = file.fault.as_ref().map(|it| format!(", broken: {it}"));
            format!(
                "{path} -> {}{}",
                program.display(),
                fault.unwrap_or_default()
            )
        }
        Err(err) => format!("{path}: {}", unusable(err)),
    }
}

fn unusable(file: &Unusable) -> String {
    match file {
        Unusable::Invalid(reason) => format!("broken: {reason}"),
        Unusable::LeftOut(reason) => format!("left out: {reason}"),
    }
}
