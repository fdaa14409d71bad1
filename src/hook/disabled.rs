//! Which hooks are switched off, and where.

use std::path::Path;

use memchr::memmem;

use super::environment::{DISABLE_HOOKS, Environment};
use super::{InContainer, name};
use crate::config;
use crate::oci::State;
use crate::rootfs::Root;

/// Annotation by which the owner of a container switches all hooks off: `off`.
const OPT_OUT: &str = "nvidia-ctk.hooks";
/// The host's configuration of the toolkit.
const CONFIG: &str = "/etc/nvidia-container-runtime/config.toml";
const MAX_CONFIG: u64 = 1 << 20;
/// A file without this text need not be parsed.
const KEY: &[u8] = b"disabled-hooks";
/// The name of all hooks.
const ALL: &str = "all";

/// The names of hooks that are switched off, and where each is set.
pub(super) struct Disabled(Vec<(String, Origin)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The host's configuration, for all hooks.
    Config,
    /// A variable or an annotation, which an image may have set: not for the hook that restricts the container.
    Environment,
    Annotation,
}

impl Disabled {
    /// Reads the host's configuration.
    pub(super) fn by_config() -> Self {
        let names = in_config().into_iter();
        Self(names.map(|name| (name, Origin::Config)).collect())
    }

    /// Reads the environment and the container's annotations.
    pub(super) fn by_caller(state: &State, environment: &Environment) -> Self {
        let names = environment.disabled_hooks().into_iter();
        let by_environment = names.map(|name| (name, Origin::Environment));
        let is_off = state.annotations.get(OPT_OUT).is_some_and(|it| it == "off");
        let by_annotation = is_off.then(|| (ALL.to_owned(), Origin::Annotation));
        Self(by_environment.chain(by_annotation).collect())
    }

    /// Whether a wanted hook may run. If it is switched off, that is logged.
    pub(super) fn allows<H: InContainer>(&self, is_wanted: bool) -> bool {
        is_wanted && self.allows_named(name::<H>(), H::RESTRICTS)
    }

    fn allows_named(&self, hook: &str, is_restricting: bool) -> bool {
        let counts = |(name, origin): &&(String, Origin)| {
            (name == hook || name == ALL) && (*origin == Origin::Config || !is_restricting)
        };
        let Some((_, origin)) = self.0.iter().find(counts) else {
            return true;
        };
        match origin {
            Origin::Config => log::info!("{hook} is switched off by {CONFIG}: it does nothing"),
            Origin::Environment => {
                log::info!("{hook} is switched off by {DISABLE_HOOKS}: it does nothing");
            }
            Origin::Annotation => log::debug!("{hook}: the annotation {OPT_OUT} is off"),
        }
        false
    }
}

/// The list in the host's file. A fault of the file is only a warning, so that containers start.
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
