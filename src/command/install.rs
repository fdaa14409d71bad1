//! `install` and `uninstall`: the binary, its links, and the hooks.d files.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::iter::once;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use memchr::memmem;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use oci_spec::runtime::Hook;

use crate::hooks_dir;
use crate::host::place::{check_way, refuse_foreign};
use crate::names::APPLETS;
use crate::printable::escape;
use crate::rootfs::{Directory, Kind, Root};
use crate::stdout::output;
use crate::sys;

/// Put this program, its links and the hooks.d files in place. A second run changes nothing.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "install", help_triggers("-h", "--help"))]
pub struct Install {
    /// root directory of the system to install into (default: /)
    #[argh(option, arg_name = "dir", default = "String::from(\"/\")")]
    pub root: String,
    /// directory of the program (default: /usr/bin)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/bin\")")]
    pub bindir: String,
    /// directory of the hooks' names (default: /usr/libexec)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/libexec\")")]
    pub libexecdir: String,
    /// directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)
    #[argh(option, arg_name = "dir", default = "String::from(HOOKS_DIRECTORY)")]
    pub hooksdir: String,
    /// tell what would be done, and do nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// stay when it is done, until a signal SIGTERM or SIGINT: for a container
    /// that a cluster runs on each of its hosts
    #[argh(switch)]
    pub wait: bool,
    /// with --wait: remove everything again at the end
    #[argh(switch)]
    pub uninstall_at_exit: bool,
}

/// Remove what install put in place, and nothing else.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "uninstall", help_triggers("-h", "--help"))]
pub struct Uninstall {
    /// root directory of the system to remove from (default: /)
    #[argh(option, arg_name = "dir", default = "String::from(\"/\")")]
    pub root: String,
    /// directory of the program (default: /usr/bin)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/bin\")")]
    pub bindir: String,
    /// directory of the hooks' names (default: /usr/libexec)
    #[argh(option, arg_name = "dir", default = "String::from(\"/usr/libexec\")")]
    pub libexecdir: String,
    /// directory of the hooks.d files (default: /usr/share/containers/oci/hooks.d)
    #[argh(option, arg_name = "dir", default = "String::from(HOOKS_DIRECTORY)")]
    pub hooksdir: String,
    /// tell what would be done, and do nothing
    #[argh(switch)]
    pub dry_run: bool,
}

const HOOKS_DIRECTORY: &str = hooks_dir::DIRECTORIES[0];
/// Where the hooks.d files of the source tree say that the hooks are.
const LIBEXEC_IN_HOOKS: &str = "/usr/libexec";

const PROGRAM: &str = "nvidia-ctk";
/// The applet that lies beside the program; the links of all others are in libexec.
const CDI_HOOK: &str = "nvidia-cdi-hook";
const HOOKS: [(&str, &str); 3] = [
    (
        "10-nvidia-ctk-chmod.json",
        include_str!("../../hooks.d/10-nvidia-ctk-chmod.json"),
    ),
    (
        "20-nvidia-ctk-symlinks.json",
        include_str!("../../hooks.d/20-nvidia-ctk-symlinks.json"),
    ),
    (
        "30-nvidia-ctk-ldcache.json",
        include_str!("../../hooks.d/30-nvidia-ctk-ldcache.json"),
    ),
];
/// A text that this program has in it and no other: by that an older release of it is known.
const MARK: &str = env!("CARGO_PKG_DESCRIPTION");

const PROGRAM_MODE: Mode = Mode::from_bits_truncate(0o755);
const HOOK_MODE: Mode = Mode::from_bits_truncate(0o644);
/// Largest file that may be a release of this program; one with all that a debugger wants has 60 MiB.
const MAX_PROGRAM: u64 = 256 << 20;
/// Bytes of it that are read at once.
const PIECE: usize = 64 << 10;
/// Largest hooks.d file that is compared.
const MAX_HOOK: u64 = 1 << 20;

impl Install {
    /// Installs in an order in which nothing ever names what is not there yet. Refuses to replace what is not this program's.
    /// Returns when that is done, or with `wait` at the first signal to end.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.wait || !self.uninstall_at_exit,
            "--uninstall-at-exit needs --wait"
        );
        ensure!(
            !(self.wait && self.dry_run),
            "--dry-run does nothing to wait for: leave --wait out"
        );
        // A signal that comes while files are put in place waits until they are.
        let end: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        if self.wait {
            end.thread_block()?;
        }
        self.install()?;
        if self.wait {
            end.wait()?;
        }
        if self.uninstall_at_exit {
            self.opposite().run()?;
        }
        Ok(())
    }

    fn install(&self) -> Result<()> {
        // Everybody may use what is installed, whatever the admin's umask is.
        umask(Mode::empty());
        let program = sys::map_own_program().context("cannot read this program")?;
        let system = System::open(&self.root, self.dry_run)?;
        let layout = Layout::new(&system.root, &self.bindir, &self.libexecdir, &self.hooksdir)?;
        system.install_program(&layout.program(), &program)?;
        for (link, target) in layout.links() {
            system.install_link(&link, &target)?;
        }
        for (path, text) in layout.hooks() {
            system.install_hook(&path, &text)?;
        }
        Ok(())
    }

    fn opposite(&self) -> Uninstall {
        Uninstall {
            root: self.root.clone(),
            bindir: self.bindir.clone(),
            libexecdir: self.libexecdir.clone(),
            hooksdir: self.hooksdir.clone(),
            dry_run: false,
        }
    }
}

impl Uninstall {
    /// Removes in the opposite order. What is not as install made it stays.
    pub fn run(&self) -> Result<()> {
        let system = System::open(&self.root, self.dry_run)?;
        let layout = Layout::new(&system.root, &self.bindir, &self.libexecdir, &self.hooksdir)?;
        for (path, text) in layout.hooks() {
            system.remove_if(&path, |directory, name| {
                directory
                    .read(name, MAX_HOOK)
                    .is_ok_and(|there| there == text.as_bytes())
            })?;
        }
        for (link, target) in layout.links() {
            system.remove_if(&link, |directory, name| {
                directory.read_link(name).is_ok_and(|there| there == target)
            })?;
        }
        system.remove_if(&layout.program(), is_this_program)
    }
}

/// Where everything goes; all paths are below the root that is installed into.
struct Layout {
    bin: PathBuf,
    libexec: PathBuf,
    /// The same without links: from there relative links lead on.
    real_libexec: PathBuf,
    hooks: PathBuf,
}

impl Layout {
    fn new(root: &Root, bin: &str, libexec: &str, hooks: &str) -> Result<Self> {
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

    fn program(&self) -> PathBuf {
        self.bin.join(PROGRAM)
    }

    /// Each link and its relative target.
    fn links(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let target = relative(&self.real_libexec, &self.program());
        let in_bin = (self.bin.join(CDI_HOOK), PROGRAM.into());
        let in_libexec = move |name| (self.libexec.join(name), target.clone());
        once(in_bin).chain(names_in_libexec().map(in_libexec))
    }

    /// Each hooks.d file and its text.
    fn hooks(&self) -> impl Iterator<Item = (PathBuf, String)> {
        HOOKS.into_iter().map(|(name, text)| {
            (
                self.hooks.join(name),
                with_libexec(text, &self.libexec.to_string_lossy()),
            )
        })
    }
}

/// Names of the program in libexec: those that hooks.d files and scripts call.
fn names_in_libexec() -> impl Iterator<Item = &'static str> {
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

/// The root directory that is installed into.
struct System {
    root: Root,
    dry_run: bool,
}

impl System {
    fn open(root: &str, dry_run: bool) -> Result<Self> {
        Ok(Self {
            root: check_way(Path::new(root))
                .and_then(|()| Root::open(Path::new(root)))
                .with_context(|| format!("cannot open the root directory {root}"))?,
            dry_run,
        })
    }

    fn install_program(&self, path: &Path, program: &[u8]) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| {
            if !is_this_program(directory, name) {
                bail!("{} is another program; {MOVE_IT}", path.display());
            }
            Ok(directory.holds(name, program, PROGRAM_MODE))
        };
        self.install(path, check, |directory, name| {
            directory.write_synced(name, program, PROGRAM_MODE)
        })
    }

    fn install_link(&self, path: &Path, target: &Path) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| match directory.read_link(name) {
            Ok(there) if there.file_name() == target.file_name() => Ok(there == target),
            _ => bail!("{} is not a link to {PROGRAM}; {MOVE_IT}", path.display()),
        };
        self.install(path, check, |directory, name| {
            directory.symlink(target.as_os_str(), name)
        })
    }

    fn install_hook(&self, path: &Path, text: &str) -> Result<()> {
        let check = |directory: &Directory, name: &OsStr| {
            let there = directory
                .read(name, MAX_HOOK)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if there != text.as_bytes() {
                ensure!(
                    calls_us(&there),
                    "{} is another hook; {MOVE_IT}",
                    path.display()
                );
                log::warn!("{}: kept, it has been edited", path.display());
            }
            Ok(true)
        };
        self.install(path, check, |directory, name| {
            directory.write_synced(name, text.as_bytes(), HOOK_MODE)
        })
    }

    /// Puts something in place. `is_there` looks at what stands under the name already: whether it is right, or must stay.
    fn install(
        &self,
        path: &Path,
        is_there: impl Fn(&Directory, &OsStr) -> Result<bool>,
        put: impl Fn(&Directory, &OsStr) -> io::Result<bool>,
    ) -> Result<()> {
        let (parent, name) = split(path)?;
        if let Ok(directory) = self.root.directory(parent)
            && directory.stat(name).is_ok()
        {
            refuse_foreign(&directory, name).with_context(|| path.display().to_string())?;
            if is_there(&directory, name)? {
                return Ok(());
            }
        }
        if !self.dry_run {
            self.root
                .create_directory(parent)
                .and_then(|directory| put(&directory, name))
                .with_context(|| format!("cannot install {}", path.display()))?;
        }
        self.tell("install", path)
    }

    /// Removes what stands under the path if it is ours.
    fn remove_if(&self, path: &Path, is_ours: impl Fn(&Directory, &OsStr) -> bool) -> Result<()> {
        let (parent, name) = split(path)?;
        let Ok(directory) = self.root.directory(parent) else {
            return Ok(());
        };
        if directory.stat(name).is_err() {
            return Ok(());
        }
        if refuse_foreign(&directory, name).is_err() || !is_ours(&directory, name) {
            log::warn!("{}: kept, it is not as install made it", path.display());
            return Ok(());
        }
        if !self.dry_run {
            directory
                .remove(name)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        self.tell("remove", path)
    }

    fn tell(&self, verb: &str, path: &Path) -> Result<()> {
        let would = if self.dry_run { "would " } else { "" };
        let path = escape(&path.to_string_lossy());
        Ok(output(&format!("{would}{verb} {path}\n"))?)
    }
}

const MOVE_IT: &str = "move it away, or choose another directory (see --help)";

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent()
        .zip(path.file_name())
        .with_context(|| format!("{} names no file", path.display()))
}

/// Whether the file is some release of this program.
fn is_this_program(directory: &Directory, name: &OsStr) -> bool {
    let is_file = |stat| Kind::of(&stat) == Kind::File;
    directory.stat(name).is_ok_and(is_file)
        && directory.open_file(name).is_ok_and(|(file, stat)| {
            u64::try_from(stat.st_size).is_ok_and(|size| size <= MAX_PROGRAM)
                && has_mark(file.take(MAX_PROGRAM)).unwrap_or(false)
        })
}

/// Reads in bounded pieces: the file may grow or shrink meanwhile, and may be any other program.
fn has_mark(file: impl Read) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(PIECE, file);
    let mut window = Vec::new();
    loop {
        let piece = file.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(false);
        }
        window.extend_from_slice(piece);
        file.consume(length);
        if memmem::find(&window, MARK.as_bytes()).is_some() {
            return Ok(true);
        }
        // The mark may begin at the end of one piece and go on in the next.
        window.drain(..window.len().saturating_sub(MARK.len()));
    }
}

/// Whether a hooks.d file is for one of the names in libexec.
fn calls_us(text: &[u8]) -> bool {
    let hook = |mut file: serde_json::Value| {
        let hook = file.get_mut("hook").map(serde_json::Value::take)?;
        serde_json::from_value::<Hook>(hook).ok()
    };
    serde_json::from_slice(text)
        .ok()
        .and_then(hook)
        .is_some_and(|hook| {
            let name = hook.path().file_name().unwrap_or_default();
            names_in_libexec().any(|it| it.as_bytes() == name.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let called: Vec<_> = layout
            .hooks()
            .map(|(_, text)| {
                assert!(calls_us(text.as_bytes()));
                let file: serde_json::Value = serde_json::from_str(&text).unwrap();
                PathBuf::from(file["hook"]["path"].as_str().unwrap())
            })
            .collect();
        let links: Vec<_> = layout.links().map(|(link, _)| link).collect();
        assert_eq!(called, links[1..=HOOKS.len()]);
        assert!(Layout::new(&root, "usr/bin", "/a", "/b").is_err());
        assert!(Layout::new(&root, "/usr/../bin", "/a", "/b").is_err());
    }
}
