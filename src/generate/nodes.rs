//! Modes whose devices consist of nodes only.

use std::path::{Path, PathBuf};

use super::part::Part;
use super::{ALL, Device, Notes, Parts, Source};
use crate::driver::dev::Node;
use crate::driver::files::DriverFile;
use crate::driver::node::CONTROL;
use crate::rootfs::Kind;

/// The nodes that CUDA programs cannot work without.
const NEEDED: [&str; 2] = ["nvidia-uvm", "nvidiactl"];
const REMEDY: &str = "; 'nvidia-ctk system create-device-nodes --control-devices' creates it";
/// Nodes that belong to other modes.
const NOT_FOR_MANAGEMENT: [&str; 3] = ["nvidia-fs", "nvidia-nvswitch", "nvidia-nvlink"];
/// Directories of nodes that only root can enter.
const DIRECTORIES: [&str; 2] = ["/dev/dri", "/dev/nvidia-caps"];
/// The nodes that grant permission to configure and to monitor MIG.
const MIG: [(&str, &str); 2] = [("config", "nvidia-cap1"), ("monitor", "nvidia-cap2")];

pub(super) fn control(source: &Source<'_>, notes: &mut Notes) -> Vec<Node> {
    let mut found = Vec::new();
    for name in CONTROL {
        match source.node(name) {
            Ok(node) => found.push(node),
            Err(why) if NEEDED.contains(&name) || source.dev.node(name).is_some() => {
                notes.error(format!("{why}{REMEDY}"));
            }
            Err(_) => {}
        }
    }
    found
}

/// Returns the nodes for programs that manage GPUs, except those with wrong numbers.
pub(super) fn management(source: &Source<'_>, notes: &mut Notes) -> Vec<Node> {
    let mut found = source.dev.nodes("", "nvidia");
    found.retain(|node| {
        !NOT_FOR_MANAGEMENT
            .iter()
            .any(|it| node.name().starts_with(it))
    });
    found.extend(source.dev.nodes("nvidia-caps", "nvidia-cap"));
    found.extend(source.dev.nodes("nvidia-caps-imex-channels", "channel"));
    found.retain(|node| {
        let right = source.node(node.below_dev());
        right.map_err(|why| notes.error(why)).is_ok()
    });
    found
}

pub(super) fn gds(source: &Source<'_>) -> Parts {
    let nodes = source.dev.nodes("", "nvidia-fs");
    let mut part = part(source, &nodes);
    if !nodes.is_empty() {
        let wanted = [
            ("/run/udev", Kind::Directory),
            ("/etc/cufile.json", Kind::File),
        ];
        let files = wanted.iter().filter_map(|(path, kind)| {
            let path = Path::new(path);
            let found = source.root().ok()?.stat(path).ok()?;
            (found.kind == *kind).then(|| DriverFile {
                on_host: source.driver.on_host(path),
                inside: path.into(),
            })
        });
        part.files(&files.collect::<Vec<_>>());
    }
    of(part)
}

pub(super) fn gdrcopy(source: &Source<'_>) -> Parts {
    of(part(
        source,
        &source.dev.node("gdrdrv").into_iter().collect::<Vec<_>>(),
    ))
}

pub(super) fn mofed(source: &Source<'_>) -> Parts {
    let mut nodes = source.dev.nodes("infiniband", "uverbs");
    nodes.extend(source.dev.node("infiniband/rdma_cm"));
    of(part(source, &nodes))
}

pub(super) fn nvswitch(source: &Source<'_>) -> Parts {
    of(part(source, &source.dev.nodes("", "nvidia-nvswitch")))
}

pub(super) fn mig_capabilities(source: &Source<'_>, notes: &mut Notes) -> Parts {
    let device = |(name, node): &(&str, &str)| {
        let node = source.node(Path::new("nvidia-caps").join(node));
        let node = node.map_err(|why| notes.error(why)).ok()?;
        Some(Device {
            names: vec![(*name).to_owned()],
            ..all(part(source, &[node]))
        })
    };
    Parts {
        common: Part::default(),
        devices: MIG.iter().filter_map(device).collect(),
    }
}

fn part(source: &Source<'_>, nodes: &[Node]) -> Part {
    let mut part = Part::default();
    for node in nodes {
        part.node(node, source.options.adds_groups);
    }
    part
}

/// Returns a single device with the part; none if it has no nodes.
fn of(part: Part) -> Parts {
    let has_nodes = !part.edits.device_nodes.is_empty();
    Parts {
        common: Part::default(),
        devices: has_nodes.then(|| all(part)).into_iter().collect(),
    }
}

/// Returns the device `all` with this part.
pub(super) fn all(part: Part) -> Device {
    Device {
        names: vec![ALL.to_owned()],
        part,
        is_coherent: None,
    }
}

/// Returns the directories of the nodes that only root can enter.
pub(super) fn directories(nodes: &[Node]) -> Vec<PathBuf> {
    let has = |directory: &&&str| nodes.iter().any(|it| it.inside.starts_with(**directory));
    DIRECTORIES.iter().filter(has).map(PathBuf::from).collect()
}
