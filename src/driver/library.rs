//! The driver's libraries, as the host's loader finds them.

use std::path::{Path, PathBuf};

use super::name::{is_driver_name, version};
use super::place::{self, DriverDirectory};
use super::tree::Tree;
use crate::elf::{Class, Head, Object, OpenFile};
use crate::ldcache::{self, check_soname};
use crate::rootfs::{Root, is_not_there};

/// The driver's libraries on a host.
#[derive(Debug)]
pub struct Libraries {
    /// Those that the loader finds through `ld.so.cache`.
    pub cached: Vec<DriverLibrary>,
    /// Directories where libraries of the driver lie, in the cache or not.
    pub directories: Vec<DriverDirectory>,
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
    /// Looks for them in a tree, in these directories alone if there are any. Where there are several drivers, that of the `wanted` version counts.
    pub(super) fn read(tree: &Tree<'_>, wanted: Option<&str>, paths: &[PathBuf]) -> Self {
        let found = place::find(tree, wanted, paths);
        let (mut cached, mut dangling) = (Vec::<DriverLibrary>::new(), found.dangling);
        let paths = ldcache::cached_paths(&tree.root);
        for path in paths.into_iter().filter(|path| is_driver_name(path)) {
            match tree.root.real_path(&path) {
                Ok(real) if cached.iter().any(|it| it.path == real) => {}
                Err(err) if is_not_there(&err) => dangling.push(path),
                real => {
                    let real = tree.noted(&path, real);
                    cached.extend(real.and_then(|real| read_library(&tree.root, real)));
                }
            }
        }
        cached.sort_by(|a, b| (&a.soname, &a.path).cmp(&(&b.soname, &b.path)));
        dangling.sort();
        dangling.dedup();
        Self {
            cached,
            directories: found.directories,
            dangling,
        }
    }

    /// Whether there are libraries of this version.
    #[must_use]
    pub fn has_version(&self, version: &str) -> bool {
        let mut versions = self.directories.iter().map(|it| it.version.as_deref());
        versions.any(|it| it == Some(version))
    }

    /// The version of the driver, by the directory in which libcuda lies.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let mut directories = self.directories.iter().filter(|it| it.has_libcuda);
        directories.find_map(|it| it.version.as_deref())
    }

    /// The cached libraries whose SONAME begins so.
    pub fn named<'s>(&'s self, start: &'s str) -> impl Iterator<Item = &'s DriverLibrary> {
        let is_meant = move |library: &&DriverLibrary| library.soname.starts_with(start);
        self.cached.iter().filter(is_meant)
    }
}

fn read_library(root: &Root, path: PathBuf) -> Option<DriverLibrary> {
    let (class, soname) = head(root, &path)?;
    Some(DriverLibrary {
        soname: soname?,
        class,
        version: path.file_name().and_then(version),
        path,
    })
}

/// The word size of a library, and the name that programs ask for if it can be that of a file; none if it is no library.
pub(super) fn head(root: &Root, path: &Path) -> Option<(Class, Option<String>)> {
    let (file, metadata) = root.open_file(path).ok()?;
    let file = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    let object = Object::read(&file, &mut head).ok()?;
    let soname = object.soname(&object.dynamic().ok()?).ok()?;
    let soname = soname.filter(|it| check_soname(it).is_ok());
    let soname = soname.and_then(|it| String::from_utf8(it).ok());
    Some((object.class(), soname))
}
