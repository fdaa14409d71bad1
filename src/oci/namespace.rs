//! The mount namespace that a hook runs in.

use std::path::{Path, PathBuf};

use crate::rootfs::MountNamespace;

/// Returns whose mount namespace a hook runs in; `pid` is the container's first process according to the state.
pub(super) fn of_hook(pid: i64) -> MountNamespace {
    let namespace = |process: &str| host_link(&Path::new("/proc").join(process).join("ns/mnt"));
    let ours = namespace("self");
    match proc_shows_our_pid_namespace() {
        None => return MountNamespace::Unknown,
        // The runtime itself may run in a pid namespace that lacks a /proc of its own.
        Some(false) if ours == namespace("1") => return MountNamespace::Unknown,
        Some(false) => return MountNamespace::Own,
        Some(true) => {}
    }
    if pid <= 1 {
        return MountNamespace::Unknown;
    }
    match (namespace(&pid.to_string()), namespace("1")) {
        (None, _) => MountNamespace::Unknown,
        (theirs, host) if theirs == ours && ours != host => MountNamespace::Own,
        (theirs, _) if theirs == ours => MountNamespace::Unknown,
        _ => MountNamespace::Other { pid },
    }
}

/// Compares /proc/self with this process. In a createContainer hook /proc is the host's, while the pid of this process is one of
/// the container's namespace. `None` without /proc.
fn proc_shows_our_pid_namespace() -> Option<bool> {
    let link = host_link(Path::new("/proc/self"))?;
    Some(link == *std::process::id().to_string())
}

#[expect(clippy::disallowed_methods, reason = "the host's own /proc")]
fn host_link(path: &Path) -> Option<PathBuf> {
    std::fs::read_link(path).ok()
}
