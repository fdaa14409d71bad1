//! The hooks of a spec: the work to do in a container, and the programs that do it.

use std::path::{Path, PathBuf};

use crate::cdi;

/// The names of the toolkit's hooks, for switching them on and off.
pub const NAMES: [&str; 6] = [
    CREATE_SYMLINKS,
    CHMOD,
    ENABLE_CUDA_COMPAT,
    UPDATE_LDCACHE,
    DISABLE_DEVICE_NODE_MODIFICATION,
    UPDATE_APPLICATION_PROFILE,
];
const CREATE_SYMLINKS: &str = "create-symlinks";
const CHMOD: &str = "chmod";
const ENABLE_CUDA_COMPAT: &str = "enable-cuda-compat";
const UPDATE_LDCACHE: &str = "update-ldcache";
pub(super) const DISABLE_DEVICE_NODE_MODIFICATION: &str = "disable-device-node-modification";
const UPDATE_APPLICATION_PROFILE: &str = "update-application-profile";
const APPLY: &str = "apply";
/// All hooks.
pub const ALL: &str = "all";
/// The program that has the hooks as subcommands of `hook`.
const NVIDIA_CTK: &str = "nvidia-ctk";
const STAGE: &str = "createContainer";
/// Prevents the toolkit's hooks from inheriting the value in the runtime's environment.
const ENVIRONMENT: &str = "NVIDIA_CTK_DEBUG=false";
const DIRECTORY_MODE: &str = "755";

/// The number of hooks in a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// One hook that does everything.
    Apply,
    /// The toolkit's hooks.
    Separate,
}

/// The program of the hooks, and their selection.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// The number of hooks.
    pub style: Style,
    /// The path of the program.
    pub program: PathBuf,
    /// Its `argv[0]`, which selects the applet.
    pub name: String,
    /// The host's ldconfig, for hooks of the toolkit; this program needs none.
    pub ldconfig: Option<String>,
    /// Hooks to leave out.
    pub disabled: Vec<String>,
    /// Hooks to include nevertheless.
    pub enabled: Vec<String>,
}

/// A symbolic link in the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) target: String,
    pub(super) path: PathBuf,
}

/// The work to do in a container.
#[derive(Clone, Default, Debug)]
pub(super) struct Work {
    /// Links, grouped by calls of the toolkit's hook.
    pub(super) links: Vec<Vec<Link>>,
    /// Links to device nodes, for containers that have these nodes.
    pub(super) device_links: Vec<Link>,
    /// Directories of device nodes that must be accessible to all users.
    pub(super) device_directories: Vec<PathBuf>,
    /// Arguments for comparing the container's libcuda with the host's.
    pub(super) compat: Vec<String>,
    /// Directories for the loader's cache.
    pub(super) folders: Vec<PathBuf>,
    /// Whether to prevent programs in the container from creating device nodes.
    pub(super) fixes_params: bool,
    /// Whether to tell EGL which GPUs exist.
    pub(super) writes_profile: bool,
}

impl Link {
    pub(super) fn new(target: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            path: path.into(),
        }
    }

    /// Returns the argument for a hook; `None` if it would parse as another link.
    fn argument(&self) -> Option<String> {
        let path = self.path.to_str()?;
        let text = format!("{}::{path}", self.target);
        let is_read = text.split_once("::") == Some((&self.target, path)) && !path.contains("::");
        is_read.then_some(text)
    }
}

impl Hooks {
    /// Returns the hooks for every container. `devices` has the work of the devices, which a single hook does as well.
    pub(super) fn common<'w>(
        &self,
        work: &Work,
        devices: impl Iterator<Item = &'w Work>,
    ) -> Vec<cdi::Hook> {
        match self.style {
            Style::Separate => self.separate(work),
            Style::Apply => {
                let mut all = work.clone();
                for device in devices {
                    let links = device.device_links.iter();
                    all.device_links.extend(links.cloned());
                    let directories = device.device_directories.iter();
                    all.device_directories.extend(directories.cloned());
                }
                self.apply(&all).into_iter().collect()
            }
        }
    }

    /// Returns the hooks for a container with one device.
    pub(super) fn of_device(&self, work: &Work) -> Vec<cdi::Hook> {
        match self.style {
            Style::Separate => self.separate(work),
            Style::Apply => Vec::new(),
        }
    }

    fn separate(&self, work: &Work) -> Vec<cdi::Hook> {
        let mut hooks = Vec::new();
        for links in work.links.iter().chain([&work.device_links]) {
            let links = pairs("--link", links.iter().filter_map(Link::argument));
            hooks.extend(self.named(CREATE_SYMLINKS, links));
        }
        let directories = paths("--path", &work.device_directories);
        if !directories.is_empty() {
            let mode = ["--mode", DIRECTORY_MODE].map(str::to_owned).to_vec();
            hooks.extend(self.named(CHMOD, [mode, directories].concat()));
        }
        hooks.extend(self.named(ENABLE_CUDA_COMPAT, work.compat.clone()));
        let folders = paths("--folder", &work.folders);
        if !folders.is_empty() {
            let ldconfig = pairs("--ldconfig-path", self.ldconfig.iter().cloned());
            hooks.extend(self.named(UPDATE_LDCACHE, [ldconfig, folders].concat()));
        }
        for (name, is_wanted) in [
            (DISABLE_DEVICE_NODE_MODIFICATION, work.fixes_params),
            (UPDATE_APPLICATION_PROFILE, work.writes_profile),
        ] {
            if is_wanted && self.allows(name) {
                hooks.push(self.hook(name, Vec::new()));
            }
        }
        hooks
    }

    /// Returns the hook, unless it has nothing to do or is switched off.
    fn named(&self, name: &str, arguments: Vec<String>) -> Option<cdi::Hook> {
        (!arguments.is_empty() && self.allows(name)).then(|| self.hook(name, arguments))
    }

    fn apply(&self, work: &Work) -> Option<cdi::Hook> {
        let mut arguments = Vec::new();
        if self.allows(ENABLE_CUDA_COMPAT) {
            arguments.extend(work.compat.iter().cloned());
        }
        if self.allows(CREATE_SYMLINKS) {
            let links = work.links.iter().flatten().filter_map(Link::argument);
            arguments.extend(pairs("--link", links));
            let links = work.device_links.iter().filter_map(Link::argument);
            arguments.extend(pairs("--link-if-target", unique(links)));
        }
        if self.allows(CHMOD) {
            let directories = work.device_directories.iter();
            let modes = directories.map(|it| format!("{DIRECTORY_MODE}:{}", it.display()));
            arguments.extend(pairs("--chmod", unique(modes)));
        }
        if self.allows(UPDATE_LDCACHE) {
            arguments.extend(paths("--folder", &work.folders));
        }
        for (name, is_wanted) in [
            (DISABLE_DEVICE_NODE_MODIFICATION, work.fixes_params),
            (UPDATE_APPLICATION_PROFILE, work.writes_profile),
        ] {
            if is_wanted && self.allows(name) {
                arguments.push(format!("--{name}"));
            }
        }
        (!arguments.is_empty()).then(|| self.hook(APPLY, arguments))
    }

    /// Whether a hook is enabled. By default `chmod` is not.
    fn allows(&self, name: &str) -> bool {
        let has = |names: &[String], name| names.iter().any(|it| it == name);
        has(&self.enabled, name)
            || !has(&self.disabled, ALL) && !has(&self.disabled, name) && name != CHMOD
    }

    fn hook(&self, name: &str, arguments: Vec<String>) -> cdi::Hook {
        let group = (self.name == NVIDIA_CTK).then_some("hook");
        let words = [self.name.as_str()].into_iter().chain(group);
        let words = words.chain([name]).map(str::to_owned);
        cdi::Hook {
            hook_name: STAGE.to_owned(),
            path: self.program.display().to_string(),
            args: words.chain(arguments).collect(),
            env: vec![ENVIRONMENT.to_owned()],
            timeout: None,
        }
    }
}

/// Puts the option before each value.
fn pairs(option: &str, values: impl Iterator<Item = String>) -> Vec<String> {
    values
        .flat_map(|value| [option.to_owned(), value])
        .collect()
}

fn paths(option: &str, paths: &[PathBuf]) -> Vec<String> {
    pairs(option, paths.iter().map(|it| path(it)))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn unique(values: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut seen = Vec::new();
    values.filter(move |value| {
        let is_new = !seen.contains(value);
        if is_new {
            seen.push(value.clone());
        }
        is_new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_as_they_are() {
        for (target, path, is_told) in [
            ("libcuda.so.1", "/usr/lib/libcuda.so", true),
            ("a: b", "/c:d", true),
            ("a::b", "/c", false),
            ("a:", "/c", false),
            ("a", "/c::d", false),
        ] {
            let told = Link::new(target, path).argument();
            assert_eq!(told.is_some(), is_told, "{target} {path}");
        }
    }
}
