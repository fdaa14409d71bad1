//! Distributions of Kubernetes that bring a containerd of their own along.

/// A distribution.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The name under which people know it.
    pub name: &'static str,
    /// Its containerd.
    pub program: &'static str,
    /// The configuration files that its containerd is started with, or that these are made of.
    pub(super) configs: &'static [&'static str],
    /// The files that it adds to containerd's configuration as long as it writes that itself.
    pub(super) drop_ins: Option<&'static str>,
    /// The runtime that its own file names on every host, whether it is there or not.
    pub(super) usual_runtime: Option<&'static str>,
}

/// All that are known.
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
