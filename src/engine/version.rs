//! The version of an engine and of the CDI specs that it supports: from its package, or from the build information in its Go
//! program. Nothing is executed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::Engine;
use crate::host::packages;
use crate::rootfs::Root;

/// The library that engines read CDI specs with: the suffix of its module path.
const LIBRARY: &str = "/container-device-interface\tv";
const MODULE: &str = "mod\t";
/// The maximum length of a module line, and the number of bytes to search at once.
const MAX_LINE: usize = 256;
const PIECE: usize = 1 << 20;
/// The maximum number of bytes to search in a program, and the maximum time for all programs.
const MAX_PROGRAM: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(3);
/// The directories where packages install programs.
const PACKAGED: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The newest version of CDI specs that an engine supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// The engine does not support CDI.
    None,
    /// This version.
    Format([u64; 2]),
}

/// Returns the first two numbers of a version, with or without a leading `v`.
#[must_use]
pub fn numbers(version: &str) -> Option<[u64; 2]> {
    let mut parts = version.trim_start_matches('v').split('.');
    let number = |part: Option<&str>| part?.parse().ok();
    Some([number(parts.next())?, number(parts.next())?])
}

/// The versions of installed engine packages.
pub(super) struct Packaged(BTreeMap<String, String>);

impl Packaged {
    pub(super) fn read(root: &Root) -> Self {
        let names = Engine::ALL.map(Engine::packages).concat();
        Self(packages::versions(root, &names))
    }

    /// Returns the version of an engine's package, unless its program does not come from the package.
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

/// Returns the upstream part of a package's version: `5:20.10.24+dfsg1-1` becomes 20.10.24.
fn upstream(version: &str) -> Option<String> {
    let (_, version) = version.split_once(':').unwrap_or(("", version));
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let end = version.find(|c| !is_part(c)).unwrap_or(version.len());
    let number = version.get(..end)?.trim_end_matches('.');
    (!number.is_empty()).then(|| number.to_owned())
}

/// Returns the deadline for searching all programs.
pub(super) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// The version information in a program.
#[derive(Default)]
pub(super) struct Found {
    /// The engine's version.
    pub(super) version: Option<String>,
    /// The version of the library that it reads CDI specs with.
    pub(super) library: Option<String>,
}

/// Searches a program. Its module lines are adjacent, that of the program before those of its libraries.
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

/// Parses `dep`, the library's name, its version, a checksum.
fn library(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, LIBRARY).find_map(|at| word(bytes, at + LIBRARY.len()))
}

/// Parses `mod`, the program's name, its version, a checksum.
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

/// Returns the word at `start`, if its end is near.
fn word(bytes: &[u8], start: usize) -> Option<String> {
    let bytes = bytes.get(start..)?;
    let bytes = bytes.get(..bytes.len().min(MAX_LINE))?;
    let end = bytes.iter().position(|byte| !byte.is_ascii_graphic())?;
    let word = str::from_utf8(bytes.get(..end)?).ok()?;
    (!word.is_empty()).then(|| word.to_owned())
}

impl Engine {
    /// Returns the names of its packages.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker-ce", "docker.io", "moby-engine"],
            Self::Containerd => &["containerd.io", "containerd", "moby-containerd"],
            Self::Crio => &["cri-o"],
            Self::Podman => &["podman"],
        }
    }

    /// Returns the components of its Go module path that identify it.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker", "moby"],
            Self::Containerd => &["containerd"],
            Self::Crio => &["cri-o"],
            Self::Podman => &["podman"],
        }
    }

    /// Returns the first version that supports CDI specs.
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

/// Returns the newest version of CDI specs that an engine of this version with this library supports; `None` if that is unknown.
/// The library's version is that of the format.
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
