//! Hooks in specs: one call of `apply`, or the toolkit's one by one.

use std::fs;

use super::{common, device, generate, golden, hooks, names, nodes, refuses, spec, texts, values};
use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{GpuHost, LIBRARIES, VERSION};
use crate::common::host::Host;

const FULL: &str = "full-2gpu.yaml";

/// The words of the only hook of a spec.
#[track_caller]
fn apply(host: &Host, options: &str) -> Vec<String> {
    let spec = spec(host, options);
    for name in names(&spec) {
        assert_eq!(
            hooks(device(&spec, name)),
            [[""; 0]; 0],
            "{options}: {name}"
        );
    }
    let hooks = hooks(common(&spec));
    assert_eq!(hooks.len(), 1, "{options}: {hooks:?}");
    hooks[0].iter().map(|&word| word.to_owned()).collect()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// `apply` is told all that the toolkit's hooks are told.
#[test]
fn one_call_of_apply() {
    for name in [FULL, "small-2gpu.yaml"] {
        let Some(host) = GpuHost::of(name) else {
            return;
        };
        let words = apply(&host, "");
        let words = borrowed(&words);
        assert_eq!(words[..2], ["nvidia-cdi-hook", "apply"]);
        let golden = Spec::named(name);
        let link = |(target, link)| format!("{target}::{link}");
        let links = golden.links().map(link);
        let is_mounted = |link: &&str| golden.text.contains(link.split("::").next().unwrap());
        let more = golden::MORE.iter().copied().filter(is_mounted);
        let links: Vec<_> = links.chain(more.map(str::to_owned)).collect();
        assert_eq!(values(&words, "--link"), links);
        assert_eq!(
            values(&words, "--link-if-target"),
            [
                "../card1::/dev/dri/by-path/pci-0000:01:00.0-card",
                "../renderD128::/dev/dri/by-path/pci-0000:01:00.0-render",
                "../card2::/dev/dri/by-path/pci-0000:41:00.0-card",
                "../renderD129::/dev/dri/by-path/pci-0000:41:00.0-render",
            ]
        );
        assert_eq!(values(&words, "--host-driver-version"), [VERSION]);
        assert_eq!(
            values(&words, "--folder"),
            [LIBRARIES, &format!("{LIBRARIES}/vdpau")]
        );
        for switch in [
            "--disable-device-node-modification",
            "--update-application-profile",
        ] {
            assert!(words.contains(&switch), "{words:?}");
        }
        assert_eq!(values(&words, "--chmod"), [""; 0]);
    }
}

/// Everything but hooks is the same with both.
#[test]
fn the_rest_is_the_same() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let mut specs = ["apply", "separate"].map(|kind| spec(&host, &format!("--hooks {kind}")).value);
    for spec in &mut specs {
        spec["containerEdits"]
            .as_object_mut()
            .unwrap()
            .remove("hooks");
        for device in spec["devices"].as_array_mut().unwrap() {
            device["containerEdits"]
                .as_object_mut()
                .unwrap()
                .remove("hooks");
        }
    }
    assert_eq!(specs[0], specs[1]);
    refuses(&host, "--hooks both", &["both"]);
}

#[test]
fn hooks_that_are_switched_off() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let all = apply(&host, "");
    for (hook, options) in [
        ("create-symlinks", &["--link", "--link-if-target"][..]),
        ("enable-cuda-compat", &["--host-driver-version"]),
        ("update-ldcache", &["--folder"]),
        (
            "disable-device-node-modification",
            &["--disable-device-node-modification"],
        ),
        (
            "update-application-profile",
            &["--update-application-profile"],
        ),
    ] {
        let left = apply(&host, &format!("--disable-hook {hook}"));
        let is_option = |word: &&str| options.iter().any(|it| word.split('=').next() == Some(it));
        assert!(borrowed(&all).iter().any(is_option), "{hook}: {all:?}");
        assert!(!borrowed(&left).iter().any(is_option), "{hook}: {left:?}");
        let only = apply(&host, &format!("--disable-hook all --enable-hook {hook}"));
        let switches = only.iter().filter(|word| word.starts_with("--"));
        for word in switches {
            assert!(is_option(&word.as_str()), "{hook}: {only:?}");
        }
    }
    let left = apply(&host, "--disable-hooks update-ldcache,enable-cuda-compat");
    assert_eq!(values(&borrowed(&left), "--folder"), [""; 0]);
    assert_eq!(values(&borrowed(&left), "--host-driver-version"), [""; 0]);
    for kind in ["apply", "separate"] {
        let options = format!("--hooks {kind} --disable-hook all");
        let text = generate(&host, &options).stdout;
        assert!(!text.contains("hook"), "{kind}: {text}");
    }
    refuses(&host, "--enable-hook all", &["all"]);
}

#[test]
fn hooks_that_are_switched_on() {
    let Some(host) = GpuHost::of("full-mig.yaml") else {
        return;
    };
    let words = apply(&host, "--enable-hook chmod");
    let modes = values(&borrowed(&words), "--chmod");
    assert!(modes.contains(&"755:/dev/dri"), "{words:?}");
    assert!(modes.contains(&"755:/dev/nvidia-caps"), "{words:?}");
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let spec = spec(&host, "--hooks separate --enable-hook chmod");
    let chmod = [
        "nvidia-cdi-hook",
        "chmod",
        "--mode",
        "755",
        "--path",
        "/dev/dri",
    ];
    for name in ["0", "1", "all"] {
        assert!(
            hooks(device(&spec, name)).iter().any(|it| *it == chmod),
            "{name}: {}",
            spec.text
        );
    }
}

/// The toolkit takes unknown names without a word.
#[test]
fn names_that_no_hook_has() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    for option in ["--disable-hook", "--enable-hook"] {
        let outcome = generate(&host, &format!("{option} update-cache"));
        assert!(outcome.stderr.contains("update-cache"), "{outcome:?}");
    }
}

#[test]
fn the_program_that_hooks_call() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    for option in ["--nvidia-cdi-hook-path", "--nvidia-ctk-path"] {
        let words = apply(&host, &format!("{option} /opt/bin/nvidia-ctk"));
        assert_eq!(words[..3], ["nvidia-ctk", "hook", "apply"]);
        let words = apply(&host, &format!("{option} /opt/bin/nvidia-cdi-hook"));
        assert_eq!(words[..2], ["nvidia-cdi-hook", "apply"]);
    }
    let spec = spec(&host, "--nvidia-cdi-hook-path /opt/bin/nvidia-ctk");
    let hook = &common(&spec)["hooks"][0];
    assert_eq!(hook["path"], "/opt/bin/nvidia-ctk");
    assert_eq!(hook["hookName"], "createContainer");
    assert_eq!(texts(&hook["env"]), ["NVIDIA_CTK_DEBUG=false"]);
}

/// The path of the hook is one of this host's, where no option names it.
#[test]
fn the_program_that_is_installed() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    for path in ["/usr/local/bin/nvidia-cdi-hook", "/usr/bin/nvidia-cdi-hook"] {
        host.file(path, "#!/bin/sh\n").set_mode(path, 0o755);
        let spec = spec(&host, "");
        let used = common(&spec)["hooks"][0]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(used.ends_with("bin/nvidia-cdi-hook"), "{used}");
        assert!(host.at(&used).is_file(), "{used} is not on this host");
    }
}

/// The toolkit puts the place of links in the folder below the root of the driver.
#[test]
fn links_of_other_roots() {
    let Some(host) = GpuHost::of(FULL) else {
        return;
    };
    let root = "/run/nvidia/driver";
    host.directory("/run/nvidia");
    host.directory(root);
    for top in ["usr", "lib", "etc"] {
        fs::rename(host.at(top), host.at(format!("{root}/{top}"))).unwrap();
    }
    let options = format!("--driver-root {root} --dev-root /");
    let words = apply(&host, &options);
    for link in values(&borrowed(&words), "--link-if-target") {
        assert!(link.contains("::/dev/dri/by-path/"), "{link}");
    }
    let spec = spec(&host, &options);
    assert_eq!(nodes(common(&spec))[0], "/dev/nvidia-modeset");
}
