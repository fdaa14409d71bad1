//! The links that NVIDIA's installer would make for the driver's libraries.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::driver::directories::{self, DriverDirectory};
use crate::elf::{ElfError, Head, Object, OpenFile};
use crate::ldcache::driver_names::{self, PointsTo};
use crate::ldcache::{SearchPath, check_soname};
use crate::rootfs::{ContainerRoot, Kind, is_not_there, is_obstacle, is_read_only};

/// The sub-directory of a library directory that holds the driver's libraries for VDPAU.
const VDPAU: &str = "vdpau";

/// Makes the links that NVIDIA's installer would make, in every directory with driver libraries; `places` are searched first. Other
/// files with those names are kept.
pub fn link_driver_libraries(root: &ContainerRoot, places: &[PathBuf]) {
    let search_path = SearchPath::of(root);
    for driver in directories::find(root, places, &search_path) {
        let vdpau = vdpau_of(root, &driver);
        for directory in [Some(driver), vdpau].into_iter().flatten() {
            let path = directory.path.display();
            match link_directory(&directory) {
                Err(err) if is_read_only(&err) => {
                    log::debug!("{path}: links are missing, the cache has the names: {err}");
                }
                Err(err) => log::warn!("{path}: links are missing: {err}"),
                Ok(()) => {}
            }
        }
    }
}

/// The directory of its libraries for VDPAU, if it has one.
fn vdpau_of(root: &ContainerRoot, driver: &DriverDirectory) -> Option<DriverDirectory> {
    let path = driver.path.join(VDPAU);
    match root.directory(&path) {
        Ok(directory) => Some(DriverDirectory {
            path,
            directory,
            version: driver.version.clone(),
        }),
        Err(err) => {
            if !is_not_there(&err) {
                log::warn!("{}: links are missing: {err}", path.display());
            }
            None
        }
    }
}

fn link_directory(driver: &DriverDirectory) -> io::Result<()> {
    for library in driver.libraries() {
        let Some(soname) = soname(driver, &library) else {
            continue;
        };
        link_in(driver, &library, &soname)?;
        for (name, points_to) in driver_names::of(&soname) {
            let target = match points_to {
                PointsTo::Soname => &soname,
                PointsTo::File => &library,
            };
            link_in(driver, target, OsStr::new(name))?;
        }
    }
    Ok(())
}

fn soname(driver: &DriverDirectory, library: &OsStr) -> Option<OsString> {
    let path = || driver.path.join(library);
    let soname = match read_soname(driver, library) {
        Err(ElfError::Io(err)) if is_obstacle(&err) => {
            log::warn!("{}: not read, no link is made: {err}", path().display());
            return None;
        }
        soname => soname.ok()??,
    };
    if let Err(reason) = check_soname(&soname) {
        log::warn!("{}: its SONAME {reason}, no link is made", path().display());
        return None;
    }
    Some(OsString::from_vec(soname))
}

fn read_soname(driver: &DriverDirectory, library: &OsStr) -> Result<Option<Vec<u8>>, ElfError> {
    let (file, metadata) = driver.directory.open_file(library).map_err(ElfError::Io)?;
    let source = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    let object = Object::read(&source, &mut head)?;
    object.soname(&object.dynamic()?)
}

fn link_in(driver: &DriverDirectory, target: &OsStr, name: &OsStr) -> io::Result<()> {
    let is_free = match driver.directory.stat(name) {
        Ok(there) => there.kind == Kind::Link,
        Err(_) => true,
    };
    if target != name && is_free && driver.directory.symlink(target, name)? {
        let path = driver.path.join(name);
        log::debug!("{} -> {}", path.display(), target.display());
    }
    Ok(())
}
