//! The environment of a hook.
//!
//! A hook cannot know who set a variable: runc before 1.2 gives a hook without `env` the container's, which images set. So a
//! variable that the container has as well is ignored. If the container's are unknown, only the variables that control the log are
//! used.

use std::env;

use crate::oci::State;

/// Names of hooks, separated by commas.
pub(super) const DISABLE_HOOKS: &str = "NVIDIA_CTK_DISABLE_HOOKS";
/// The ends of the names of variables that control the log.
const OF_LOG: [&str; 2] = ["_DEBUG", "_QUIET"];

/// Which variables to use.
pub(super) enum Environment {
    /// None is set.
    Empty,
    /// All but the container's.
    Without(Vec<String>),
    /// The container's are unknown.
    Unknown,
}

impl Environment {
    /// Looks for variables of this program, and reads config.json if there are any.
    pub(super) fn of(state: &State) -> Self {
        if !env::vars_os().any(|(name, _)| name.to_str().is_some_and(State::is_own_variable)) {
            return Self::Empty;
        }
        if let Some(variables) = state.own_variables() {
            return Self::Without(variables.to_vec());
        }
        log::debug!("variables of the log alone count: the container's are not known");
        Self::Unknown
    }

    /// Whether to use a variable with this value.
    pub(super) fn counts(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Empty => true,
            Self::Without(variables) => !variables.contains(&format!("{name}={value}")),
            Self::Unknown => OF_LOG.iter().any(|end| name.ends_with(end)),
        }
    }

    /// The hooks that it switches off.
    pub(super) fn disabled_hooks(&self) -> Vec<String> {
        let names = env::var(DISABLE_HOOKS).unwrap_or_default();
        if names.is_empty() || !self.counts(DISABLE_HOOKS, &names) {
            return Vec::new();
        }
        names
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect()
    }
}
