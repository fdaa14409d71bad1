//! The description for programs, with every detail.

use serde_json::{Value, json};

use crate::cdi::SpecFile;
use crate::driver::device::DriverNode;
use crate::driver::gpu::Gpu;
use crate::driver::library::DriverLibrary;
use crate::driver::mig::MigInstance;
use crate::driver::place::DriverDirectory;
use crate::driver::platform::Platform;
use crate::driver::{Driver, Problem};
use crate::elf::Class;
use crate::engine::setup::Setup;
use crate::hooks_dir::HookFile;
use crate::host::allowance::Unusable;
use crate::inventory::{Inventory, Program};

pub(super) fn of(host: &Inventory) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "programs": all(&host.programs, program),
        "platform": platform(&host.driver.platform),
        "driver": driver(&host.driver),
        "gpus": all(&host.driver.gpus, gpu),
        "migInstances": all(&host.driver.mig, mig),
        "deviceNodes": all(&host.driver.nodes, node),
        "libraries": all(&host.cached.libraries, |it| library(&host.driver, it)),
        "engines": all(&host.engines, engine),
        "cdiSpecs": all(&host.specs, spec),
        "hooks": all(&host.hooks, hook),
    })
}

fn all<T>(items: &[T], value: impl Fn(&T) -> Value) -> Value {
    items.iter().map(value).collect()
}

fn program(program: &Program) -> Value {
    json!({
        "path": program.path.to_string_lossy(),
        "target": program.target.as_ref().map(|it| it.to_string_lossy()),
        "exists": program.exists,
    })
}

fn driver(driver: &Driver) -> Value {
    json!({
        "version": driver.version(),
        "libraryVersion": driver.libraries.version(),
        "root": driver.root.to_string_lossy(),
        "devRoot": driver.dev_root.to_string_lossy(),
        "directories": all(&driver.libraries.directories, |it| directory(driver, it)),
        "problems": all(&driver.problems, problem),
        "open": driver.kernel.as_ref().map(|it| it.open),
        "modules": all(&driver.modules, |it| json!({"name": it.name, "version": it.version})),
        "majors": driver.majors.iter().map(|(name, major)| json!({"name": name, "major": major})).collect::<Value>(),
    })
}

fn platform(platform: &Platform) -> Value {
    json!({
        "name": platform.kind.name(),
        "system": platform.system,
        "l4t": platform.l4t,
    })
}

fn directory(driver: &Driver, directory: &DriverDirectory) -> Value {
    json!({
        "path": driver.on_host(&directory.path).to_string_lossy(),
        "place": driver.on_host(&directory.place).to_string_lossy(),
        "version": directory.version,
        "libcuda": directory.has_libcuda,
    })
}

fn problem(problem: &Problem) -> Value {
    json!({
        "path": problem.path.to_string_lossy(),
        "error": problem.error.to_string(),
    })
}

fn mig(instance: &MigInstance) -> Value {
    let [gpu_capability, compute_capability] = instance.capabilities;
    json!({
        "gpuMinor": instance.gpu,
        "gpuInstance": instance.gpu_instance,
        "computeInstance": instance.compute_instance,
        "gpuInstanceCapability": gpu_capability,
        "computeInstanceCapability": compute_capability,
    })
}

fn gpu(gpu: &Gpu) -> Value {
    json!({
        "model": gpu.model,
        "uuid": gpu.uuid,
        "busId": gpu.bus_id,
        "minor": gpu.minor,
        "firmware": gpu.firmware,
        "excluded": gpu.excluded,
        "drm": gpu.drm,
    })
}

fn node(node: &DriverNode) -> Value {
    json!({
        "path": node.path.to_string_lossy(),
        "major": node.number.map(|(major, _)| major),
        "minor": node.number.map(|(_, minor)| minor),
        "expectedMajor": node.expected.0,
        "expectedMinor": node.expected.1,
        "mode": format!("{:04o}", node.mode),
    })
}

fn library(driver: &Driver, library: &DriverLibrary) -> Value {
    json!({
        "soname": library.soname,
        "path": driver.on_host(&library.path).to_string_lossy(),
        "class": match library.class {
            Class::Bits32 => 32,
            Class::Bits64 => 64,
        },
        "version": library.version,
    })
}

fn engine(engine: &Setup) -> Value {
    json!({
        "name": engine.title(),
        "version": engine.version,
        "program": engine.program.as_ref().map(|it| it.to_string_lossy()),
        "configs": engine.configs.iter().map(|it| it.to_string_lossy()).collect::<Value>(),
        "error": engine.error.as_ref().map(|it| format!("{it:#}")),
        "nvidiaRuntime": engine.nvidia_runtime.as_ref().map(|it| it.to_string_lossy()),
        "defaultRuntime": engine.default_runtime,
        "cdi": engine.cdi,
        "systemdCgroup": engine.systemd_cgroup,
    })
}

fn spec(file: &SpecFile) -> Value {
    let spec = file.spec.as_ref().ok();
    json!({
        "path": file.path.to_string_lossy(),
        "cdiVersion": spec.map(|it| &it.cdi_version),
        "kind": spec.map(|it| &it.kind),
        "devices": spec.map(|it| it.qualified_names().collect::<Vec<_>>()),
        "error": file.spec.as_ref().err().map(Unusable::to_string),
    })
}

fn hook(file: &HookFile) -> Value {
    json!({
        "path": file.path.to_string_lossy(),
        "program": file.program.as_ref().ok().map(|it| it.to_string_lossy()),
        "error": file.error(),
    })
}
