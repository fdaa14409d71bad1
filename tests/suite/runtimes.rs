//! Real containers, started by runc, crun and podman, in which the hooks must have done their work.

use serde_json::json;

use crate::common::container::{Container, Podman, Runtime, VERSION, hooks_of, volumes};
use crate::common::machine::{binary, compile};
use crate::common::tree::snapshot;

/// The folder of the driver that no loader searches by itself.
const FOLDER: &str = "/usr/local/nvidia/lib64";

/// What each test asks the container.
const LOOK: &str = "probe libcuda.so.1; ldconfig -p; ls -l /usr/local/nvidia/lib64; stat -c 'caps %a' /dev/nvidia-caps";

const LOADED: &str = "\nloaded libcuda.so.1, cuInit = 100\n";

fn with_all_hooks(container: Container, stage: &str) -> Container {
    container
        .with_hook(
            stage,
            &["chmod", "--mode", "755", "--path", "/dev/nvidia-caps"],
        )
        .with_hook(stage, &["create-symlinks"])
        .with_hook(stage, &["update-ldcache", "--folder", FOLDER])
}

fn each_stage(runtime: Runtime) {
    if !runtime.usable() {
        return;
    }
    let before = Container::new().with_driver(FOLDER).run(runtime, LOOK);
    assert!(
        before.has("not loaded: libcuda.so.1"),
        "without hooks nothing must be found: {before:?}"
    );

    for stage in ["prestart", "createRuntime", "createContainer"] {
        let after = with_all_hooks(Container::new().with_driver(FOLDER), stage).run(runtime, LOOK);
        assert!(after.success(), "{stage}: {after:?}");
        let text = format!("\n{}", after.text());
        assert!(text.contains(LOADED), "{stage}: {text}");
        for part in [
            "libcuda.so.1 (libc6",
            "libc.so.6 (libc6",
            "libcuda.so -> libcuda.so.1\n",
            "caps 755\n",
        ] {
            assert!(text.contains(part), "{stage}: {part} is missing in: {text}");
        }
    }
}

#[test]
fn runc_at_each_stage() {
    each_stage(Runtime::Runc);
}

#[test]
fn crun_at_each_stage() {
    each_stage(Runtime::Crun);
}

#[test]
fn links_of_an_installer() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let mut container = Container::new()
            .with_driver(FOLDER)
            .with_hook("createContainer", &["create-symlinks"]);
        let links = container.run(runtime, LOOK);
        for (link, target) in [
            ("libcuda.so.1", format!("libcuda.so.{VERSION}")),
            ("libcuda.so", "libcuda.so.1".into()),
            ("libnvidia-ml.so.1", format!("libnvidia-ml.so.{VERSION}")),
            (
                "libnvidia-opticalflow.so",
                "libnvidia-opticalflow.so.1".into(),
            ),
            ("libGLX_nvidia.so.0", format!("libGLX_nvidia.so.{VERSION}")),
            (
                "libGLX_indirect.so.0",
                format!("libGLX_nvidia.so.{VERSION}"),
            ),
        ] {
            assert!(
                links.has(&format!(" {link} -> {target}\n")),
                "{runtime:?}: {link} -> {target} is missing: {links:?}"
            );
        }
    }
}

#[test]
fn libraries_mounted_as_single_files() {
    let default = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for folder in [
            &default,
            &format!("{default}/nvidia/current"),
            "/usr/lib64/nvidia",
            "/usr/lib/nvidia",
            FOLDER,
        ] {
            let mut container = Container::new()
                .with_mounted_driver(folder)
                .with_hook("createContainer", &["create-symlinks"])
                .with_hook("createContainer", &["update-ldcache", "--find-driver"]);
            let ended = container.run(
                runtime,
                &format!("probe libcuda.so.1; ldconfig -p; ls -l {folder}"),
            );
            let text = format!("\n{}", ended.text());
            for part in [
                LOADED,
                "libcuda.so.1 (libc6",
                "libc.so.6 (libc6",
                "libcuda.so -> libcuda.so.1\n",
            ] {
                assert!(
                    text.contains(part),
                    "{runtime:?}, {folder}: {part} is missing in: {text}"
                );
            }
        }
    }
}

#[test]
fn a_newer_libcuda_of_the_image_is_loaded() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for (stage, driver, answer) in [
            ("createContainer", VERSION, 7),
            ("createRuntime", VERSION, 7),
            ("createContainer", "580.1", 100),
        ] {
            let compat = ["enable-cuda-compat", "--host-driver-version", driver];
            let mut container = Container::new()
                .with_driver(FOLDER)
                .with_compat_libcuda("580.1", 7)
                .with_hook(stage, &compat)
                .with_hook(stage, &["update-ldcache", "--folder", FOLDER]);
            let look = "probe libcuda.so.1; cat /etc/ld.so.conf.d/00-compat*";
            let ended = container.run(runtime, look);
            let loaded = format!("loaded libcuda.so.1, cuInit = {answer}\n");
            assert!(ended.has(&loaded), "{runtime:?} at {stage}: {ended:?}");
            let is_named = ended.has("/usr/local/cuda-12.9/compat\n");
            assert_eq!(is_named, answer == 7, "{runtime:?} at {stage}: {ended:?}");
        }
    }
}

#[test]
fn one_call_prepares_a_container() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let mut container = Container::new()
            .with_driver(FOLDER)
            .with_compat_libcuda("580.1", 7)
            .with_hook(
                "createContainer",
                &[
                    "apply",
                    &format!("--host-driver-version={VERSION}"),
                    "--link=libcuda.so.1::/usr/local/nvidia/lib64/libcuda.so",
                    "--chmod=755:/dev/nvidia-caps",
                    "--folder=/usr/local/nvidia/lib64",
                    "--disable-device-node-modification",
                    "--update-application-profile",
                ],
            );
        let ended = container.run(runtime, LOOK);
        for part in [
            "loaded libcuda.so.1, cuInit = 7\n",
            "libnvidia-ml.so.1 (libc6",
            "libc.so.6 (libc6",
            "libcuda.so -> libcuda.so.1\n",
            "caps 755\n",
        ] {
            assert!(
                ended.has(part),
                "{runtime:?}: {part} is missing in: {ended:?}"
            );
        }
    }
}

/// The parameters of a kernel module that is not there, as a file of procfs.
const PARAMS_OF_HOST: &str = "mount -t tmpfs tmpfs /proc/driver; mkdir /proc/driver/nvidia;
    echo 'ModifyDeviceFiles: 1' >/proc/sys/kernel/domainname; touch /proc/driver/nvidia/params;
    mount --bind /proc/sys/kernel/domainname /proc/driver/nvidia/params";
const LOOK_AT_PARAMS: &str =
    "cd /proc/driver/nvidia; cat params; (echo x >params) 2>/dev/null || echo not written;
    grep -c nvidia/params /proc/self/mountinfo; ls /run";

#[test]
fn a_container_sees_that_device_files_are_not_to_be_modified() {
    const HOOK: [&str; 1] = ["disable-device-node-modification"];
    let container = || Container::new().with_host(PARAMS_OF_HOST);
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let started = container()
            .with_hook("createContainer", &HOOK)
            .run(runtime, "echo started; cat /proc/driver/nvidia/params");
        assert!(started.has("started\n"), "{runtime:?}: {started:?}");
    }
    // runc mounts nothing below /proc.
    if Runtime::Crun.usable() {
        let mut twice = container()
            .with_mount("/proc/driver")
            .with_hook("createContainer", &HOOK)
            .with_hook("createContainer", &HOOK);
        let ended = twice.run(Runtime::Crun, LOOK_AT_PARAMS);
        assert!(
            ended.success() && ended.text() == "ModifyDeviceFiles: 0\nnot written\n2\n",
            "{ended:?}"
        );
    }
    if let Some(podman) = Podman::usable(Runtime::Crun) {
        podman.add_hook("createContainer", &HOOK);
        let volume = ["-v".into(), "/proc/driver:/proc/driver".into()];
        let ended = podman.run(Runtime::Crun, true, &volume, &container(), LOOK_AT_PARAMS);
        assert!(
            ended.has("ModifyDeviceFiles: 0\nnot written\n2\n") && !ended.has("nvidia-ctk-hook"),
            "{ended:?}"
        );
    }
}

/// Up to version 1.25 crun makes the root read-only before it calls createContainer hooks: the new cache is mounted over the old
/// one there, and names the libraries' files in place of the links that cannot be made.
#[test]
fn a_read_only_root_gets_its_libraries() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for stage in ["createRuntime", "createContainer"] {
            let mut container =
                with_all_hooks(Container::new().with_driver(FOLDER), stage).with_read_only_root();
            let ended = container.run(
                runtime,
                &format!("{LOOK}; echo > /etc/new || echo read-only"),
            );
            assert!(
                ended.success() && ended.has("caps 755") && ended.has("read-only"),
                "{runtime:?} at {stage}: {ended:?}"
            );
            assert!(
                ended.has(LOADED.trim_start()),
                "{runtime:?} at {stage}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_failing_hook_stops_the_container_and_says_why() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        for stage in ["createRuntime", "createContainer"] {
            let mut container =
                Container::new().with_hook(stage, &["chmod", "--mode", "9", "--path", "/dev"]);
            let ended = container.run(runtime, "echo started");
            assert!(
                !ended.success() && !ended.has("started"),
                "{runtime:?} at {stage}: {ended:?}"
            );
            // crun keeps a hook's words to itself.
            if runtime == Runtime::Runc {
                assert!(
                    ended.has("exit status 1") && ended.has("mode") && ended.has("9"),
                    "{stage}: {ended:?}"
                );
            }
        }
    }
}

/// CVE-2025-23266: runc 1.1 hands the image's environment to a createContainer hook that has none of its own, and starts it in
/// the image. A program with a dynamic loader then runs the image's code on the host.
#[test]
fn an_image_cannot_slip_code_into_the_hooks() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let hostile = |hook: serde_json::Value| {
            let mut container = Container::new()
                .with_driver(FOLDER)
                .with_variable("LD_PRELOAD=/proc/self/cwd/evil.so")
                .with_raw_hook("createContainer", hook);
            let marker = container.path().join("marker");
            let library = container.root().join("evil.so");
            compile(
                "marker.c",
                &library,
                &[format!("-DMARKER=\"{}\"", marker.display())],
            );
            let ended = container.run(runtime, LOOK);
            (ended, snapshot(container.path()).contains_key(&marker))
        };
        let arguments = ["nvidia-cdi-hook", "update-ldcache", "--folder", FOLDER];
        let (ended, marked) = hostile(json!({"path": binary(), "args": arguments}));
        assert!(
            !marked,
            "{runtime:?}: the image's library was loaded on the host"
        );
        assert!(ended.has(LOADED.trim_start()), "{runtime:?}: {ended:?}");

        // The worst a runtime could do, and the proof that the library does what it is meant to.
        let preload = ["LD_PRELOAD=./evil.so:rootfs/evil.so"];
        let (_, marked) = hostile(json!({"path": binary(), "args": arguments, "env": preload}));
        assert!(
            !marked,
            "{runtime:?}: the image's library was loaded on the host"
        );
        let (_, marked) = hostile(json!({"path": "/bin/true", "env": preload}));
        assert!(
            marked,
            "{runtime:?}: the image's library does nothing, so this test shows nothing"
        );
    }
}

#[test]
fn an_annotation_keeps_the_hooks_out() {
    for runtime in Runtime::ALL {
        if !runtime.usable() {
            continue;
        }
        let mut container = with_all_hooks(Container::new().with_driver(FOLDER), "createContainer")
            .with_annotation("nvidia-ctk.hooks", "off");
        let before = snapshot(&container.root());
        let ended = container.run(runtime, LOOK);
        assert!(
            ended.success() && ended.has("not loaded") && ended.has("caps 700"),
            "{runtime:?}: {ended:?}"
        );
        assert_changed_nothing(&before, &container);
    }
}

fn assert_changed_nothing(
    before: &std::collections::BTreeMap<std::path::PathBuf, String>,
    container: &Container,
) {
    // What an engine itself puts in place, and when it clears that away again, is its own affair.
    const OF_THE_ENGINE: [&str; 9] = [
        "run",
        "dev",
        "proc",
        "sys",
        "etc",
        "etc/hosts",
        "etc/hostname",
        "etc/mtab",
        "etc/resolv.conf",
    ];
    let root = container.root();
    let of_hooks = |path: &std::path::Path| {
        let path = path.strip_prefix(&root).unwrap_or(path);
        !path.as_os_str().is_empty()
            && !path.starts_with("run")
            && !OF_THE_ENGINE
                .iter()
                .any(|it| path == std::path::Path::new(it))
    };
    let after = snapshot(&root);
    for (path, state) in after.iter().filter(|(path, _)| of_hooks(path)) {
        assert_eq!(before.get(path), Some(state), "{} changed", path.display());
    }
    for path in before.keys().filter(|path| of_hooks(path)) {
        assert!(after.contains_key(path), "{} is gone", path.display());
    }
}

#[test]
fn files_in_hooks_d_are_safe_to_install() {
    let mut hooks = hooks_of("hooks.d");
    assert_eq!(hooks.len(), 1);
    hooks.extend(hooks_of("hooks.d/examples"));
    assert_eq!(hooks.len(), 4);
    for (file, hook) in hooks {
        assert_eq!(hook["version"], "1.0.0", "{file}");
        assert_eq!(
            hook["hook"]["env"],
            json!(["NVIDIA_CTK_DEBUG=false"]),
            "{file}: else the image's would be used"
        );
        assert_eq!(
            hook["hook"]["timeout"], 70,
            "{file}: above the 60 s that a search may take; 0 fails at once in some runtimes"
        );
        assert_eq!(hook["stages"], json!(["createContainer"]), "{file}");
        let path = hook["hook"]["path"].as_str().unwrap();
        assert_eq!(
            Some(hook["hook"]["args"][0].as_str().unwrap()),
            path.strip_prefix("/usr/libexec/"),
            "{file}"
        );
        assert_eq!(
            file,
            format!("{}-{}.json", &file[..2], &path["/usr/libexec/".len()..])
        );
    }
}

#[test]
fn podman_with_the_hooks_of_this_repository() {
    for runtime in Runtime::ALL {
        let Some(podman) = Podman::usable(runtime) else {
            continue;
        };
        for folder in ["/usr/lib64/nvidia", FOLDER] {
            let look = format!("probe libcuda.so.1; ldconfig -p; ls -l {folder}");
            let before = podman.run(runtime, false, &volumes(folder), &Container::new(), &look);
            assert!(
                before.has("not loaded"),
                "{runtime:?}: without hooks nothing must be found: {before:?}"
            );
            let after = podman.run(runtime, true, &volumes(folder), &Container::new(), &look);
            assert!(after.success(), "{runtime:?}, {folder}: {after:?}");
            let text = format!("\n{}", after.text());
            for part in [
                LOADED,
                "libcuda.so.1 (libc6",
                "libc.so.6 (libc6",
                "libcuda.so -> libcuda.so.1\n",
            ] {
                assert!(
                    text.contains(part),
                    "{runtime:?}, {folder}: {part} is missing in: {text}"
                );
            }
        }
    }
}

#[test]
fn podman_containers_that_do_not_ask_for_it_stay_as_they_are() {
    for runtime in Runtime::ALL {
        let Some(podman) = Podman::usable(runtime) else {
            continue;
        };
        let off = ["--annotation", "nvidia-ctk.hooks=off"].map(String::from);
        for (options, container) in [
            (&[][..], Container::new()),
            (&off[..], Container::new().with_driver(FOLDER)),
        ] {
            // The first run makes podman's own files in the root.
            let first = podman.run(runtime, false, options, &container, "true");
            assert!(first.success(), "{runtime:?}: {first:?}");
            let before = snapshot(&container.root());
            let ended = podman.run(runtime, true, options, &container, "probe libcuda.so.1");
            assert!(ended.has("not loaded"), "{runtime:?}: {ended:?}");
            assert_changed_nothing(&before, &container);
        }
    }
}
