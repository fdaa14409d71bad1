//! The driver's libraries that the host's loader finds.

use std::fs::File;
use std::path::PathBuf;

use super::name::{is_driver_name, version};
use super::tree::Tree;
use crate::elf::{Class, Head, Object, OpenFile};
use crate::ldcache::{self, check_soname};
use crate::rootfs::{Metadata, Root, is_not_there};

/// The driver's libraries that the loader finds through `ld.so.cache`.
#[derive(Default, Debug)]
pub struct Cached {
    /// The existing ones.
    pub libraries: Vec<DriverLibrary>,
    /// Dangling entries of the cache, and dangling links beside the libraries.
    pub dangling: Vec<PathBuf>,
}

/// A library that the loader finds.
#[derive(Debug)]
pub struct DriverLibrary {
    /// The file, with all links resolved.
    pub path: PathBuf,
    /// The SONAME.
    pub soname: String,
    /// The word size.
    pub class: Class,
    /// The driver's version, from the suffix of the file name; some libraries have a version of their own there.
    pub version: Option<String>,
}

impl Cached {
    pub(super) fn read(tree: &Tree) -> Self {
        let (mut libraries, mut dangling) = (Vec::<DriverLibrary>::new(), Vec::new());
        let paths = ldcache::cached_paths(&tree.root);
        for path in paths.into_iter().filter(|path| is_driver_name(path)) {
            match tree.find(&path).map(|found| found.path) {
                Ok(real) if libraries.iter().any(|it| it.path == real) => {}
                Err(err) if is_not_there(&err) => dangling.push(path),
                real => {
                    let real = tree.noted(&path, real);
                    libraries.extend(real.and_then(|real| read_library(&tree.root, real)));
                }
            }
        }
        libraries.sort_by(|a, b| (&a.soname, &a.path).cmp(&(&b.soname, &b.path)));
        Self {
            libraries,
            dangling,
        }
    }

    /// Returns the libraries whose SONAME begins with `start`.
    pub fn named<'s>(&'s self, start: &'s str) -> impl Iterator<Item = &'s DriverLibrary> {
        let is_meant = move |library: &&DriverLibrary| library.soname.starts_with(start);
        self.libraries.iter().filter(is_meant)
    }
}

fn read_library(root: &Root, path: PathBuf) -> Option<DriverLibrary> {
    let (file, metadata) = root.open_file(&path).ok()?;
    let (class, soname) = head(file, &metadata)?;
    Some(DriverLibrary {
        soname: soname?,
        class,
        version: path.file_name().and_then(version),
        path,
    })
}

/// Returns the word size of a library, and its SONAME if that is a valid file name. `None` if the file is not a library.
pub(super) fn head(file: File, metadata: &Metadata) -> Option<(Class, Option<String>)> {
    let file = OpenFile::new(file, metadata.size);
    let mut head = Head::default();
    let object = Object::read(&file, &mut head).ok()?;
    let soname = object.soname(&object.dynamic().ok()?).ok()?;
    let soname = soname.filter(|it| check_soname(it).is_ok());
    let soname = soname.and_then(|it| String::from_utf8(it).ok());
    Some((object.class(), soname))
}
