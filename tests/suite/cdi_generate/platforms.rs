//! Where distributions and clouds put a driver: what must be in the spec is computed from the files that lie there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};

use super::{common, generate, hooks, mounts, said, spec, values};
use crate::common::cdi_spec::{Node, Spec};
use crate::common::elf::library;
use crate::common::host::Host;
use crate::platforms::tree;

/// A platform, the version of its driver, and options that its admins give.
const PLATFORMS: [(&str, &str, &str); 12] = [
    ("debian", "550.163.01", ""),
    ("ubuntu", "535.261.03", ""),
    ("fedora", "580.95.05", ""),
    ("run", "575.57.08", ""),
    ("bottlerocket", "535.261.03", ""),
    ("gke", "550.163.01", ""),
    (
        "gke",
        "550.163.01",
        "--driver-root /home/kubernetes/bin/nvidia --dev-root /",
    ),
    ("nixos", "550.163.01", ""),
    ("talos", "550.163.01", ""),
    (
        "talos",
        "550.163.01",
        "--library-search-path /usr/local/glibc/usr/lib",
    ),
    ("gpu-operator", "550.163.01", ""),
    (
        "gpu-operator",
        "550.163.01",
        "--driver-root /run/nvidia/driver",
    ),
];

/// The files of the driver: libraries with its version, and those that have another one.
fn libraries(host: &Host, version: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![host.root()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, kind) = entry
                .map(|it| (it.path(), it.file_type().unwrap()))
                .unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_library = name.starts_with("lib") && name.ends_with(&format!(".so.{version}"));
            let has_own_version = name.starts_with("libnvidia-") && name.contains(".so.1");
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() && (is_library || has_own_version) {
                found.insert(inside(host, &path));
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

fn inside(host: &Host, path: &Path) -> String {
    Path::new("/")
        .join(path.strip_prefix(host.root()).unwrap())
        .display()
        .to_string()
}

/// Where a path of the host leads, with the host's own links followed in it; a driver's root is none of this machine's.
fn resolved(host: &Host, root: &str, path: &str) -> Option<PathBuf> {
    let mut left: Vec<_> = path.split('/').rev().map(str::to_owned).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(&part),
        }
        if let Ok(target) = fs::read_link(host.at(format!("{root}{}", at.display()))) {
            links += 1;
            assert!(links < 40, "{path} loops");
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            left.extend(target.to_string_lossy().split('/').rev().map(str::to_owned));
        }
    }
    let real = PathBuf::from(format!("{root}{}", at.display()));
    host.at(&real).exists().then_some(real)
}

/// All host paths are those of files, without links in them, and the paths in the container are those where programs look.
#[track_caller]
fn check_paths(host: &Host, case: &str, spec: &Spec) {
    for (path, place) in mounts(common(spec)) {
        let real = resolved(host, "", path);
        assert_eq!(real.as_deref(), Some(Path::new(path)), "{case}: {path}");
        let name = path.rsplit('/').next().unwrap();
        let expected = [
            (".json", "/etc/vulkan/"),
            (".json", "/usr/share/"),
            (".icd", "/etc/OpenCL/"),
            (".conf", "/usr/share/X11/"),
            ("nvoptix.bin", "/usr/share/nvidia/"),
            ("gsp_", "/lib/firmware/"),
            ("gsp_", "/usr/lib/firmware/"),
        ];
        let mut places = expected
            .iter()
            .filter(|(part, _)| name.contains(part))
            .peekable();
        if places.peek().is_some() {
            assert!(
                places.any(|(_, start)| place.starts_with(start)),
                "{case}: {path} at {place}"
            );
        } else if !name.contains(".so") && !name.contains("socket") {
            assert_eq!(place, format!("/usr/bin/{name}"), "{case}");
        }
    }
    for edits in spec.all_edits() {
        for node in edits["deviceNodes"].as_array().into_iter().flatten() {
            let path = node["hostPath"].as_str().or(node["path"].as_str()).unwrap();
            assert!(host.at(path).exists(), "{case}: {path}");
        }
        for node in Node::all(edits) {
            assert!(node.path.starts_with("/dev/"), "{case}: {}", node.path);
            assert!(!node.path.starts_with("/dev/run"), "{case}: {}", node.path);
        }
    }
}

#[test]
fn all_libraries_of_each_platform() {
    for (name, version, options) in PLATFORMS {
        let Some(host) = tree(name) else { return };
        let case = format!("{name} {options}");
        let outcome = generate(&host, options);
        assert_eq!(outcome.code, 0, "{case}: {outcome:?}");
        for level in ["warning", "error"] {
            assert_eq!(said(&outcome, level), [""; 0], "{case}");
        }
        let printed = Spec::printed(&outcome.stdout);
        check_paths(&host, &case, &printed);
        let mounted = mounts(common(&printed));
        let folders = hooks(common(&printed))[0].clone();
        let folders = values(&folders, "--folder");
        for library in libraries(&host, version) {
            let places: Vec<_> = mounted.iter().filter(|it| it.0 == library).collect();
            assert_eq!(places.len(), 1, "{case}: {library} in {mounted:?}");
            let folder = places[0].1.rsplit_once('/').unwrap().0;
            assert!(folders.contains(&folder), "{case}: {folder} in {folders:?}");
        }
    }
}

/// The links by which programs find libraries come with `apply`, so that `dlopen("libcuda.so")` works outside of the loader's own
/// directories, too.
#[test]
fn links_of_each_platform() {
    for (name, version, options) in PLATFORMS {
        let Some(host) = tree(name) else { return };
        let printed = spec(&host, options);
        let hooks = hooks(common(&printed));
        let links = values(&hooks[0], "--link");
        for part in [
            format!("libcuda.so.{version}::"),
            "libcuda.so.1::".to_owned(),
            format!("libnvidia-ml.so.{version}::"),
        ] {
            assert!(
                links.iter().any(|it| it.starts_with(&part)),
                "{name}: {part} in {links:?}"
            );
        }
    }
}

/// The backend of GBM is where an image's libgbm looks, that of VDPAU where the loader does; no link leads nowhere.
#[test]
fn links_lead_to_libraries() {
    for (name, version, options) in PLATFORMS {
        let Some(host) = tree(name) else { return };
        let is_cuda = |path: &String| path.ends_with(&format!("libcuda.so.{version}"));
        let cuda = libraries(&host, version).into_iter().find(is_cuda).unwrap();
        let (folder, _) = cuda.rsplit_once('/').unwrap();
        let vdpau = format!("{folder}/libvdpau_nvidia.so.{version}");
        host.file(&vdpau, library("libvdpau_nvidia.so.1"));
        let allocator = format!("{folder}/libnvidia-allocator.so.{version}");
        host.file(&allocator, library("libnvidia-allocator.so.1"));
        let printed = spec(&host, options);
        let there: BTreeSet<_> = mounts(common(&printed))
            .into_iter()
            .map(|it| it.1.to_owned())
            .collect();
        let hooks = hooks(common(&printed));
        let links: BTreeMap<_, _> = values(&hooks[0], "--link")
            .into_iter()
            .map(|it| it.split_once("::").unwrap())
            .map(|(target, link)| (link.to_owned(), target.to_owned()))
            .collect();
        for (link, target) in &links {
            let end = followed(&links, link);
            assert!(
                there.contains(&end),
                "{name} {options}: {link} to {target} ends at {end}"
            );
        }
        let gbm = links
            .keys()
            .filter(|link| link.ends_with("/gbm/nvidia-drm_gbm.so"));
        let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64"];
        let is_usual = |link: &&String| usual.iter().any(|it| link.starts_with(it));
        assert!(
            gbm.filter(is_usual).count() > 0,
            "{name} {options}: {links:?}"
        );
        let inside = there
            .iter()
            .find(|it| it.ends_with(&format!("/libvdpau_nvidia.so.{version}")))
            .unwrap();
        let (inside, _) = inside.rsplit_once('/').unwrap();
        assert!(
            links.contains_key(&format!("{inside}/libvdpau_nvidia.so.1")),
            "{name}: {links:?}"
        );
        let has_name = links.contains_key(&format!("{inside}/libvdpau_nvidia.so"));
        assert!(
            has_name || usual.contains(&inside),
            "{name} {options}: {links:?}"
        );
    }
}

/// Where a link ends.
fn followed(links: &BTreeMap<String, String>, link: &str) -> String {
    let mut at = link.to_owned();
    for _ in 0..links.len() {
        let Some(target) = links.get(&at) else { break };
        let mut folder: Vec<_> = at.split('/').collect();
        folder.pop();
        if target.starts_with('/') {
            folder.clear();
        }
        for part in target.split('/') {
            if part == ".." {
                folder.pop();
            } else {
                folder.push(part);
            }
        }
        at = folder.join("/");
    }
    at
}

/// Debian leads to the programs by two links, the first one absolute.
fn debian_programs(host: &Host, root: &str) {
    for name in ["nvidia-smi", "nvidia-debugdump"] {
        let real = format!("{root}/usr/lib/nvidia/current/{name}");
        host.file(&real, "x").set_mode(&real, 0o755);
        host.link(
            format!("{root}/usr/bin/{name}"),
            format!("/etc/alternatives/nvidia--{name}"),
        );
        host.link(
            format!("{root}/etc/alternatives/nvidia--{name}"),
            format!("/usr/lib/nvidia/current/{name}"),
        );
    }
    let real = format!("{root}/usr/lib/x86_64-linux-gnu/nvidia/current/nvoptix.bin");
    host.file(real, "x");
    host.link(
        format!("{root}/usr/share/nvidia/nvoptix.bin"),
        "/etc/alternatives/nvidia--nvoptix.bin",
    );
    host.link(
        format!("{root}/etc/alternatives/nvidia--nvoptix.bin"),
        "/usr/lib/x86_64-linux-gnu/nvidia/current/nvoptix.bin",
    );
}

/// Absolute links in a driver's root are that root's own.
#[test]
fn absolute_links_stay_in_the_driver_s_root() {
    for (name, root) in [("debian", ""), ("gpu-operator", "/run/nvidia/driver")] {
        let Some(host) = tree(name) else { return };
        debian_programs(&host, root);
        let printed = spec(&host, "");
        check_paths(&host, name, &printed);
        let mounted = mounts(common(&printed));
        for (real, place) in [
            ("/usr/lib/nvidia/current/nvidia-smi", "/usr/bin/nvidia-smi"),
            (
                "/usr/lib/nvidia/current/nvidia-debugdump",
                "/usr/bin/nvidia-debugdump",
            ),
            (
                "/usr/lib/x86_64-linux-gnu/nvidia/current/nvoptix.bin",
                "/usr/share/nvidia/nvoptix.bin",
            ),
        ] {
            let real = format!("{root}{real}");
            assert!(
                mounted.contains(&(&real, place)),
                "{name}: {place}: {mounted:?}"
            );
        }
    }
}

/// Programs and configuration beside the libraries, where only a cloud has them.
#[test]
fn files_beside_the_libraries() {
    let Some(host) = tree("gke") else { return };
    host.set_mode("/home/kubernetes/bin/nvidia/bin/nvidia-smi", 0o755);
    let printed = spec(&host, "");
    let mounted = mounts(common(&printed));
    let root = "/home/kubernetes/bin/nvidia";
    for (path, place) in [
        ("bin/nvidia-smi", "/usr/bin/nvidia-smi"),
        (
            "vulkan/icd.d/nvidia_icd.json",
            "/etc/vulkan/icd.d/nvidia_icd.json",
        ),
    ] {
        let path = format!("{root}/{path}");
        assert!(mounted.contains(&(&path, place)), "{place}: {mounted:?}");
    }
}

/// Sockets of daemons are the host's, wherever the driver is, and a link in the driver's root does not bring another's.
#[test]
fn sockets_are_the_host_s() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    host.file("/run/nvidia-persistenced/pid", "1");
    let socket = host.at("/run/nvidia-persistenced/socket");
    mknod(&socket, SFlag::S_IFSOCK, Mode::empty(), 0).unwrap();
    host.link("/run/nvidia/driver/var/run", "/run");
    let printed = spec(&host, "");
    let mounted = mounts(common(&printed));
    let path = "/run/nvidia-persistenced/socket";
    assert!(mounted.contains(&(path, path)), "{mounted:?}");
    assert!(!printed.text.contains("driver/var/run"), "{}", printed.text);
}

/// Files beyond the driver's root are not mounted, whatever its links say.
#[test]
fn links_out_of_the_driver_s_root() {
    let Some(host) = tree("gpu-operator") else {
        return;
    };
    host.file("/opt/secret", "x");
    let libraries = "/run/nvidia/driver/usr/lib/x86_64-linux-gnu";
    host.link(
        format!("{libraries}/libnvidia-out.so.550.163.01"),
        "../../../../../../opt/secret",
    );
    host.link(
        "/run/nvidia/driver/usr/bin/nvidia-smi",
        "../../../../../opt/secret",
    );
    host.link(
        "/run/nvidia/driver/usr/share/nvidia/nvoptix.bin",
        "/opt/secret",
    );
    let printed = spec(&host, "");
    assert!(!printed.text.contains("secret"), "{}", printed.text);
}
