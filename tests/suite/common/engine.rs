//! Container engines that are daemons, started with data of their own in namespaces that end with them.

use std::fs;
use std::process::Command;

use super::container::{Container, Runtime, id, remove_cgroups};
use super::machine::{can_run, fixture, missing, private, skip};
use super::outcome::Outcome;

/// The engines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    /// docker
    Docker,
    /// containerd, by `ctr`
    Containerd,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
        }
    }

    /// Its daemon, its client, and the first version that knows CDI.
    fn programs(self) -> (&'static str, &'static str, u32) {
        match self {
            Self::Docker => ("dockerd", "docker", 25),
            Self::Containerd => ("containerd", "ctr", 2),
        }
    }

    /// Whether it is here.
    pub(crate) fn is_here(self) -> bool {
        let (daemon, client, _) = self.programs();
        can_run(missing(&[daemon, client]))
    }

    /// Whether it is here and knows CDI.
    pub(crate) fn usable(self) -> bool {
        let (daemon, _, first) = self.programs();
        if !self.is_here() {
            return false;
        }
        let version = major_version(daemon);
        if version < first {
            skip(&format!(
                "{daemon} {version} knows nothing of CDI, {first} does"
            ));
        }
        version >= first
    }

    /// Runs a shell command in one container for each device, on a host that a script makes. Returns what it said in each.
    pub(crate) fn run(
        self,
        runtime: Runtime,
        host: &str,
        devices: &[&str],
        command: &str,
    ) -> (Outcome, Vec<String>) {
        self.run_by(runtime.name(), host, devices, command)
    }

    /// The same by a program in place of the runtime: the name of one, or the path of `nvidia-container-runtime`.
    pub(crate) fn run_by(
        self,
        runtime: &str,
        host: &str,
        devices: &[&str],
        command: &str,
    ) -> (Outcome, Vec<String>) {
        let container = Container::new();
        let cgroup = id(container.path());
        let script = format!("set -e; {host}; exec sh \"$@\"");
        let outcome = private("unshare")
            .args("--net --pid --fork --kill-child --mount-proc sh -c".split(' '))
            .args([&script, "sh"])
            .arg(fixture("engine.sh"))
            .args([self.name(), runtime])
            .args([
                container.path().as_os_str(),
                cgroup.as_ref(),
                command.as_ref(),
            ])
            .args(devices)
            .output();
        remove_cgroups(&cgroup);
        let said = devices.iter().map(|device| {
            let said = fs::read_to_string(container.path().join("said").join(device));
            said.unwrap_or_default()
        });
        (outcome.expect("sh starts").into(), said.collect())
    }
}

/// The first number in what a program says of its version.
pub(crate) fn major_version(program: &str) -> u32 {
    let outcome = Outcome::of(Command::new(program).arg("--version"));
    let number = |word: &str| word.split('.').next()?.parse().ok();
    outcome
        .text()
        .split(' ')
        .find_map(number)
        .expect("a version")
}
