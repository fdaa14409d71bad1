//! The driver's libraries, as the host's loader finds them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directories;
use crate::cuda::is_driver_version;
use crate::elf::{Class, Head, Object, OpenFile};
use crate::ldcache::{self, SearchPath};
use crate::rootfs::{Kind, Root};

/// How the names of the driver's libraries begin.
const NAMES: [&str; 10] = [
    "libcuda.so",
    "libcudadebugger.so",
    "libnvidia-",
    "libnvcuvid.so",
    "libnvoptix.so",
    "libGLX_nvidia.so",
    "libEGL_nvidia.so",
    "libGLESv1_CM_nvidia.so",
    "libGLESv2_nvidia.so",
    "libvdpau_nvidia.so",
];

/// The driver's libraries on a host.
#[derive(Debug)]
pub struct Libraries {
    /// Those that the loader finds through `ld.so.cache`.
    pub cached: Vec<DriverLibrary>,
    /// Directories where libraries of the driver lie, in the cache or not, with the driver's version.
    pub directories: Vec<(PathBuf, String)>,
    /// Entries of the cache and links beside the libraries that lead nowhere.
    pub dangling: Vec<PathBuf>,
}

/// A library that the loader finds.
#[derive(Debug)]
pub struct DriverLibrary {
    /// The file, with all links followed.
    pub path: PathBuf,
    /// The name that programs ask for.
    pub soname: String,
    /// Its word size.
    pub class: Class,
    /// The driver's version, as its file name ends; some libraries have a version of their own there.
    pub version: Option<String>,
}

impl Libraries {
    pub(super) fn read(root: &Root) -> Self {
        let paths = ldcache::cached_paths(root);
        let (mut cached, mut dangling) = (Vec::<DriverLibrary>::new(), Vec::new());
        for path in paths.into_iter().filter(|path| is_driver_name(path)) {
            match root.real_path(&path) {
                Ok(real) if cached.iter().any(|it| it.path == real) => {}
                Ok(real) => cached.extend(read_library(root, real)),
                Err(_) => dangling.push(path),
            }
        }
        cached.sort_by(|a, b| (&a.soname, &a.path).cmp(&(&b.soname, &b.path)));
        let search_path = SearchPath::of(root);
        let found = directories::find(root, &[], &search_path);
        for directory in &found {
            let entries = directory.directory.entries().unwrap_or_default();
            let links = entries.iter().filter(|entry| entry.kind == Kind::Link);
            let paths = links.map(|entry| directory.path.join(&entry.name));
            dangling.extend(paths.filter(|path| is_driver_name(path) && root.stat(path).is_err()));
        }
        dangling.sort();
        dangling.dedup();
        let directories = found
            .into_iter()
            .map(|it| (it.path, it.version.to_string_lossy().into_owned()))
            .collect();
        Self {
            cached,
            directories,
            dangling,
        }
    }

    /// The cached libraries whose SONAME begins so.
    pub fn named<'s>(&'s self, start: &'s str) -> impl Iterator<Item = &'s DriverLibrary> {
        let is_meant = move |library: &&DriverLibrary| library.soname.starts_with(start);
        self.cached.iter().filter(is_meant)
    }
}

fn is_driver_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    NAMES.iter().any(|start| name.starts_with(start.as_bytes()))
}

fn read_library(root: &Root, path: PathBuf) -> Option<DriverLibrary> {
    let (file, metadata) = root.open_file(&path).ok()?;
    let file = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    let object = Object::read(&file, &mut head).ok()?;
    let soname = object.soname(&object.dynamic().ok()?).ok()??;
    Some(DriverLibrary {
        soname: String::from_utf8_lossy(&soname).into_owned(),
        class: object.class(),
        version: path.file_name().and_then(version),
        path,
    })
}

/// The version at the end of a file name.
#[must_use]
pub fn version(name: &OsStr) -> Option<String> {
    let (_, version) = name.to_str()?.split_once(".so.")?;
    is_driver_version(version.as_bytes()).then(|| version.to_owned())
}
