//! CDI specs that the toolkit's generator wrote, used as they are on a host where all is that they name: what containers get from
//! runc, crun, podman, docker and containerd when each hook in them is this program.

use crate::common::cdi_spec::{LOOK, Spec, with_edits};
use crate::common::container::{Container, Podman, Runtime};
use crate::common::engine::{Engine, major_version};
use crate::common::gpu_host::{Gpu, GpuHost};
use crate::common::nvidia_host::NvidiaHost;
use crate::common::outcome::Outcome;
use crate::common::tree::contents;

/// A container with a device of a spec, for a runtime that knows nothing of CDI. crun lets it see the driver's parameters.
fn container(spec: &Spec, device: &str, host: &NvidiaHost, runtime: Runtime) -> Container {
    let container = Container::new().with_host(&host.script());
    let container = match runtime {
        Runtime::Runc => container,
        Runtime::Crun => container.with_mount("/proc/driver"),
    };
    spec.edits(device).into_iter().fold(container, with_edits)
}

fn runtime(runtime: Runtime) {
    if !runtime.usable() {
        return;
    }
    for name in ["full-2gpu.yaml", "full-mig.yaml", "small-2gpu.yaml"] {
        let spec = Spec::named(name);
        let host = NvidiaHost::with(&spec);
        for device in spec.devices() {
            let case = format!("{name}, {device}");
            let ended = container(&spec, device, &host, runtime).run(runtime, LOOK);
            assert!(ended.success(), "{case}: {ended:?}");
            spec.expected(device).with_hooks(&ended.text(), &case);
            let params = ended.has("ModifyDeviceFiles: 0\n");
            assert_eq!(params, runtime == Runtime::Crun, "{case}: {ended:?}");
            assert_eq!(host.syslog(), [""; 0], "{case}");
        }
    }
}

#[test]
fn runc() {
    runtime(Runtime::Runc);
}

#[test]
fn crun() {
    runtime(Runtime::Crun);
}

/// What `cdi generate` makes for the host of a spec of the fixtures.
fn generated(name: &str) -> Option<Spec> {
    let host = GpuHost::of(name)?;
    host.file("/list", GpuHost::smi_list(&Gpu::mig()));
    let names = if name.starts_with("full-mig") {
        "--device-name-strategy index,uuid,type-index"
    } else {
        ""
    };
    let outcome = host.succeed(&format!(
        "cdi generate --root @ROOT@ --nvidia-cdi-hook-path /usr/bin/nvidia-cdi-hook --nvidia-smi-list @ROOT@/list {names}"
    ));
    Some(Spec::printed(&outcome.stdout))
}

/// Specs for engines, each with one of the fixtures that says what has to come of it.
fn for_engines() -> Vec<(Spec, Spec)> {
    let ours =
        ["full-2gpu.yaml", "full-mig.yaml"].map(|name| Some((generated(name)?, Spec::named(name))));
    let fixtures = Spec::all()
        .into_iter()
        .map(|spec| (Spec::named(&spec.name), spec));
    ours.into_iter().flatten().chain(fixtures).collect()
}

#[test]
fn generated_specs() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for name in ["full-2gpu.yaml", "full-mig.yaml", "small-2gpu.yaml"] {
            let Some(spec) = generated(name) else { return };
            let host = NvidiaHost::with(&spec);
            let golden = Spec::named(name);
            for device in golden.devices() {
                let case = format!("{runtime:?}, {name}, {device}");
                let ended = container(&spec, device, &host, runtime).run(runtime, LOOK);
                assert!(ended.success(), "{case}: {ended:?}");
                golden.expected(device).with_hooks(&ended.text(), &case);
                assert_eq!(host.syslog(), [""; 0], "{case}");
            }
        }
    }
}

/// The proof that the other tests can fail.
#[test]
fn without_hooks_nothing_is_there() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for name in ["full-2gpu.yaml", "full-mig.yaml"] {
            let spec = Spec::named(name);
            let without_hooks = spec.without_hooks();
            let host = NvidiaHost::with(&without_hooks);
            let ended = container(&without_hooks, "all", &host, runtime).run(runtime, LOOK);
            spec.expected("all").without_hooks(&ended.text(), name);
        }
    }
}

/// The proof that a warning would be seen.
#[test]
fn hooks_warn_in_syslog() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let spec = Spec::named("small-2gpu.yaml").with_hook(&["of-next-year"]);
        let host = NvidiaHost::with(&spec);
        let ended = container(&spec, "0", &host, runtime).run(runtime, LOOK);
        spec.expected("0").with_hooks(&ended.text(), &spec.name);
        let syslog = host.syslog();
        assert!(
            matches!(&syslog[..], [line] if line.contains("of-next-year")),
            "{syslog:?}"
        );
    }
}

#[test]
fn a_newer_libcuda_of_the_image_is_loaded() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let spec = Spec::named("full-2gpu.yaml");
        let host = NvidiaHost::with(&spec);
        for (version, answer) in [("575.57.08", 7), ("560.1", 100)] {
            let mut container =
                container(&spec, "0", &host, runtime).with_compat_libcuda(version, 7);
            let ended = container.run(runtime, "probe libcuda.so.1");
            let loaded = format!("loaded libcuda.so.1, cuInit = {answer}\n");
            assert!(ended.has(&loaded), "{runtime:?}, {version}: {ended:?}");
        }
    }
}

#[test]
fn apply_does_what_all_hooks_do() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for name in ["full-2gpu.yaml", "full-mig.yaml"] {
            let spec = Spec::named(name);
            let expected = spec.expected("all");
            let run = |spec: &Spec| {
                let host = NvidiaHost::with(spec);
                let mut container =
                    container(spec, "all", &host, runtime).with_compat_libcuda("575.57.08", 100);
                let ended = container.run(runtime, LOOK);
                expected.with_hooks(&ended.text(), name);
                assert_eq!(host.syslog(), [""; 0], "{runtime:?}, {name}");
                (ended.text(), contents(&container.root()))
            };
            let (one_by_one, before) = run(&spec);
            let (at_once, after) = run(&spec.with_apply());
            assert_eq!(one_by_one, at_once, "{runtime:?}, {name}");
            for (path, file) in &before {
                assert!(
                    after.get(path) == Some(file),
                    "{runtime:?}, {name}: {} is another one",
                    path.display()
                );
            }
            assert!(before.keys().eq(after.keys()), "{runtime:?}, {name}");
        }
    }
}

/// A container with a device of a spec that podman finds by itself.
fn podman_run(podman: &Podman, runtime: Runtime, host: &NvidiaHost, device: &str) -> Outcome {
    let mut options = vec![format!("--device=nvidia.com/gpu={device}")];
    if runtime == Runtime::Crun {
        options.push("--volume=/proc/driver:/proc/driver".into());
    }
    let container = Container::new().with_host(&host.script());
    podman.run(runtime, false, &options, &container, LOOK)
}

#[test]
fn podman() {
    let known = |spec: Spec| match major_version("podman") {
        ..5 => spec.without_groups(),
        _ => spec,
    };
    for runtime in Runtime::ALL {
        let Some(podman) = Podman::usable(runtime) else {
            continue;
        };
        for (spec, golden) in for_engines() {
            let spec = known(spec);
            let host = NvidiaHost::with(&spec);
            for device in golden.devices().take(1).chain(["all"]) {
                let case = format!("{runtime:?}, {}, {device}", spec.name);
                let ended = podman_run(&podman, runtime, &host, device);
                assert!(ended.success(), "{case}: {ended:?}");
                golden.expected(device).with_hooks(&ended.text(), &case);
                let params = ended.has("ModifyDeviceFiles: 0\n");
                assert_eq!(params, runtime == Runtime::Crun, "{case}: {ended:?}");
                assert_eq!(host.syslog(), [""; 0], "{case}");
            }
        }
        let spec = known(Spec::named("full-2gpu.yaml"));
        let host = NvidiaHost::with(&spec.without_hooks());
        let ended = podman_run(&podman, runtime, &host, "all");
        spec.expected("all").without_hooks(&ended.text(), "podman");
    }
}

fn engine(engine: Engine) {
    if !engine.usable() {
        return;
    }
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for (spec, golden) in for_engines() {
            let host = NvidiaHost::with(&spec);
            let devices: Vec<_> = golden.devices().take(1).chain(["all"]).collect();
            let case = format!("{engine:?}, {runtime:?}, {}", spec.name);
            let (ended, said) = engine.run(runtime, &host.script(), &devices, LOOK);
            assert!(ended.success(), "{case}: {ended:?}");
            for (device, said) in devices.iter().zip(&said) {
                golden.expected(device).with_hooks(said, &case);
            }
            assert_eq!(host.syslog(), [""; 0], "{case}");
        }
        let spec = Spec::named("full-2gpu.yaml");
        let host = NvidiaHost::with(&spec.without_hooks());
        let (_, said) = engine.run(runtime, &host.script(), &["all"], LOOK);
        spec.expected("all")
            .without_hooks(&said.concat(), "no hooks");
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
