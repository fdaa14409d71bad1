//! Covering a file of a root that cannot be written to, without any path of it and without a trace elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, fspick, move_mount, open_tree, unmount,
};

use super::itself;

const TMPFS_OPTIONS: [(&str, &str); 3] = [("mode", "0555"), ("size", "64m"), ("nr_inodes", "2")];

/// Mounts a file with these bytes over `target`, a regular file. It cannot be written to by anyone, and stays when the runtime
/// makes the root the container's `/`. Needs `CAP_SYS_ADMIN` and Linux 5.2.
///
/// Up to Linux 6.14 a single file is cloned only out of what is mounted somewhere: that is `anywhere`, a directory, for a moment.
pub(super) fn cover(
    target: impl AsFd,
    anywhere: impl AsFd,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let tmpfs = read_only_tmpfs(name, bytes, mode)?;
    attach(&tmpfs, anywhere)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let file = open_tree(&tmpfs, name, flags);
    unmount(itself(&tmpfs), UnmountFlags::DETACH)?;
    attach(&file?, target)
}

/// A file system that is mounted nowhere, with one file in it.
fn read_only_tmpfs(name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<OwnedFd> {
    let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in TMPFS_OPTIONS {
        fsconfig_set_string(&tmpfs, key, value)?;
    }
    fsconfig_create(&tmpfs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(&mount, name, flags, Mode::from_raw_mode(mode))?);
    file.write_all(bytes)?;
    drop(file);
    // Read-only for good: the file system itself, not only this mount of it.
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    let tmpfs = fspick(&mount, "", flags)?;
    fsconfig_set_flag(&tmpfs, "ro")?;
    fsconfig_reconfigure(&tmpfs)?;
    Ok(mount)
}

fn attach(mount: &OwnedFd, target: impl AsFd) -> io::Result<()> {
    let by_descriptor =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", by_descriptor)?)
}
