//! `create-symlinks`: makes symbolic links in the container.

mod driver_links;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};

use super::InContainer;
use super::disabled::Disabled;
use crate::ldcache::{Ldconfig, driver_names, may_be_soname};
use crate::oci::State;
use crate::rootfs::{
    ContainerRoot, Directory, Kind, Root, is_not_there, is_obstacle, is_read_only,
};

pub use driver_links::link_driver_libraries;

/// Create symbolic links in the container, and the SONAME links that they lead to.
///
/// Without options, create the links that NVIDIA's installer would make for the container's driver libraries.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create-symlinks",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook create-symlinks --link libcuda.so.1::/usr/lib64/libcuda.so <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
#[expect(clippy::doc_markdown, reason = "help texts have no backticks")]
pub struct CreateSymlinks {
    /// link to create, as TARGET::LINK; may be repeated
    #[argh(option, arg_name = "target::link")]
    pub link: Vec<String>,
    /// CSV file whose "sym" lines name links of the host to create in the container; may be repeated
    #[argh(option, arg_name = "file")]
    pub csv_filename: Vec<String>,
    /// directory of the host below which the links of --csv-filename are looked up (default: /)
    #[argh(option, arg_name = "dir")]
    pub host_root: Option<String>,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

/// The separator between target and link in `--link`.
const SEPARATOR: &str = "::";
/// Largest CSV file.
const MAX_CSV: u64 = 1 << 20;
/// Links that lead to each other.
const MAX_CHAIN: usize = 40;

/// One link to make in the container.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// What it points to.
    pub target: OsString,
    /// Where it is, absolute or taken from the container's root.
    pub path: PathBuf,
    /// Whether to make it only if its target exists.
    pub needs_target: bool,
}

impl InContainer for CreateSymlinks {
    /// Where to look for driver libraries first.
    type Options = Vec<PathBuf>;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, _: &Disabled) -> Result<Option<Vec<PathBuf>>> {
        Ok(Some(Vec::new()))
    }

    fn learn(&self, driver_places: &mut Vec<PathBuf>, state: &State) -> bool {
        if self.finds_driver() {
            *driver_places = state.driver_places();
        }
        true
    }

    fn run(&self, root: &ContainerRoot, driver_places: &Vec<PathBuf>) -> Result<()> {
        if let Some(path) = self
            .host_root
            .as_ref()
            .filter(|_| self.csv_filename.is_empty())
        {
            log::debug!("--host-root {path}: ignored without --csv-filename");
        }
        if self.finds_driver() {
            link_driver_libraries(root, driver_places);
            return Ok(());
        }
        let (mut links, wrong) = links("--link", &self.link, false);
        links.extend(self.links_of_host()?);
        ensure_none_failed(wrong + make_all(root, &links, &OnceCell::new()))
    }
}

impl CreateSymlinks {
    /// Whether no links are named, so that those of the driver's libraries are made.
    fn finds_driver(&self) -> bool {
        self.link.is_empty() && self.csv_filename.is_empty()
    }

    /// The links that the CSV files name, as the host has them.
    fn links_of_host(&self) -> Result<Vec<Link>> {
        if self.csv_filename.is_empty() {
            return Ok(Vec::new());
        }
        let host = Root::host()?;
        let host_root = self.host_root.as_deref().unwrap_or("/");
        let found_in = Root::open(Path::new(host_root))
            .with_context(|| format!("cannot open the host's root {host_root}"))?;
        let mut links = Vec::new();
        for file in &self.csv_filename {
            let text = host
                .read(Path::new(file), MAX_CSV)
                .with_context(|| format!("cannot read {file}"))?;
            for path in symlinks_of_csv(&String::from_utf8_lossy(&text)) {
                let chain = chain(&found_in, Path::new(path));
                if chain.is_empty() {
                    log::debug!("{path}: no link of the host, skipped");
                }
                links.extend(chain);
            }
        }
        Ok(links)
    }
}

/// Makes all missing links, and the SONAME links that they lead to. Every link is tried, each failure is logged. Fails if any link
/// failed.
pub fn run(root: &ContainerRoot, links: &[Link]) -> Result<()> {
    run_with(&OnceCell::new(), root, links)
}

/// The same, with an ldconfig of the root that may be known already.
pub(super) fn run_with<'r>(
    ldconfig: &OnceCell<Ldconfig<'r>>,
    root: &'r ContainerRoot,
    links: &[Link],
) -> Result<()> {
    ensure_none_failed(make_all(root, links, ldconfig))
}

/// Returns the number of failures.
fn make_all<'r>(
    root: &'r ContainerRoot,
    links: &[Link],
    ldconfig: &OnceCell<Ldconfig<'r>>,
) -> usize {
    // Links of one directory follow on each other.
    let mut last = None;
    let failed = links.iter().filter(|link| !make(root, link, &mut last));
    let failed = failed.count();
    let targets = links.iter().flat_map(|link| missing_libraries(root, link));
    let targets: Vec<_> = targets.collect();
    // The rules of ldconfig are read from the root's C library, so only if they are needed.
    if !targets.is_empty() {
        let ldconfig = ldconfig.get_or_init(|| Ldconfig::new(root));
        ldconfig.link_sonames(targets.iter().map(PathBuf::as_path));
    }
    failed
}

/// The paths that a link of a library leads through if it does not reach a library: one of them may be that of a SONAME link.
fn missing_libraries(root: &ContainerRoot, link: &Link) -> Vec<PathBuf> {
    if !may_be_soname(Path::new(&link.target)) {
        return Vec::new();
    }
    let is_missing = match root.stat(&link.path) {
        // The place of a library that is mounted in other containers of the image.
        Ok(there) => there.kind == Kind::File && there.size == 0,
        Err(err) => is_not_there(&err),
    };
    if !is_missing {
        return Vec::new();
    }
    let links = chain(root, &link.path).into_iter();
    let targets = links.map(|link| link.path.with_file_name(&link.target));
    targets.filter(|target| may_be_soname(target)).collect()
}

fn ensure_none_failed(failed: usize) -> Result<()> {
    ensure!(failed == 0, "{failed} links could not be made");
    Ok(())
}

/// The links that this option names, and the number of invalid ones, which have been logged.
pub(super) fn links(option: &str, texts: &[String], needs_target: bool) -> (Vec<Link>, usize) {
    let parse = |text: &String| {
        let link = parse_link(text, needs_target);
        if link.is_none() {
            log::error!("{option} {text}: not of the form TARGET::LINK");
        }
        link
    };
    let links: Vec<_> = texts.iter().filter_map(parse).collect();
    let wrong = texts.len() - links.len();
    (links, wrong)
}

fn parse_link(text: &str, needs_target: bool) -> Option<Link> {
    let (target, path) = text.split_once(SEPARATOR)?;
    let is_link = !target.is_empty() && !path.is_empty() && !path.contains(SEPARATOR);
    is_link.then(|| Link {
        target: target.into(),
        path: path.into(),
        needs_target,
    })
}

/// The directory of the link that was made last, and its path.
type LinkDirectory = (PathBuf, Directory);

/// Makes one link. Returns `false` if it failed; the error has been logged.
fn make(root: &ContainerRoot, link: &Link, last: &mut Option<LinkDirectory>) -> bool {
    let (path, target) = (link.path.display(), link.target.display());
    if link.needs_target && !has_target(root, link) {
        log::debug!("{path} -> {target}: not made, there is no target");
        return true;
    }
    match try_make(root, link, last) {
        Ok(true) => log::debug!("{path} -> {target}"),
        Ok(false) => log::debug!("{path} -> {target}: there already"),
        Err(err) if is_read_only(&err) && is_in_cache(root, &link.path) => {
            log::debug!("{path} -> {target}: not made, the cache has the name: {err}");
        }
        Err(err) if is_obstacle(&err) => log::warn!("{path} -> {target}: not made: {err}"),
        Err(err) => {
            let why = if err.kind() == io::ErrorKind::IsADirectory {
                "; a directory is in the way, move it or choose another name"
            } else {
                ""
            };
            log::error!("{path} -> {target}: cannot make the link: {err}{why}");
            return false;
        }
    }
    true
}

fn try_make(
    root: &ContainerRoot,
    link: &Link,
    last: &mut Option<LinkDirectory>,
) -> io::Result<bool> {
    let (Some(parent), Some(name)) = (link.path.parent(), link.path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let directory = match last.take() {
        Some((path, directory)) if path == parent => directory,
        _ => root.create_directory(parent)?,
    };
    let made = directory.symlink(&link.target, name);
    *last = Some((parent.to_owned(), directory));
    made
}

/// Whether the container has the target of the link.
fn has_target(root: &Root, link: &Link) -> bool {
    let mut directory = link.path.parent().unwrap_or(Path::new("/"));
    let mut target = Path::new(&link.target);
    // Missing directories will be made for the link, and `..` leads out of them again.
    while let Ok(above) = target.strip_prefix("..")
        && root.stat(directory).is_err()
        && let Some(parent) = directory.parent()
    {
        (directory, target) = (parent, above);
    }
    root.stat(&directory.join(target)).is_ok()
}

/// Whether `update-ldcache` adds an entry of the link's name to the cache if the link cannot be made.
fn is_in_cache(root: &ContainerRoot, link: &Path) -> bool {
    let has_library = || {
        let soname = driver_names::soname_of(link.file_name()?)?;
        let (start, _) = soname.rsplit_once('.')?;
        let entries = root.directory(link.parent()?).ok()?.entries().ok()?;
        let files = entries.iter().filter(|entry| entry.kind == Kind::File);
        let files: Vec<_> = files.map(|file| file.name.as_os_str()).collect();
        let version = driver_names::driver_version(files.iter().copied())?;
        let library = [start.as_bytes(), b".", version.as_bytes()].concat();
        Some(files.iter().any(|file| file.as_bytes() == library))
    };
    has_library().unwrap_or(false)
}

/// The paths in the `sym` lines of a CSV file of the toolkit: `type, path`.
fn symlinks_of_csv(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (kind, path) = line.split_once(',')?;
        (kind.trim() == "sym").then_some(path.trim())
    })
}

/// The link at `path` and those that it leads to, in order.
fn chain(root: &Root, path: &Path) -> Vec<Link> {
    let mut links = Vec::new();
    let mut path = path.to_owned();
    while links.len() < MAX_CHAIN
        && let Some(target) = read_link(root, &path)
    {
        let next = path.parent().unwrap_or(Path::new("/")).join(&target);
        links.push(Link {
            target: target.into_os_string(),
            path: std::mem::replace(&mut path, next),
            needs_target: false,
        });
    }
    links
}

fn read_link(root: &Root, path: &Path) -> Option<PathBuf> {
    let directory = root.directory(path.parent()?).ok()?;
    directory.read_link(path.file_name()?).ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn links_have_two_parts() {
        let link = parse_link("../a b::/c/d", false).unwrap();
        assert_eq!(
            (link.target.as_os_str(), link.path.as_path()),
            (OsStr::new("../a b"), Path::new("/c/d"))
        );
        for text in ["", "a", "a:b", "::b", "a::", "::", "a::b::c", ":::b"] {
            assert_eq!(parse_link(text, false), None, "{text}");
        }
    }

    #[test]
    fn csv_lines_of_links_are_found() {
        let csv = "dev, /dev/nvhost\n  sym , /usr/lib/libcuda.so \n\nlib, /x\nsym,/a,b\n";
        let found: Vec<_> = symlinks_of_csv(csv).collect();
        assert_eq!(found, ["/usr/lib/libcuda.so", "/a,b"]);
    }

    #[test]
    fn a_chain_of_links_comes_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
        let host = Root::open(folder.path()).unwrap();
        assert_eq!(chain(&host, Path::new("/loop")).len(), MAX_CHAIN);
        assert_eq!(chain(&host, Path::new("/missing")), []);
    }
}
