//! The mounts of a process and of a file: `proc_pid_mountinfo(5)`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::fs::{AtFlags, StatxFlags, statx};

/// Identifies a mount as long as it exists: field 1 of mountinfo.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct MountId(u64);

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: MountId,
    /// The mount that contains the mount point.
    pub(super) parent: MountId,
    /// `major:minor` of the file system.
    pub(super) device: OsString,
    /// The mounted directory of the file system; `/` for all of it.
    pub(super) root: PathBuf,
    /// The mount point, relative to the process' root.
    pub(super) target: PathBuf,
    /// Whether mounts on it propagate to other mount namespaces.
    pub(super) is_shared: bool,
    pub(super) fs_type: OsString,
}

impl MountId {
    /// Returns the mount of an open file. Fails if the kernel does not report it.
    pub(super) fn of(fd: impl AsFd) -> io::Result<Self> {
        by_statx(&fd, OsStr::new(""), AtFlags::EMPTY_PATH).map_or_else(|| by_fdinfo(&fd), Ok)
    }

    /// Returns the mount of `name` in a directory, which differs from the directory's if `name` is a mount point. A link is not
    /// followed. Fails if the kernel does not report it.
    pub(super) fn of_name(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        if let Some(id) = by_statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            return Ok(id);
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        by_fdinfo(openat(directory, name, flags, Mode::empty())?)
    }
}

/// Returns `None` before Linux 5.8 and if statx(2) is hidden.
fn by_statx(fd: impl AsFd, name: &OsStr, flags: AtFlags) -> Option<MountId> {
    let flags = flags | AtFlags::NO_AUTOMOUNT;
    let stat = statx(fd, name, flags, StatxFlags::MNT_ID).ok()?;
    let is_told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    is_told.then_some(MountId(stat.stx_mnt_id))
}

#[expect(clippy::disallowed_methods, reason = "the host's own /proc")]
fn by_fdinfo(fd: impl AsFd) -> io::Result<MountId> {
    let path = format!("/proc/thread-self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .map(MountId)
        .ok_or_else(|| io::Error::other("the kernel does not report which mount it is on"))
}

/// Returns all mounts in the namespace of the process that `process` names in /proc, such as `thread-self`. Fails if they cannot
/// be read.
#[expect(clippy::disallowed_methods, reason = "the host's own /proc")]
pub(super) fn mounts_of(process: &str) -> io::Result<Vec<Mount>> {
    let bytes = std::fs::read(Path::new("/proc").join(process).join("mountinfo"))?;
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).ok_or_else(|| Errno::EINVAL.into()))
        .collect()
}

/// Whether mounts on the file's mount stay in the mount namespace with these mounts. Fails if the mount is unknown.
pub(super) fn is_private(file: impl AsFd, mounts: &[Mount]) -> io::Result<bool> {
    let id = MountId::of(file)?;
    Ok(mounts.iter().any(|it| it.id == id && !it.is_shared))
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = fields.next()?;
    let root = unescape(fields.next()?);
    let target = unescape(fields.next()?);
    let _options = fields.next()?;
    let optional: Vec<_> = fields.by_ref().take_while(|field| *field != b"-").collect();
    Some(Mount {
        id: MountId(id),
        parent: MountId(parent),
        device: OsStr::from_bytes(device).to_owned(),
        root: root.into(),
        target: target.into(),
        is_shared: optional.iter().any(|field| field.starts_with(b"shared:")),
        fs_type: OsStr::from_bytes(fields.next()?).to_owned(),
    })
}

/// Decodes space, tab, newline and backslash, which are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut left = field;
    while let Some((&first, rest)) = left.split_first() {
        let code = rest.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(first));
        left = rest
            .get(if byte.is_some() { 3 } else { 0 }..)
            .unwrap_or_default();
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_understood() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.parent), (MountId(36), MountId(35)));
        assert_eq!(mount.device, "98:0");
        assert_eq!(mount.root, Path::new("/mnt1"));
        assert_eq!(mount.target, Path::new("/mnt 2\\"));
        assert_eq!(mount.fs_type, "ext3");
        assert!(!mount.is_shared);
        assert!(
            parse(b"1 0 0:1 / / rw shared:7 master:2 - tmpfs t rw")
                .unwrap()
                .is_shared
        );
        assert!(!parse(b"1 0 0:1 / / rw - tmpfs t rw").unwrap().is_shared);
        for line in ["", "1", "x 0 0:1 / / rw - tmpfs", "1 0 0:1 / / rw"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn both_ways_find_the_same_mount() {
        let root = std::fs::File::open("/").unwrap();
        let proc = std::fs::File::open("/proc").unwrap();
        for file in [&root, &proc] {
            let id = by_fdinfo(file).unwrap();
            assert_eq!(MountId::of(file).unwrap(), id);
            assert!(
                mounts_of("thread-self")
                    .unwrap()
                    .iter()
                    .any(|it| it.id == id)
            );
        }
        let id = |name| MountId::of_name(&root, OsStr::new(name)).unwrap();
        assert_ne!(id("proc"), MountId::of(&root).unwrap());
        assert_eq!(id("proc"), MountId::of(&proc).unwrap());
    }
}
