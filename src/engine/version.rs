//! The version of an engine, and of the CDI specs that it knows: by its package, or by what Go's compiler left in its program.
//! Nothing is run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::Engine;
use crate::host::packages;
use crate::rootfs::Root;

/// The library with which engines read CDI specs, by the end of its name.
const LIBRARY: &str = "/container-device-interface\tv";
const MODULE: &str = "mod\t";
/// Longest line about a module that is looked at, and how much of a program is searched at once.
const MAX_LINE: usize = 256;
const PIECE: usize = 1 << 20;
/// Most bytes of a program that are searched, and how long all of them together may take.
const MAX_PROGRAM: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(3);
/// Where packages put programs.
const PACKAGED: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The newest version of CDI specs that an engine reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// It knows no CDI.
    None,
    /// This one.
    Format([u64; 2]),
}

/// The first two numbers of a version, with or without a `v` before them.
#[must_use]
pub fn numbers(version: &str) -> Option<[u64; 2]> {
    let mut parts = version.trim_start_matches('v').split('.');
    let number = |part: Option<&str>| part?.parse().ok();
    Some([number(parts.next())?, number(parts.next())?])
}

/// The versions of installed packages of engines.
pub(super) struct Packaged(BTreeMap<String, String>);

impl Packaged {
    pub(super) fn read(root: &Root) -> Self {
        let names = Engine::ALL.map(Engine::packages).concat();
        Self(packages::versions(root, &names))
    }

    /// The version of an engine, unless its program is another one than the package's.
    pub(super) fn version(&self, engine: Engine, program: Option<&Path>) -> Option<String> {
        let folder = program.and_then(Path::parent);
        let is_packaged = |it: &Path| PACKAGED.iter().any(|packaged| it == *packaged);
        if !folder.is_none_or(is_packaged) {
            return None;
        }
        let mut packages = engine.packages().iter();
        upstream(packages.find_map(|it| self.0.get(*it))?)
    }
}

/// The part of a package's version that the engine's authors gave: `5:20.10.24+dfsg1-1` is 20.10.24.
fn upstream(version: &str) -> Option<String> {
    let (_, version) = version.split_once(':').unwrap_or(("", version));
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let end = version.find(|c| !is_part(c)).unwrap_or(version.len());
    let number = version.get(..end)?.trim_end_matches('.');
    (!number.is_empty()).then(|| number.to_owned())
}

/// How long the search of all programs may take.
pub(super) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// What a program says of itself.
#[derive(Default)]
pub(super) struct Found {
    /// The engine's version.
    pub(super) version: Option<String>,
    /// The version of the library with which it reads CDI specs.
    pub(super) library: Option<String>,
}

/// The lines about modules are together, that of the program before those of its libraries.
pub(super) fn search(file: File, engine: Engine, end: Instant) -> Found {
    let mut found = Found::default();
    let mut file = file.take(MAX_PROGRAM);
    let mut bytes: Vec<u8> = Vec::with_capacity(PIECE + MAX_LINE);
    while Instant::now() < end {
        let kept = bytes.len().min(MAX_LINE);
        bytes.drain(..bytes.len() - kept);
        let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
        match file.by_ref().take(piece).read_to_end(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let version = || module(&bytes, engine);
        found.version = found.version.take().or_else(version);
        found.library = library(&bytes);
        if found.library.is_some() {
            break;
        }
    }
    found
}

/// `dep`, the library's name, its version, a checksum.
fn library(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, LIBRARY).find_map(|at| word(bytes, at + LIBRARY.len()))
}

/// `mod`, the program's name, its version, a checksum.
fn module(bytes: &[u8], engine: Engine) -> Option<String> {
    memmem::find_iter(bytes, MODULE).find_map(|at| {
        let start = at + MODULE.len();
        let name = word(bytes, start)?;
        let version = word(bytes, start + name.len() + 1)?;
        let is_engines = name.split('/').any(|it| engine.modules().contains(&it));
        let version = version.strip_prefix('v')?;
        (is_engines && !version.starts_with("0.0.0")).then(|| version.to_owned())
    })
}

/// What is there up to the next blank, if that is near.
fn word(bytes: &[u8], start: usize) -> Option<String> {
    let bytes = bytes.get(start..)?;
    let bytes = bytes.get(..bytes.len().min(MAX_LINE))?;
    let end = bytes.iter().position(|byte| !byte.is_ascii_graphic())?;
    let word = str::from_utf8(bytes.get(..end)?).ok()?;
    (!word.is_empty()).then(|| word.to_owned())
}

impl Engine {
    /// The packages that bring it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker-ce", "docker.io", "moby-engine"],
            Self::Containerd => &["containerd.io", "containerd", "moby-containerd"],
            Self::Crio => &["cri-o"],
            Self::Podman => &["podman"],
        }
    }

    /// The parts of its Go module's name by which it is known.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker", "moby"],
            Self::Containerd => &["containerd"],
            Self::Crio => &["cri-o"],
            Self::Podman => &["podman"],
        }
    }

    /// The first version that reads CDI specs.
    #[must_use]
    pub fn first_with_cdi(self) -> [u64; 2] {
        match self {
            Self::Docker => [25, 0],
            Self::Containerd => [1, 7],
            Self::Crio => [1, 23],
            Self::Podman => [4, 0],
        }
    }
}

/// The newest version of CDI specs that an engine of this version, with this library, reads; none if that is not known. The library
/// has the version of the format.
#[must_use]
pub fn newest_cdi(engine: Engine, version: Option<&str>, library: Option<&str>) -> Option<Newest> {
    let version = version.and_then(numbers);
    if version.is_some_and(|it| it < engine.first_with_cdi()) {
        return Some(Newest::None);
    }
    let is_podman_4 = engine == Engine::Podman && version.is_some_and(|it| it < [5, 0]);
    let by_version = is_podman_4.then_some([0, 6]);
    let library = library.and_then(numbers).filter(|it| *it > [0, 0]);
    library.or(by_version).map(Newest::Format)
}
