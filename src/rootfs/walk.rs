//! Path lookup as openat2(2) does it with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`, for kernels and seccomp filters without
//! it.
//!
//! The walk opens one name at a time with `O_PATH` and `O_NOFOLLOW` in the preceding directory. `..` returns to a directory that
//! is still open from the way down, so that the kernel is never asked for a parent: whatever is moved meanwhile, the walk reaches
//! only files that were below the root when it came to them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::metadata::{Kind, Metadata};
use crate::watchdog;

/// The maximum number of links to follow: the kernel's own limit, `path_resolution(7)`.
const MAX_LINKS: usize = 40;

/// Returns a handle (`O_PATH`) of the file that `path` leads to, with links followed inside the root. Fails if it cannot be
/// resolved.
pub(super) fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut walk = Walk {
        root,
        above: Vec::new(),
        end: None,
        left: Vec::new(),
        links: 0,
    };
    walk.insert(path.as_os_str().to_owned());
    while let Some(name) = walk.next_name() {
        walk.step(&name)?;
    }
    if let Some(found) = walk.end.take().or_else(|| walk.above.pop()) {
        return Ok(found);
    }
    // The root itself. As for any name the kernel requires the right to search it.
    walk.open(OsStr::new("."))
}

struct Walk<'r> {
    root: BorrowedFd<'r>,
    /// The directories from below the root to the current one.
    above: Vec<OwnedFd>,
    /// The current file if it is not a directory: no name may follow it.
    end: Option<OwnedFd>,
    /// The remaining paths, the next one last, each with the number of bytes that are done. Their names are parted one by one: a
    /// hostile image has links of 2000 names that no walk reaches.
    left: Vec<(OsString, usize)>,
    links: usize,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.above.last().map_or(self.root, AsFd::as_fd)
    }

    /// Inserts a path before the remaining ones.
    fn insert(&mut self, path: OsString) {
        if path.as_bytes().starts_with(b"/") {
            self.above.clear();
        }
        self.left.push((path, 0));
    }

    /// Removes the next name. An empty one, as in `a/`, stands for the preceding directory.
    fn next_name(&mut self) -> Option<OsString> {
        let (path, done) = self.left.last_mut()?;
        let rest = path.as_bytes().get(*done..)?;
        let mut parts = rest.splitn(2, |&byte| byte == b'/');
        let name = OsStr::from_bytes(parts.next()?).to_owned();
        if parts.next().is_some() {
            *done += name.len() + 1;
        } else {
            self.left.pop();
        }
        Some(name)
    }

    /// Opens a file of the current directory, or the directory itself.
    fn open(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(self.here(), name, flags, Mode::empty());
        watchdog::progress();
        Ok(found?)
    }

    /// Walks on by one name.
    fn step(&mut self, name: &OsStr) -> io::Result<()> {
        if self.end.is_some() {
            return Err(Errno::ENOTDIR.into());
        }
        match name.as_bytes() {
            b"" | b"." => return Ok(()),
            b".." => {
                self.above.pop();
                return Ok(());
            }
            _ => {}
        }
        let found = self.open(name)?;
        match Metadata::of(&found)?.kind {
            Kind::Directory => self.above.push(found),
            Kind::Link => {
                self.links += 1;
                if self.links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                let target = target(&found)?;
                self.insert(target);
            }
            _ => self.end = Some(found),
        }
        Ok(())
    }
}

/// Returns the target of a link. Fails for procfs links whose text is not their target, as `RESOLVE_NO_MAGICLINKS` does.
fn target(link: &OwnedFd) -> io::Result<OsString> {
    let target = readlinkat(link, "")?;
    // Their text is an absolute path, or a type and an identifier, such as "net:[4026531840]".
    let is_odd = |text: &[u8]| text.starts_with(b"/") || text.contains(&b':');
    if is_odd(target.as_bytes()) && fstatfs(link)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Err(Errno::ELOOP.into());
    }
    Ok(OsString::from_vec(target.into_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use nix::fcntl::{OpenHow, ResolveFlag, openat2};

    use super::super::metadata::FileId;
    use super::*;

    fn id(found: &io::Result<OwnedFd>) -> Result<FileId, Option<i32>> {
        match found {
            Ok(handle) => Ok(Metadata::of(handle).unwrap().id),
            Err(err) => Err(err.raw_os_error()),
        }
    }

    fn by_kernel(root: &File, path: &str) -> io::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(resolve);
        loop {
            match openat2(root, path, how) {
                // A concurrent rename, anywhere on the machine.
                Err(Errno::EAGAIN) => {}
                found => return Ok(found?),
            }
        }
    }

    /// The kernel's result is the reference.
    #[test]
    fn paths_lead_where_openat2_says() {
        const NAMES: [&str; 16] = [
            "a", "b", "file", "up", "absolute", "loop", "chain", "dangling", "slash", "out", "..",
            ".", "", "missing", "self", "dots",
        ];
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a/b/a")).unwrap();
        fs::create_dir(root.join("b")).unwrap();
        for directory in ["", "a", "a/b", "a/b/a", "b"] {
            let directory = root.join(directory);
            fs::write(directory.join("file"), "").unwrap();
            for (name, target) in [
                ("up", "../b"),
                ("absolute", "/a/b"),
                ("loop", "loop"),
                ("chain", "up/../absolute/a"),
                ("dangling", "missing/x"),
                ("slash", "file/"),
                ("out", "../../../../../../../../etc"),
                ("self", "."),
                ("dots", "/../..//./a/"),
            ] {
                symlink(target, directory.join(name)).unwrap();
            }
        }
        let root = File::open(&root).unwrap();
        // Every number in base 16 encodes a path.
        for number in 0..16_usize.pow(4) {
            let names = [number >> 12, number >> 8, number >> 4, number].map(|it| NAMES[it % 16]);
            let path = names.join("/");
            let path = path.trim_start_matches('/');
            let path = if path.is_empty() { "." } else { path };
            let walked = find(root.as_fd(), Path::new(path));
            assert_eq!(id(&walked), id(&by_kernel(&root, path)), "{path}");
        }
    }

    #[test]
    fn magic_links_are_refused_as_openat2_does() {
        let root = File::open("/").unwrap();
        for path in [
            "proc/self/exe",
            "proc/self/root/etc",
            "proc/self/cwd",
            "proc/self/fd/0",
            "proc/self/ns/mnt",
            "proc/thread-self/fd/0",
            "proc/mounts",
            "proc/net/dev",
            "proc/self/status",
            "dev/fd/0",
            "sys/class/net/lo/mtu",
        ] {
            let walked = find(root.as_fd(), Path::new(path));
            assert_eq!(id(&walked), id(&by_kernel(&root, path)), "{path}");
        }
    }

    #[test]
    fn as_many_links_are_followed_as_by_openat2() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0"), "").unwrap();
        let root = File::open(folder.path()).unwrap();
        for number in 1..=MAX_LINKS + 1 {
            let target = (number - 1).to_string();
            symlink(target, folder.path().join(number.to_string())).unwrap();
            let path = number.to_string();
            let walked = find(root.as_fd(), Path::new(&path));
            assert_eq!(id(&walked), id(&by_kernel(&root, &path)), "{path} links");
        }
    }
}
