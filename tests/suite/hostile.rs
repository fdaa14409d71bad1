//! Odd files in place of those that hooks look for, and libraries that are none: tables, in which each line is a case of its own.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nvidia_ctk::rootfs::ContainerRoot;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{has, hostile_cases};
use crate::common::tree::snapshot;
use crate::common::wrapper::{without_landlock, words};

/// Something that an image may hold under a name where a hook expects a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Odd {
    Fifo,
    /// Nobody has a driver for its number, so that to open it would be an error of its own.
    CharacterDevice,
    BlockDevice,
    Socket,
    Directory,
    FullDirectory,
    LinkToItself,
    DanglingLink,
    LinkToHost,
    LinkToRoot,
    LinkToFifo,
    Empty,
    Zeros,
    Text,
    Huge,
    WithoutMode,
}

const ODD: [Odd; 16] = [
    Odd::Fifo,
    Odd::CharacterDevice,
    Odd::BlockDevice,
    Odd::Socket,
    Odd::Directory,
    Odd::FullDirectory,
    Odd::LinkToItself,
    Odd::DanglingLink,
    Odd::LinkToHost,
    Odd::LinkToRoot,
    Odd::LinkToFifo,
    Odd::Empty,
    Odd::Zeros,
    Odd::Text,
    Odd::Huge,
    Odd::WithoutMode,
];

impl Odd {
    fn put(self, bundle: &Bundle, path: &str) {
        let at = bundle.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&at);
        match self {
            Self::Fifo => drop(bundle.node(path, &["p"])),
            Self::CharacterDevice => drop(bundle.node(path, &["c", "249", "77"])),
            Self::BlockDevice => drop(bundle.node(path, &["b", "249", "77"])),
            Self::Socket => {
                // An address is no longer than 107 bytes.
                let parent = File::open(at.parent().unwrap()).unwrap();
                let name = at.file_name().unwrap();
                let short = format!("/proc/self/fd/{}", parent.as_raw_fd());
                drop(UnixListener::bind(Path::new(&short).join(name)).unwrap());
            }
            Self::Directory => fs::create_dir(&at).unwrap(),
            Self::FullDirectory => drop(bundle.file(format!("{path}/libx.so.1"), "x")),
            Self::LinkToItself => drop(bundle.link(path, at.file_name().unwrap())),
            Self::DanglingLink => drop(bundle.link(path, "/nowhere/at/all")),
            Self::LinkToHost => drop(bundle.link(path, bundle.host().join("secret"))),
            Self::LinkToRoot => drop(bundle.link(path, "/")),
            Self::LinkToFifo => drop(bundle.node("fifo", &["p"]).link(path, "/fifo")),
            Self::Empty => drop(bundle.file(path, "")),
            Self::Zeros => drop(bundle.file(path, vec![0; 70_000])),
            Self::Text => drop(bundle.file(path, "#!/bin/sh\n/opt/lib\ninclude *\n\0\x7fELF")),
            Self::Huge => File::create(&at).unwrap().set_len(1 << 40).unwrap(),
            Self::WithoutMode => drop(bundle.file(path, "text\n").set_mode(path, 0)),
        }
    }
}

/// Longer than any file takes to be opened.
const HANGS: Duration = Duration::from_secs(30);
const UPDATE: &str = "update-ldcache --folder /opt/lib";
/// Where hooks look for files, and a hook that does.
const PLACES: [(&str, &str); 24] = [
    ("etc/ld.so.conf", UPDATE),
    ("etc/ld.so.conf.d", UPDATE),
    ("etc/ld.so.conf.d/x.conf", UPDATE),
    ("etc/ld.so.conf.d/00-nvidia-ctk.conf", UPDATE),
    ("etc/ld.so.cache", UPDATE),
    ("etc/ld-musl-x86_64.path", UPDATE),
    ("lib/ld-musl-x86_64.so.1", UPDATE),
    ("usr/lib/libc.so.6", UPDATE),
    ("usr/lib/x86_64-linux-gnu", UPDATE),
    ("sbin/ldconfig", UPDATE),
    ("opt/lib", UPDATE),
    ("opt/lib/libodd.so.1", UPDATE),
    ("opt/lib/liba.so.1", UPDATE),
    ("opt/lib/glibc-hwcaps", UPDATE),
    ("opt/lib/glibc-hwcaps/x86-64-v3", UPDATE),
    ("etc/ld.so.cache", "create-symlinks"),
    ("usr/local/nvidia/lib64", "create-symlinks"),
    (
        "usr/local/nvidia/lib64/libnvidia-ml.so.575.57.08",
        "create-symlinks",
    ),
    ("usr/local/nvidia/lib64/libcuda.so.1", "create-symlinks"),
    ("usr/local/nvidia/lib64/vdpau", "create-symlinks"),
    ("odd", "create-symlinks --link t::/odd"),
    ("odd", "create-symlinks --link t::/odd/below/l"),
    ("odd", "chmod --mode 751 --path /odd"),
    ("odd", "chmod --mode 751 --path /odd/secret"),
];

/// A root with a bit of everything.
fn image() -> Bundle {
    let bundle = Bundle::new();
    fs::write(bundle.host().join("secret"), "the host's").unwrap();
    bundle.file("lib/ld-musl-x86_64.so.1", "");
    bundle.file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
    bundle.file("opt/lib/liba.so.1.2", library("liba.so.1"));
    let driver = "usr/local/nvidia/lib64/libcuda.so.575.57.08";
    bundle.file(driver, library("libcuda.so.1"));
    bundle
}

/// Guards: `require` in `ContainerRoot::open_file`; `Kind` in listings, and `MAX_CONF` and `MAX_SEARCHED`.
#[test]
fn odd_files_in_place_of_any_file() {
    if !has(&["mknod"]) {
        return;
    }
    let mut cases = 0;
    for (path, line) in PLACES {
        for odd in ODD {
            let bundle = image();
            if ["opt/lib", "usr/local/nvidia/lib64"].contains(&path) {
                fs::remove_dir_all(bundle.at(path)).unwrap();
            }
            odd.put(&bundle, path);
            let host = snapshot(&bundle.host());
            let ran = bundle.hook_in(&without_landlock(), line);
            let case = format!("{odd:?} in place of {path}, {line}: {ran:?}");
            assert!(ran.code == 0 || ran.code == 1, "{case}");
            assert!(!ran.stderr.contains("panicked"), "{case}");
            assert!(!ran.stderr.contains("No such device"), "opened: {case}");
            assert_eq!(snapshot(&bundle.host()), host, "{case}");
            // Only where the hook's own result cannot take its place the container does not start.
            let is_result = line != UPDATE || path.starts_with("etc/");
            assert!(ran.code == 0 || is_result, "{case}");
            if line == UPDATE && path.starts_with("opt/lib/libodd") {
                let cached = bundle.cached();
                assert!(cached.contains(&"/opt/lib/liba.so.1".into()), "{case}");
                assert!(!cached.contains(&"/opt/lib/libodd.so.1".into()), "{case}");
            }
            cases += 1;
        }
    }
    hostile_cases(cases);
}

/// To open a device can have effects on the host. Guards: `require` before a file is opened, in `ContainerRoot::open_file` and
/// `Directory::read`, `read_mark` and `copy_label`.
#[test]
fn no_device_is_opened() {
    if !has(&["mknod", "strace"]) {
        return;
    }
    for (path, line) in PLACES {
        let bundle = image();
        if ["opt/lib", "usr/local/nvidia/lib64"].contains(&path) {
            fs::remove_dir_all(bundle.at(path)).unwrap();
        }
        Odd::CharacterDevice.put(&bundle, path);
        let trace = bundle.path().join("trace");
        let file = trace.display().to_string();
        bundle.hook_in(&words(&["strace", "-f", "-o", &file]), line);
        let trace = fs::read_to_string(trace).unwrap();
        let opened = trace.lines().find(|call| call.contains("ENXIO"));
        assert_eq!(opened, None, "{path}, {line}");
    }
}

/// What a name stands for may have changed since it was listed. Guards: `require` in `Directory::open_file`; `O_NONBLOCK`, without
/// which a FIFO is waited for; `O_NOFOLLOW`.
#[test]
fn names_that_are_no_files_any_more_are_refused() {
    if !has(&["mknod"]) {
        return;
    }
    for odd in ODD {
        let is_file = matches!(
            odd,
            Odd::Empty | Odd::Zeros | Odd::Text | Odd::Huge | Odd::WithoutMode
        );
        let bundle = image();
        odd.put(&bundle, "odd");
        let root = ContainerRoot::open(&bundle.root()).unwrap();
        let directory = root.directory(Path::new("/")).unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(directory.open_file("odd".as_ref()).is_ok()));
        let opened = receiver.recv_timeout(HANGS);
        assert_eq!(opened, Ok(is_file), "{odd:?}");
    }
}

/// Where fields of a 64-bit ELF file lie, and of the one that `library` makes.
const FIELDS: [(&str, usize, usize); 21] = [
    ("class", 4, 1),
    ("byte order", 5, 1),
    ("type", 16, 2),
    ("machine", 18, 2),
    ("program headers' offset", 32, 8),
    ("program headers' size", 54, 2),
    ("number of program headers", 56, 2),
    ("type of the first", 64, 4),
    ("its offset", 72, 8),
    ("its address", 80, 8),
    ("its size", 96, 8),
    ("type of the second", 120, 4),
    ("its offset", 128, 8),
    ("its address", 136, 8),
    ("its size", 152, 8),
    ("first tag", 176, 8),
    ("address of the strings", 184, 8),
    ("size of the strings", 200, 8),
    ("tag of the SONAME", 208, 8),
    ("index of the SONAME", 216, 8),
    ("last tag", 224, 8),
];
const VALUES: [u64; 6] = [0, 1, 0x7fff, 0xffff_ffff, 1 << 63, u64::MAX];

/// Guards: arithmetic in `names` and `file_offset` of `elf` that wraps; a sum beyond 64 bits would stop the program.
#[test]
fn libraries_with_a_wrong_field() {
    let mut cases = 0;
    let mut bytes = Vec::new();
    for (what, at, width) in FIELDS {
        for value in VALUES {
            let mut file = library("libodd.so.1");
            let field = &mut file[at..at + width];
            if field == &value.to_le_bytes()[..width] {
                continue;
            }
            field.copy_from_slice(&value.to_le_bytes()[..width]);
            if bytes.contains(&file) {
                continue;
            }
            bytes.push(file.clone());
            let bundle = image();
            for path in [
                "opt/lib/libodd.so.1.2",
                "usr/local/nvidia/lib64/libodd.so.575.57.08",
                "usr/lib/libc.so.6",
            ] {
                bundle.file(path, &file);
            }
            for line in ["update-ldcache --folder /opt/lib", "create-symlinks"] {
                let ran = bundle.hook(line);
                let case = format!("{what} {value:#x}, {line}: {ran:?}");
                assert_eq!(ran.code, 0, "{case}");
                let cached = bundle.cached();
                assert!(cached.contains(&"/opt/lib/liba.so.1".into()), "{case}");
            }
            cases += 1;
        }
    }
    hostile_cases(cases);
}

/// Each length that a library can be cut to. Guard: `read_up_to` of `elf` asks for nothing behind the end.
#[test]
fn libraries_that_are_cut_off() {
    let whole = library("libodd.so.1");
    let bundle = image();
    for length in 0..whole.len() {
        let path = format!("opt/lib/libodd{length}.so.1.2");
        bundle.file(path, &whole[..length]);
    }
    bundle.hook("update-ldcache --folder /opt/lib").silent();
    let cached = bundle.cached();
    assert!(cached.contains(&"/opt/lib/liba.so.1".into()));
    hostile_cases(1);
}
