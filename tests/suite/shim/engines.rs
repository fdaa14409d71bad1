//! Real containers, started by `nvidia-container-runtime` before runc and crun: what they get of the toolkit's specs when a variable
//! asks for a device.

use crate::common::cdi_spec::{LOOK, Spec};
use crate::common::container::{Container, Podman, Runtime};
use crate::common::engine::Engine;
use crate::common::nvidia_host::NvidiaHost;

const PROGRAM: &str = "/usr/bin/nvidia-container-runtime";
const SPECS: [&str; 3] = ["full-2gpu.yaml", "full-mig.yaml", "small-2gpu.yaml"];

/// A shell script that makes the host and settings with this runtime.
fn script(host: &NvidiaHost, runtime: Runtime) -> String {
    let folder = "/etc/nvidia-container-runtime";
    format!(
        "{}; mount -t tmpfs tmpfs {folder}; printf '[nvidia-container-runtime]\\nruntimes = [\"%s\"]\\n' {} >{folder}/config.toml",
        host.script(),
        runtime.name()
    )
}

fn through(runtime: Runtime) {
    if !runtime.usable() {
        return;
    }
    for name in SPECS {
        let spec = Spec::named(name);
        let host = NvidiaHost::with(&spec);
        let run = |variable: &str, command: &str| {
            let container = Container::new().with_host(&script(&host, runtime));
            let mut container = container.with_variable(variable).through(PROGRAM);
            container.run(runtime, command)
        };
        for device in spec.devices() {
            let case = format!("{name}, {device}");
            let ended = run(&format!("NVIDIA_VISIBLE_DEVICES={device}"), LOOK);
            assert!(ended.success(), "{case}: {ended:?}");
            spec.expected(device).with_hooks(&ended.text(), &case);
            assert_eq!(host.syslog(), [""; 0], "{case}");
        }
        let ended = run("NVIDIA_VISIBLE_DEVICES=void", "test ! -e /dev/nvidiactl");
        assert!(ended.success(), "{name}: {ended:?}");
        let ended = run("NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=nope", "echo started");
        assert!(!ended.success() && !ended.has("started"), "{ended:?}");
        assert!(ended.has("nvidia.com/gpu=nope"), "{ended:?}");
    }
}

#[test]
fn runc() {
    through(Runtime::Runc);
}

#[test]
fn crun() {
    through(Runtime::Crun);
}

#[test]
fn podman() {
    for runtime in Runtime::ALL {
        let Some(podman) = Podman::usable(runtime) else {
            continue;
        };
        let spec = Spec::named("full-2gpu.yaml");
        let host = NvidiaHost::with(&spec);
        let run = |variable: &str, command: &str| {
            let options = [format!("--env=NVIDIA_VISIBLE_DEVICES={variable}")];
            let container = Container::new().with_host(&script(&host, runtime));
            podman.run(
                runtime,
                false,
                &options,
                &container.through(PROGRAM),
                command,
            )
        };
        for device in ["0", "all"] {
            let ended = run(device, LOOK);
            assert!(ended.success(), "{runtime:?}, {device}: {ended:?}");
            spec.expected(device).with_hooks(&ended.text(), device);
            assert_eq!(host.syslog(), [""; 0], "{runtime:?}, {device}");
        }
        let ended = run("void", "test ! -e /dev/nvidiactl");
        assert!(ended.success(), "{runtime:?}: {ended:?}");
        // The message comes through.
        let ended = run("nvidia.com/gpu=nope", "echo started");
        assert!(
            !ended.success() && ended.has("nvidia.com/gpu=nope"),
            "{ended:?}"
        );
    }
}

/// The settings as they are without a file, and both runtimes on the host.
#[test]
fn podman_beside_runc_and_crun() {
    if !Runtime::ALL.iter().all(|it| it.usable()) {
        return;
    }
    let Some(podman) = Podman::usable(Runtime::Runc) else {
        return;
    };
    let spec = Spec::named("full-2gpu.yaml");
    let host = NvidiaHost::with(&spec);
    let container = Container::new().with_host(&host.script());
    let options = ["--env=NVIDIA_VISIBLE_DEVICES=all".to_owned()];
    let container = container.through(PROGRAM);
    let ended = podman.run(Runtime::Runc, false, &options, &container, LOOK);
    assert!(ended.success(), "{ended:?}");
    spec.expected("all").with_hooks(&ended.text(), "all");
}

fn engine(engine: Engine) {
    if !engine.is_here() {
        return;
    }
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for name in ["full-2gpu.yaml", "full-mig.yaml"] {
            let spec = Spec::named(name);
            let host = NvidiaHost::with(&spec);
            let devices: Vec<_> = spec.devices().take(1).chain(["all"]).collect();
            let case = format!("{engine:?}, {runtime:?}, {name}");
            let script = script(&host, runtime);
            let (ended, said) = engine.run_by(PROGRAM, &script, &devices, LOOK);
            assert!(ended.success(), "{case}: {ended:?}");
            for (device, said) in devices.iter().zip(&said) {
                spec.expected(device).with_hooks(said, &case);
            }
            assert_eq!(host.syslog(), [""; 0], "{case}");
            let (ended, _) = engine.run_by(PROGRAM, &script, &["nope"], LOOK);
            assert!(!ended.success() && ended.has("nope"), "{case}: {ended:?}");
        }
    }
}

#[test]
fn docker() {
    engine(Engine::Docker);
}

#[test]
fn containerd() {
    engine(Engine::Containerd);
}
