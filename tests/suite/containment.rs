//! Hostile roots: whatever an image holds, and whoever changes it under a hook, nothing outside of the root changes.
//!
//! Each case is run with openat2(2) and, as under the seccomp filters of older engines, without. The guard that all of them rest
//! on is `ContainerRoot`: a lookup by path string, or one with the kernel's plain rules, fails them. Landlock, the wall behind it,
//! is taken away.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::common::bundle::{Attacker, Bundle};
use crate::common::elf::library;
use crate::common::machine::{has, hostile_cases};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::{each_kernel_without_landlock, with_mounts};

/// Runs a race's hook so often.
const RUNS: usize = 30;
/// Links or paths of each of these runs.
const TARGETS: usize = 10;

/// What an attacker would like to have changed: a folder of the host with a library that has no SONAME link yet, files with
/// the names that the hooks write, and modes that chmod would change.
fn canary(bundle: &Bundle) -> PathBuf {
    let host = bundle.host();
    fs::write(host.join("libhost.so.1.2"), library("libhost.so.1")).unwrap();
    fs::create_dir(host.join("ld.so.conf.d")).unwrap();
    for name in ["ld.so.cache", "ld.so.conf", "ld-musl-x86_64.path", "secret"] {
        fs::write(host.join(name), "the host's").unwrap();
    }
    for number in 0..TARGETS {
        fs::write(host.join(format!("f{number}")), "").unwrap();
    }
    for entry in fs::read_dir(&host).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
    host
}

/// How many ways out of a root a link can try.
const WAYS: usize = 4;

/// One of them.
fn way_out(host: &Path, way: usize) -> PathBuf {
    let start = match way {
        0 => "/",
        1 => "../../../../../../../../../../../../../../../..",
        2 => "/../../..",
        _ => "/proc/self/root",
    };
    Path::new(start).join(host.strip_prefix("/").unwrap())
}

/// Prepares roots with `prepare`, runs a hook on each, and looks whether the host is as it was. Returns the exit codes, which a
/// hostile image may well make 1.
fn contained(line: &str, prepare: impl Fn(&Bundle, &Path), check: impl Fn(&Bundle, &Outcome)) {
    each_kernel_without_landlock(|kernel| {
        for way in 0..WAYS {
            let bundle = Bundle::new();
            let host = canary(&bundle);
            let out = way_out(&host, way);
            prepare(&bundle, &out);
            let before = snapshot(&host);
            let ran = bundle.hook_in(kernel, line);
            let case = format!("{line}, {}, {kernel:?}: {ran:?}", out.display());
            assert_eq!(snapshot(&host), before, "{case}");
            assert!(ran.code == 0 || ran.code == 1, "{case}");
            check(&bundle, &ran);
        }
    });
    hostile_cases(WAYS);
}

/// The container starts.
fn starts(_: &Bundle, ran: &Outcome) {
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// CVE-2024-0134, and what of it was left open after its fix.
#[test]
fn parents_of_links_lead_to_the_host() {
    let option = "--link libcuda.so.1::/usr/lib/drv/libcuda.so";
    contained(
        &format!("create-symlinks {option}"),
        |bundle, out| {
            bundle.link("usr/lib/drv", out);
        },
        |bundle, ran| {
            starts(bundle, ran);
            let inside = bundle.at(bundle.host()).join("libcuda.so");
            let by_proc = bundle
                .at("proc/self/root")
                .join(inside.strip_prefix(bundle.root()).unwrap());
            let found = [inside, by_proc].iter().any(|it| fs::read_link(it).is_ok());
            assert!(found, "the link is not in the root either: {ran:?}");
        },
    );
    // One level further down, where folders have to be made.
    contained(
        "create-symlinks --link t::/usr/lib/drv/ld.so.conf.d/new/l",
        |bundle, out| {
            bundle.link("usr/lib/drv", out);
        },
        starts,
    );
}

#[test]
fn links_in_place_of_a_link() {
    contained(
        "create-symlinks --link t::/l --link t::/d/secret",
        |bundle, out| {
            bundle.link("l", out.join("secret")).link("d", out);
        },
        starts,
    );
}

#[test]
fn dots_in_options_stay_inside() {
    each_kernel_without_landlock(|kernel| {
        let bundle = Bundle::new();
        let host = canary(&bundle);
        let up = format!("/../../../../../../../../../../../..{}", host.display());
        let before = snapshot(bundle.path());
        for line in [
            format!("chmod --mode 777 --path {up} --path {up}/secret --path ../host/secret"),
            format!("create-symlinks --link t::{up}/l --link t::../host/secret"),
            format!("update-ldcache --folder {up} --folder /../host"),
        ] {
            bundle.hook_in(kernel, &line).silent();
        }
        for (path, state) in before {
            if path.starts_with(&host) {
                assert_eq!(snapshot(&host)[&path], state, "{}", path.display());
            }
        }
        assert_eq!(snapshot(&host).len(), TARGETS + 7, "a new name on the host");
    });
}

/// The first of those that the toolkit has still open.
#[test]
fn chmod_of_a_link_to_the_host() {
    contained(
        "chmod --mode 777 --path /evil --path /evil/secret --path /f/f1 --path /secret",
        |bundle, out| {
            bundle
                .link("evil", out)
                .link("f", out)
                .link("secret", out.join("secret"));
        },
        starts,
    );
}

/// CVE-2025-23267 and its neighbours: what update-ldcache reads and writes.
#[test]
fn links_of_update_ldcache_to_the_host() {
    for path in [
        "etc",
        "etc/ld.so.conf.d",
        "etc/ld.so.conf.d/00-nvidia-ctk.conf",
        "etc/ld.so.cache",
        "etc/ld.so.conf",
        "etc/ld-musl-x86_64.path",
        "lib",
        "usr",
        "usr/lib",
        "opt/lib",
        "opt/lib/glibc-hwcaps",
        "opt/lib/libnew.so.1",
    ] {
        contained(
            "update-ldcache --folder /opt/lib",
            |bundle, out| {
                let is_file = path.contains("ld") || path.contains("so");
                let target = match path {
                    "etc/ld.so.conf.d" | "opt/lib/glibc-hwcaps" => out.join("ld.so.conf.d"),
                    "etc/ld.so.conf.d/00-nvidia-ctk.conf" => out.join("secret"),
                    "opt/lib/libnew.so.1" => out.join("libhost.so.1.2"),
                    _ if is_file => out.join(Path::new(path).file_name().unwrap()),
                    _ => out.to_owned(),
                };
                bundle.link(path, target);
                if path != "lib" {
                    bundle.file("lib/ld-musl-x86_64.so.1", "");
                }
                if path != "opt/lib" {
                    bundle.file("opt/lib/libnew.so.1.2", library("libnew.so.1"));
                }
            },
            starts,
        );
    }
}

#[test]
fn the_search_path_leads_to_the_host() {
    contained(
        "update-ldcache --folder /opt/../../../../opt/lib",
        |bundle, out| {
            let text = format!(
                "include {out}/*\ninclude ../../../../../..{out}/ld.so.conf\n{out}\n/../../..{out}\n",
                out = out.display()
            );
            bundle.file("etc/ld.so.conf", text).link("opt/lib", out);
        },
        starts,
    );
}

#[test]
fn driver_folders_lead_to_the_host() {
    for line in ["create-symlinks", "update-ldcache --find-driver"] {
        contained(
            line,
            |bundle, out| {
                let host = bundle.host();
                for name in ["libcuda.so.575.57.08", "vdpau/libvdpau_nvidia.so.575.57.08"] {
                    fs::create_dir_all(host.join("vdpau")).unwrap();
                    fs::write(host.join(name), library("libcuda.so.1")).unwrap();
                }
                bundle
                    .link("usr/local/nvidia/lib64", out)
                    .link("usr/lib64", out);
                bundle.file("usr/lib/libcuda.so.575.57.08", library("libcuda.so.1"));
                bundle.link("usr/lib/vdpau", out.join("vdpau"));
            },
            starts,
        );
    }
}

/// Names that come out of libraries.
#[test]
fn sonames_lead_to_the_host() {
    each_kernel_without_landlock(|kernel| {
        for line in ["create-symlinks", "update-ldcache --folder /opt/lib"] {
            let bundle = Bundle::new();
            let host = canary(&bundle);
            let depth = "../".repeat(30);
            for (number, soname) in [
                host.join("l").display().to_string(),
                format!("{depth}{}/l", host.strip_prefix("/").unwrap().display()),
                "../../../host/secret".into(),
                "..".into(),
                ".".into(),
                "/".into(),
                "a/b".into(),
                "a\nb".into(),
            ]
            .iter()
            .enumerate()
            {
                for folder in ["opt/lib", "usr/local/nvidia/lib64"] {
                    bundle.file(
                        format!("{folder}/lib{number}.so.575.57.08"),
                        library(soname),
                    );
                    bundle.file(format!("{folder}/libcuda.so.575.57.08"), library(soname));
                }
            }
            let before = snapshot(bundle.path());
            let ran = bundle.hook_in(kernel, line);
            ran.warns(&[
                "has a slash in it",
                "is a directory",
                "has a control character in it",
            ]);
            let after = snapshot(bundle.path());
            let new: Vec<_> = after
                .keys()
                .filter(|it| !before.contains_key(*it))
                .collect();
            let etc = bundle.at("etc");
            assert!(new.iter().all(|it| it.starts_with(&etc)), "{line}: {new:?}");
            assert!(!bundle.text("etc/ld.so.cache").contains("host"), "{line}");
        }
    });
}

/// The magic links of /proc lead out of any root, whatever is mounted there.
#[test]
fn magic_links_are_not_followed() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    each_kernel_without_landlock(|kernel| {
        let bundle = Bundle::new();
        let host = canary(&bundle);
        bundle.directory("proc").directory("opt");
        let out = Path::new("/proc/self/root").join(host.strip_prefix("/").unwrap());
        bundle
            .link("opt/root", &out)
            .link("opt/cwd", "/proc/self/cwd");
        let before = snapshot(&host);
        let mounted = with_mounts(&bundle, "mount -t proc proc \"$root/proc\"; cd \"$host\"");
        let before_hook: Vec<OsString> = [&mounted[..], kernel].concat();
        for line in [
            "chmod --mode 777 --path /opt/root/secret --path /opt/cwd/secret --path /proc/self/cwd",
            "create-symlinks --link t::/opt/root/l --link t::/opt/cwd/l --link t::/proc/self/cwd/l",
            "update-ldcache --folder /opt/root --folder /opt/cwd",
        ] {
            let ran = bundle.hook_in(&before_hook, line);
            assert_eq!(snapshot(&host), before, "{line}, {kernel:?}");
            assert!(ran.code == 0 || ran.code == 1, "{line}: {ran:?}");
            assert!(!ran.stderr.contains("panicked"), "{line}: {ran:?}");
        }
    });
}

/// An attacker with write access to the root, from another container: swaps a folder with a link to the host, or with one to
/// nothing, all the time.
struct Race {
    // Ends first: while there is something to swap.
    attacker: Attacker,
    bundle: Bundle,
    host: PathBuf,
}

impl Race {
    /// A folder of the root, and a link out.
    fn of_folder(out: impl Fn(&Path) -> PathBuf) -> Self {
        let bundle = Bundle::new();
        let host = canary(&bundle);
        bundle.directory("usr/lib/drv");
        bundle.link("usr/lib/drv2", out(&host));
        for number in 0..TARGETS {
            bundle.file(format!("usr/lib/drv/f{number}"), "");
        }
        let library = library("libdrv.so.1");
        bundle.file("usr/lib/drv/libdrv.so.1.2", library);
        Self::start(bundle, host, "usr/lib/drv", "usr/lib/drv2")
    }

    /// Swaps two names of the root.
    fn start(bundle: Bundle, host: PathBuf, one: &str, other: &str) -> Self {
        let attacker = Attacker::start(&bundle, one, other);
        Self {
            attacker,
            bundle,
            host,
        }
    }

    /// Runs a hook often; returns what those said that failed.
    fn run(
        &mut self,
        kernel: &[OsString],
        runs: usize,
        line: impl Fn(usize) -> String,
    ) -> Vec<String> {
        let before = snapshot(&self.host);
        let mut failures = Vec::new();
        for run in 0..runs {
            let ran = self.bundle.hook_in(kernel, &line(run));
            if ran.code != 0 || !ran.stderr.is_empty() {
                failures.push(format!("{kernel:?}: {ran:?}\n"));
            }
        }
        assert!(self.attacker.is_running(), "the attacker gave up");
        assert_eq!(snapshot(&self.host), before, "something got out");
        failures
    }
}

/// CVE-2026-24260 for every hook: none gets out, and none fails.
#[test]
fn a_folder_turns_into_a_link_while_hooks_run() {
    let all = |word: &dyn Fn(usize) -> String| -> String { (0..TARGETS).map(word).collect() };
    let links = |run| {
        let link = |it| format!(" --link t{run}.{it}::/usr/lib/drv/l{run}.{it}");
        format!("create-symlinks{}", all(&link))
    };
    let modes = |run| {
        let path = |it| format!(" --path /usr/lib/drv/f{it}");
        format!("chmod --mode 7{}5{}", run % 8, all(&path))
    };
    let folders = |run| format!("update-ldcache --folder /usr/lib/drv,/opt/{run}");
    let mut failures = Vec::new();
    each_kernel_without_landlock(|kernel| {
        for way in [0, 1] {
            // The link leads to a path that is there in the root as well, or is not.
            for reflected in [true, false] {
                let mut race = Race::of_folder(|host| way_out(host, way));
                if reflected {
                    race.bundle.directory(&race.host);
                }
                failures.extend(race.run(kernel, RUNS, links));
                failures.extend(race.run(kernel, RUNS, modes));
                failures.extend(race.run(kernel, RUNS, folders));
            }
        }
    });
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} runs failed:\n{}",
        failures.concat()
    );
}

/// One file turns into something else: what is not a file is never read, and nothing blocks.
#[test]
fn a_file_turns_into_something_else_while_hooks_run() {
    if !has(&["mknod"]) {
        return;
    }
    let library = library("liba.so.1");
    let conf = b"include ld.so.conf.d/*.conf\n";
    // What is swapped with what (a FIFO, or a link to this file of the host), and under which hook.
    for (path, bytes, other, line) in [
        (
            "etc/ld.so.conf",
            &conf[..],
            None,
            "update-ldcache --folder /opt/lib",
        ),
        (
            "etc/ld.so.conf",
            conf,
            Some("ld.so.conf"),
            "update-ldcache --folder /opt/lib",
        ),
        (
            "etc/ld.so.cache",
            b"",
            Some("ld.so.cache"),
            "update-ldcache --folder /opt/lib",
        ),
        (
            "opt/lib/liba.so.1.2",
            &library,
            None,
            "update-ldcache --folder /opt/lib",
        ),
        (
            "opt/lib/liba.so.1.2",
            &library,
            Some("libhost.so.1.2"),
            "update-ldcache --folder /opt/lib",
        ),
        (
            "usr/lib/libcuda.so.575.57.08",
            &library,
            None,
            "create-symlinks",
        ),
        (
            "usr/lib/libcuda.so.575.57.08",
            &library,
            Some("secret"),
            "create-symlinks",
        ),
        ("f", b"", Some("secret"), "chmod --mode 777 --path /f"),
        ("f", b"", Some("secret"), "create-symlinks --link t::/f"),
    ] {
        each_kernel_without_landlock(|kernel| {
            let bundle = Bundle::new();
            let host = canary(&bundle);
            bundle.file(path, bytes);
            match other {
                // It is there in the root as well: a library's link to nothing would be removed.
                Some(name) => bundle
                    .link("other", host.join(name))
                    .file(host.join(name), bytes),
                None => bundle.node("other", &["p"]),
            };
            let mut race = Race::start(bundle, host, path, "other");
            for said in race.run(kernel, RUNS / 3, |_| line.to_owned()) {
                // That ld.so.conf is no file may well be told.
                let is_warning = said.contains("code: 0") && said.contains("not a regular file");
                assert!(is_warning, "{path} and {other:?}: {said}");
            }
        });
    }
}
