//! The packages that are installed on the host according to dpkg. Format: deb-control(5).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::rootfs::Root;

const STATUS: &str = "/var/lib/dpkg/status";
/// The maximum number of bytes to read: 10,000 packages have 20 MiB.
const MAX_STATUS: u64 = 64 << 20;

/// Returns the installed ones of the packages with these names below `root`, and their versions.
#[must_use]
pub fn versions(root: &Root, names: &[&str]) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let Ok((file, _)) = root.open_file(Path::new(STATUS)) else {
        return versions;
    };
    let (mut name, mut is_installed, mut version) = (String::new(), false, String::new());
    let lines = BufReader::new(file.take(MAX_STATUS)).split(b'\n');
    // The last paragraph may lack an empty line at its end.
    for line in lines.map_while(Result::ok).chain([Vec::new()]) {
        let line = String::from_utf8_lossy(&line);
        match line.split_once(": ") {
            Some(("Package", value)) => value.clone_into(&mut name),
            Some(("Status", value)) => is_installed = value.ends_with(" installed"),
            Some(("Version", value)) => value.clone_into(&mut version),
            _ if line.is_empty() => {
                if is_installed && names.contains(&name.as_str()) {
                    versions.insert(std::mem::take(&mut name), std::mem::take(&mut version));
                }
                is_installed = false;
            }
            _ => {}
        }
    }
    versions
}
