//! The keys that the toolkit reads, and their types.

use crate::spelling::distance_if_near;

/// The maximum number of keys that an error message suggests.
const MAX_CANDIDATES: usize = 3;

/// The type of a key's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Bool,
    /// A bool that can be absent: `nil` removes it from the file.
    OptionalBool,
    Text,
    List,
}

/// One key of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The path, with dots between the segments.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
}

impl Key {
    /// Returns the names of the enclosing tables, then the key's own name.
    pub(super) fn segments(&self) -> Vec<&'static str> {
        self.path.split('.').collect()
    }
}

/// Returns the key with this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether `path` names a table of the file.
pub(super) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| is_below(key, path))
}

fn is_below(key: &Key, table: &str) -> bool {
    key.path
        .strip_prefix(table)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Suggests keys for a wrong path: those of the table `path`, else those with a similar path or last segment.
pub(super) fn candidates(path: &str) -> Vec<&'static str> {
    let of_table: Vec<_> = KEYS
        .iter()
        .filter(|key| is_below(key, path))
        .map(|key| key.path)
        .collect();
    if !of_table.is_empty() {
        return of_table;
    }
    let mut near: Vec<_> = KEYS
        .iter()
        .filter_map(|key| Some((distance(path, key.path)?, key.path)))
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.truncate(MAX_CANDIDATES);
    near.into_iter().map(|(_, path)| path).collect()
}

/// Compares whole paths and last segments, since a path may lack its tables or have the wrong ones.
fn distance(written: &str, path: &str) -> Option<usize> {
    let whole = distance_if_near(written, path);
    let last = |path: &'_ str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let name = distance_if_near(&last(written), &last(path));
    whole.into_iter().chain(name).min()
}

const fn bool(path: &'static str) -> Key {
    let kind = Kind::Bool;
    Key { path, kind }
}

const fn optional_bool(path: &'static str) -> Key {
    let kind = Kind::OptionalBool;
    Key { path, kind }
}

const fn text(path: &'static str) -> Key {
    let kind = Kind::Text;
    Key { path, kind }
}

const fn list(path: &'static str) -> Key {
    let kind = Kind::List;
    Key { path, kind }
}

/// The only key that the toolkit does not have: the list of hooks that are switched off.
pub(super) const DISABLED_HOOKS: &str = "nvidia-ctk.disabled-hooks";

/// All keys.
pub(super) const KEYS: &[Key] = &[
    bool("accept-nvidia-visible-devices-as-volume-mounts"),
    bool("accept-nvidia-visible-devices-envvar-when-unprivileged"),
    bool("disable-require"),
    text("supported-driver-capabilities"),
    text("swarm-resource"),
    text("nvidia-container-cli.debug"),
    list("nvidia-container-cli.environment"),
    text("nvidia-container-cli.ldcache"),
    text("nvidia-container-cli.ldconfig"),
    bool("nvidia-container-cli.load-kmods"),
    bool("nvidia-container-cli.no-cgroups"),
    bool("nvidia-container-cli.no-pivot"),
    text("nvidia-container-cli.path"),
    text("nvidia-container-cli.root"),
    text("nvidia-container-cli.user"),
    text("nvidia-container-runtime.debug"),
    text("nvidia-container-runtime.log-level"),
    text("nvidia-container-runtime.mode"),
    list("nvidia-container-runtime.runtimes"),
    list("nvidia-container-runtime.modes.cdi.annotation-prefixes"),
    text("nvidia-container-runtime.modes.cdi.default-kind"),
    list("nvidia-container-runtime.modes.cdi.spec-dirs"),
    text("nvidia-container-runtime.modes.csv.compat-container-root"),
    text("nvidia-container-runtime.modes.csv.mount-spec-path"),
    list("nvidia-container-runtime.modes.jit-cdi.nvcdi-disable-hooks"),
    list("nvidia-container-runtime.modes.jit-cdi.nvcdi-feature-flags"),
    text("nvidia-container-runtime.modes.legacy.cuda-compat-mode"),
    text("nvidia-container-runtime-hook.path"),
    bool("nvidia-container-runtime-hook.skip-mode-detection"),
    list(DISABLED_HOOKS),
    text("nvidia-ctk.path"),
    optional_bool("features.allow-cuda-compat-libs-from-container"),
    optional_bool("features.allow-ldconfig-from-container"),
    optional_bool("features.allow-unknown-oci-spec-fields"),
    optional_bool("features.disable-cuda-compat-lib-hook"),
    optional_bool("features.disable-imex-channel-creation"),
    optional_bool("features.ignore-imex-channel-requests"),
    optional_bool("features.no-additional-gids-for-device-nodes"),
];
