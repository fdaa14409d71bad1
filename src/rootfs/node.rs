//! Creation of device nodes.

use std::ffi::OsStr;
use std::io;

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{Gid, Uid, fchownat, getegid, geteuid};

use super::directory::{Directory, single_component};

impl Directory {
    /// Creates the character device `name` with this number and owner, and with this mode if the process has no umask. Fails with
    /// [`io::ErrorKind::AlreadyExists`] if the name exists.
    pub fn make_device(
        &self,
        name: &OsStr,
        (major, minor): (u64, u64),
        mode: Mode,
        (user, group): (u32, u32),
    ) -> io::Result<()> {
        self.permit()?;
        let name = single_component(name)?;
        let device = makedev(major, minor);
        mknodat(self, name, SFlag::S_IFCHR, mode, device)?;
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        if (user, group) == (geteuid(), getegid()) {
            return Ok(());
        }
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(self, name, Some(user), Some(group), flags).map_err(|errno| {
            // If it stayed, it would count as complete.
            let _ = self.remove(name);
            errno.into()
        })
    }
}
