//! Distributions of Kubernetes that include their own containerd.

/// A distribution.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The display name.
    pub name: &'static str,
    /// The path of its containerd.
    pub program: &'static str,
    /// The configuration files of its containerd, or their templates.
    pub(super) configs: &'static [&'static str],
    /// The pattern of the files that it adds to containerd's configuration as long as it generates that itself.
    pub(super) drop_ins: Option<&'static str>,
    /// The runtime that its generated file names on every host, even if it is not installed.
    pub(super) usual_runtime: Option<&'static str>,
}

/// All known distributions.
pub(super) static ALL: [Distribution; 4] = [
    Distribution {
        name: "k3s",
        program: "/var/lib/rancher/k3s/data/current/bin/containerd",
        configs: &["/var/lib/rancher/k3s/agent/etc/containerd/config.toml"],
        drop_ins: None,
        usual_runtime: None,
    },
    Distribution {
        name: "RKE2",
        program: "/var/lib/rancher/rke2/bin/containerd",
        configs: &["/var/lib/rancher/rke2/agent/etc/containerd/config.toml"],
        drop_ins: None,
        usual_runtime: None,
    },
    Distribution {
        name: "MicroK8s",
        program: "/snap/microk8s/current/bin/containerd",
        configs: &[
            "/var/snap/microk8s/current/args/containerd-template.toml",
            "/var/snap/microk8s/current/args/containerd.toml",
        ],
        drop_ins: None,
        usual_runtime: Some("nvidia-container-runtime"),
    },
    Distribution {
        name: "k0s",
        program: "/var/lib/k0s/bin/containerd",
        configs: &["/etc/k0s/containerd.toml"],
        drop_ins: Some("/etc/k0s/containerd.d/*.toml"),
        usual_runtime: None,
    },
];
