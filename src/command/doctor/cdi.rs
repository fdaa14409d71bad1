//! CDI specs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use super::driver::{awaits_node, why_nodes_are_missing};
use super::{Check, Finding, few};
use crate::cdi::{
    DeviceNode, Hook, MAX_CLASS, MAX_VENDOR, Mount, Registry, Shared, Spec, SpecFile,
    is_annotation_key,
};
use crate::driver::name::driver_version;
use crate::driver::platform::DXG;
use crate::host::allowance::Unusable;
use crate::host::program::is_program;
use crate::inventory::Inventory;

/// The permission that engines of users other than root need.
const READABLE: u32 = 0o004;
/// Libraries of which every driver has one, with its version in the file name.
const WITNESSES: [&str; 2] = ["libcuda.so.", "libnvidia-ml.so."];
const VENDOR: &str = "nvidia.com";
/// Parts of the paths of NVIDIA's device nodes, on a host with its driver and on WSL.
const NODES: [&str; 2] = ["/dev/nvidia", DXG];
/// The numbers of the nodes that give access to MIG instances; lower ones are for control, higher ones for other purposes.
const MIG_CAPABILITIES: RangeInclusive<u32> = 3..=4322;

/// The checks that need only the specs and the driver.
pub(in crate::command) const CHECKS: [Check; 11] = [
    specs_are_valid,
    specs_are_readable,
    names_are_those_of_the_standard,
    paths_are_there,
    nodes_are_there,
    device_numbers_are_right,
    mig_instances_are_there,
    driver_is_the_loaded_one,
    hook_paths_are_absolute,
    hooks_are_there,
    devices_are_unique,
];

fn specs_are_valid(host: &Inventory) -> Vec<Finding> {
    let errors = host
        .specs
        .iter()
        .filter_map(|file| Some((file, file.spec.as_ref().err()?)));
    errors
        .map(|(file, err)| {
            let finding = format!("{}: {err}", file.path.display());
            match err {
                Unusable::Invalid(_) => Finding::error(
                    "cdi-spec-invalid",
                    finding,
                    "the file is damaged or has an unknown version: engines ignore it",
                    "write it again with 'nvidia-ctk cdi generate --output FILE' or the program that wrote it",
                ),
                Unusable::LeftOut(_) => Finding::left_out("cdi-spec-left-out", finding),
            }
        })
        .collect()
}

fn specs_are_readable(host: &Inventory) -> Vec<Finding> {
    let unreadable = host.specs.iter().filter_map(|file| {
        let mode = file.mode.filter(|mode| mode & READABLE == 0)?;
        Some((file, mode))
    });
    unreadable
        .map(|(file, mode)| {
            Finding::warning(
                "cdi-spec-unreadable",
                format!("{} has mode {mode:04o}", file.path.display()),
                "it was written with a strict umask: rootless engines cannot read it",
                format!("chmod 644 {}", file.path.display()),
            )
        })
        .collect()
}

fn paths_are_there(host: &Inventory) -> Vec<Finding> {
    each_spec(
        host,
        |spec| {
            let mounts = mounts(spec).map(|mount| mount.host_path.as_str());
            let nodes = nodes(spec).map(DeviceNode::on_host);
            let nodes = nodes.filter(|path| !awaits_node(&host.driver, Path::new(path)));
            let paths = mounts.chain(nodes);
            paths.filter(|path| is_missing(host, path)).collect()
        },
        |file, missing| {
            Finding::error(
                "cdi-path-missing",
                format!(
                    "{} names files that do not exist: {missing}",
                    file.path.display()
                ),
                "the driver was updated or removed since the spec was written: no container starts with it",
                rewrite(file),
            )
        },
    )
}

fn nodes_are_there(host: &Inventory) -> Vec<Finding> {
    let (cause, fix) = why_nodes_are_missing(&host.driver);
    each_spec(
        host,
        |spec| {
            let nodes = nodes(spec).map(DeviceNode::on_host);
            let nodes = nodes.filter(|path| awaits_node(&host.driver, Path::new(path)));
            nodes.filter(|path| is_missing(host, path)).collect()
        },
        |file, missing| {
            Finding::error(
                "cdi-path-missing",
                format!(
                    "{} names device nodes that do not exist: {missing}",
                    file.path.display()
                ),
                cause,
                fix,
            )
        },
    )
}

fn is_missing(host: &Inventory, path: &str) -> bool {
    host.root.stat(Path::new(path)).is_err()
}

fn device_numbers_are_right(host: &Inventory) -> Vec<Finding> {
    let dev = host.driver.dev_root.join("dev");
    let is_wrong = |node: &&DeviceNode| {
        let path = Path::new(node.on_host());
        let stat = host.root.stat(path);
        let number = stat.ok().and_then(|it| it.device_number);
        let expected = path
            .strip_prefix(&dev)
            .map(|name| host.driver.majors.expected(name));
        let (major, minor) = expected.unwrap_or_default();
        node.major != 0
            && (number.is_some_and(|it| it != (node.major, node.minor))
                || major.is_some_and(|it| it != node.major)
                || minor.is_some_and(|it| it != node.minor))
    };
    each_spec(
        host,
        |spec| {
            nodes(spec)
                .filter(is_wrong)
                .map(DeviceNode::on_host)
                .collect()
        },
        |file, wrong| {
            Finding::error(
                "cdi-device-number",
                format!(
                    "{} has other device numbers than the kernel for {wrong}",
                    file.path.display()
                ),
                "the kernel gave the driver another major number: containers get the wrong device",
                rewrite(file),
            )
        },
    )
}

fn driver_is_the_loaded_one(host: &Inventory) -> Vec<Finding> {
    let Some(kernel) = &host.driver.kernel else {
        return Vec::new();
    };
    let is_of_other_driver = |path: &&str| {
        let name = Path::new(path).file_name().unwrap_or_default();
        let text = name.to_string_lossy();
        WITNESSES.iter().any(|it| text.starts_with(it))
            && driver_version(name).is_some_and(|version| version != kernel.version)
    };
    each_spec(
        host,
        |spec| {
            let mounts = mounts(spec).map(|mount| mount.host_path.as_str());
            mounts.filter(is_of_other_driver).collect()
        },
        |file, libraries| {
            Finding::error(
                "cdi-driver-version",
                format!(
                    "the kernel module is {}, but {} names {libraries}",
                    kernel.version,
                    file.path.display()
                ),
                "the driver was updated since the spec was written",
                rewrite(file),
            )
        },
    )
}

fn hooks_are_there(host: &Inventory) -> Vec<Finding> {
    let is_missing = |path: &Path| path.is_absolute() && is_program(&host.root, path).is_err();
    each_spec(
        host,
        |spec| {
            let paths = hooks(spec).map(|hook| hook.path.as_str());
            paths.filter(|path| is_missing(Path::new(path))).collect()
        },
        |file, missing| {
            Finding::error(
                "cdi-hook-missing",
                format!(
                    "{} calls hooks that are missing or not executable: {missing}",
                    file.path.display()
                ),
                "the spec was written on another host, or the hook was removed: no container starts with it",
                "run 'nvidia-ctk install', or write the spec again",
            )
        },
    )
}

fn hook_paths_are_absolute(host: &Inventory) -> Vec<Finding> {
    each_spec(
        host,
        |spec| {
            let paths = hooks(spec).map(|hook| hook.path.as_str());
            paths.filter(|path| !path.starts_with('/')).collect()
        },
        |file, relative| {
            Finding::error(
                "cdi-hook-relative",
                format!(
                    "{} calls hooks whose paths are not absolute: {relative}",
                    file.path.display()
                ),
                "runtimes do not search PATH: they refuse such a hook, and no container starts with it",
                "write the spec again with the full path of the hook",
            )
        },
    )
}

fn mig_instances_are_there(host: &Inventory) -> Vec<Finding> {
    if host.driver.kernel.is_none() {
        return Vec::new();
    }
    let instances = host.driver.mig.iter();
    let there: Vec<u32> = instances.flat_map(|it| it.capabilities).flatten().collect();
    let is_gone = |path: &&str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let number = name.strip_prefix("nvidia-cap").map(str::parse);
        folder.ends_with("/nvidia-caps")
            && matches!(number, Some(Ok(it)) if MIG_CAPABILITIES.contains(&it) && !there.contains(&it))
    };
    each_spec(
        host,
        |spec| {
            nodes(spec)
                .map(DeviceNode::on_host)
                .filter(is_gone)
                .collect()
        },
        |file, gone| {
            Finding::error(
                "cdi-mig-instance-gone",
                format!(
                    "{} has nodes of MIG instances that no longer exist: {gone}",
                    file.path.display()
                ),
                "the GPU was repartitioned since the spec was written: containers do not get the instance that they request",
                rewrite(file),
            )
        },
    )
}

fn names_are_those_of_the_standard(host: &Inventory) -> Vec<Finding> {
    each_spec(host, odd_names, |file, names| {
        Finding::warning(
            "cdi-spec-name",
            format!(
                "{} has names that the standard does not allow: {names}",
                file.path.display()
            ),
            "a vendor has at most 253 characters, a class 63, and annotation keys follow the rules of Kubernetes: \
             today's engines accept others as well",
            rewrite(file),
        )
    })
}

fn odd_names(spec: &Spec) -> Vec<&str> {
    let (vendor, class) = spec.kind.split_once('/').unwrap_or_default();
    let is_long = vendor.len() > MAX_VENDOR || class.len() > MAX_CLASS;
    let of_devices = spec.devices.iter().map(|device| &device.annotations);
    let keys = std::iter::once(&spec.annotations)
        .chain(of_devices)
        .flat_map(BTreeMap::keys);
    let odd = keys
        .map(String::as_str)
        .filter(|key| !is_annotation_key(key));
    odd.chain(is_long.then_some(spec.kind.as_str())).collect()
}

/// How to write a spec again. A spec of another vendor is not this program's to replace.
fn rewrite(file: &SpecFile) -> String {
    if describes_nvidia(file) {
        let path = file.path.display();
        format!(
            "write it again with 'nvidia-ctk cdi generate --output {path}' or the program that wrote it"
        )
    } else {
        "write it again with the program that wrote it".to_owned()
    }
}

/// Whether a spec describes devices of NVIDIA: by its vendor, or under another name by its device nodes.
pub(super) fn describes_nvidia(file: &SpecFile) -> bool {
    file.spec.as_ref().is_ok_and(|spec| {
        let (vendor, _) = spec.kind.split_once('/').unwrap_or_default();
        let is_node = |node: &DeviceNode| NODES.iter().any(|it| node.on_host().contains(it));
        vendor == VENDOR || vendor.ends_with(&format!(".{VENDOR}")) || nodes(spec).any(is_node)
    })
}

/// Returns a finding for each spec that has a fault.
fn each_spec<'h>(
    host: &'h Inventory,
    wrong: impl Fn(&'h Spec) -> Vec<&'h str>,
    finding: impl Fn(&SpecFile, String) -> Finding,
) -> Vec<Finding> {
    specs(host)
        .map(|(file, spec)| (file, BTreeSet::from_iter(wrong(spec))))
        .filter(|(_, wrong)| !wrong.is_empty())
        .map(|(file, wrong)| finding(file, few(wrong)))
        .collect()
}

/// The specs that engines use.
fn specs(host: &Inventory) -> impl Iterator<Item = (&SpecFile, &Spec)> {
    host.specs
        .iter()
        .filter_map(|file| Some((file, file.spec.as_ref().ok()?)))
}

fn nodes(spec: &Spec) -> impl Iterator<Item = &DeviceNode> {
    spec.edits().flat_map(|edits| &edits.device_nodes)
}

fn hooks(spec: &Spec) -> impl Iterator<Item = &Hook> {
    spec.edits().flat_map(|edits| &edits.hooks)
}

fn mounts(spec: &Spec) -> impl Iterator<Item = &Mount> {
    spec.edits().flat_map(|edits| &edits.mounts)
}

fn devices_are_unique(host: &Inventory) -> Vec<Finding> {
    let registry = Registry::of(&host.specs);
    registry.shared().iter().map(duplicate).collect()
}

fn duplicate(shared: &Shared<'_>) -> Finding {
    let finding = format!(
        "{}: defined in {}",
        few(&shared.names),
        few(shared.files.iter().map(|file| file.path.display()))
    );
    match shared.winner() {
        Some(winner) => Finding::warning(
            "cdi-device-overridden",
            finding,
            "the specs were written to two directories",
            format!(
                "remove the others: {} takes precedence",
                winner.path.display()
            ),
        ),
        None => Finding::error(
            "cdi-device-duplicate",
            finding,
            "two specs in one directory define the same device: engines use neither",
            "remove one of the files",
        ),
    }
}
