//! A tree of files that stands for the root of a container or of a host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nvidia_ctk::ldcache::cached_paths;
use nvidia_ctk::rootfs::ContainerRoot;

use super::machine::{fixture, must};

/// A root directory. A path in it may begin with a slash.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty directory.
    pub(crate) fn new(root: PathBuf) -> Self {
        fs::create_dir(&root).expect("a root");
        Self { root }
    }

    /// The directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Where a path of the root is on the machine, if there are no links in it.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The same, with the directories above it made.
    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories in the root");
        path
    }

    /// Unpacks one of the stored roots of the fixtures.
    pub(crate) fn unpack(&self, name: &str) {
        must(
            Command::new("tar")
                .args(["-I", "zstd", "-x", "-p", "--no-same-owner", "-f"])
                .arg(fixture("roots").join(format!("{name}.tar.zst")))
                .arg("-C")
                .arg(&self.root),
        );
    }

    /// Makes a directory.
    pub(crate) fn directory(&self, path: impl AsRef<Path>) -> &Self {
        fs::create_dir_all(self.at(path)).expect("a directory in the root");
        self
    }

    /// Writes a file, and makes the directories above it.
    pub(crate) fn file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.place(path), bytes).expect("a file in the root");
        self
    }

    /// Makes a link, and the directories above it.
    pub(crate) fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.place(path)).expect("a link in the root");
        self
    }

    /// Makes a FIFO, or a device if there are numbers, and the directories above it.
    pub(crate) fn node(&self, path: impl AsRef<Path>, kind: &[&str]) -> &Self {
        must(Command::new("mknod").arg(self.place(path)).args(kind));
        self
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: impl AsRef<Path>) -> &Self {
        fs::remove_file(self.at(path)).expect("a file in the root");
        self
    }

    /// The mode of a file.
    pub(crate) fn mode(&self, path: impl AsRef<Path>) -> u32 {
        let file = fs::symlink_metadata(self.at(path)).expect("a file");
        file.mode() & 0o7777
    }

    /// Sets the mode of a file.
    pub(crate) fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    /// The target of a link; empty where there is none.
    pub(crate) fn target(&self, path: impl AsRef<Path>) -> String {
        let target = fs::read_link(self.at(path)).unwrap_or_default();
        target.to_string_lossy().into_owned()
    }

    /// The text of a file; empty where there is none.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> String {
        let bytes = fs::read(self.at(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The names in a directory.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).expect("a directory");
        let name = |it: fs::DirEntry| it.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|it| name(it.expect("an entry"))).collect();
        names.sort();
        names
    }

    /// The paths in the loader's cache.
    pub(crate) fn cached(&self) -> Vec<String> {
        let root = ContainerRoot::open(&self.root).expect("a root");
        let paths = cached_paths(&root);
        paths.iter().map(|it| it.display().to_string()).collect()
    }
}

/// A file as far as a program can bring it about: all but its times and its inode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Kind and mode.
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// Bytes of a file, target of a link.
    pub(crate) bytes: Vec<u8>,
}

/// Everything below a directory, by its path there.
pub(crate) fn contents(directory: &Path) -> BTreeMap<PathBuf, Entry> {
    let file = |path: &Path| {
        let file = fs::symlink_metadata(path).expect("a file");
        let bytes = if file.is_symlink() {
            let target = fs::read_link(path).expect("a link");
            target.into_os_string().into_encoded_bytes()
        } else if file.is_file() {
            fs::read(path).expect("a file")
        } else {
            Vec::new()
        };
        Entry {
            mode: file.mode(),
            owner: (file.uid(), file.gid()),
            bytes,
        }
    };
    let inside = |path: &Path| path.strip_prefix(directory).expect("inside").to_owned();
    let paths = walk(directory).into_iter();
    paths.map(|path| (inside(&path), file(&path))).collect()
}

/// Everything below a directory that a program could change, by path, and times and inodes as well: another run that writes the
/// same is seen.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<PathBuf, String> {
    let state = |path: &Path| {
        let file = fs::symlink_metadata(path).expect("a file");
        let (inode, mode, size) = (file.ino(), file.mode(), file.size());
        let modified = (file.mtime(), file.mtime_nsec());
        let changed = (file.ctime(), file.ctime_nsec());
        format!(
            "inode {inode}, mode {mode:o}, {size} bytes, modified {modified:?}, changed {changed:?}"
        )
    };
    let paths = walk(directory).into_iter();
    paths.map(|path| (path.clone(), state(&path))).collect()
}

/// The directory and all that is below it.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        if fs::symlink_metadata(&path).expect("a file").is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        all.push(path);
    }
    all
}
