//! crun: its version decides what hooks see.

use std::ops::RangeInclusive;

use memchr::memmem;

use super::Finding;
use crate::host::program;
use crate::inventory::Inventory;

/// Largest program that is read. A static crun has less than 4 MiB.
const MAX_PROGRAM: u64 = 16 << 20;
/// What crun's build calls its main branch between the releases 1.28 and 1.29; the number of commits since 1.28 follows.
const DEVELOPMENT: &str = "1.28.0.0.0.";
/// From the merge of crun's pull request 2094, which calls createContainer hooks before it mounts anything, until that of 2168,
/// which repairs it. No release has the fault.
const AFFECTED: RangeInclusive<u32> = 43..=111;

/// The version is read from the program file, so that `--root` may be any host.
pub(super) fn calls_hooks_after_mounting(host: &Inventory) -> Vec<Finding> {
    let program = program::find(&host.root, "crun".as_ref()).and_then(|path| {
        let bytes = host.root.read(&path, MAX_PROGRAM).ok()?;
        Some((path, bytes))
    });
    let Some((path, bytes)) = program else {
        return Vec::new();
    };
    let version = affected_version(&bytes).into_iter();
    version
        .map(|version| {
            Finding::error(
                "crun-hooks-before-mounts",
                format!(
                    "{} is version {version}, which calls createContainer hooks before it mounts anything",
                    path.display()
                ),
                "it was built from crun's sources of July 2026: hooks do not see what is mounted into a container",
                "install crun 1.29 or later",
            )
        })
        .collect()
}

fn affected_version(program: &[u8]) -> Option<&str> {
    memmem::find_iter(program, DEVELOPMENT).find_map(|start| {
        let bytes = program.get(start..)?;
        let end = bytes.iter().position(|byte| !byte.is_ascii_graphic())?;
        let version = str::from_utf8(bytes.get(..end)?).ok()?;
        let (commits, _) = version.strip_prefix(DEVELOPMENT)?.split_once('-')?;
        AFFECTED.contains(&commits.parse().ok()?).then_some(version)
    })
}
