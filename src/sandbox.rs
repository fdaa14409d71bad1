//! The privileges and resources that a hook gives up once the container's root is open: a second defence in case the first one,
//! [`crate::rootfs`], fails.
//!
//! Each part depends on the kernel; a hook logs a missing part at debug level and continues.

use landlock::{
    ABI, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus,
};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::rootfs::ContainerRoot;

/// The capabilities that a hook needs to read any image and to write as its root, regardless of owners and modes.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// Limits far above the needs of an honest image; a hook that reaches one is terminated.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::RLIMIT_FSIZE, 64 << 20),
    (Resource::RLIMIT_AS, 1 << 30),
    (Resource::RLIMIT_CPU, 20),
    (Resource::RLIMIT_CORE, 0),
];

/// Whether the hook may have to mount something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// No.
    None,
    /// Yes: one thread keeps `CAP_SYS_ADMIN`, and does nothing but mount.
    Needed,
}

/// Gives up what a hook in this root does not need: new privileges on exec, capabilities, writing outside the root, unlimited
/// resources. The effect is permanent and extends to threads that start later.
pub fn enter(root: &mut ContainerRoot, mounts: Mounts) {
    log_failure("no_new_privs", set_no_new_privs());
    if mounts == Mounts::Needed {
        let prepare = || log_failure("capabilities", drop_capabilities(CapabilitySet::SYS_ADMIN));
        log_failure("mounting", root.start_mounter(prepare));
    }
    match write_below(root) {
        Ok(RulesetStatus::NotEnforced) => log::debug!("sandbox: this kernel has no Landlock"),
        Ok(_) => {}
        Err(err) => log::debug!("sandbox: Landlock: {err}"),
    }
    log_failure("capabilities", drop_capabilities(KEPT));
    for (resource, maximum) in LIMITS {
        log_failure("resource limits", setrlimit(resource, maximum, maximum));
    }
}

fn write_below(root: &ContainerRoot) -> Result<RulesetStatus, RulesetError> {
    // Later ABI versions also restrict truncate(2), for which the kernel checks every opened file's path up to the root; hooks
    // never call it.
    let writing = AccessFs::from_write(ABI::V2);
    let status = Ruleset::default()
        .handle_access(writing)?
        .create()?
        .add_rule(PathBeneath::new(root, writing))?
        .no_new_privs(false) // it is set already
        .restrict_self()?;
    Ok(status.ruleset)
}

fn drop_capabilities(kept: CapabilitySet) -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.permitted &= kept;
    sets.effective = sets.permitted;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)
}

fn log_failure<E: std::fmt::Display>(part: &str, result: Result<(), E>) {
    if let Err(err) = result {
        log::debug!("sandbox: {part}: {err}");
    }
}
