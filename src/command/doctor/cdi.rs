//! CDI specs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Display, Path};

use super::{Finding, few};
use crate::cdi::{DeviceNode, Mount, Spec, SpecFile};
use crate::driver::name::driver_version;
use crate::host::allowance::Unusable;
use crate::host::program::is_program;
use crate::inventory::Inventory;

const REWRITE: &str = "write the spec again with the program that wrote it";
/// The permission that engines of other users than root need.
const READABLE: u32 = 0o004;

pub(super) fn specs_are_valid(host: &Inventory) -> Vec<Finding> {
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
                    "the file is damaged, or of a version that is not known: engines ignore it",
                    REWRITE,
                ),
                Unusable::LeftOut(_) => Finding::left_out("cdi-spec-left-out", finding),
            }
        })
        .collect()
}

pub(super) fn specs_are_readable(host: &Inventory) -> Vec<Finding> {
    let unreadable = host.specs.iter().filter(|file| file.mode & READABLE == 0);
    unreadable
        .map(|file| {
            Finding::warning(
                "cdi-spec-unreadable",
                format!("{} has mode {:04o}", file.path.display(), file.mode),
                "it was written with a strict umask: rootless engines cannot read it",
                format!("chmod 644 {}", file.path.display()),
            )
        })
        .collect()
}

pub(super) fn paths_are_there(host: &Inventory) -> Vec<Finding> {
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
                format!("{file} names what is not there: {missing}"),
                "the driver was updated or removed since the spec was written: no container starts with it",
                REWRITE,
            )
        },
    )
}

pub(super) fn device_numbers_are_right(host: &Inventory) -> Vec<Finding> {
    let is_wrong = |node: &&DeviceNode| {
        let stat = host.root.stat(Path::new(node.on_host()));
        let number = stat.ok().and_then(|it| it.device_number);
        node.major != 0 && number.is_some_and(|number| number != (node.major, node.minor))
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
                format!("{file} has other numbers than the nodes {wrong}"),
                "the kernel gave the driver another major number: containers get the wrong device",
                REWRITE,
            )
        },
    )
}

pub(super) fn driver_is_the_loaded_one(host: &Inventory) -> Vec<Finding> {
    let Some(kernel) = &host.driver.kernel else {
        return Vec::new();
    };
    let is_of_other_driver = |path: &&str| {
        let name = Path::new(path).file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("libcuda.so.")
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

pub(super) fn hooks_are_there(host: &Inventory) -> Vec<Finding> {
    let is_missing = |path: &&str| is_program(&host.root, Path::new(path)).is_err();
    each_spec(
        host,
        |spec| {
            let hooks = spec.edits().flat_map(|edits| &edits.hooks);
            hooks
                .map(|hook| hook.path.as_str())
                .filter(is_missing)
                .collect()
        },
        |file, missing| {
            Finding::error(
                "cdi-hook-missing",
                format!("{file} calls hooks that are no programs: {missing}"),
                "the spec was written on another host, or the hook was removed: no container starts with it",
                "run 'nvidia-ctk install', or write the spec again",
            )
        },
    )
}

/// A finding for each spec that has something wrong in it.
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

/// The specs that engines take.
fn specs(host: &Inventory) -> impl Iterator<Item = (&SpecFile, &Spec)> {
    host.specs
        .iter()
        .filter_map(|file| Some((file, file.spec.as_ref().ok()?)))
}

fn nodes(spec: &Spec) -> impl Iterator<Item = &DeviceNode> {
    spec.edits().flat_map(|edits| &edits.device_nodes)
}

fn mounts(spec: &Spec) -> impl Iterator<Item = &Mount> {
    spec.edits().flat_map(|edits| &edits.mounts)
}

pub(super) fn devices_are_unique(host: &Inventory) -> Vec<Finding> {
    let mut files: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for (file, spec) in specs(host) {
        for name in spec.qualified_names() {
            files.entry(name).or_default().push(&file.path);
        }
    }
    // One finding for each set of files, not one for each device.
    let mut devices: BTreeMap<Vec<&Path>, Vec<&str>> = BTreeMap::new();
    for (name, paths) in files.iter().filter(|(_, paths)| paths.len() > 1) {
        devices.entry(paths.clone()).or_default().push(name);
    }
    devices
        .iter()
        .map(|(paths, names)| duplicate(paths, names))
        .collect()
}

fn duplicate(paths: &[&Path], names: &[&str]) -> Finding {
    let finding = format!(
        "{}: in {}",
        few(names),
        few(paths.iter().map(|it| it.display()))
    );
    let mut last = paths.iter().rev();
    match (last.next(), last.next()) {
        (Some(winner), Some(other)) if winner.parent() != other.parent() => Finding::warning(
            "cdi-device-overridden",
            finding,
            "the specs were written to two directories",
            format!("{} counts: remove the other one", winner.display()),
        ),
        _ => Finding::error(
            "cdi-device-duplicate",
            finding,
            "two specs in one directory have the same device: engines take neither",
            "remove one of the files",
        ),
    }
}
