//! `--watch`: the spec is never older than the host. No test says how fast, only that it comes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::slice;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::names;
use crate::common::cdi_spec::Spec;
use crate::common::gpu_host::{Gpu, GpuHost, VERSION};
use crate::common::machine::{BACKTRACE, binary};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;

const FILE: &str = "/run/cdi/nvidia.yaml";
/// Far longer than anything takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A watcher; it ends with its value.
struct Watcher(Option<Child>);

impl Watcher {
    fn start(host: &GpuHost, options: &str) -> Self {
        let line = host.expand(&format!(
            "cdi generate --root @ROOT@ --watch=1 --output @ROOT@{FILE} {options}"
        ));
        let child = Command::new(binary())
            .args(line.split_whitespace())
            .env_clear()
            .envs([BACKTRACE])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(Some(child.unwrap()))
    }

    fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Asks it to end, and waits for it.
    fn end(self, signal: Signal) -> Outcome {
        let id = self.0.as_ref().unwrap().id().try_into().unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
        self.outcome()
    }

    fn outcome(mut self) -> Outcome {
        until("its end", || self.has_ended());
        self.0.take().unwrap().wait_with_output().unwrap().into()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} does not come");
        sleep(Duration::from_millis(20));
    }
}

/// The names of the devices in the file; none while there is no file.
fn written(host: &GpuHost) -> Vec<String> {
    let text = host.text(FILE);
    if text.is_empty() {
        return Vec::new();
    }
    let spec = Spec::printed(&text);
    names(&spec).into_iter().map(str::to_owned).collect()
}

#[test]
fn changes_of_instances() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    let watcher = Watcher::start(&host, "--device-name-strategy index");
    until("a spec", || {
        written(&host) == ["0:0", "0:1", "0:2", "1", "all"]
    });
    host.remove_instance(0, (5, 1));
    until("one instance less", || {
        written(&host) == ["0:0", "0:1", "1", "all"]
    });
    host.instance(0, (7, 0));
    host.instance(0, (8, 0));
    until("two more", || {
        written(&host) == ["0:0", "0:1", "0:2", "0:3", "1", "all"]
    });
    assert_eq!(host.mode(FILE), 0o644);
    let outcome = watcher.end(Signal::SIGTERM);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(host.at(FILE).exists(), "whoever stops it keeps the spec");
}

/// While nothing changes nothing is written.
#[test]
fn nothing_changes() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    let watcher = Watcher::start(&host, "");
    until("a spec", || !written(&host).is_empty());
    let before = snapshot(&host.at("/run/cdi"));
    sleep(Duration::from_secs(3));
    assert_eq!(snapshot(&host.at("/run/cdi")), before);
    let outcome = watcher.end(Signal::SIGINT);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.lines().count() <= 1, "{outcome:?}");
}

/// The last GPU takes the file with it: an engine finds no device rather than one that is gone.
#[test]
fn the_last_gpu_goes() {
    let [first, _] = Gpu::two();
    let Some(host) = GpuHost::new("small-2gpu.yaml", slice::from_ref(&first)) else {
        return;
    };
    let watcher = Watcher::start(&host, "");
    until("a spec", || !written(&host).is_empty());
    let folder = host.at(format!("/proc/driver/nvidia/gpus/{}", first.bus_id));
    fs::remove_dir_all(folder).unwrap();
    host.remove("/dev/nvidia0");
    until("the end of the file", || !host.at(FILE).exists());
    host.gpu(&first);
    until("the file again", || written(&host).len() == 3);
    assert_eq!(watcher.end(Signal::SIGTERM).code, 0);
}

/// Units start before the driver is loaded: they wait, and say so once at most.
#[test]
fn the_module_comes_later() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    host.unload();
    let mut watcher = Watcher::start(&host, "");
    sleep(Duration::from_secs(3));
    assert!(!watcher.has_ended());
    assert!(!host.at(FILE).exists());
    // It may look at any time: what it waits for comes last.
    for gpu in Gpu::two() {
        host.gpu(&gpu);
    }
    host.module(VERSION);
    until("a spec", || written(&host).len() == 5);
    let outcome = watcher.end(Signal::SIGTERM);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.lines().count() <= 2, "{outcome:?}");
}

/// A list of nvidia-smi's is as old as the watcher: when the host changes it ends well, and its unit starts it with another list.
#[test]
fn a_list_is_outdated() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    host.file("/list", GpuHost::smi_list(&Gpu::mig()));
    let mut watcher = Watcher::start(&host, "--nvidia-smi-list @ROOT@/list");
    until("a spec", || !written(&host).is_empty());
    assert!(host.text(FILE).contains("MIG-aaaaaaaa"));
    assert!(!watcher.has_ended());
    host.remove_instance(0, (5, 1));
    let outcome = watcher.outcome();
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// The unit starts it with a list: what is gone is gone from the file as well, though there is a new watcher each time.
#[test]
fn the_last_gpu_goes_from_a_list() {
    let [first, _] = Gpu::two();
    let Some(host) = GpuHost::new("small-2gpu.yaml", slice::from_ref(&first)) else {
        return;
    };
    host.file("/list", GpuHost::smi_list(slice::from_ref(&first)));
    let watcher = Watcher::start(&host, "--nvidia-smi-list @ROOT@/list");
    until("a spec", || !written(&host).is_empty());
    let folder = host.at(format!("/proc/driver/nvidia/gpus/{}", first.bus_id));
    fs::remove_dir_all(folder).unwrap();
    let outcome = watcher.outcome();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!host.at(FILE).exists());
}

/// Where the module is loaded after the unit was started, the list is empty: it takes another one to name MIG devices.
#[test]
fn an_empty_list_is_outdated() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    host.file("/list", "");
    let gpus = host.at("/proc/driver/nvidia/gpus");
    fs::rename(&gpus, host.at("/gpus")).unwrap();
    let watcher = Watcher::start(&host, "--nvidia-smi-list @ROOT@/list");
    sleep(Duration::from_secs(2));
    fs::rename(host.at("/gpus"), &gpus).unwrap();
    assert_eq!(watcher.outcome().code, 0);
}

/// Whoever removes or changes the file does not keep engines from what is there.
#[test]
fn the_file_goes() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    let watcher = Watcher::start(&host, "");
    until("a spec", || written(&host).len() == 5);
    host.remove(FILE);
    until("the file again", || written(&host).len() == 5);
    let text = host.text(FILE);
    host.file(FILE, "");
    until("its text again", || host.text(FILE) == text);
    assert_eq!(watcher.end(Signal::SIGTERM).code, 0);
}

/// A disk may be full for a while. Nobody waits for a place that never was one.
#[test]
fn the_file_cannot_be_written() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    let watcher = Watcher::start(&host, "");
    until("a spec", || written(&host).len() == 5);
    let folder = host.at("/run/cdi");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no directory").unwrap();
    host.gpu(&Gpu::new("0000:81:00.0", 2, 5));
    sleep(Duration::from_secs(3));
    fs::remove_file(&folder).unwrap();
    until("a spec with the new GPU", || written(&host).len() == 7);
    let outcome = watcher.end(Signal::SIGTERM);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stderr.matches("cannot write").count(), 1);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no directory").unwrap();
    assert_eq!(Watcher::start(&host, "").outcome().code, 1);
}

/// The module is loaded before the driver's container, or a package, has its libraries in place.
#[test]
fn the_libraries_come_later() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    host.remove("/etc/ld.so.cache");
    let (usual, away) = (host.at("/usr"), host.at("/away"));
    let operator = host.at("/run/nvidia/driver");
    for options in ["", "--driver-root /run/nvidia/driver"] {
        fs::rename(&usual, &away).unwrap();
        let watcher = Watcher::start(&host, &format!("{options} --dev-root /"));
        sleep(Duration::from_secs(2));
        assert!(!host.at(FILE).exists());
        fs::create_dir_all(&operator).unwrap();
        fs::rename(&away, operator.join("usr")).unwrap();
        until("a spec", || written(&host).len() == 5);
        let outcome = watcher.end(Signal::SIGTERM);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(outcome.stderr.lines().count() <= 2, "{outcome:?}");
        fs::rename(operator.join("usr"), &usual).unwrap();
        fs::remove_dir(&operator).unwrap();
        host.remove(FILE);
    }
}

/// A mount of a socket that is gone keeps containers from starting, and udev sets the group of a node after it is there.
#[test]
fn sockets_and_groups() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    let socket = "/run/nvidia-persistenced/socket";
    let watcher = Watcher::start(&host, "");
    until("a spec", || host.text(FILE).contains(socket));
    host.remove(socket);
    until("one without the socket", || {
        written(&host).len() == 5 && !host.text(FILE).contains(socket)
    });
    host.socket(socket);
    until("one with it", || host.text(FILE).contains(socket));
    host.node("/dev/nvidia0", (195, 0), 0o660, 4711);
    until("one with the group", || host.text(FILE).contains("4711"));
    assert_eq!(watcher.end(Signal::SIGTERM).code, 0);
}

/// What would not be written once is not written later, either.
#[test]
fn strictness() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    host.remove("/dev/nvidia1");
    let watcher = Watcher::start(&host, "--strict");
    sleep(Duration::from_secs(2));
    assert!(!host.at(FILE).exists());
    host.gpu(&Gpu::two()[1]);
    until("a spec", || written(&host).len() == 5);
    assert_eq!(watcher.end(Signal::SIGTERM).code, 0);
}

#[test]
fn what_cannot_be_watched() {
    let Some(host) = GpuHost::of("small-2gpu.yaml") else {
        return;
    };
    for options in ["--watch=0", "--watch=x", "--watch=-1"] {
        let outcome = host.run(&format!(
            "cdi generate --root @ROOT@ --output @ROOT@{FILE} {options}"
        ));
        assert_eq!(outcome.code, 1, "{options}: {outcome:?}");
    }
    // Without a file there is nothing to keep up to date.
    let outcome = host.run("cdi generate --root @ROOT@ --watch=1");
    assert_eq!(outcome.code, 1, "{outcome:?}");
}
