//! A directory of a root, and single names in it: nothing here follows a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use rustix::fs::{FileType, RawDir, readlinkat_raw};

use super::gate::Gate;
use super::lookup;
use super::metadata::{Entry, FileId, Kind, Metadata};
use super::{read_bounded, require_kind};
use crate::watchdog;

/// The number of bytes of a directory's listing to read at once.
const LISTING: usize = 32 << 10;
/// The maximum memory for the names of one directory: 70,000 of usual length.
const MAX_LISTING: usize = 4 << 20;

/// An open directory below a [`super::Root`].
pub struct Directory {
    pub(super) fd: OwnedFd,
    gate: Option<Arc<Gate>>,
    quiet: OnceLock<bool>,
    /// Set when the directory was permitted to change: an open directory stays on its mount.
    permitted: OnceLock<()>,
    /// Whether the descriptor may have been read from already.
    is_listed: AtomicBool,
    pub(super) swept: Once,
}

impl Directory {
    /// Wraps an open directory of the host.
    pub(crate) fn of_host(fd: OwnedFd) -> Self {
        Self::new(fd, None)
    }

    pub(super) fn new(fd: OwnedFd, gate: Option<Arc<Gate>>) -> Self {
        Self {
            fd,
            gate,
            quiet: OnceLock::new(),
            permitted: OnceLock::new(),
            is_listed: AtomicBool::new(false),
            swept: Once::new(),
        }
    }

    /// Returns the names in the directory without `.` and `..`, in no order. Fails if the names take more than 4 MiB.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(|name, kind| {
            let name = name.to_owned();
            entries.push(Entry { name, kind });
        })?;
        Ok(entries)
    }

    /// Calls `visit` for each name, for callers that keep few of them. Fails as [`Self::entries`] does.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&OsStr, Kind)) -> io::Result<()> {
        if self.is_listed.swap(true, Ordering::Relaxed) {
            lseek(&self.fd, 0, Whence::SeekSet)?;
        }
        let mut buffer = Vec::with_capacity(LISTING);
        let mut listing = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        let mut left = MAX_LISTING;
        while let Some(entry) = listing.next() {
            watchdog::progress();
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Link,
                FileType::CharacterDevice => Kind::CharacterDevice,
                FileType::Unknown => match self.stat(name) {
                    Ok(metadata) => metadata.kind,
                    Err(_) => continue, // gone since it was listed
                },
                _ => Kind::Other,
            };
            left = left
                .checked_sub(name.len() + size_of::<Entry>())
                .ok_or_else(too_many_names)?;
            visit(name, kind);
        }
        Ok(())
    }

    /// Returns the metadata of `name`; a link is not followed. Fails as fstatat(2) does.
    pub fn stat(&self, name: &OsStr) -> io::Result<Metadata> {
        let metadata = Metadata::of_name(&self.fd, single_component(name)?);
        watchdog::progress();
        metadata
    }

    /// Returns the identity of the directory itself. Fails as fstat(2) does.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(Metadata::of(&self.fd)?.id)
    }

    /// Opens the regular file `name` for reading. Fails for a link and any other file.
    pub fn open_file(&self, name: &OsStr) -> io::Result<(File, Metadata)> {
        if self.is_quiet()
            && let Ok(file) = lookup::open_listed(&self.fd, single_component(name)?)
        {
            let file = File::from(file);
            let metadata = Metadata::of(&file)?;
            require_kind(Kind::File, metadata.kind)?;
            return Ok((file, metadata));
        }
        // Another process may have put a device or a FIFO in its place: check it before opening. That takes two more calls.
        super::open_file(&self.open(name, OFlag::O_PATH)?)
    }

    /// Opens the character device `name` for reading and writing. Fails for a link and any other file.
    pub(crate) fn open_device(&self, name: &OsStr) -> io::Result<File> {
        require_kind(Kind::CharacterDevice, self.stat(name)?.kind)?;
        Ok(self.open(name, OFlag::O_RDWR | OFlag::O_NOCTTY)?.into())
    }

    /// Whether nobody else can change the directory: see [`Gate::is_quiet`].
    pub(crate) fn is_quiet(&self) -> bool {
        let ask = || {
            self.gate
                .as_ref()
                .is_none_or(|gate| gate.is_quiet(&self.fd))
        };
        *self.quiet.get_or_init(ask)
    }

    pub(super) fn open_directory(&self, name: &OsStr) -> io::Result<Self> {
        let fd = self.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Self::new(fd, self.gate.clone()))
    }

    fn open(&self, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, single_component(name)?, flags, Mode::empty());
        watchdog::progress();
        Ok(file?)
    }

    /// Reads the regular file `name`. Fails for other files, and for more than `limit` bytes.
    pub fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        require_kind(Kind::File, self.stat(name)?.kind)?;
        let (file, metadata) = self.open_file(name)?;
        read_bounded(file, metadata.size, limit)
    }

    /// Returns the target of the link `name`. Fails if it is not a link.
    pub fn read_link(&self, name: &OsStr) -> io::Result<PathBuf> {
        // nix has no call that reads into a buffer: it allocates 4 KiB for each link.
        let mut room = [MaybeUninit::uninit(); libc::PATH_MAX as usize];
        let (target, _) = readlinkat_raw(&self.fd, single_component(name)?, &mut room)?;
        watchdog::progress();
        Ok(OsStr::from_bytes(target).into())
    }

    /// Checks that the directory may be changed. Fails if it is a container's and not on one of its own mounts.
    pub(super) fn permit(&self) -> io::Result<()> {
        if let Some(gate) = &self.gate
            && self.permitted.get().is_none()
        {
            gate.permit(&self.fd)?;
            self.permitted.get_or_init(|| ());
        }
        Ok(())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Checks that `name` is a single component, since the kernel resolves it without a root. Fails otherwise.
pub(super) fn single_component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno::EINVAL.into());
    }
    Ok(name)
}

fn too_many_names() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the names in this directory take more than {MAX_LISTING} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::Root;
    use super::*;

    fn directory(folder: &Path) -> Directory {
        Root::open(folder)
            .unwrap()
            .directory(Path::new("/"))
            .unwrap()
    }

    #[test]
    fn a_listing_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::fs::create_dir(folder.path().join("...")).unwrap();
        symlink("..", folder.path().join("link")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), Mode::S_IRUSR).unwrap();
        let files = directory(folder.path());
        for _ in 0..2 {
            let entries = files.entries().unwrap().into_iter();
            let mut found: Vec<_> = entries.map(|it| (it.name, it.kind)).collect();
            found.sort_by_key(|(name, _)| name.clone());
            let expected = [
                ("...", Kind::Directory),
                ("fifo", Kind::Other),
                ("file", Kind::File),
                ("link", Kind::Link),
            ];
            assert_eq!(found, expected.map(|(name, kind)| (name.into(), kind)));
        }
        let devices = directory(Path::new("/dev")).entries().unwrap();
        let null = devices.iter().find(|it| it.name == "null").unwrap();
        assert_eq!(null.kind, Kind::CharacterDevice);
    }

    #[test]
    fn regular_files_are_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "0123456789").unwrap();
        std::fs::create_dir(folder.path().join("directory")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        let directory = directory(folder.path());
        let read = |name: &str, limit| {
            let read = directory.read(OsStr::new(name), limit);
            read.map_err(|err| err.kind())
        };
        assert_eq!(read("file", 10), Ok(b"0123456789".to_vec()));
        assert_eq!(read("file", 11), Ok(b"0123456789".to_vec()));
        assert_eq!(read("file", 9), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(read("link", 10), Err(io::ErrorKind::InvalidInput));
        assert_eq!(read("directory", 10), Err(io::ErrorKind::IsADirectory));
        assert_eq!(read("missing", 10), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_component_is_one_name() {
        for name in ["", ".", "..", "/", "a/b", "a/", "/a"] {
            assert!(single_component(OsStr::new(name)).is_err(), "{name}");
        }
        for name in ["a", "...", ".a", "a.."] {
            assert!(single_component(OsStr::new(name)).is_ok(), "{name}");
        }
    }

    /// Guards: the flags of `open_listed`; a FIFO without a writer would block.
    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::fs::create_dir(folder.path().join("directory")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), Mode::S_IRUSR).unwrap();
        let directory = directory(folder.path());
        for (name, is_opened) in [
            ("file", true),
            ("directory", false),
            ("link", false),
            ("fifo", false),
        ] {
            let file = directory.open_file(OsStr::new(name));
            assert_eq!(file.is_ok(), is_opened, "{name}");
        }
    }

    #[test]
    fn thousands_of_long_names_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..2000 {
            std::fs::write(folder.path().join(format!("{number:0100}")), "").unwrap();
        }
        assert_eq!(directory(folder.path()).entries().unwrap().len(), 2000);
    }
}
