//! A made-up host with NVIDIA GPUs in a temporary folder, as `cdi generate --root` reads it: /proc, /sys, /dev and the driver's files.
//!
//! The driver's files are those that a spec of the fixtures mounts. Formats of /proc: NVIDIA's open-gpu-kernel-modules.

use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;

use nix::sys::stat::{Mode, SFlag, mknod};
use nvidia_ctk::ldcache::Ldconfig;
use nvidia_ctk::rootfs::ContainerRoot;

use super::cdi_spec::{Node, Spec};
use super::elf::library;
use super::host::Host;
use super::machine::has;
use super::nvidia_host::make_node;

/// The driver's version in the specs of the fixtures.
pub(crate) const VERSION: &str = "570.124.06";
/// Where its libraries lie.
pub(crate) const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// What older drivers say of a GPU that nobody has used yet.
pub(crate) const NO_UUID: &str = "GPU-????????-????-????-????-????????????";
/// The major number of the nodes that give access to MIG instances.
const CAPS: u64 = 237;
const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";

/// Links that a generator makes without a model on the host.
const NOT_ON_HOST: [&str; 4] = [
    "nvidia-drm_gbm.so",
    "libglxserver_nvidia.so",
    "libGLX_indirect.so.0",
    "libnvidia-opticalflow.so",
];

/// A GPU, as /proc and /sys tell of it.
#[derive(Clone)]
pub(crate) struct Gpu {
    /// PCI address.
    pub(crate) bus_id: &'static str,
    /// Minor number of its node.
    pub(crate) minor: u32,
    /// Product name.
    pub(crate) model: &'static str,
    /// UUID; newer drivers leave the line out while they do not know it.
    pub(crate) uuid: Option<String>,
    /// Whether the driver leaves it alone.
    pub(crate) excluded: bool,
    /// The number of its /dev/dri/cardN.
    pub(crate) card: u32,
    /// Whether udev has made links in /dev/dri/by-path.
    pub(crate) by_path: bool,
    /// The GPU instance and the compute instance of each MIG device.
    pub(crate) instances: &'static [(u32, u32)],
}

impl Gpu {
    /// One whose UUID repeats a digit.
    pub(crate) fn new(bus_id: &'static str, minor: u32, digit: u32) -> Self {
        let x = |count: usize| digit.to_string().repeat(count);
        Self {
            bus_id,
            minor,
            model: "NVIDIA L4",
            uuid: Some(format!(
                "GPU-{}-{}-4{}-8{}-{}",
                x(8),
                x(4),
                x(3),
                x(3),
                x(12)
            )),
            excluded: false,
            card: minor + 1,
            by_path: true,
            instances: &[],
        }
    }

    /// The two of the fixtures.
    pub(crate) fn two() -> [Self; 2] {
        [
            Self::new("0000:01:00.0", 0, 1),
            Self::new("0000:41:00.0", 1, 2),
        ]
    }

    /// Those of the fixtures with MIG: the first one is in three parts.
    pub(crate) fn mig() -> [Self; 2] {
        [
            Self {
                model: "NVIDIA A100-SXM4-40GB",
                by_path: false,
                instances: &[(1, 0), (5, 0), (5, 1)],
                ..Self::new("0000:07:00.0", 0, 3)
            },
            Self {
                by_path: false,
                card: 3,
                ..Self::new("0000:0f:00.0", 1, 4)
            },
        ]
    }

    /// Eight of a server: the order of minor numbers is not that of PCI addresses.
    pub(crate) fn eight() -> Vec<Self> {
        let bus_ids = [
            "0000:07:00.0",
            "0000:0a:00.0",
            "0000:47:00.0",
            "0000:4d:00.0",
            "0000:87:00.0",
            "0000:90:00.0",
            "0000:b7:00.0",
            "0000:bd:00.0",
        ];
        let minors = [2, 3, 0, 1, 6, 7, 4, 5];
        let all = bus_ids.into_iter().zip(minors);
        all.map(|(bus_id, minor)| Self::new(bus_id, minor, minor + 1))
            .collect()
    }

    /// Its name by UUID.
    pub(crate) fn uuid(&self) -> &str {
        self.uuid.as_deref().expect("a UUID")
    }

    fn information(&self) -> String {
        let mut text = format!("Model: \t\t {}\nIRQ:   \t\t 77\n", self.model);
        if let Some(uuid) = &self.uuid {
            let _ = writeln!(text, "GPU UUID: \t {uuid}");
        }
        let _ = write!(
            text,
            "Video BIOS: \t 95.04.29.00.06\nBus Type: \t PCIe\nDMA Size: \t 47 bits\nDMA Mask: \t 0x7fffffffffff\n\
             Bus Location: \t {}\nDevice Minor: \t {}\nGPU Firmware: \t {VERSION}\nGPU Excluded:\t {}\n",
            self.bus_id,
            self.minor,
            if self.excluded { "Yes" } else { "No" }
        );
        text
    }
}

/// The host. A path of it begins with a slash.
pub(crate) struct GpuHost(Host);

impl Deref for GpuHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl GpuHost {
    /// A host with these GPUs, the driver's files of a spec of the fixtures and the loader's cache; none where nobody can make device
    /// nodes.
    pub(crate) fn new(spec: &str, gpus: &[Gpu]) -> Option<Self> {
        if !has(&[]) {
            return None;
        }
        let host = Self(Host::new());
        host.files(spec, VERSION);
        host.ldcache();
        host.module(VERSION);
        for gpu in gpus {
            host.gpu(gpu);
        }
        Some(host)
    }

    /// The host of a spec of the fixtures.
    pub(crate) fn of(spec: &str) -> Option<Self> {
        let gpus = if spec.contains("mig") {
            Gpu::mig()
        } else {
            Gpu::two()
        };
        Self::new(spec, &gpus)
    }

    /// Lays the files that a spec mounts, as another version of the driver has them.
    pub(crate) fn files(&self, spec: &str, version: &str) {
        let spec = Spec::named(spec);
        let named = |text: &str| text.replace(VERSION, version);
        for path in spec.host_paths() {
            let (folder, name) = path.rsplit_once('/').expect("a path");
            let at = named(path);
            if name == "socket" {
                self.socket(path);
            } else if folder.ends_with("/xorg") {
                self.file(&at, library(named(name)));
            } else if name.contains(".so") {
                self.library(&at, &named(&spec.soname(path)));
            } else {
                self.file(&at, name);
                let mode = if folder.ends_with("/bin") {
                    0o755
                } else {
                    0o644
                };
                self.set_mode(&at, mode);
            }
        }
        for (target, link) in spec.links() {
            let name = link.rsplit('/').next().unwrap_or_default();
            if !NOT_ON_HOST.contains(&name) {
                self.replace_link(link, &named(target));
            }
        }
    }

    /// A library, with the link that its SONAME asks for.
    pub(crate) fn library(&self, path: &str, soname: &str) {
        self.file(path, library(soname));
        let (folder, name) = path.rsplit_once('/').expect("a path");
        if name != soname {
            self.replace_link(&format!("{folder}/{soname}"), name);
        }
    }

    fn replace_link(&self, link: &str, target: &str) {
        let _ = fs::remove_file(self.at(link));
        self.link(link, target);
    }

    /// A socket that nobody listens to.
    pub(crate) fn socket(&self, path: &str) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
        let _ = fs::remove_file(&at);
        mknod(&at, SFlag::S_IFSOCK, Mode::from_bits_truncate(0o666), 0).expect("a socket");
    }

    /// Has the loader's cache written, as ldconfig does.
    pub(crate) fn ldcache(&self) {
        self.file("/etc/ld.so.conf", format!("{LIBRARIES}\n"));
        let root = ContainerRoot::open(&self.root()).expect("a root");
        let ldconfig = Ldconfig::new(&root);
        ldconfig.update(ldconfig.search_path([])).expect("a cache");
    }

    /// The kernel modules, loaded, and the nodes that control them.
    pub(crate) fn module(&self, version: &str) {
        let text = format!(
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build  (a@b)\nGCC version:  gcc version 12.2.0\n"
        );
        self.file("/proc/driver/nvidia/version", text);
        let params = "ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\nExcludedGpus: \"\"\n";
        self.file("/proc/driver/nvidia/params", params);
        let devices = format!(
            "Character devices:\n  1 mem\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n226 drm\n{CAPS} nvidia-caps\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n"
        );
        self.file("/proc/devices", devices);
        for module in ["nvidia", "nvidia_uvm", "nvidia_modeset"] {
            self.file(
                format!("/sys/module/{module}/version"),
                format!("{version}\n"),
            );
        }
        self.directory("/proc/driver/nvidia/gpus");
        self.file("/sys/module/firmware_class/parameters/path", "\n");
        for (name, major, minor) in [
            ("nvidia-modeset", 195, 254),
            ("nvidia-uvm", 510, 0),
            ("nvidia-uvm-tools", 510, 1),
            ("nvidiactl", 195, 255),
        ] {
            self.node(&format!("/dev/{name}"), (major, minor), 0o666, 0);
        }
        self.file("/proc/driver/nvidia-caps/mig-minors", mig_minors());
        self.capability("mig/config", 1, 0o400);
        self.capability("mig/monitor", 2, 0o444);
    }

    /// Takes the kernel module away; its nodes stay, as they do.
    pub(crate) fn unload(&self) {
        for folder in ["/proc/driver", "/sys/module/nvidia"] {
            fs::remove_dir_all(self.at(folder)).expect("a module");
        }
    }

    /// A GPU, or another state of one that is there.
    pub(crate) fn gpu(&self, gpu: &Gpu) {
        let information = format!("/proc/driver/nvidia/gpus/{}/information", gpu.bus_id);
        self.file(information, gpu.information());
        let device = format!("/sys/bus/pci/devices/{}", gpu.bus_id);
        self.file(format!("{device}/vendor"), "0x10de\n");
        self.file(format!("{device}/class"), "0x030200\n");
        if gpu.excluded {
            return;
        }
        self.node(
            &format!("/dev/nvidia{}", gpu.minor),
            (195, gpu.minor.into()),
            0o666,
            0,
        );
        let render = gpu.card + 127;
        for (name, minor, gid, kind) in [
            (format!("card{}", gpu.card), gpu.card, 44, "card"),
            (format!("renderD{render}"), render, 105, "render"),
        ] {
            self.directory(format!("{device}/drm/{name}"));
            self.node(&format!("/dev/dri/{name}"), (226, minor.into()), 0o660, gid);
            if gpu.by_path {
                let link = format!("/dev/dri/by-path/pci-{}-{kind}", gpu.bus_id);
                self.replace_link(&link, &format!("../{name}"));
            }
        }
        self.directory(format!("{CAPABILITIES}/gpu{}/mig", gpu.minor));
        for instance in gpu.instances {
            self.instance(gpu.minor, *instance);
        }
    }

    /// A MIG instance, of the GPU with this minor number.
    pub(crate) fn instance(&self, gpu: u32, (gi, ci): (u32, u32)) {
        let minor = gi_capability(gpu, gi);
        self.capability(&format!("gpu{gpu}/mig/gi{gi}/access"), minor, 0o444);
        self.capability(
            &format!("gpu{gpu}/mig/gi{gi}/ci{ci}/access"),
            minor + 1 + ci,
            0o444,
        );
    }

    /// Takes a compute instance away, or with the last one its GPU instance.
    pub(crate) fn remove_instance(&self, gpu: u32, (gi, ci): (u32, u32)) {
        let outer = self.at(format!("{CAPABILITIES}/gpu{gpu}/mig/gi{gi}"));
        fs::remove_dir_all(outer.join(format!("ci{ci}"))).expect("an instance");
        let minor = gi_capability(gpu, gi);
        self.remove(format!("/dev/nvidia-caps/nvidia-cap{}", minor + 1 + ci));
        if fs::read_dir(&outer).expect("an instance").count() == 1 {
            fs::remove_dir_all(&outer).expect("an instance");
            self.remove(format!("/dev/nvidia-caps/nvidia-cap{minor}"));
        }
    }

    fn capability(&self, path: &str, minor: u32, mode: u32) {
        let text =
            format!("DeviceFileMinor: {minor}\nDeviceFileMode: {mode}\nDeviceFileModify: 1\n");
        self.file(format!("{CAPABILITIES}/{path}"), text);
        let node = format!("/dev/nvidia-caps/nvidia-cap{minor}");
        self.node(&node, (CAPS, minor.into()), mode, 0);
    }

    /// A device node.
    pub(crate) fn node(&self, path: &str, (major, minor): (u64, u64), mode: u32, gid: u32) {
        let path = path.to_owned();
        make_node(
            &self.root(),
            &Node {
                path,
                major,
                minor,
                mode,
                gid,
            },
        );
    }

    /// What `nvidia-smi -L` prints for these GPUs, in this order: a MIG device's UUID is `MIG-aaaaaaaa-…` with its number.
    pub(crate) fn smi_list(gpus: &[Gpu]) -> String {
        let (mut text, mut number) = (String::new(), 0);
        for (index, gpu) in gpus.iter().enumerate() {
            let _ = writeln!(text, "GPU {index}: {} (UUID: {})", gpu.model, gpu.uuid());
            for device in 0..gpu.instances.len() {
                number += 1;
                let uuid = format!("MIG-aaaaaaaa-0000-5000-8000-{number:012}");
                let _ = writeln!(text, "  MIG 1g.5gb      Device {device:>2}: (UUID: {uuid})");
            }
        }
        text
    }

    /// The same GPUs for `nvml_stub.c`.
    pub(crate) fn nvml(gpus: &[Gpu]) -> String {
        let (mut text, mut number) = (format!("driver {VERSION}\n"), 0);
        for gpu in gpus {
            let _ = writeln!(text, "gpu {} {} {}", gpu.bus_id, gpu.minor, gpu.uuid());
            for (gi, ci) in gpu.instances {
                number += 1;
                let uuid = format!("MIG-aaaaaaaa-0000-5000-8000-{number:012}");
                let _ = writeln!(text, "mig {gi} {ci} {uuid}");
            }
        }
        text
    }
}

/// The number of the node that gives access to a GPU instance.
fn gi_capability(gpu: u32, gi: u32) -> u32 {
    3 + gpu * 135 + gi * 9
}

fn mig_minors() -> String {
    let mut text = "config 1\nmonitor 2\n".to_owned();
    for gpu in 0..32 {
        for gi in 0..15 {
            let minor = gi_capability(gpu, gi);
            let _ = writeln!(text, "gpu{gpu}/gi{gi}/access {minor}");
            for ci in 0..8 {
                let _ = writeln!(text, "gpu{gpu}/gi{gi}/ci{ci}/access {}", minor + 1 + ci);
            }
        }
    }
    text
}
