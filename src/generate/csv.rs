//! Jetson: CSV files in its packages list the files for containers.
//!
//! Format: lines `TYPE, PATH`; the type is `dev`, `dir`, `lib` or `sym`, and the path may contain patterns. Other lines are
//! ignored.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};

use super::hooks::Link;
use super::names::Strategy;
use super::part::Part;
use super::{ALL, Device, Notes, Parts, Source, links};
use crate::driver::files::{DriverFile, Library};
use crate::driver::name::can_be_told;
use crate::glob;
use crate::rootfs::{Kind, Root, is_not_there};

/// The directory of the lists in Jetson's packages.
const DIRECTORY: &str = "/etc/nvidia-container-runtime/host-files-for-container.d";
const LISTS: [&str; 3] = ["devices.csv", "drivers.csv", "l4t.csv"];
/// The maximum size of a list.
const MAX_LIST: u64 = 1 << 20;
/// The maximum number of paths in all lists, and of names to compare with patterns.
const MAX_PATHS: usize = 4096;
const MAX_NAMES: usize = 1 << 20;
/// The maximum number of links in a chain.
const MAX_CHAIN: usize = 40;
/// The file that names the release.
const RELEASE: &str = "/etc/nv_tegra_release";
/// The prefix of a pattern for names in any directory.
const ANYWHERE: &str = "**/";

/// An entry of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry<'t> {
    Node(&'t str),
    Directory(&'t str),
    File(&'t str),
    Link(&'t str),
}

/// Collects the files of the lists, with all nodes in a single device. Fails without lists, for another device, and beyond a
/// bound.
pub(super) fn parts(source: &Source<'_>, notes: &mut Notes) -> Result<Parts> {
    for id in &source.options.ids {
        ensure!(
            id == ALL || id == "0",
            "device {id} does not exist: a Jetson has the device 0"
        );
    }
    let texts = lists(source, notes)?;
    let lines = texts.iter().flat_map(|text| text.lines());
    let entries: Vec<_> = lines.filter_map(entry).collect();
    let root = source.root()?;
    let mut lists = Lists {
        source,
        root: &root,
        common: Part::default(),
        device: Part::default(),
        libraries: Vec::new(),
        chains: Vec::new(),
        left: Left {
            paths: MAX_PATHS,
            names: MAX_NAMES,
        },
    };
    for entry in entries {
        lists.add(entry);
    }
    lists.add(Entry::File(RELEASE));
    ensure!(
        lists.left.paths > 0 && lists.left.names > 0,
        "the CSV files match more than {MAX_PATHS} paths, or search more than {MAX_NAMES} names"
    );
    Ok(lists.finish())
}

/// Returns the texts of the given lists, or of the installed ones. Fails if there is none.
fn lists(source: &Source<'_>, notes: &mut Notes) -> Result<Vec<String>> {
    if let Some(lists) = &source.options.csv.lists {
        return Ok(lists.clone());
    }
    let mut texts = Vec::new();
    for path in LISTS.map(|name| Path::new(DIRECTORY).join(name)) {
        match source.host.read(&path, MAX_LIST) {
            Ok(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(err) if is_not_there(&err) => {}
            Err(err) => notes.warn(format!("{}: {err}", path.display())),
        }
    }
    ensure!(
        !texts.is_empty(),
        "there is no {} in {DIRECTORY}: install the package nvidia-l4t-init, or name lists with --csv.file",
        LISTS.join(", ")
    );
    Ok(texts)
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let (kind, path) = line.split_once(',')?;
    let path = path.trim();
    if !path.starts_with('/') {
        return None;
    }
    match kind.trim() {
        "dev" => Some(Entry::Node(path)),
        "dir" => Some(Entry::Directory(path)),
        "lib" => Some(Entry::File(path)),
        "sym" => Some(Entry::Link(path)),
        _ => None,
    }
}

/// The results of reading the lists.
struct Lists<'l, 's> {
    source: &'l Source<'s>,
    root: &'l Root,
    common: Part,
    device: Part,
    libraries: Vec<Library>,
    chains: Vec<Link>,
    left: Left,
}

/// The remaining bounds.
struct Left {
    paths: usize,
    names: usize,
}

impl Lists<'_, '_> {
    fn add(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Node(path) => {
                for path in self.expand(path) {
                    let name = path.strip_prefix("/dev").unwrap_or(&path);
                    if let Some(node) = self.source.dev.node(name) {
                        self.device.node(&node, self.source.options.adds_groups);
                    }
                }
            }
            Entry::Directory(path) => {
                for path in self.expand(path) {
                    self.mount(&path, Kind::Directory);
                }
            }
            Entry::File(path) => {
                for path in self.expand(path) {
                    self.mount(&path, Kind::File);
                }
            }
            Entry::Link(path) => {
                for path in self.expand(path) {
                    self.mount(&path, Kind::File);
                    self.chain(path);
                }
            }
        }
    }

    /// Mounts the target of the path.
    fn mount(&mut self, path: &Path, kind: Kind) {
        let Ok((real, found)) = self.root.resolve(path) else {
            return;
        };
        if found.kind != kind || !real.parent().is_none_or(can_be_told) {
            return;
        }
        let driver = self.source.driver;
        let library = || {
            let directory = self.root.directory(real.parent()?).ok()?;
            Library::read(&directory, &driver.root, &real)
        };
        if is_library(&real)
            && let Some(library) = library()
        {
            if !self.libraries.contains(&library) {
                self.libraries.push(library);
            }
            return;
        }
        self.common.files([&DriverFile {
            on_host: driver.on_host(&real),
            inside: real,
        }]);
    }

    /// Adds the link and those that it leads to, as they are on the host.
    fn chain(&mut self, mut path: PathBuf) {
        for _ in 0..MAX_CHAIN {
            let Some(target) = read_link(self.root, &path) else {
                return;
            };
            if !self.is_ignored(&path) {
                self.chains.push(Link::new(target.to_string_lossy(), &path));
            }
            path = path.parent().unwrap_or(Path::new("/")).join(target);
        }
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let mut patterns = self.source.options.csv.ignored.iter();
        patterns.any(|pattern| {
            if let Some(name) = pattern.strip_prefix(ANYWHERE) {
                return glob::matches(OsStr::new(name), path.file_name().unwrap_or_default());
            }
            let (pattern, path) = (Path::new(pattern).iter(), path.iter());
            pattern.clone().count() == path.clone().count()
                && pattern
                    .zip(path)
                    .all(|(pattern, name)| glob::matches(pattern, name))
        })
    }

    /// Returns the matching paths, sorted. Nodes may be below another root.
    fn expand(&mut self, pattern: &str) -> Vec<PathBuf> {
        let is_node = pattern.starts_with("/dev/");
        let dev = is_node.then(|| {
            self.source
                .host
                .open_root(&self.source.driver.dev_root)
                .ok()
        });
        let root = dev.as_ref().and_then(Option::as_ref).unwrap_or(self.root);
        let paths = self.left.expand(root, Path::new(pattern));
        self.left.paths = self.left.paths.saturating_sub(paths.len());
        paths
    }

    fn finish(mut self) -> Parts {
        self.common.files(self.libraries.iter().map(|it| &it.file));
        self.common.work.links = vec![self.chains, links::of_libraries(&self.libraries)];
        self.common.work.folders = links::folders(&self.libraries);
        let names = self
            .source
            .options
            .strategies
            .iter()
            .filter_map(|it| match it {
                Strategy::TypeIndex => Some("gpu0"),
                Strategy::Index => Some("0"),
                Strategy::Uuid | Strategy::Pci => None,
            });
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        if names.is_empty() {
            names.push("0".to_owned());
        }
        let has_nodes = !self.device.edits.device_nodes.is_empty();
        let device = has_nodes.then_some(Device {
            names,
            part: self.device,
            is_coherent: None,
        });
        Parts {
            common: self.common,
            devices: device.into_iter().collect(),
        }
    }
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("lib") && name.contains(".so")
}

fn read_link(root: &Root, path: &Path) -> Option<PathBuf> {
    let directory = root.directory(path.parent()?).ok()?;
    directory.read_link(path.file_name()?).ok()
}

impl Left {
    /// Returns the matching paths, sorted.
    fn expand(&mut self, root: &Root, pattern: &Path) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from("/")];
        for component in pattern.components() {
            let Component::Normal(component) = component else {
                continue;
            };
            if !glob::is_pattern(component) {
                for path in &mut paths {
                    path.push(component);
                }
                continue;
            }
            let mut matching = Vec::new();
            for path in &paths {
                if matching.len() >= self.paths {
                    break;
                }
                let names = self.matching(root, path, component);
                matching.extend(names.into_iter().map(|name| path.join(name)));
            }
            paths = matching;
            paths.truncate(self.paths);
        }
        paths.truncate(self.paths);
        paths
    }

    /// Returns the matching names in a directory; empty once the bound is reached.
    fn matching(&mut self, root: &Root, directory: &Path, pattern: &OsStr) -> Vec<String> {
        if self.names == 0 {
            return Vec::new();
        }
        let entries = root.directory(directory).and_then(|it| it.entries());
        let entries = entries.unwrap_or_default();
        self.names = self.names.saturating_sub(1 + entries.len());
        let names = entries
            .into_iter()
            .filter_map(|it| it.name.into_string().ok());
        let mut names: Vec<_> = names
            .filter(|it| glob::matches(pattern, it.as_ref()))
            .collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_lists() {
        for (line, expected) in [
            ("dev, /dev/nvhost-*", Some(Entry::Node("/dev/nvhost-*"))),
            (
                "dir,/dev/dri/by-path",
                Some(Entry::Directory("/dev/dri/by-path")),
            ),
            (" lib , /a,b ", Some(Entry::File("/a,b"))),
            (
                "sym, /usr/lib/libcuda.so",
                Some(Entry::Link("/usr/lib/libcuda.so")),
            ),
            ("# dev, /dev/x", None),
            ("dev ,", None),
            ("dev, relative", None),
            (",", None),
            ("\t", None),
            ("other, /x", None),
        ] {
            assert_eq!(entry(line), expected, "{line}");
        }
    }
}
