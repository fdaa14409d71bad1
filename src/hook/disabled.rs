//! Which hooks the admin switched off.

use std::path::Path;

use argh::SubCommand;
use memchr::memmem;

use super::name;
use crate::config;
use crate::rootfs::Root;

/// Names of hooks, with commas between them.
const VARIABLE: &str = "NVIDIA_CTK_DISABLE_HOOKS";
/// The host's configuration of the toolkit.
const CONFIG: &str = "/etc/nvidia-container-runtime/config.toml";
const MAX_CONFIG: u64 = 1 << 20;
/// What a file has in it that is worth parsing.
const KEY: &[u8] = b"disabled-hooks";
/// Stands for every hook.
const ALL: &str = "all";

/// The hooks that are switched off, and where that is said.
pub(super) struct Disabled {
    hooks: Vec<(String, &'static str)>,
}

impl Disabled {
    /// Asks the environment and the host's configuration.
    pub(super) fn read() -> Self {
        let variable = std::env::var(VARIABLE).unwrap_or_default();
        let by_environment = variable
            .split(',')
            .map(|name| (name.trim().to_owned(), VARIABLE));
        let by_config = in_config().into_iter().map(|name| (name, CONFIG));
        Self {
            hooks: by_environment.chain(by_config).collect(),
        }
    }

    /// Whether a hook that is wanted is to run. If it is switched off, that is told.
    pub(super) fn leaves<H: SubCommand>(&self, is_wanted: bool) -> bool {
        is_wanted && self.leave(name::<H>())
    }

    /// The same for a hook's name.
    pub(super) fn leave(&self, hook: &str) -> bool {
        let is_named = |name: &str| name == hook || name == ALL;
        let entry = self.hooks.iter().find(|(name, _)| is_named(name));
        if let Some((_, place)) = entry {
            log::info!("{hook} is switched off by {place}: it does nothing");
        }
        entry.is_none()
    }
}

/// The list in the host's file. What is wrong with the file does not keep a container from starting.
fn in_config() -> Vec<String> {
    let text = Root::host()
        .and_then(|host| host.read(Path::new(CONFIG), MAX_CONFIG))
        .unwrap_or_default();
    if memmem::find(&text, KEY).is_none() {
        return Vec::new();
    }
    config::disabled_hooks(&String::from_utf8_lossy(&text)).unwrap_or_else(|err| {
        log::warn!("{CONFIG}: no hook is switched off by it: {err:#}");
        Vec::new()
    })
}
