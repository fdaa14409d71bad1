//! Whole hooks on roots, states and options that a seed decides. Whatever comes out: the host beside the root is as it was, and the
//! hook ends by itself, with 0 or 1, in its bounds.
//!
//! `FUZZ_SECONDS=120` goes on for so long, from a seed that nobody chose; `FUZZ_SEED=N` runs one seed again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{fixture, has, tell};
use crate::common::random::Random;
use crate::common::tree::snapshot;
use crate::common::wrapper::{Meter, OLD_KERNEL, refused, without_landlock};

/// So many seeds are enough for a change; CI goes on for a time.
const SEEDS: u64 = 60;
/// Most memory of a hook, in KiB.
const MOST: u64 = 16 << 10;

/// Names that mean something to a hook, to the kernel or to a terminal.
const NAMES: [&[u8]; 40] = [
    b"etc",
    b"lib",
    b"usr",
    b"lib64",
    b"local",
    b"nvidia",
    b"opt",
    b"dev",
    b"proc",
    b"self",
    b"root",
    b"vdpau",
    b"tls",
    b"ld.so.conf",
    b"ld.so.conf.d",
    b"00-nvidia-ctk.conf",
    b"x.conf",
    b"ld.so.cache",
    b"ld-musl-x86_64.path",
    b"ld-musl-x86_64.so.1",
    b"libc.so.6",
    b"libcuda.so.1",
    b"libcuda.so",
    b"libcuda.so.575.57.08",
    b"libcuda.so.570.1.1",
    b"libnvidia-ml.so.575.57.08",
    b"libGLX_nvidia.so.575.57.08",
    b"liba.so.1",
    b"liba.so.1.2",
    b"ld-linux-x86-64.so.2",
    b"glibc-hwcaps",
    b"x86-64-v3",
    b"x86_64-linux-gnu",
    b"haswell",
    b".nvidia-ctk-0123456789abcdef",
    b"a\nb\x1b[31m",
    b"\xff\xfe",
    b" ",
    b"-rf",
    b"#x",
];
const FOLDERS: [&str; 10] = [
    "etc",
    "etc/ld.so.conf.d",
    "lib",
    "usr/lib",
    "usr/lib64",
    "usr/local/nvidia/lib64",
    "opt/lib",
    "usr/lib/x86_64-linux-gnu",
    "opt/lib/glibc-hwcaps/x86-64-v3",
    "opt/lib/tls/haswell",
];
const BASES: [&str; 8] = [
    "bookworm-min",
    "bullseye-min",
    "edgeS-bookworm",
    "edgeS-bookworm-armhf",
    "edgeS-trixie",
    "nvidia-cdi",
    "rhel8-2.28",
    "suse-2.39",
];

/// One seed's work.
struct Case {
    random: Random,
    bundle: Bundle,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bundle = Bundle::new();
        if random.below(4) == 0 {
            bundle.unpack(random.pick(&BASES));
        }
        let mut case = Self { random, bundle };
        case.put_canary();
        for _ in 0..case.random.below(40) {
            case.put_something();
        }
        case
    }

    /// What must not change.
    fn put_canary(&mut self) {
        let host = self.bundle.host();
        for name in ["secret", "ld.so.cache", "ld.so.conf", "libhost.so.1.2"] {
            fs::write(host.join(name), library("libhost.so.1")).unwrap();
            let mode = [0o600, 0o4755, 0o644][self.random.below(3)];
            fs::set_permissions(host.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        for folder in FOLDERS {
            fs::create_dir_all(host.join(folder)).unwrap();
        }
        symlink("libhost.so.1.1", host.join("libhost.so.1")).unwrap();
    }

    fn name(&mut self) -> OsString {
        let name = match self.random.below(20) {
            0 => vec![b'n'; 255],
            1 => (0..8)
                .map(|_| self.random.byte().max(1))
                .map(|it| if it == b'/' { b'x' } else { it })
                .collect(),
            _ => self.random.pick(&NAMES).to_vec(),
        };
        OsStr::from_bytes(&name).to_owned()
    }

    /// A path below the root, without a link in it, whose folders are there; none where something is in the way.
    fn place(&mut self) -> Option<PathBuf> {
        let mut path = self.bundle.root();
        let mut inside = PathBuf::from(self.random.pick(&FOLDERS));
        for _ in 0..self.random.below(3) {
            inside.push(self.name());
        }
        for component in &inside {
            path.push(component);
            match fs::symlink_metadata(&path) {
                Ok(there) if there.is_dir() => {}
                Ok(_) => return None,
                Err(_) => fs::create_dir(&path).ok()?,
            }
        }
        path.push(self.name());
        Some(path)
    }

    /// Any file that is there already.
    fn file(&mut self) -> Option<PathBuf> {
        let all: Vec<_> = snapshot(&self.bundle.root()).into_keys().collect();
        let path = self.random.pick(&all);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|it| it.is_file());
        is_file.then_some(path)
    }

    fn put_something(&mut self) -> Option<()> {
        if self.random.below(3) == 0 {
            let path = self.file()?;
            let mut bytes = fs::read(&path).ok()?;
            self.damage(&mut bytes);
            fs::write(path, bytes).ok()?;
            return None;
        }
        let path = self.place()?;
        if self.random.below(2) == 0 {
            let _ = fs::remove_file(&path);
        }
        if fs::symlink_metadata(&path).is_ok() {
            let mode = u32::try_from(self.random.below(0o10000)).unwrap();
            let is_link = fs::symlink_metadata(&path).ok()?.is_symlink();
            if !is_link {
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            }
            return None;
        }
        match self.random.below(10) {
            0..=3 => fs::write(path, self.content()).ok(),
            4..=6 => symlink(self.target(), path).ok(),
            7 => fs::create_dir(path).ok(),
            8 => mknod(&path, SFlag::S_IFIFO, Mode::S_IRUSR, 0).ok(),
            _ => mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(249, 77)).ok(),
        }
    }

    fn content(&mut self) -> Vec<u8> {
        let mut bytes = match self.random.below(6) {
            0 => Vec::new(),
            1 | 2 => {
                let soname = self.name();
                library(soname.as_bytes())
            }
            3 | 4 => self.conf(),
            _ => {
                let name = self.random.pick(&BASES);
                fs::read(fixture(&format!("roots/{name}.ld.so.cache"))).unwrap()
            }
        };
        if self.random.below(2) == 0 {
            self.damage(&mut bytes);
        }
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.random.below(6) {
            // Headers are at the front.
            let span = if self.random.below(2) == 0 {
                256
            } else {
                bytes.len()
            };
            let at = self.random.below(span.min(bytes.len()) as u64);
            match self.random.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.extend(vec![0; self.random.below(9000)]),
                2 => {
                    let value = self.random.pick(&[0, 1, 0xff, 0x7f, 0x80]);
                    for byte in bytes.iter_mut().skip(at).take(8) {
                        *byte = value;
                    }
                }
                _ => {
                    let byte = self.random.byte();
                    if let Some(there) = bytes.get_mut(at) {
                        *there = byte;
                    }
                }
            }
        }
    }

    fn conf(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.random.below(12) {
            text.extend(self.random.pick(&[
                &b"include "[..],
                b"include\t/",
                b"/",
                b"#",
                b"hwcap ",
                b"  ",
            ]));
            text.extend(self.path().as_os_str().as_bytes());
            text.extend(self.random.pick(&[
                &b"\n"[..],
                b"/*\n",
                b"=libc6\n",
                b" # x\n",
                b"\r\n",
                b"[!",
                b"\0",
            ]));
        }
        text
    }

    /// A path as a line of configuration or an option may name it.
    fn path(&mut self) -> PathBuf {
        let mut path = PathBuf::from(self.random.pick(&["/", "", "../../..", "/../.."]));
        if self.random.below(6) == 0 {
            path.push(self.bundle.host().strip_prefix("/").unwrap());
        }
        path.push(self.random.pick(&FOLDERS));
        for _ in 0..self.random.below(2) {
            path.push(self.name());
        }
        path
    }

    /// Where a link leads to: out of the root in many ways, or to something inside.
    fn target(&mut self) -> PathBuf {
        let host = self.bundle.host();
        match self.random.below(6) {
            0 => host,
            1 => host.join("secret"),
            2 => Path::new("/proc/self/root").join(host.strip_prefix("/").unwrap()),
            3 => self.name().into(),
            _ => self.path(),
        }
    }

    /// A command line; what it names is text, for options of no hook can be anything else.
    fn line(&mut self) -> Vec<String> {
        let path = |case: &mut Self| {
            let path = case.path();
            path.to_string_lossy().replace([',', '\0'], "x")
        };
        let mut line: Vec<String> = Vec::new();
        let kind = self.random.below(5);
        let name = [
            "chmod",
            "create-symlinks",
            "create-symlinks",
            "update-ldcache",
            "update-ldcache",
        ][kind];
        line.push(name.into());
        for _ in 0..=self.random.below(3) {
            let named = path(self);
            match kind {
                0 => line.push(format!("--path={named}")),
                2 => line.push(format!("--link={}::{named}", path(self))),
                3 => line.push(format!(
                    "--folder=/{}",
                    named.replace(['\n', '\x1b', '#'], "x")
                )),
                _ => {}
            }
        }
        match kind {
            0 => line.push(format!("--mode={:o}", self.random.below(0o10000))),
            4 => line.push("--find-driver".into()),
            _ => {}
        }
        line
    }

    /// A state and a config.json that name this root, or no root at all.
    fn state(&mut self) -> String {
        let mut state = self.bundle.state();
        match self.random.below(12) {
            0 => state["pid"] = json!(self.random.pick(&[-1_i64, 0, 1, 2, i64::MAX])),
            1 => state["root"] = json!("rootfs"),
            2 => state["root"] = json!(self.bundle.root()),
            3 => state["root"] = json!("missing/../rootfs"),
            4 => state["annotations"] = json!({"nvidia-ctk.hooks": "on", "x": "y".repeat(9000)}),
            5 => state["extra"] = json!([[[{"deep": [null, 1.5e300, "\u{1}"]}]]]),
            6 => {
                let mut config = Vec::from(
                    *br#"{"process":{},"root":{"path":"rootfs","readonly":true},"mounts":[]}"#,
                );
                let at = self.random.below(config.len() as u64);
                config[at] = self.random.byte();
                fs::write(self.bundle.path().join("config.json"), config).unwrap();
            }
            7 => {
                let text = state.to_string();
                let mut end = self.random.below(text.len() as u64);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                // Not just cut off: a hook would wait for the rest.
                return format!("{}\0]}}]}}]}}", &text[..end]);
            }
            _ => {}
        }
        state.to_string()
    }

    fn run(&mut self) {
        let kernel = match self.random.below(4) {
            0 => refused("EPERM", &OLD_KERNEL),
            1 => refused("ENOSYS", &OLD_KERNEL),
            _ => without_landlock(),
        };
        let meter = Meter::new(&self.bundle);
        let before = [meter.before(), kernel].concat();
        let (state, line) = (self.state(), self.line());
        let host = snapshot(&self.bundle.host());
        for _ in 0..2 {
            let ran = self.bundle.run(&before, "nvidia-cdi-hook", &line, &state);
            let case = format!("{line:?}: {ran:?}");
            assert_eq!(
                snapshot(&self.bundle.host()),
                host,
                "the host changed: {case}"
            );
            assert!(ran.code == 0 || ran.code == 1, "{case}");
            let is_plain =
                |line: &str| line.starts_with("level=") && !line.contains(char::is_control);
            assert!(ran.stderr.lines().all(is_plain), "{case}");
            let peak = meter.read().peak;
            assert!(peak <= MOST, "{peak} KiB: {case}");
        }
    }
}

#[test]
fn no_root_harms_the_host() {
    if !has(&["tar", "zstd"]) {
        return;
    }
    let number = |name: &str| env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS").unwrap_or(0);
    let first = match (number("FUZZ_SEED"), seconds) {
        (Some(seed), _) => seed,
        (None, 0) => 1,
        (None, _) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() << 20,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    loop {
        let result = catch_unwind(AssertUnwindSafe(|| Case::new(seed).run()));
        if let Err(panic) = result {
            tell(&format!(
                "seed {seed}: FUZZ_SEED={seed} cargo test --test suite random_roots:: runs it again"
            ));
            std::panic::resume_unwind(panic);
        }
        seed += 1;
        let is_enough = match number("FUZZ_SEED") {
            Some(_) => true,
            None => seed - first >= SEEDS && Instant::now() >= end,
        };
        if is_enough {
            break;
        }
    }
    tell(&format!(
        "random roots: {} from seed {first} on",
        seed - first
    ));
}
