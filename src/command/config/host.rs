//! What the default configuration takes from the host.
#![expect(
    clippy::disallowed_methods,
    reason = "looks at the host's own /etc and /sbin"
)]

use std::fs;
use std::path::Path;

use crate::config::HostValues;
use crate::host::program;

const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// Where Debian's ldconfig is, behind a wrapper script.
const LDCONFIG_REAL: &str = "/sbin/ldconfig.real";
/// Looks at this host.
pub(super) fn values() -> HostValues {
    let os_release = OS_RELEASE
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    HostValues {
        ldconfig: Path::new(LDCONFIG_REAL)
            .exists()
            .then(|| format!("@{LDCONFIG_REAL}")),
        user: os_release
            .is_some_and(|text| is_suse(&text))
            .then(|| "root:video".to_owned()),
        runtime_hook: program("nvidia-container-runtime-hook"),
        nvidia_ctk: program("nvidia-ctk"),
    }
}

/// SUSE gives the device files to the group video.
fn is_suse(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| matches!(*name, "ID" | "ID_LIKE"))
        .flat_map(|(_, value)| value.trim().trim_matches(['"', '\'']).split_whitespace())
        .any(|id| matches!(id, "suse" | "opensuse") || id.starts_with("opensuse-"))
}

/// The path of an installed program.
fn program(name: &str) -> Option<String> {
    let path = program::find_here(name.as_ref())?;
    path.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suse_by_id_or_by_what_it_is_like() {
        for text in [
            "ID_LIKE=\"suse opensuse\"\n",
            "NAME=x\nID_LIKE='suse'\n",
            "ID=opensuse-leap\n",
            "ID=opensuse",
        ] {
            assert!(is_suse(text), "{text}");
        }
        for text in [
            "",
            "ID=debian\n",
            "VARIANT_ID=suse\n",
            "ID_LIKE=\"rhel fedora\"\n",
        ] {
            assert!(!is_suse(text), "{text}");
        }
    }
}
