//! A prepared tree: a host with one GPU, its driver, Docker, a CDI spec and a hook, where all is well.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nvidia_ctk::ldcache::Ldconfig;
use nvidia_ctk::rootfs::ContainerRoot;
use tempfile::TempDir;

use super::machine::{BACKTRACE, binary};

pub(crate) const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Device nodes: path, numbers.
const NODES: [(&str, u64, u64); 4] = [
    ("/dev/nvidia0", 195, 0),
    ("/dev/nvidiactl", 195, 255),
    ("/dev/nvidia-uvm", 508, 0),
    ("/dev/nvidia-uvm-tools", 508, 1),
];

const FILES: [(&str, &str); 12] = [
    (
        "/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build  (a@b)\nGCC version:  gcc version 12.2.0\n",
    ),
    (
        "/proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-11111111-1111-4111-8111-111111111111\nBus Location: \t 0000:01:00.0\n\
         Device Minor: \t 0\nGPU Firmware: \t 575.57.08\nGPU Excluded:\t No\n",
    ),
    (
        "/proc/devices",
        "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
    ),
    ("/sys/module/nvidia/version", "575.57.08\n"),
    ("/sys/module/nvidia_uvm/initstate", "live\n"),
    ("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
    ("/sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n"),
    ("/sys/fs/cgroup/cgroup.controllers", "cpu\n"),
    ("/run/systemd/system/x", ""),
    ("/etc/ld.so.conf", "/usr/lib/x86_64-linux-gnu\n"),
    (
        "/etc/docker/daemon.json",
        "{\"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\"}}, \"features\": {\"cdi\": true}}\n",
    ),
    ("/etc/cdi/nvidia.yaml", SPEC),
];

pub(crate) const SPEC: &str = r#"---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
              major: 195
    - name: all
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
              hostPath: /dev/nvidia0
containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    deviceNodes:
        - path: /dev/nvidia-uvm
          major: 508
          fileMode: 438
    hooks:
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args: [nvidia-cdi-hook, update-ldcache]
    mounts:
        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08
          containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08
          options: [ro, bind]
"#;

const HOOK: &str = r#"{"version": "1.0.0", "hook": {"path": "/usr/libexec/nvidia-ctk-ldcache"},
"when": {"always": true}, "stages": ["createContainer"]}"#;

/// A tree that stands in for `/`.
pub(crate) struct Host {
    folder: TempDir,
}

impl Host {
    /// A root with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// The host where all is well; none where no device nodes can be made.
    pub(crate) fn healthy() -> Option<Self> {
        let host = Self::empty();
        for (path, text) in FILES {
            host.write(path, text);
        }
        for (path, major, minor) in NODES {
            if let Err(err) = host.make_node(path, major, minor) {
                let _ = writeln!(io::stderr(), "SKIPPED: no device node can be made: {err}");
                return None;
            }
            host.link(path, &format!("/dev/char/{major}:{minor}"));
        }
        for (name, soname) in [
            ("libcuda.so", "libcuda.so.1"),
            ("libnvidia-ml.so", "libnvidia-ml.so.1"),
        ] {
            let path = format!("{LIBRARIES}/{name}.575.57.08");
            host.write(&path, shared_object(soname));
            host.link(
                &format!("{name}.575.57.08"),
                &format!("{LIBRARIES}/{soname}"),
            );
        }
        host.update_ldcache();
        host.program("/usr/bin/dockerd");
        host.program("/usr/bin/nvidia-container-runtime");
        host.program("/usr/bin/nvidia-ctk");
        host.link("nvidia-ctk", "/usr/bin/nvidia-cdi-hook");
        host.link("../bin/nvidia-ctk", "/usr/libexec/nvidia-ctk-ldcache");
        host.write(
            "/usr/share/containers/oci/hooks.d/30-nvidia-ctk-ldcache.json",
            HOOK,
        );
        Some(host)
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(path), bytes).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    pub(crate) fn program(&self, path: &str) {
        self.write(path, "#!/bin/sh\n");
        self.chmod(path, 0o755);
    }

    pub(crate) fn make_node(&self, path: &str, major: u64, minor: u64) -> nix::Result<()> {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(
            &self.path(path),
            SFlag::S_IFCHR,
            mode,
            makedev(major, minor),
        )
    }

    pub(crate) fn update_ldcache(&self) {
        let root = ContainerRoot::open(self.folder.path()).unwrap();
        let ldconfig = Ldconfig::new(&root);
        let search_path = ldconfig.search_path([Path::new(LIBRARIES)]);
        ldconfig.update(search_path).unwrap();
    }

    /// Runs a command of the real binary on the tree.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_by(Command::new(binary()), args)
    }

    /// As a process that permissions hold for: root's privileges are given up.
    pub(crate) fn run_unprivileged(&self, args: &[&str]) -> Output {
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            command.args(["--bounding-set=-all", "--inh-caps=-all"]);
        }
        command.arg(binary());
        self.run_by(command, args)
    }

    fn run_by(&self, mut command: Command, args: &[&str]) -> Output {
        command
            .args(args)
            .arg("--root")
            .arg(self.folder.path())
            .env_clear()
            .envs([BACKTRACE])
            .output()
            .unwrap()
    }
}

const STRTAB: u64 = 5;
const STRSZ: u64 = 10;
const SONAME: u64 = 14;

/// The least that a loader takes for a library: 64 bits, with a SONAME.
fn shared_object(soname: &str) -> Vec<u8> {
    let strings = [b"\0", soname.as_bytes(), b"\0"].concat();
    let (dynamic, names) = (64 + 2 * 56, 64 + 2 * 56 + 4 * 16);
    let size = names + strings.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let short = |bytes: &mut Vec<u8>, words: &[u16]| {
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    let long = |bytes: &mut Vec<u8>, words: &[u64]| {
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    short(&mut bytes, &[3, 62, 1, 0]);
    long(&mut bytes, &[0, 64, 0]);
    short(&mut bytes, &[0, 0, 64, 56, 2, 0, 0, 0]);
    for (kind, at, size) in [(1_u64, 0, size), (2, dynamic, 4 * 16)] {
        long(&mut bytes, &[4 << 32 | kind, at, at, at, size, size, 8]);
    }
    long(
        &mut bytes,
        &[STRTAB, names, STRSZ, strings.len() as u64, SONAME, 1, 0, 0],
    );
    bytes.extend(strings);
    bytes
}
