//! The mounts that a hook may write to: not those from elsewhere.
//!
//! Links are not the only way out of a root: directories of the host, volumes, procfs and sysfs are mounted in it and belong to
//! others. Every change below a [`super::ContainerRoot`] asks the gate first, which checks the mount and not the path.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::mount_table::{Mount, MountId, is_private, mounts_of};
use super::{below_root, lookup, path_of};

/// File systems that a runtime creates for one container; their content disappears with it.
const OF_ONE_CONTAINER: [&str; 2] = ["tmpfs", "devpts"];

/// The mount namespace of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountNamespace {
    /// The container's, which no process outside it uses: createContainer.
    Own,
    /// The runtime's; the container's first process is in another one: prestart, createRuntime.
    Other {
        /// The first process' pid in this process' pid namespace.
        pid: i64,
    },
    /// Unknown.
    Unknown,
}

/// The runtime's information about a container.
pub struct Surroundings {
    /// The mount namespace of this process.
    pub namespace: MountNamespace,
    /// Whether no process of the container runs yet.
    pub is_creating: bool,
    /// Returns the destinations of config.json's bind mounts; `None` if it cannot be read. Called before a change on a mount
    /// other than the root's own.
    pub binds: Box<dyn Fn() -> Option<Vec<PathBuf>> + Send + Sync>,
}

impl Default for Surroundings {
    /// Assumes an unknown namespace and no bind mounts.
    fn default() -> Self {
        Self {
            namespace: MountNamespace::Unknown,
            is_creating: false,
            binds: Box::new(|| Some(Vec::new())),
        }
    }
}

/// Knows the mounts that have the container's own files.
pub(super) struct Gate {
    root: Arc<OwnedFd>,
    root_mount: Option<MountId>,
    surroundings: Surroundings,
    /// The other mounts that only the container uses, determined before the first write to another mount.
    own_mounts: OnceLock<Vec<MountId>>,
}

impl Gate {
    pub(super) fn new(root: Arc<OwnedFd>, surroundings: Surroundings) -> Self {
        Self {
            root_mount: MountId::of(&root).ok(),
            root,
            surroundings,
            own_mounts: OnceLock::new(),
        }
    }

    pub(super) fn namespace(&self) -> MountNamespace {
        self.surroundings.namespace
    }

    /// Whether no process of the container runs yet.
    pub(super) fn is_creating(&self) -> bool {
        self.surroundings.is_creating
    }

    /// Whether nobody else can change files on the file's mount: no process of the container runs yet, and the mount is the
    /// root's own. Mounts in the root are not quiet.
    pub(super) fn is_quiet(&self, file: impl AsFd) -> bool {
        let is_roots = || self.root_mount.is_some() && MountId::of(file).ok() == self.root_mount;
        self.surroundings.is_creating && is_roots()
    }

    /// Checks that a file is on one of the container's own mounts. Fails otherwise, or if the mount is unknown, with an error of
    /// the kind [`io::ErrorKind::ReadOnlyFilesystem`].
    pub(super) fn permit(&self, file: impl AsFd) -> io::Result<()> {
        let mount = MountId::of(file).ok();
        let Some((mount, root)) = mount.zip(self.root_mount) else {
            return Err(foreign("the kernel does not report which mount it is on"));
        };
        if mount == root || self.own_mounts().contains(&mount) {
            return Ok(());
        }
        Err(foreign("it is on a mount that is not the container's own"))
    }

    /// Whether mounts on the file's mount stay in this mount namespace. Fails if the mounts cannot be read.
    pub(super) fn is_private(&self, file: impl AsFd) -> io::Result<bool> {
        is_private(file, &self.table()?)
    }

    fn own_mounts(&self) -> &[MountId] {
        self.own_mounts.get_or_init(|| {
            self.find_own_mounts().unwrap_or_else(|err| {
                log::debug!("only the root's mount counts as the container's own: {err}");
                Vec::new()
            })
        })
    }

    fn find_own_mounts(&self) -> io::Result<Vec<MountId>> {
        let Some(binds) = (self.surroundings.binds)() else {
            return Err(io::Error::other(
                "config.json does not list the bind mounts",
            ));
        };
        let binds = self.mounts_at(binds);
        let root = path_of(&self.root)?;
        let mounts = self.table()?;
        let inside = self.mounts_below_root(&mounts);
        let is_inside = |mount: &&Mount| {
            inside.contains(&mount.id) && mount.target != root && mount.target.starts_with(&root)
        };
        let (inside, outside): (Vec<_>, Vec<_>) = mounts.iter().partition(is_inside);
        let mut elsewhere: HashSet<OsString> =
            outside.into_iter().map(|it| it.device.clone()).collect();
        if let MountNamespace::Other { .. } = self.surroundings.namespace {
            elsewhere.extend(mounts_of("thread-self")?.into_iter().map(|it| it.device));
        }
        let is_own = |mount: &&Mount| {
            OF_ONE_CONTAINER.iter().any(|it| mount.fs_type == *it)
                && mount.root == Path::new("/")
                && !elsewhere.contains(&mount.device)
                && !binds.contains(&mount.id)
        };
        let own = inside.into_iter().filter(is_own);
        Ok(own.map(|it| it.id).collect())
    }

    /// Returns the mounts on the root's mount, directly or indirectly. Paths do not suffice: a host mount that the root's mount
    /// hides has a path below the root's as well.
    fn mounts_below_root(&self, mounts: &[Mount]) -> HashSet<MountId> {
        let mut children: HashMap<MountId, Vec<MountId>> = HashMap::new();
        for mount in mounts {
            children.entry(mount.parent).or_default().push(mount.id);
        }
        let mut below = HashSet::new();
        let mut left: Vec<MountId> = self.root_mount.into_iter().collect();
        while let Some(mount) = left.pop() {
            let new = children.remove(&mount).unwrap_or_default();
            below.extend(new.iter().copied());
            left.extend(new);
        }
        below
    }

    /// Returns the mounts of the root's namespace.
    fn table(&self) -> io::Result<Vec<Mount>> {
        match self.surroundings.namespace {
            MountNamespace::Other { pid } => mounts_of(&pid.to_string()),
            MountNamespace::Own | MountNamespace::Unknown => mounts_of("thread-self"),
        }
    }

    fn mounts_at(&self, destinations: Vec<PathBuf>) -> Vec<MountId> {
        let mount_at = |path: PathBuf| {
            let handle = lookup::find(&self.root, below_root(&path)).ok()?;
            MountId::of(handle).ok()
        };
        destinations.into_iter().filter_map(mount_at).collect()
    }
}

fn foreign(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, why)
}
