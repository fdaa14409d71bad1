//! What cannot be read is neither lost nor left unsaid: the cache keeps what it had of it, and a warning says what is missing.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use nvidia_ctk::elf::Endian;
use nvidia_ctk::ldcache::format::{CacheEntry, HWCAP_EXTENSION, Hwcap, LdCache};
use nvidia_ctk::ldcache::profile::Format;

use crate::common::bundle::Bundle;
use crate::common::elf::{library, native_flags};
use crate::common::machine::{has, hostile_cases};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::words;

const DRIVER: &str = "/usr/local/nvidia/lib64";
const UPDATE: &str = "update-ldcache --folder /usr/local/nvidia/lib64";
/// What else than "not there" a lookup may answer.
const FAULTS: [&str; 6] = ["EIO", "EACCES", "ESTALE", "EOVERFLOW", "ENOMEM", "ENFILE"];

/// Runs a hook in which these system calls fail, if they are on one of the paths, as the hook names it or by descriptor.
fn broken(bundle: &Bundle, paths: &[&str], calls: &str, fault: &str, line: &str) -> Outcome {
    let mut strace = vec!["strace".to_owned(), "-f".to_owned(), "-o".to_owned()];
    strace.push("/dev/null".to_owned());
    for path in paths {
        let inside = path.trim_start_matches('/').to_owned();
        let outside = bundle.at(path).display().to_string();
        strace.extend(["-P".to_owned(), inside, "-P".to_owned(), outside]);
    }
    strace.extend(["-e".to_owned(), format!("inject={calls}:error={fault}")]);
    let strace: Vec<OsString> = strace.into_iter().map(OsString::from).collect();
    bundle.hook_in(&strace, line)
}

/// A root with a cache in which `/opt/lib` and `/opt/other` are named in the configuration. The driver is to come.
fn root() -> Bundle {
    let bundle = Bundle::new();
    bundle.file(
        "etc/ld.so.conf",
        "include ld.so.conf.d/*.conf\n/opt/other\n",
    );
    bundle.file("etc/ld.so.conf.d/a.conf", "/opt/lib\n");
    for (folder, name) in [
        ("opt/lib", "libfoo"),
        ("opt/lib", "libbar"),
        ("opt/other", "libother"),
    ] {
        bundle.file(
            format!("{folder}/{name}.so.1.2"),
            library(format!("{name}.so.1")),
        );
    }
    let hwcaps = "opt/lib/glibc-hwcaps/x86-64-v3";
    bundle.file(format!("{hwcaps}/libfoo.so.1.2"), library("libfoo.so.1"));
    bundle.file("usr/lib/libplain.so.1", library("libplain.so.1"));
    bundle.directory(DRIVER);
    bundle.hook(UPDATE).silent();
    assert_eq!(bundle.cached(), before());
    bundle.file(
        format!("{DRIVER}/libcuda.so.575.57.08"),
        library("libcuda.so.1"),
    );
    bundle
}

/// What the cache of [`root`] has, in its order.
fn before() -> Vec<&'static str> {
    vec![
        "/usr/lib/libplain.so.1",
        "/opt/other/libother.so.1",
        "/opt/lib/glibc-hwcaps/x86-64-v3/libfoo.so.1.2",
        "/opt/lib/libfoo.so.1",
        "/opt/lib/libbar.so.1",
    ]
}

/// The same with the driver.
fn after() -> Vec<String> {
    let driver = format!("{DRIVER}/libcuda.so.1");
    let mut all: Vec<_> = before().into_iter().map(str::to_owned).collect();
    all.push(driver);
    // Names in descending order: that of the driver is before that of libbar.
    all.swap(4, 5);
    all
}

/// Guards: `previous::take_over`, `SearchPath::fail` and `add_unread`, `Listing::is_complete`, `Problems`.
#[test]
fn the_cache_keeps_what_it_had_of_what_cannot_be_read() {
    if !has(&["strace"]) {
        return;
    }
    let hwcaps = "/opt/lib/glibc-hwcaps";
    let variant = "/opt/lib/glibc-hwcaps/x86-64-v3";
    let library = "/opt/lib/libfoo.so.1.2";
    let mut count = 0;
    // what is broken, and the system calls that tell so
    for (path, calls) in [
        ("/opt/lib", "openat2"),
        ("/opt/lib", "getdents64"),
        (hwcaps, "openat2"),
        (hwcaps, "getdents64"),
        (variant, "openat2"),
        (variant, "getdents64"),
        (library, "pread64"),
        ("libfoo.so.1.2", "openat,openat2"),
        ("libfoo.so.1", "readlinkat,openat2"),
        ("/etc/ld.so.conf", "openat2"),
        ("/etc/ld.so.conf", "read"),
        ("/etc/ld.so.conf.d/a.conf", "read"),
        ("/etc/ld.so.conf.d", "openat2"),
        ("/usr/lib", "openat2"),
        ("/usr/lib", "getdents64"),
    ] {
        for fault in FAULTS {
            let case = format!("{path}: {calls} answers {fault}");
            let bundle = root();
            let ran = broken(&bundle, &[path], calls, fault, UPDATE);
            ran.warns(&[]);
            assert!(ran.stderr.contains("warning"), "{case}: nothing is said");
            assert_eq!(bundle.cached(), after(), "{case}: {ran:?}");
            // Once it can be read the hook looks again; the bytes are the same ones.
            let cache = fs::read(bundle.at("etc/ld.so.cache")).unwrap();
            bundle.hook(UPDATE).silent();
            assert_eq!(
                fs::read(bundle.at("etc/ld.so.cache")).unwrap(),
                cache,
                "{case}"
            );
            count += 1;
        }
    }
    hostile_cases(count);
}

/// The hook does not remember what was broken: a library that came meanwhile is found as soon as it can be read, and one that went
/// is forgotten.
#[test]
fn what_was_kept_is_looked_at_again() {
    if !has(&["strace"]) {
        return;
    }
    let bundle = root();
    broken(&bundle, &["/opt/lib"], "getdents64", "EIO", UPDATE).warns(&["/opt/lib: not searched"]);
    fs::remove_file(bundle.at("opt/lib/libbar.so.1.2")).unwrap();
    bundle.file("opt/lib/libnew.so.1", library("libnew.so.1"));
    broken(&bundle, &["/opt/lib"], "getdents64", "EIO", UPDATE).warns(&["/opt/lib: not searched"]);
    let mut expected = after();
    expected.retain(|path| !path.ends_with("libbar.so.1"));
    assert_eq!(bundle.cached(), expected);
    let before = snapshot(&bundle.root());
    broken(&bundle, &["/opt/lib"], "getdents64", "EIO", UPDATE).warns(&["/opt/lib: not searched"]);
    assert_eq!(
        snapshot(&bundle.root()),
        before,
        "a second run changes something"
    );
    bundle.hook(UPDATE).silent();
    assert!(bundle.cached().contains(&"/opt/lib/libnew.so.1".to_owned()));
}

/// Guard: `Library::place`. Of two libraries with one name, the loader takes the first in the cache.
#[test]
fn what_was_kept_is_where_it_was() {
    if !has(&["strace"]) {
        return;
    }
    for (path, calls) in [
        ("/opt/lib", "openat2"),
        ("/opt/lib", "getdents64"),
        ("/etc/ld.so.conf", "read"),
        ("/etc/ld.so.conf.d", "openat2"),
    ] {
        let bundle = root();
        bundle.file("opt/other/libfoo.so.1", library("libfoo.so.1"));
        bundle.file("usr/lib/libfoo.so.1", library("libfoo.so.1"));
        bundle.hook(UPDATE).silent();
        let expected = bundle.cached();
        assert_eq!(
            expected
                .iter()
                .filter(|it| it.ends_with("/libfoo.so.1"))
                .count(),
            3
        );
        broken(&bundle, &[path], calls, "EIO", UPDATE).warns(&["(os error 5)"]);
        assert_eq!(bundle.cached(), expected, "{path}: {calls}");
    }
}

/// Guard: the condition of `is_link_missing` that everything in the directory was read.
#[test]
fn a_link_to_what_cannot_be_read_stays() {
    if !has(&["strace"]) {
        return;
    }
    for (path, calls) in [
        ("libfoo.so.1.2", "openat,openat2"),
        ("/opt/lib/libfoo.so.1.2", "pread64"),
    ] {
        let bundle = root();
        bundle.file("opt/lib/libfoo.so.1.1", library("libfoo.so.1"));
        let ran = broken(&bundle, &[path], calls, "EIO", UPDATE);
        ran.warns(&["/opt/lib/libfoo.so.1.2: left out", "(os error 5)"]);
        assert_eq!(bundle.target("opt/lib/libfoo.so.1"), "libfoo.so.1.2");
        assert_eq!(bundle.cached(), after());
    }
}

fn with_entries(entries: Vec<CacheEntry<'_>>) -> LdCache<'_> {
    LdCache {
        format: Format::Extended,
        endian: Endian::Little,
        endian_flag: true,
        entries,
        generator: b"forged",
        hwcap_names: Vec::new(),
    }
}

fn plain(soname: &'static [u8], path: &'static [u8]) -> CacheEntry<'static> {
    CacheEntry {
        soname,
        path,
        flags: native_flags(),
        os_version: 0,
        hwcap: Hwcap::Bits(0),
    }
}

/// Entries that no hook of ours would write for `/opt/lib`.
fn forged() -> Vec<CacheEntry<'static>> {
    let strange = plain(b"libstrange.so.1", b"/opt/lib/libbar.so.1");
    let hwcap = |hwcap| CacheEntry { hwcap, ..strange };
    let named = |name: &'static [u8]| hwcap(Hwcap::Directory { name, isa_level: 0 });
    vec![
        CacheEntry {
            flags: 0x503,
            ..strange
        },
        CacheEntry {
            flags: 2,
            ..strange
        },
        CacheEntry {
            os_version: 7,
            ..strange
        },
        hwcap(Hwcap::Bits(1)),
        hwcap(Hwcap::Bits(HWCAP_EXTENSION)),
        named(b"x86-64-v3"),
        named(b""),
        named(b"../lib"),
        plain(b"", b"/opt/lib/libbar.so.1"),
        plain(b"..", b"/opt/lib/libbar.so.1"),
        plain(b"a/libbar.so.1", b"/opt/lib/libbar.so.1"),
        plain(b"libbar.so.1\n", b"/opt/lib/libbar.so.1"),
        plain(b"libc.so.6", b"opt/lib/libbar.so.1"),
        plain(b"libc.so.6", b"/opt/other/libother.so.1.2"),
        plain(b"libc.so.6", b"/opt/other/../lib/libbar.so.1"),
        plain(b"libc.so.6", b"/usr/lib/libplain.so.1"),
        plain(
            b"libc.so.6",
            b"/opt/lib/glibc-hwcaps/x86-64-v3/libfoo.so.1.2",
        ),
        plain(b"libc.so.6", b"/opt/lib/missing.so.6"),
        plain(b"libc.so.6", b"/opt/lib"),
        plain(b"libc.so.6", b"/opt/lib/"),
        plain(b"libc.so.6", b"/"),
        plain(b"libfolder.so.1", b"/opt/lib/libfolder.so.1"),
        plain(b"libfifo.so.1", b"/opt/lib/libfifo.so.1"),
        plain(b"libdangling.so.1", b"/opt/lib/libdangling.so.1"),
    ]
}

/// Guards: `Places::of_entry`, `may_be_there` and the bounds of `take_over`. The cache before is the image's: it gets nothing into
/// the new one but libraries of what cannot be read.
#[test]
fn a_forged_cache_gets_nothing_through() {
    if !has(&["strace"]) {
        return;
    }
    let bundle = root();
    bundle
        .directory("opt/lib/libfolder.so.1")
        .node("opt/lib/libfifo.so.1", &["p"]);
    bundle.link("opt/lib/libdangling.so.1", "nowhere");
    let (forged, good) = (forged(), plain(b"libbar.so.1", b"/opt/lib/libbar.so.1"));
    let mut cache = with_entries([&forged[..], &[good, good]].concat());
    let expected: Vec<_> = after()
        .into_iter()
        .filter(|path| !path.contains("libfoo"))
        .collect();
    let run = |cache: &LdCache<'_>| {
        bundle.file("etc/ld.so.cache", cache.write().unwrap());
        let ran = broken(&bundle, &["/opt/lib"], "getdents64", "EIO", UPDATE);
        ran.warns(&["/opt/lib: not searched", "(os error 5)"]);
        let mut found = bundle.cached();
        // That folder can be read.
        found.retain(|path| !path.contains("glibc-hwcaps"));
        found
    };
    assert_eq!(run(&cache), expected);
    // Another machine's cache.
    cache.endian = Endian::Big;
    let without: Vec<_> = expected
        .iter()
        .filter(|path| !path.contains("libbar"))
        .cloned()
        .collect();
    assert_eq!(run(&cache), without);
    // One that says more than any has.
    cache.endian = Endian::Little;
    let sonames: Vec<_> = (0..20_000).map(|index| format!("lib{index}.so")).collect();
    let many = sonames.iter().map(|name| CacheEntry {
        soname: name.as_bytes(),
        ..good
    });
    cache.entries = many.collect();
    run(&cache);
    assert_eq!(bundle.cached().len(), 14_000);
    // Where part of the configuration is missing it may have named any directory, but no relative one is found.
    cache.entries = vec![good, plain(b"libc.so.6", b"opt/lib/libbar.so.1")];
    bundle.file("etc/ld.so.cache", cache.write().unwrap());
    broken(&bundle, &["/etc/ld.so.conf"], "read", "EIO", UPDATE).warns(&["not read"]);
    assert!(bundle.cached().iter().all(|path| path.starts_with('/')));
    // No cache at all, and one that cannot be read either.
    bundle.file("etc/ld.so.cache", "forged");
    broken(&bundle, &["/opt/lib"], "getdents64", "EIO", UPDATE).warns(&[]);
    assert!(!bundle.cached().contains(&"/opt/lib/libbar.so.1".to_owned()));
    let paths = ["/opt/lib", "/etc/ld.so.cache"];
    broken(&bundle, &paths, "getdents64,read", "EIO", UPDATE)
        .warns(&["/etc/ld.so.cache: not read", "(os error 5)"]);
    hostile_cases(forged.len() + 5);
}

/// Guards: `SearchPath::next`, which opens a directory when it is its turn, and `is_obstacle`.
#[test]
fn more_directories_than_descriptors() {
    const DIRECTORIES: usize = 60;
    let mut complete = 0;
    for limit in 4..=24 {
        let bundle = Bundle::new();
        let mut conf = String::new();
        for index in 0..DIRECTORIES {
            let folder = format!("/opt/{index}");
            bundle.file(
                format!("{folder}/libx{index}.so.1.2"),
                library(format!("libx{index}.so.1")),
            );
            let _ = writeln!(conf, "{folder}");
        }
        bundle.file("etc/ld.so.conf", conf);
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let ran = bundle.hook_in(&words(&["sh", "-c", &script, "sh"]), "update-ldcache");
        // Where not even the state or the root can be opened there is nothing to be done.
        let case = format!("{limit} descriptors: {ran:?}");
        if limit > 6 {
            assert_eq!(ran.code, 0, "{case}");
        }
        if ran.stderr.is_empty() {
            assert_eq!(bundle.cached().len(), DIRECTORIES, "{case}");
            complete += 1;
        }
        assert!(limit < 10 || ran.stderr.is_empty(), "{case}");
    }
    hostile_cases(21);
    assert!(complete >= 15, "{complete}");
}

/// Not one lookup works, for whatever reason: there is no exit code 0 without a warning. Guard: `is_failure`.
#[test]
fn no_failing_lookup_is_passed_over_in_silence() {
    if !has(&["strace"]) {
        return;
    }
    let lines = [
        UPDATE,
        "update-ldcache",
        "update-ldcache --find-driver",
        "create-symlinks",
        "create-soname-symlinks --folder /opt/lib",
    ];
    for line in lines {
        for fault in FAULTS.iter().chain(&["EAGAIN"]) {
            let bundle = root();
            let paths: Vec<PathBuf> = snapshot(&bundle.root()).into_keys().collect();
            let inject = format!("inject=openat2:error={fault}");
            let strace = words(&["strace", "-f", "-o", "/dev/null", "-e", &inject]);
            let ran = bundle.hook_in(&strace, line);
            let case = format!("{line}: every openat2 answers {fault}: {ran:?}");
            assert_eq!(ran.code, 0, "{case}");
            assert!(ran.stderr.contains("level=warning"), "{case}");
            let now: Vec<PathBuf> = snapshot(&bundle.root()).into_keys().collect();
            assert_eq!(now, paths, "{case}");
        }
    }
    hostile_cases(lines.len() * (FAULTS.len() + 1));
}

/// One directory cannot be opened, and nothing else fails. Guard: `is_not_there`.
#[test]
fn a_directory_that_cannot_be_opened_is_named() {
    if !has(&["strace"]) {
        return;
    }
    for (path, line, warning) in [
        (
            "/usr/local/cuda/compat",
            "enable-cuda-compat --host-driver-version 570.1",
            "/usr/local/cuda/compat: not used: cannot open it",
        ),
        (
            "/lib",
            "update-ldcache --folder /opt/lib",
            "musl's search path is not changed",
        ),
    ] {
        let bundle = root();
        bundle.directory(path);
        let ran = broken(&bundle, &[path], "openat2", "EIO", line);
        ran.warns(&[warning]);
    }
}
