//! `cdi generate`: writes a spec for the GPUs of this host.

mod once;
mod output;
mod request;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};

use once::Generator;
use output::{Output, Purpose};

/// The name of standard input.
const STDIN: &str = "-";

/// Generate a CDI spec for the GPUs of this host.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "generate",
    help_triggers("-h", "--help"),
    example = "Once:\n  nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml\n\
               As long as the host runs:\n  nvidia-ctk cdi generate --watch --output /run/cdi/nvidia.yaml\n\
               With MIG devices named by UUID:\n  nvidia-smi -L | nvidia-ctk cdi generate --nvidia-smi-list -"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "argh wants one for each switch"
)]
pub struct Generate {
    /// file to write, *.yaml or *.json (default: standard output)
    #[argh(option, arg_name = "file", default = "String::new()")]
    pub output: String,
    /// yaml or json (default: by the name of the file, else yaml)
    #[argh(option, arg_name = "format")]
    pub format: Option<String>,
    /// devices to describe: auto, nvml, management, gds, gdrcopy, mofed, nvswitch, imex, mig-caps, csv or wsl (default: auto)
    #[argh(option, arg_name = "mode", default = "String::from(\"auto\")")]
    pub mode: String,
    /// naming of devices: index, uuid, type-index or pci; may be repeated (default: index and uuid)
    #[argh(option, arg_name = "strategy")]
    pub device_name_strategy: Vec<String>,
    /// device to describe: all, none, an index (0, 0:1), a UUID or a PCI name; may be repeated (default: all)
    #[argh(option, arg_name = "device")]
    pub device_id: Vec<String>,
    /// leave out the device "all"
    #[argh(switch)]
    pub no_all_device: bool,
    /// first part of the names of devices (default: nvidia.com)
    #[argh(option, arg_name = "vendor", default = "String::from(\"nvidia.com\")")]
    pub vendor: String,
    /// second part of the names of devices (default: gpu)
    #[argh(option, arg_name = "class", default = "String::from(\"gpu\")")]
    pub class: String,
    /// hooks to call: apply (one that does everything) or separate (the toolkit's) (default: apply)
    #[argh(option, arg_name = "style", default = "String::from(\"apply\")")]
    pub hooks: String,
    /// program that the hooks call (default: the installed nvidia-cdi-hook)
    #[argh(option, arg_name = "path", default = "String::new()")]
    pub nvidia_cdi_hook_path: String,
    /// hook to leave out, or all; may be repeated
    #[argh(option, arg_name = "hook")]
    pub disable_hook: Vec<String>,
    /// hook to include even if --disable-hook names it, or chmod, which is off by default; may be repeated
    #[argh(option, arg_name = "hook")]
    pub enable_hook: Vec<String>,
    /// ldconfig of the host, for --hooks separate with the toolkit's program
    #[argh(option, arg_name = "path")]
    pub ldconfig_path: Option<String>,
    /// file with the output of nvidia-smi -L, or - for standard input; it has the UUIDs of MIG devices
    #[argh(option, arg_name = "file")]
    pub nvidia_smi_list: Option<String>,
    /// root directory of the host (default: /)
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"/\")")]
    pub root: PathBuf,
    /// root directory of the driver on the host, such as /run/nvidia/driver (default: detected)
    #[argh(option, arg_name = "dir")]
    pub driver_root: Option<PathBuf>,
    /// directory on the host whose dev holds the driver's nodes (default: the driver's root if it has them, else /)
    #[argh(option, arg_name = "dir")]
    pub dev_root: Option<PathBuf>,
    /// directory of the driver's libraries, instead of the usual ones; may be repeated
    #[argh(option, arg_name = "dir")]
    pub library_search_path: Vec<PathBuf>,
    /// directory of the driver's configuration files, instead of the usual ones; may be repeated
    #[argh(option, arg_name = "dir")]
    pub config_search_path: Vec<PathBuf>,
    /// CSV list of a Jetson's files; may be repeated (default: those in /etc/nvidia-container-runtime/host-files-for-container.d)
    #[argh(option, arg_name = "file")]
    pub csv_file: Vec<PathBuf>,
    /// pattern of links to leave out of these lists; may be repeated
    #[argh(option, arg_name = "pattern")]
    pub csv_ignore_pattern: Vec<String>,
    /// accepted without effect: it depends on a version of CUDA that only NVML knows
    #[argh(option, arg_name = "dir")]
    pub csv_compat_container_root: Option<String>,
    /// feature of the toolkit to enable; may be repeated
    #[argh(option, arg_name = "flag")]
    pub feature_flag: Vec<String>,
    /// create missing device nodes
    #[argh(switch)]
    pub create_devices: bool,
    /// open the node of each GPU once, so that the driver reports its UUID
    #[argh(switch)]
    pub init_devices: bool,
    /// fail if anything is unknown or left out
    #[argh(switch)]
    pub strict: bool,
    /// print the spec and write nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// print the changes as diff -u does and write nothing
    #[argh(switch)]
    pub diff: bool,
    /// keep running, and rewrite the file when GPUs or driver change; without a value, check every 5 seconds
    #[argh(option, arg_name = "seconds")]
    pub watch: Option<u64>,
}

impl Generate {
    /// Writes or prints the spec, once or until a signal ends it. Fails if options contradict each other, if there are no devices,
    /// or if the spec cannot be written.
    pub fn run(&self) -> Result<ExitCode> {
        let generator = Generator::new(self)?;
        let output = Output::new(&self.output, self.format.as_deref())?;
        let purpose = Purpose::new(self.dry_run, self.diff);
        let Some(seconds) = self.watch else {
            return once::run(&generator, &output, purpose);
        };
        ensure!(
            output.path("").is_some() && purpose == Purpose::Write,
            "--watch needs --output, and excludes --diff and --dry-run"
        );
        ensure!(
            seconds > 0,
            "--watch {seconds}: the shortest time is one second"
        );
        ensure!(
            self.nvidia_smi_list.as_deref() != Some(STDIN),
            "--watch excludes --nvidia-smi-list {STDIN}: name a file"
        );
        watch::run(&generator, &output, seconds)
    }
}
