//! The administrator's files: read as text, replaced as a whole.
//!
//! A replaced file is never half written: the new one is complete and on the disk before it gets the name. It keeps the mode, the
//! owner and the extended attributes; if the name is a link, the link's target is replaced. A file that another user may have put
//! there is not used: see [`super::place`].

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::fsync;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

use super::place::{Place, refuse_foreign};
use crate::rootfs::Directory;

/// The maximum size of a file: a TOML editor takes 140 times as much memory.
const LIMIT: u64 = 1 << 20;
/// The kernel's limit for a list of attributes and for one value.
const MAX_ATTRIBUTE: usize = 1 << 16;
const NEW_MODE: Mode = Mode::from_bits_truncate(0o644);
/// Attributes that authenticate the old file's bytes.
const SEALS: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// Returns the text of a file, or `None` if it does not exist. Fails if it is not a regular file or not UTF-8.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match Place::find(path).and_then(|place| place.read()) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|err| {
            let message = format!("not UTF-8 at byte {}", err.utf8_error().valid_up_to());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Writes `bytes` to the file and creates missing directories. Returns whether the content changed. Fails if another user may
/// have put the file or a link there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let place = Place::make(path)?;
    let model = place.open()?;
    place.replace(bytes, model.as_ref())
}

/// Writes a file as [`replace`] does and makes it readable for all users, whatever its mode was.
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let place = Place::make(path)?;
    let model = place.open()?;
    place.replace_with(bytes, NEW_MODE, model.as_ref())
}

/// Copies the file `from` to `to`. Fails as [`replace`] does.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let from = Place::find(from)?;
    let to = Place::make(to)?;
    to.is_taken()?;
    to.replace(&from.read()?, from.open()?.as_ref()).map(drop)
}

/// Removes the file and, if `path` is a link, the link. Fails if another user may have put it there.
pub fn remove(path: &Path) -> io::Result<()> {
    let place = Place::find(path)?;
    refuse_foreign(&place.directory, &place.name)?;
    place.directory.remove(&place.name)?;
    sync(&place.directory)?;
    let link = Place::of(path)?;
    match link.directory.remove(&link.name) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Checks that no other user may have put the file there, which may be a device or missing. Fails otherwise.
pub fn check(path: &Path) -> io::Result<()> {
    match Place::find(path).and_then(|place| place.is_taken()) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

impl Place {
    fn read(&self) -> io::Result<Vec<u8>> {
        refuse_foreign(&self.directory, &self.name)?;
        self.directory.read(&self.name, LIMIT)
    }

    fn open(&self) -> io::Result<Option<File>> {
        if !self.is_taken()? {
            return Ok(None);
        }
        let (file, _) = self.directory.open_file(&self.name)?;
        Ok(Some(file))
    }

    /// Replaces the content; all else is as `model` has it.
    fn replace(&self, bytes: &[u8], model: Option<&File>) -> io::Result<bool> {
        let mode = match model {
            Some(model) => Mode::from_bits_truncate(model.metadata()?.mode()),
            None => NEW_MODE,
        };
        self.replace_with(bytes, mode, model)
    }

    /// Replaces the content and sets the mode; all else is as `model` has it.
    fn replace_with(&self, bytes: &[u8], mode: Mode, model: Option<&File>) -> io::Result<bool> {
        let mode = mode & Mode::from_bits_truncate(0o7777);
        let is_new = self.directory.replace(&self.name, bytes, mode, |file| {
            if let Some(model) = model {
                copy_owner(model, file)?;
                copy_attributes(model, file)?;
            }
            file.sync_all()
        })?;
        if is_new {
            sync(&self.directory)?;
        } else {
            // Another process may have written it first.
            refuse_foreign(&self.directory, &self.name)?;
        }
        Ok(is_new)
    }
}

fn copy_owner(from: &File, to: &File) -> io::Result<()> {
    let (from, to_owner) = (from.metadata()?, to.metadata()?);
    if (from.uid(), from.gid()) == (to_owner.uid(), to_owner.gid()) {
        return Ok(());
    }
    fchown(to, Some(from.uid()), Some(from.gid()))
}

fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let names = match attributes(from) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        names => names?,
    };
    let mut value = vec![0; MAX_ATTRIBUTE];
    let is_kept = |name: &&[u8]| !name.is_empty() && !SEALS.contains(name);
    for name in names.split(|byte| *byte == 0).filter(is_kept) {
        let len = fgetxattr(from, name, &mut value)?;
        let value = value.get(..len).unwrap_or_default();
        match fsetxattr(to, name, value, XattrFlags::empty()) {
            // In a user namespace the kernel refuses such a label, and has already given the file one.
            Err(rustix::io::Errno::PERM) if name.starts_with(b"security.") => {}
            result => result?,
        }
    }
    Ok(())
}

/// Returns the names, each followed by a NUL.
fn attributes(file: &File) -> rustix::io::Result<Vec<u8>> {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let len = flistxattr(file, &mut names)?;
    names.truncate(len);
    Ok(names)
}

/// Writes the directory entry to the disk.
fn sync(directory: &Directory) -> io::Result<()> {
    match fsync(directory) {
        // Some file systems do not support it.
        Err(Errno::EINVAL) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_gets_its_directories() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a/b/c");
        assert_eq!(read(&path).unwrap(), None);
        assert!(replace(&path, b"x").unwrap());
        assert!(!replace(&path, b"x").unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), "x");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(names(path.parent().unwrap()), ["c"]);
    }

    #[test]
    fn what_makes_a_file_its_own_is_kept() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = File::open(&path).unwrap();
        let flags = XattrFlags::empty();
        let has_attributes = fsetxattr(&file, "user.x", b"y", flags).is_ok();
        let is_root = std::os::unix::fs::chown(&path, Some(1), Some(2)).is_ok();
        replace(&path, b"new").unwrap();
        copy(&path, &folder.path().join("config.bak")).unwrap();
        for name in ["config", "config.bak"] {
            let file = File::open(folder.path().join(name)).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o640);
            assert!(!is_root || (metadata.uid(), metadata.gid()) == (1, 2));
            assert!(!has_attributes || attributes(&file).unwrap().starts_with(b"user.x\0"));
        }
    }

    #[test]
    fn links_lead_to_the_file() {
        let folder = TempDir::new().unwrap();
        let link = folder.path().join("link");
        symlink("next", &link).unwrap();
        symlink("real/config", folder.path().join("next")).unwrap();
        replace(&link, b"x").unwrap();
        let config = folder.path().join("real/config");
        assert_eq!(fs::read(&config).unwrap(), b"x");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        remove(&link).unwrap();
        assert_eq!(names(&folder.path().join("real")), [""; 0]);
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(read(&folder.path().join("loop")).is_err());
    }

    #[test]
    fn only_text_files_are_read() {
        let folder = TempDir::new().unwrap();
        assert!(read(folder.path()).is_err());
        let path = folder.path().join("config");
        fs::write(&path, b"a\xffb").unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "not UTF-8 at byte 1");
    }
}
