//! The places of the program, its links and the hooks.d files.

use std::iter::once;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};

use crate::names::{APPLETS, CDI_HOOK, PROGRAMS, RUNTIME_HOOK};
use crate::rootfs::Root;

/// The directory of the hooks in the hooks.d files of the source tree.
const LIBEXEC_IN_HOOKS: &str = "/usr/libexec";

pub(super) const PROGRAM: &str = "nvidia-ctk";
const HOOK: (&str, &str) = (
    "10-nvidia-ctk-apply.json",
    include_str!("../../../hooks.d/10-nvidia-ctk-apply.json"),
);

/// All paths are below the root that is installed into.
pub(super) struct Layout {
    bin: PathBuf,
    libexec: PathBuf,
    /// The same without symbolic links, where relative links start.
    real_libexec: PathBuf,
    hooks: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Root, bin: &str, libexec: &str, hooks: &str) -> Result<Self> {
        for directory in [bin, libexec, hooks] {
            let is_plain = |it| matches!(it, Component::RootDir | Component::Normal(_));
            ensure!(
                directory.starts_with('/') && Path::new(directory).components().all(is_plain),
                "\"{directory}\" is not an absolute path without \"..\""
            );
        }
        Ok(Self {
            bin: bin.into(),
            libexec: libexec.into(),
            real_libexec: root
                .real_path(Path::new(libexec))
                .unwrap_or_else(|_| libexec.into()),
            hooks: hooks.into(),
        })
    }

    pub(super) fn program(&self) -> PathBuf {
        self.bin.join(PROGRAM)
    }

    /// Each link and its relative target, with the name of the runtime's hook only if that is wanted.
    pub(super) fn links(&self, has_runtime_hook: bool) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let target = relative(&self.real_libexec, &self.program());
        let programs = PROGRAMS.iter().map(|(name, _)| *name);
        let programs = programs.filter(move |name| has_runtime_hook || *name != RUNTIME_HOOK);
        let in_bin = |name| (self.bin.join(name), PathBuf::from(PROGRAM));
        let in_libexec = move |name| (self.libexec.join(name), target.clone());
        let in_libexec = names_in_libexec().map(in_libexec);
        // Docker looks for it in PATH; the others are for hooks.d.
        once(in_bin(CDI_HOOK))
            .chain(in_libexec)
            .chain(programs.map(in_bin))
    }

    /// Whether CDI specs call the program by this path.
    pub(super) fn has_hook(&self, path: &Path) -> bool {
        path == self.program() || path == self.bin.join(CDI_HOOK)
    }

    /// The hooks.d file and its text.
    pub(super) fn hook(&self) -> (PathBuf, String) {
        let (name, text) = HOOK;
        let text = with_libexec(text, &self.libexec.to_string_lossy());
        (self.hooks.join(name), text)
    }
}

/// Names of the program in libexec: those that hooks.d files and scripts call.
pub(super) fn names_in_libexec() -> impl Iterator<Item = &'static str> {
    let names = APPLETS.iter().map(|applet| applet.name);
    names.filter(|name| ![PROGRAM, CDI_HOOK].contains(name))
}

/// The way from one directory to a file, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

/// Puts another libexec directory into a hooks.d file.
fn with_libexec(text: &str, libexec: &str) -> String {
    let quoted = serde_json::Value::from(libexec).to_string();
    let open = quoted.strip_suffix('"').unwrap_or(&quoted);
    text.replace(&format!("\"{LIBEXEC_IN_HOOKS}/"), &format!("{open}/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::install::HOOKS_DIRECTORY;

    #[test]
    fn links_are_relative() {
        for (from, to, expected) in [
            ("/usr/libexec", "/usr/bin/nvidia-ctk", "../bin/nvidia-ctk"),
            ("/a/b/c", "/d/e", "../../../d/e"),
            ("/usr/bin", "/usr/bin/x", "x"),
        ] {
            assert_eq!(
                relative(Path::new(from), Path::new(to)),
                Path::new(expected)
            );
        }
    }

    #[test]
    fn hooks_call_what_is_installed() {
        let root = tempfile::tempdir().unwrap();
        let root = Root::open(root.path()).unwrap();
        let layout = Layout::new(&root, "/usr/bin", "/opt/a \"b\"", HOOKS_DIRECTORY).unwrap();
        let (_, text) = layout.hook();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let called = Path::new(file["hook"]["path"].as_str().unwrap());
        assert!(layout.links(true).any(|(link, _)| link == called));
        assert!(Layout::new(&root, "usr/bin", "/a", "/b").is_err());
        assert!(Layout::new(&root, "/usr/../bin", "/a", "/b").is_err());
    }
}
