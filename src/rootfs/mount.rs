//! Covering a file of a root that cannot be written to, without any path and without a trace elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    fspick, move_mount, open_tree,
};

const TMPFS_OPTIONS: [(&str, &str); 3] = [("mode", "0555"), ("size", "64m"), ("nr_inodes", "2")];

/// Mounts a file with these bytes over `target`, a regular file. It cannot be written to by anyone, and stays when the runtime
/// makes the root the container's `/`. Needs `CAP_SYS_ADMIN`, and a kernel that clones out of a detached mount.
pub(super) fn cover(target: impl AsFd, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
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
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let file = open_tree(&mount, name, flags)?;
    let by_descriptor =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(&file, "", target, "", by_descriptor)?)
}
