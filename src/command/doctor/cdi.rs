//! CDI specs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Display, Path};

use super::{Check, Finding, few};
use crate::cdi::{
    DeviceNode, Hook, MAX_CLASS, MAX_VENDOR, Mount, Registry, Shared, Spec, SpecFile,
    is_annotation_key,
};
use crate::driver::name::driver_version;
use crate::host::allowance::Unusable;
use crate::host::program::is_program;
use crate::inventory::Inventory;

const REWRITE: &str =
    "write it again with 'nvidia-ctk cdi generate --output FILE' or the program that wrote it";
/// The permission that engines of users other than root need.
const READABLE: u32 = 0o004;
/// Libraries of which every driver has one, with its version in the file name.
const WITNESSES: [&str; 2] = ["libcuda.so.", "libnvidia-ml.so."];
/// The numbers of the nodes that give access to MIG instances; lower ones are for control, higher ones for other purposes.
const MIG_CAPABILITIES: RangeInclusive<u32> = 3..=4322;

/// The checks that need only the specs and the driver.
pub(in crate::command) const CHECKS: [Check; 10] = [
    specs_are_valid,
    specs_are_readable,
    names_are_those_of_the_standard,
    paths_are_there,
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
                    REWRITE,
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
    let is_missing = |path: &&str| host.root.stat(Path::new(path)).is_err();
    each_spec(
        host,
        |spec| {
            let mounts = mounts(spec).map(|mount| mount.host_path.as_str());
            let nodes = nodes(spec).map(DeviceNode::on_host);
            mounts.chain(nodes).filter(is_missing).collect()
        },
        |file, missing| {
            Finding::error(
                "cdi-path-missing",
                format!("{file} names files that do not exist: {missing}"),
                "the driver was updated or removed since the spec was written: no container starts with it",
                REWRITE,
            )
        },
    )
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
                format!("{file} has other device numbers than the kernel for {wrong}"),
                "the kernel gave the driver another major number: containers get the wrong device",
                REWRITE,
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
                    "the kernel module is {}, but {file} names {libraries}",
                    kernel.version
                ),
                "the driver was updated since the spec was written",
                REWRITE,
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
                format!("{file} calls hooks that are not programs: {missing}"),
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
                format!("{file} calls hooks whose paths are not absolute: {relative}"),
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
                format!("{file} has nodes of MIG instances that no longer exist: {gone}"),
                "the GPU was repartitioned since the spec was written: containers do not get the instance that they request",
                REWRITE,
            )
        },
    )
}

fn names_are_those_of_the_standard(host: &Inventory) -> Vec<Finding> {
    each_spec(host, odd_names, |file, names| {
        Finding::warning(
            "cdi-spec-name",
            format!("{file} has names that the standard does not allow: {names}"),
            "a vendor has at most 253 characters, a class 63, and annotation keys follow the rules of Kubernetes: \
             today's engines accept others as well",
            REWRITE,
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

/// Returns a finding for each spec that has a fault.
fn each_spec<'h>(
    host: &'h Inventory,
    wrong: impl Fn(&'h Spec) -> Vec<&'h str>,
    finding: impl Fn(Display<'h>, String) -> Finding,
) -> Vec<Finding> {
    specs(host)
        .map(|(file, spec)| (file.path.display(), BTreeSet::from_iter(wrong(spec))))
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
