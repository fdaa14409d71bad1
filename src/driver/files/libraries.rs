//! The driver's libraries and their links.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::{DriverFile, Places};
use crate::driver::library;
use crate::driver::place::USUAL_LIBRARY_DIRECTORIES;
use crate::elf::Class;
use crate::rootfs::{Directory, Kind};

/// The subdirectory of a library directory with the driver's VDPAU libraries.
const VDPAU: &str = "vdpau";
/// A part of the compiler with a version of its own.
const NVVM70: &str = "libnvidia-nvvm70.so.";
/// Libraries that a container may want from the host, although they are not part of the driver.
const EXPLICIT: [&str; 11] = [
    "libEGL.so",
    "libGL.so",
    "libGLESv1_CM.so",
    "libGLESv2.so",
    "libGLX.so",
    "libGLdispatch.so",
    "libOpenCL.so",
    "libOpenGL.so",
    "libnvidia-api.so",
    "libnvidia-egl-xcb.so",
    "libnvidia-egl-xlib.so",
];
/// The maximum number of libraries; a driver has 60.
const MAX_LIBRARIES: usize = 1024;
/// A library of the toolkit that has the driver's prefix.
const TOOLKIT: &str = "libnvidia-container";

/// A library that containers get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    /// The file, whose path in the container is the one in the driver's root.
    pub file: DriverFile,
    /// The SONAME.
    pub soname: Option<String>,
    /// The linker name, such as `libcuda.so`, if the host has such a link.
    pub development_link: Option<String>,
}

impl Library {
    /// Reads the library at `path`, a path without links in the driver's root, which is at `root_path` on the host. `None` if it
    /// is not a regular file, or if it is a 32-bit library.
    #[must_use]
    pub fn read(directory: &Directory, root_path: &Path, path: &Path) -> Option<Self> {
        path.to_str()?;
        let (file, metadata) = directory.open_file(path.file_name()?).ok()?;
        let (class, soname) = library::head(file, &metadata).unwrap_or((Class::Bits64, None));
        if class != Class::Bits64 {
            return None;
        }
        let is_link = |name: &str| {
            let found = directory.stat(OsStr::new(name));
            found.is_ok_and(|it| it.kind == Kind::Link)
        };
        let link = soname.as_deref().map(link_name);
        let link = link.filter(|it| Some(*it) != soname.as_deref() && is_link(it));
        Some(Self {
            file: DriverFile {
                on_host: root_path.join(path.strip_prefix("/").unwrap_or(path)),
                inside: path.to_owned(),
            },
            development_link: link.map(str::to_owned),
            soname,
        })
    }

    /// Returns the file name.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.file.inside.file_name().and_then(OsStr::to_str);
        name.unwrap_or_default()
    }

    /// Returns the directory in the container.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.file.inside.parent().unwrap_or(Path::new("/"))
    }
}

/// Returns the libraries of the driver's version, those without a version, and with `explicit` some of other packages.
pub(super) fn of_driver(places: &Places<'_>, explicit: bool) -> Vec<Library> {
    let of_version = format!(".so.{}", places.version);
    let is_ours = |name: &str| name.ends_with(&of_version) || name.starts_with(NVVM70);
    let is_of_version = |name: &str| name.ends_with(&of_version);
    let mut found = Vec::new();
    for directory in &places.directories {
        add(places, directory, is_ours, |_| true, &mut found);
        let vdpau = directory.join(VDPAU);
        add(places, &vdpau, is_of_version, |_| true, &mut found);
    }
    // `libnvidia-api.so.1` and the like, whose file name is the SONAME.
    let has_soname = |it: &Library| it.soname.as_deref() == Some(it.name());
    for directory in &places.directories {
        add(places, directory, is_unversioned, has_soname, &mut found);
    }
    if explicit {
        for name in EXPLICIT {
            let usual = USUAL_LIBRARY_DIRECTORIES.map(PathBuf::from);
            let mut directories = places.all_directories.iter().chain(&usual);
            let library = directories.find_map(|it| places.library(&places.find(&it.join(name))?));
            found.extend(library.filter(|it| !found.contains(it)));
        }
    }
    found
}

/// Adds the libraries in a directory that `is_name` and `is_meant` accept, sorted by name, up to [`MAX_LIBRARIES`].
pub(super) fn add(
    places: &Places<'_>,
    directory: &Path,
    is_name: impl Fn(&str) -> bool,
    is_meant: impl Fn(&Library) -> bool,
    found: &mut Vec<Library>,
) {
    for name in places.tree.names(directory, is_name) {
        if found.len() == MAX_LIBRARIES {
            let reason = format!("more than {MAX_LIBRARIES} libraries: the others are left out");
            places.tree.note(directory, io::Error::other(reason));
            return;
        }
        let Some(file) = places.find(&directory.join(name)) else {
            continue;
        };
        if !found.iter().any(|it| it.file.inside == file.path) {
            found.extend(places.library(&file).filter(&is_meant));
        }
    }
}

fn is_unversioned(name: &str) -> bool {
    let is_major = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    let major = name.split_once(".so.").map(|(_, major)| major);
    name.starts_with("libnvidia-") && !name.starts_with(TOOLKIT) && major.is_some_and(is_major)
}

/// Returns the linker name: `libcuda.so` for `libcuda.so.1`.
fn link_name(soname: &str) -> &str {
    let end = soname.find(".so.").map(|at| at + ".so".len());
    end.and_then(|end| soname.get(..end)).unwrap_or(soname)
}
