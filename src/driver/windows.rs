//! The Windows driver in WSL.
//!
//! `/usr/lib/wsl/drivers` is the driver store of Windows: a directory for each installed package, including older ones that
//! Windows keeps. NVIDIA's are named `nv….inf_amd64_HASH` and contain an `nv….inf` with a line `DriverVer = 12/03/2024,
//! 32.0.15.6636`, whose last five digits are the driver's version: 566.36.

use std::cmp::Reverse;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::name::can_be_told;
use super::tree::Tree;

const STORE: &str = "/usr/lib/wsl/drivers";
/// A library in every package that WSL can use.
const LIBCUDA: &str = "libcuda.so.1.1";
/// The maximum number of packages.
const MAX_PACKAGES: usize = 64;
/// The number of bytes to read from an inf file: the version is near its beginning.
const MAX_INF: u64 = 64 << 10;

/// Returns the directories of NVIDIA's driver packages with their versions, the newest first.
pub(super) fn packages(host: &Tree) -> Vec<(PathBuf, Option<String>)> {
    let names = host.names(STORE, |name| {
        name.starts_with("nv") && name.contains(".inf_") && can_be_told(Path::new(name))
    });
    let mut packages: Vec<_> = names
        .into_iter()
        .take(MAX_PACKAGES)
        .map(|name| (Path::new(STORE).join(&name), name))
        .filter(|(path, _)| host.stat(path.join(LIBCUDA)).is_some())
        .map(|(path, name)| (version(host, &path, &name), path))
        .collect();
    packages.sort_by_key(|(version, _)| Reverse(version.as_deref().and_then(number)));
    packages
        .into_iter()
        .map(|(version, path)| (path, version))
        .collect()
}

fn number(version: &str) -> Option<u64> {
    version.replace('.', "").parse().ok()
}

fn version(host: &Tree, package: &Path, name: &str) -> Option<String> {
    let (stem, _) = name.split_once(".inf_")?;
    let path = package.join(format!("{stem}.inf"));
    let (file, _) = host.noted(&path, host.root.open_file(&path))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_INF).read_to_end(&mut bytes);
    host.noted(&path, read)?;
    // The file may be UTF-16.
    bytes.retain(|byte| *byte != 0);
    parse_version(&String::from_utf8_lossy(&bytes))
}

fn parse_version(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let value = lines.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("DriverVer")
            .then_some(value)
    })?;
    let (_, version) = value.split_once(',')?;
    let version = version.split(';').next()?;
    let mut parts = version.trim().rsplit('.');
    let (last, before) = (parts.next()?, parts.next()?);
    let (last, before): (u32, u32) = (last.parse().ok()?, before.parse().ok()?);
    let digits = format!("{}{last:04}", before % 10);
    let (major, minor) = digits.split_at_checked(3)?;
    Some(format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_windows() {
        for (text, version) in [
            (
                "[Version]\r\nDriverVer   = 12/03/2024, 32.0.15.6636\r\n",
                Some("566.36"),
            ),
            ("driverver=01/05/2022,30.0.15.1109 ; c", Some("511.09")),
            ("DriverVer = 10/10/2018, 25.21.14.1634", Some("416.34")),
            ("DriverVer = 10/10/2018, 31.0.15.54", Some("500.54")),
            ("DriverVer = 10/10/2018", None),
            ("DriverVer = 1, x.y", None),
            ("[Version]", None),
        ] {
            assert_eq!(parse_version(text).as_deref(), version, "{text}");
        }
    }
}
