//! What the environment says to a hook.
//!
//! A hook cannot know who set a variable: runc before 1.2 gives a hook without `env` the container's, which images set. So what the
//! container has as well does not count, and nothing counts where that cannot be known. `--debug` and `--quiet` may be the
//! container's; they change what is said, not what is done.

use std::env;

use crate::oci::State;
use crate::spelling::parse_bool;

/// Names of hooks, with commas between them.
pub(super) const DISABLE_HOOKS: &str = "NVIDIA_CTK_DISABLE_HOOKS";
const STRICT: &str = "NVIDIA_CTK_STRICT";

/// The variables that count.
#[derive(Default)]
pub(super) struct Environment {
    /// Hooks that are switched off.
    pub(super) disabled: Vec<String>,
    /// Whether warnings are errors.
    pub(super) is_strict: bool,
}

impl Environment {
    /// Reads the variables of this process, without those of the container. config.json is read if one is set.
    pub(super) fn of(state: &State) -> Self {
        let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        if ![DISABLE_HOOKS, STRICT].iter().any(is_set) {
            return Self::default();
        }
        let Some(of_container) = state.own_variables() else {
            log::debug!("no variable counts: those of the container are not known");
            return Self::default();
        };
        let value = |name: &str| {
            let value = env::var(name).unwrap_or_default();
            if of_container.contains(&format!("{name}={value}")) {
                log::debug!("{name}={value}: does not count, the container has it");
                return String::new();
            }
            value
        };
        let names = value(DISABLE_HOOKS);
        let strict = value(STRICT);
        let is_strict = parse_bool(&strict);
        if is_strict.is_none() && !strict.is_empty() {
            log::warn!("{STRICT}={strict}: does not count, it is neither true nor false");
        }
        Self {
            disabled: names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            is_strict: is_strict.unwrap_or(false),
        }
    }
}
