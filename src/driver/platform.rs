//! The kind of host, as far as it determines the places of a driver's files.

use super::tree::Tree;

/// The files that describe the operating system.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// The kernel's release, which contains `microsoft` on WSL.
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";
/// WSL's device for the GPUs of Windows.
pub const DXG: &str = "/dev/dxg";
/// The release of Jetson's Linux for Tegra: `# R36 (release), REVISION: 4.3, GCID: …`
const TEGRA_RELEASE: &str = "/etc/nv_tegra_release";
/// The family of the chip.
const CHIP_FAMILY: &str = "/sys/devices/soc0/family";
/// The directory of the driver that GKE's installer creates.
const GKE_DRIVER: &str = "/home/kubernetes/bin/nvidia";

/// The platform of a host.
#[derive(Debug)]
pub struct Platform {
    /// The kind.
    pub kind: Kind,
    /// The operating system's identifier: `ID=` of its os-release.
    pub id: Option<String>,
    /// The operating system's display name.
    pub system: Option<String>,
    /// The release of Linux for Tegra, on Jetson.
    pub l4t: Option<String>,
}

/// The kinds of hosts that keep a driver in different places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A distribution with the driver in its library directories.
    Linux,
    /// NVIDIA's GPU operator: the driver is in a container, whose root is at `/run/nvidia/driver`.
    GpuOperator,
    /// Google's Kubernetes Engine.
    Gke,
    /// NixOS.
    NixOs,
    /// Talos Linux.
    Talos,
    /// Bottlerocket.
    Bottlerocket,
    /// NVIDIA Jetson: the GPU is part of the chip, driven by nvgpu.
    Jetson,
    /// The Windows Subsystem for Linux: the driver is that of Windows.
    Wsl,
}

impl Kind {
    /// Returns the stable name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::GpuOperator => "gpu-operator",
            Self::Gke => "gke",
            Self::NixOs => "nixos",
            Self::Talos => "talos",
            Self::Bottlerocket => "bottlerocket",
            Self::Jetson => "jetson",
            Self::Wsl => "wsl",
        }
    }

    /// Returns the display name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::GpuOperator => "GPU operator",
            Self::Gke => "GKE",
            Self::NixOs => "NixOS",
            Self::Talos => "Talos",
            Self::Bottlerocket => "Bottlerocket",
            Self::Jetson => "Jetson",
            Self::Wsl => "WSL",
        }
    }
}

impl Platform {
    /// Detects the platform, except the GPU operator, which only the place of the driver reveals.
    pub(super) fn read(host: &Tree) -> Self {
        let os_release = OS_RELEASE.iter().find_map(|path| host.text(path));
        let os_release = os_release.unwrap_or_default();
        let id = value(&os_release, "ID");
        let tegra = host.text(TEGRA_RELEASE);
        Self {
            kind: kind(host, id.as_deref(), tegra.is_some()),
            system: value(&os_release, "PRETTY_NAME"),
            id,
            l4t: tegra.and_then(|text| l4t(&text)),
        }
    }

    /// Whether the host's own loader must find the driver's libraries.
    #[must_use]
    pub fn has_libraries_in_cache(&self) -> bool {
        // NixOS may run in WSL, and Google's Container-Optimized OS on hosts outside GKE.
        let is_apart = matches!(self.id.as_deref(), Some("nixos" | "cos"));
        match self.kind {
            Kind::Linux | Kind::Bottlerocket | Kind::Jetson | Kind::Wsl => !is_apart,
            Kind::GpuOperator | Kind::Gke | Kind::NixOs | Kind::Talos => false,
        }
    }
}

fn kind(host: &Tree, id: Option<&str>, has_tegra_release: bool) -> Kind {
    let has = |path: &str, text: &str| {
        let content = host.text(path).unwrap_or_default();
        content.to_ascii_lowercase().contains(text)
    };
    if host.stat(DXG).is_some() || has(KERNEL_RELEASE, "microsoft") {
        return Kind::Wsl;
    }
    if has_tegra_release || has(CHIP_FAMILY, "tegra") {
        return Kind::Jetson;
    }
    match id {
        Some("nixos") => Kind::NixOs,
        Some("talos") => Kind::Talos,
        Some("bottlerocket") => Kind::Bottlerocket,
        _ if host.stat(GKE_DRIVER).is_some() => Kind::Gke,
        _ => Kind::Linux,
    }
}

/// Returns the value of a line `NAME=value`, without quotes.
fn value(text: &str, name: &str) -> Option<String> {
    let mut values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    let value = values.next_back()?.trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn l4t(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("# R")?;
    let (major, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once("REVISION: ")?;
    let revision = rest.split([',', '\n']).next()?;
    Some(format!("{major}.{}", revision.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_systems() {
        let text =
            "# c\nNAME=\"Debian GNU/Linux\"\nID=debian\nPRETTY_NAME='Debian 13'\nVERSION_ID=\"\"\n";
        assert_eq!(value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(value(text, "PRETTY_NAME").as_deref(), Some("Debian 13"));
        assert_eq!(value(text, "VERSION_ID"), None);
        assert_eq!(value(text, "VARIANT"), None);
    }

    #[test]
    fn releases_of_linux_for_tegra() {
        for (text, release) in [
            (
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
                Some("36.4.3"),
            ),
            ("# R32 (release), REVISION: 7.4\n", Some("32.7.4")),
            ("# R32", None),
            ("", None),
        ] {
            assert_eq!(l4t(text).as_deref(), release, "{text}");
        }
    }
}
