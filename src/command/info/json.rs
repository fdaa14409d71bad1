//! For programs: everything.

use serde_json::{Value, json};

use crate::cdi::SpecFile;
use crate::driver::Driver;
use crate::driver::device::DriverNode;
use crate::driver::gpu::Gpu;
use crate::driver::library::DriverLibrary;
use crate::elf::Class;
use crate::engine::setup::Setup;
use crate::hooks_dir::HookFile;
use crate::host::allowance::Unusable;
use crate::inventory::{Inventory, Program};

pub(super) fn of(host: &Inventory) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "programs": all(&host.programs, program),
        "driver": driver(&host.driver),
        "gpus": all(&host.driver.gpus, gpu),
        "deviceNodes": all(&host.driver.nodes, node),
        "libraries": all(&host.driver.libraries.cached, library),
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
        "version": driver.kernel.as_ref().map(|it| &it.version),
        "open": driver.kernel.as_ref().map(|it| it.open),
        "modules": all(&driver.modules, |it| json!({"name": it.name, "version": it.version})),
        "majors": driver.majors.iter().map(|(name, major)| json!({"name": name, "major": major})).collect::<Value>(),
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

fn library(library: &DriverLibrary) -> Value {
    json!({
        "soname": library.soname,
        "path": library.path.to_string_lossy(),
        "class": match library.class {
            Class::Bits32 => 32,
            Class::Bits64 => 64,
        },
        "version": library.version,
    })
}

fn engine(engine: &Setup) -> Value {
    json!({
        "name": engine.engine.title(),
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
        "error": file.program.as_ref().err().map(Unusable::to_string),
    })
}
