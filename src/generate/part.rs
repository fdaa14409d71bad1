//! A part of a spec under construction: container edits, and the work of hooks.

use std::path::Path;

use super::hooks::Work;
use crate::cdi::{ContainerEdits, DeviceNode, Mount};
use crate::driver::dev::Node;
use crate::driver::files::DriverFile;

/// Mount options of files.
const READ_ONLY: &[&str] = &["ro", "nosuid", "nodev", "rbind", "rprivate"];
/// Mount options of sockets, which clients write to.
const SOCKET: &[&str] = &["nosuid", "nodev", "rbind", "rprivate", "noexec"];
const PERMISSIONS: &str = "rwm";
/// Read and write permission for all users.
const OPEN_FOR_ALL: u32 = 0o006;

/// The edits and the work for one device, or for all.
#[derive(Clone, Default, Debug)]
pub(super) struct Part {
    pub(super) edits: ContainerEdits,
    pub(super) work: Work,
}

impl Part {
    /// Adds a device node, and its group if access is restricted to it.
    pub(super) fn node(&mut self, node: &Node, adds_groups: bool) {
        let (major, minor) = node.number;
        let gid = (node.group != 0).then_some(node.group);
        self.edits.device_nodes.push(DeviceNode {
            path: text(&node.inside),
            host_path: (node.on_host != node.inside).then(|| text(&node.on_host)),
            major,
            minor,
            file_mode: Some(node.mode),
            permissions: PERMISSIONS.to_owned(),
            gid,
            ..DeviceNode::default()
        });
        if adds_groups && node.mode & OPEN_FOR_ALL != OPEN_FOR_ALL {
            self.edits.additional_gids.extend(gid);
        }
    }

    /// Adds mounts of files.
    pub(super) fn files<'f>(&mut self, files: impl IntoIterator<Item = &'f DriverFile>) {
        self.mounts(files, READ_ONLY);
    }

    /// Adds mounts of sockets.
    pub(super) fn sockets<'f>(&mut self, files: impl IntoIterator<Item = &'f DriverFile>) {
        self.mounts(files, SOCKET);
    }

    fn mounts<'f>(&mut self, files: impl IntoIterator<Item = &'f DriverFile>, options: &[&str]) {
        let mount = |file: &DriverFile| Mount {
            host_path: text(&file.on_host),
            container_path: text(&file.inside),
            options: options.iter().map(|&it| it.to_owned()).collect(),
            kind: String::new(),
        };
        self.edits.mounts.extend(files.into_iter().map(mount));
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
