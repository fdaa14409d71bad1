//! A made-up host with NVIDIA's driver, on which CDI specs find all that they name: device nodes, libraries, programs, sockets.
//! Its hooks are the binary under test.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tempfile::TempDir;

use super::cdi_spec::{Node, Spec};
use super::machine::{binary, compile, copy_program, fixture, folder};
use super::syslog::Syslog;

/// The files of this host. They hold what all specs of the fixtures name.
fn tree() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvidia-host");
        let _ = fs::remove_dir_all(&tree);
        make(&tree);
        tree
    })
}

fn make(tree: &Path) {
    for folder in [
        "dev",
        "etc/cdi",
        "etc/docker",
        "etc/nvidia-container-runtime",
        "proc/driver/nvidia",
        "run",
        "usr/bin",
        "usr/lib",
    ] {
        fs::create_dir_all(tree.join(folder)).expect("a folder");
    }
    symlink("usr/lib", tree.join("lib")).expect("a link");
    copy_program(&binary(), &tree.join("usr/bin/nvidia-ctk"));
    for name in ["nvidia-cdi-hook", "nvidia-container-runtime"] {
        symlink("nvidia-ctk", tree.join("usr/bin").join(name)).expect("a link");
    }
    fs::write(tree.join("proc/driver/nvidia/params"), "").expect("a file");
    let libraries = Libraries::new(tree);
    for spec in Spec::all() {
        for node in spec.all_edits().flat_map(Node::all) {
            make_node(tree, &node);
        }
        for path in spec.host_paths() {
            let file = tree.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            if path.ends_with("/socket") {
                let mode = Mode::from_bits_truncate(0o666);
                let _ = mknod(&file, SFlag::S_IFSOCK, mode, 0);
            } else if path.contains(".so") {
                fs::write(file, libraries.with_soname(&spec.soname(path))).expect("a library");
            } else {
                fs::write(&file, path).expect("a file");
                fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("a mode");
            }
        }
    }
}

/// Makes a device node below a folder, or another one in its place.
pub(crate) fn make_node(tree: &Path, node: &Node) {
    let file = tree.join(node.path.trim_start_matches('/'));
    fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
    // Several specs name it.
    let _ = fs::remove_file(&file);
    let device = makedev(node.major, node.minor);
    mknod(&file, SFlag::S_IFCHR, Mode::empty(), device).expect("a device node");
    chown(&file, None, Some(node.gid)).expect("a group");
    fs::set_permissions(file, fs::Permissions::from_mode(node.mode)).expect("a mode");
}

/// A library that loads and has a SONAME of 64 characters, in whose place any other is put: one compilation for all.
struct Libraries {
    bytes: Vec<u8>,
    soname: usize,
}

const LONGEST: usize = 64;

impl Libraries {
    fn new(tree: &Path) -> Self {
        let any = "_".repeat(LONGEST);
        let file = tree.join("stub");
        let flags = ["-nostdlib".into(), format!("-Wl,-soname,{any}")];
        compile("stub.c", &file, &flags);
        let bytes = fs::read(&file).expect("a library");
        fs::remove_file(file).expect("a file");
        let soname = bytes.windows(LONGEST).position(|it| it == any.as_bytes());
        Self {
            soname: soname.expect("a SONAME"),
            bytes,
        }
    }

    fn with_soname(&self, soname: &str) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let place = &mut bytes[self.soname..self.soname + LONGEST];
        place.fill(0);
        place[..soname.len()].copy_from_slice(soname.as_bytes());
        bytes
    }
}

/// The host while one spec is in its `/etc/cdi`. It listens to what hooks tell syslog.
pub(crate) struct NvidiaHost {
    folder: TempDir,
    syslog: Syslog,
    spec: PathBuf,
}

impl NvidiaHost {
    /// With this spec.
    pub(crate) fn with(spec: &Spec) -> Self {
        let folder = folder();
        let file = folder.path().join(&spec.name);
        fs::write(&file, &spec.text).expect("a written spec");
        let syslog = Syslog::bind(&folder.path().join("log"));
        Self {
            folder,
            syslog,
            spec: file,
        }
    }

    /// A shell command that makes it of a private mount namespace.
    pub(crate) fn script(&self) -> String {
        let script = fixture("nvidia_host.sh");
        let paths = [&script, tree(), &self.spec, &self.folder.path().join("log")];
        let words = paths.map(|path| format!("'{}'", path.display()));
        format!("sh {}", words.join(" "))
    }

    /// What hooks told syslog since it was asked last.
    pub(crate) fn syslog(&self) -> Vec<String> {
        self.syslog.messages()
    }
}
