//! Covers a file of a container that cannot be written: mounts a read-only file over it, in the container's own mount namespace.
//! Nothing below the mount changes, and no path is passed to the kernel.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    fspick, move_mount, open_tree,
};

use super::gate::MountNamespace;
use super::mount_table::{MountId, is_private, mounts_of};
use super::{ContainerRoot, Kind, Metadata, fd_path, open_file, read_bounded};
use crate::sys::STACK;

/// The name of the file in the mounted file system.
const NAME: &str = "file";
const TMPFS_OPTIONS: [(&str, &str); 2] = [("mode", "0755"), ("size", "64m")];
/// The temporary mount point on kernels without fsopen(2): a directory that every Linux host has, and that the container does not
/// see after `pivot_root(2)`.
const ON_HOST: &str = "/sys";

/// The only files that can be covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Covered {
    /// `/etc/ld.so.cache`
    LdCache,
    /// `/proc/driver/nvidia/params`, if it is the kernel's.
    NvidiaParams,
}

impl Covered {
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::LdCache => &["etc", "ld.so.cache"],
            Self::NvidiaParams => &["proc", "driver", "nvidia", "params"],
        }
    }

    /// Returns a handle of the regular file, if it exists. Follows no link, so that an image cannot choose what is covered.
    fn find(self, root: &ContainerRoot) -> io::Result<Option<OwnedFd>> {
        let mut found = root.as_fd().try_clone_to_owned()?;
        for name in self.path() {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            found = match openat(&found, *name, flags, Mode::empty()) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                found => found?,
            };
        }
        let is_file = Metadata::of(&found)?.kind == Kind::File;
        let is_kernels = || Ok::<_, Errno>(fstatfs(&found)?.filesystem_type() == PROC_SUPER_MAGIC);
        let is_it = is_file && (self == Self::LdCache || is_kernels()?);
        Ok(is_it.then_some(found))
    }
}

/// A thread that keeps the right to mount after the hook gave it up, and does nothing but mount.
pub struct Mounter {
    requests: Sender<Request>,
}

struct Request {
    target: OwnedFd,
    bytes: Vec<u8>,
    mode: Mode,
    answer: Sender<io::Result<()>>,
}

impl Mounter {
    fn start(prepare: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (requests, received): (_, Receiver<Request>) = channel();
        thread::Builder::new().stack_size(STACK).spawn(move || {
            prepare();
            for request in received {
                let _ = request
                    .answer
                    .send(cover(&request.target, &request.bytes, request.mode));
            }
        })?;
        Ok(Self { requests })
    }

    fn cover(&self, target: OwnedFd, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let (answer, answered) = channel();
        let request = Request {
            target,
            bytes: bytes.to_vec(),
            mode,
            answer,
        };
        let gone = || io::Error::other("the thread that mounts is gone");
        self.requests.send(request).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl ContainerRoot {
    /// Whether [`Self::cover`] works: only in the container's own mount namespace, where nobody else sees the mount.
    #[must_use]
    pub fn may_mount(&self) -> bool {
        self.gate.namespace() == MountNamespace::Own
    }

    /// Whether the cache may have to be covered: the root is read-only already, or its `/etc` or the cache is a mount point. No
    /// link is followed.
    #[must_use]
    pub fn needs_mount(&self) -> bool {
        let is_read_only = || {
            let fs = fstatvfs(self);
            fs.is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY))
        };
        self.may_mount() && (is_read_only() || self.is_cache_on_other_mount())
    }

    fn is_cache_on_other_mount(&self) -> bool {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let is_other = || -> io::Result<bool> {
            let root = MountId::of(self)?;
            let etc = openat(self, "etc", flags, Mode::empty())?;
            Ok(MountId::of(&etc)? != root
                || MountId::of_name(&etc, "ld.so.cache".as_ref())? != root)
        };
        is_other().unwrap_or(false)
    }

    /// Starts a thread that serves [`Self::cover`], so that the caller can give up the right to mount. The thread calls `prepare`
    /// first. Fails if the thread cannot be started.
    pub fn start_mounter(&mut self, prepare: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.mounter = Some(Mounter::start(prepare)?);
        Ok(())
    }

    /// Whether the container has the file with other content. Fails if it cannot be read.
    pub fn has_other(&self, file: Covered, bytes: &[u8]) -> io::Result<bool> {
        match file.find(self)? {
            Some(there) => Ok(!holds(&there, bytes)?),
            None => Ok(false),
        }
    }

    /// Mounts a read-only file with these bytes over the file; returns whether the content changed. Fails if the file does not
    /// exist, or if the mount would be visible outside the container. Requires `CAP_SYS_ADMIN`.
    pub fn cover(&self, file: Covered, bytes: &[u8], mode: Mode) -> io::Result<bool> {
        let target = file.find(self)?.ok_or(Errno::ENOENT)?;
        if holds(&target, bytes)? {
            return Ok(false);
        }
        if !self.gate.is_private(&target)? {
            return Err(io::Error::other(
                "it is on a mount that other mount namespaces share",
            ));
        }
        match &self.mounter {
            Some(mounter) => mounter.cover(target, bytes, mode)?,
            None => cover(&target, bytes, mode)?,
        }
        Ok(true)
    }
}

fn holds(file: &OwnedFd, bytes: &[u8]) -> io::Result<bool> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (file, metadata) = open_file(file)?;
    match read_bounded(file, metadata.size, size) {
        Ok(there) => Ok(there == bytes),
        Err(err) if err.kind() == io::ErrorKind::FileTooLarge => Ok(false),
        Err(err) => Err(err),
    }
}

/// Mounts a file with these bytes over `target`. Nobody can write to it, and it stays when the runtime makes the root the
/// container's `/`.
fn cover(target: &OwnedFd, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let covered = read_only_tmpfs(bytes, mode)
        .and_then(|tmpfs| clone_file(&tmpfs))
        .and_then(|file| attach(&file, target));
    match covered {
        Err(Errno::ENOSYS | Errno::EPERM) => cover_by_path(target, bytes, mode),
        covered => Ok(covered?),
    }
}

/// Returns a detached mount of the single file.
fn clone_file(tmpfs: &OwnedFd) -> nix::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(tmpfs, NAME, flags) {
        // Up to Linux 6.14 a file can be cloned only from a mounted file system.
        Err(rustix::io::Errno::INVAL) => clone_mounted_file(tmpfs),
        file => file.map_err(errno),
    }
}

/// Clones the file after mounting the file system in a mount namespace that ends with its thread, so that an interruption
/// leaves nothing behind.
fn clone_mounted_file(tmpfs: &OwnedFd) -> nix::Result<OwnedFd> {
    let mount_and_clone = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(tmpfs, "", CWD, "/", by_descriptor).map_err(errno)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(tmpfs, NAME, flags).map_err(errno)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, mount_and_clone);
        let thread = thread.map_err(|_| Errno::EAGAIN)?;
        thread.join().unwrap_or(Err(Errno::EAGAIN))
    })
}

fn errno(err: rustix::io::Errno) -> Errno {
    Errno::from_raw(err.raw_os_error())
}

/// Creates a detached file system with one file in it. Linux 5.2 and later.
fn read_only_tmpfs(bytes: &[u8], mode: Mode) -> nix::Result<OwnedFd> {
    let make = || {
        let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in TMPFS_OPTIONS {
            fsconfig_set_string(&tmpfs, key, value)?;
        }
        fsconfig_create(&tmpfs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    let mount = make().map_err(errno)?;
    write_new(&mount, bytes, mode)?;
    // Makes the file system itself read-only, not only this mount of it.
    let make_read_only = || {
        let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
        let tmpfs = fspick(&mount, "", flags)?;
        fsconfig_set_flag(&tmpfs, "ro")?;
        fsconfig_reconfigure(&tmpfs)
    };
    make_read_only().map_err(errno)?;
    Ok(mount)
}

fn write_new(directory: impl AsFd, bytes: &[u8], mode: Mode) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(directory, NAME, flags, mode)?);
    let io = |err: io::Error| err.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    file.write_all(bytes).map_err(io)
}

fn attach(mount: &OwnedFd, target: &OwnedFd) -> nix::Result<()> {
    let by_descriptor =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", by_descriptor).map_err(errno)
}

/// The attributes of the mount, which a remount must repeat.
const ATTRIBUTES: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// Covers `target` with mount(2) alone. The temporary mount is in the part of the namespace that the container leaves behind: the
/// container does not see it even after an interruption.
fn cover_by_path(target: &OwnedFd, bytes: &[u8], mode: Mode) -> io::Result<()> {
    if !is_private(open_directory(ON_HOST)?, &mounts_of("thread-self")?)? {
        let message = format!("{ON_HOST} is on a mount that other mount namespaces share");
        return Err(io::Error::other(message));
    }
    let options = TMPFS_OPTIONS.map(|(key, value)| format!("{key}={value}"));
    let options = options.join(",");
    let tmpfs = Some("tmpfs");
    mount(tmpfs, ON_HOST, tmpfs, ATTRIBUTES, Some(options.as_str()))?;
    let covered = bind_file(target, bytes, mode);
    if let Err(errno) = umount2(ON_HOST, MntFlags::MNT_DETACH) {
        log::debug!("{ON_HOST}: stays covered for the rest of the hook: {errno}");
    }
    Ok(covered?)
}

fn bind_file(target: &OwnedFd, bytes: &[u8], mode: Mode) -> nix::Result<()> {
    let tmpfs = open_directory(ON_HOST)?;
    write_new(&tmpfs, bytes, mode)?;
    let file = openat(
        &tmpfs,
        NAME,
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let none = None::<&str>;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | ATTRIBUTES;
    mount(none, fd_path(&tmpfs).as_str(), none, read_only, none)?;
    let (from, to) = (fd_path(&file), fd_path(target));
    mount(
        Some(from.as_str()),
        to.as_str(),
        none,
        MsFlags::MS_BIND,
        none,
    )
}

fn open_directory(path: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a test in a mount namespace of its own, if this user can create one.
    fn in_own_namespace(test: impl FnOnce() + Send) {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
                    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
                    assert!(!is_ci, "no mount namespace can be made: {errno}");
                    return;
                }
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
                test();
            });
            thread.join().unwrap();
        });
    }

    /// Each way leaves one more mount, and nothing else.
    #[test]
    fn every_way_of_covering_comes_to_the_same() {
        type Way = fn(&OwnedFd) -> io::Result<()>;
        let ways: [Way; 3] = [
            |target| cover(target, b"new", Mode::S_IRUSR),
            |target| {
                let tmpfs = read_only_tmpfs(b"new", Mode::S_IRUSR)?;
                Ok(attach(&clone_mounted_file(&tmpfs)?, target)?)
            },
            |target| cover_by_path(target, b"new", Mode::S_IRUSR),
        ];
        for way in ways {
            in_own_namespace(|| {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(&file, "old").unwrap();
                let target = openat(AT_FDCWD, file.path(), OFlag::O_PATH, Mode::empty()).unwrap();
                let before = mounts_of("thread-self").unwrap();
                way(&target).unwrap();
                assert_eq!(std::fs::read(&file).unwrap(), b"new");
                let err = std::fs::write(&file, "x").unwrap_err();
                assert_eq!(err.kind(), io::ErrorKind::ReadOnlyFilesystem);
                let flags = fstatvfs(File::open(&file).unwrap()).unwrap().flags();
                let expected = FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
                assert!(flags.contains(expected), "{flags:?}");
                let after = mounts_of("thread-self").unwrap();
                let new: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
                assert_eq!(new.len(), 1, "{new:?}");
                assert_eq!(new[0].target, file.path());
            });
        }
    }

    #[test]
    fn a_file_holds_all_the_bytes_and_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "bytes").unwrap();
        let handle = openat(AT_FDCWD, file.path(), OFlag::O_PATH, Mode::empty()).unwrap();
        for (bytes, expected) in [
            ("bytes", true),
            ("byte", false),
            ("other", false),
            ("bytes and more", false),
            ("", false),
        ] {
            assert_eq!(
                holds(&handle, bytes.as_bytes()).unwrap(),
                expected,
                "{bytes}"
            );
        }
    }
}
