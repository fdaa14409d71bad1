//! Bounds: however large, deep or long something in an image is, a hook ends, in little memory, and says what it left out.
//!
//! Each case names the bound that it passes; without it the hook takes more memory than [`MOST`], or its warning is missing, or the
//! sandbox kills it. No slow machine fails here.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use nvidia_ctk::elf::Endian;
use nvidia_ctk::ldcache::format::{CacheEntry, Hwcap, LdCache};
use nvidia_ctk::ldcache::profile::Format;

use crate::common::bundle::{Attacker, Bundle};
use crate::common::elf::{library, native_flags};
use crate::common::machine::{emulator, hostile_cases, memory_of_code};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::Meter;

/// Most memory that a hook may take, in KiB.
const MOST: u64 = 16 << 10;
const DRIVER: &str = "/usr/local/nvidia/lib64";

/// Runs a hook that must end well, in bounded memory, and warn with these words; without any it must be silent.
#[track_caller]
fn bounded(bundle: &Bundle, line: &str, warning: &str) -> Outcome {
    let meter = Meter::new(bundle);
    let ran = bundle.hook_in(&meter.before(), line);
    assert_eq!(ran.code, 0, "{line}: {}", beginning(&ran));
    if warning.is_empty() {
        assert_eq!(ran.stderr, "", "{line}");
    }
    let is_there = ran.stderr.contains(warning);
    assert!(is_there, "{line}: no {warning:?}: {}", beginning(&ran));
    let peak = meter.read().peak;
    assert!(peak <= MOST + memory_of_code(), "{line}: {peak} KiB");
    ran
}

fn beginning(ran: &Outcome) -> String {
    ran.stderr.chars().take(2000).collect()
}

/// Makes names for one empty file; a file system allows so many for one.
fn names(folder: &Path, count: usize, name: impl Fn(usize) -> String) {
    const MOST_NAMES: usize = 30_000;
    fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let path = folder.join(name(index));
        match index % MOST_NAMES {
            0 => drop(File::create(path).unwrap()),
            _ => fs::hard_link(folder.join(name(index - index % MOST_NAMES)), path).unwrap(),
        }
    }
}

/// Guard: `MAX_LISTING`.
#[test]
fn two_hundred_thousand_names_in_a_directory() {
    let bundle = Bundle::new();
    let many = bundle.path().join("many");
    names(&many, 200_000, |index| format!("libx{index}.so"));
    let warning = "the names in this directory take more than 4194304 bytes";
    for (place, lines) in [
        (
            "usr/local/nvidia/lib64",
            &[
                "update-ldcache --folder /usr/local/nvidia/lib64",
                "update-ldcache --find-driver",
                "create-symlinks",
            ][..],
        ),
        ("usr/lib", &["update-ldcache", "create-symlinks"]),
        ("lib", &["update-ldcache --folder /opt/lib"]),
        ("etc/ld.so.conf.d", &["update-ldcache", "create-symlinks"]),
        ("usr/lib/glibc-hwcaps", &["update-ldcache"]),
    ] {
        let place = bundle.at(place);
        bundle.file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(&many, &place).unwrap();
        for line in lines {
            bounded(&bundle, line, warning);
        }
        // Names that need no listing do not mind.
        let path = Path::new("/").join(place.strip_prefix(bundle.root()).unwrap());
        let path = path.display();
        bounded(&bundle, &format!("create-symlinks --link t::{path}/l"), "");
        bounded(&bundle, &format!("chmod --mode 711 --path {path}"), "");
        fs::remove_file(place.join("l")).unwrap();
        fs::rename(&place, &many).unwrap();
        let _ = fs::remove_dir_all(bundle.root());
        bundle.directory("");
    }
}

/// Guard: `MAX_LIBRARIES`.
#[test]
fn more_libraries_than_any_image_has() {
    let bundle = Bundle::new();
    for folder in ["opt/a", "opt/b", "opt/c"] {
        names(&bundle.at(folder), 6_000, |index| format!("libx{index}.so"));
    }
    let line = "update-ldcache --folder /opt/a,/opt/b,/opt/c";
    bounded(
        &bundle,
        line,
        "/opt/c: not searched: more than 14000 libraries",
    );
}

/// Makes files that are libraries, each with a SONAME of its own.
fn libraries(folder: &Path, count: usize, soname: impl Fn(usize) -> String) {
    fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let path = folder.join(format!("libx{index}.so.1.2"));
        fs::write(path, library(soname(index))).unwrap();
    }
}

/// Guards: `MAX_LIBRARIES` counts the links that are made, so that a later run does not refuse what an earlier one has made of the
/// directory; `Listing::hash_with`, `remove` and `BATCH`, which take time and memory in proportion to the names.
#[test]
fn unlinked_libraries_up_to_the_bound_and_beyond() {
    let line = "update-ldcache --folder /opt/lib";
    let missing =
        "/opt/lib: SONAME links are missing, the cache names the files: more than 14000 libraries";
    // libraries, links that are there, links afterwards
    for (count, before, after, warning) in [
        (7_000, 6_900, 7_000, ""),
        (10_000, 3_900, 4_000, missing),
        (14_000, 0, 0, missing),
    ] {
        let bundle = Bundle::new();
        let folder = bundle.at("opt/lib");
        let soname = |index| format!("libx{index}.so.1");
        libraries(&folder, count, soname);
        for index in 0..before {
            symlink(format!("libx{index}.so.1.2"), folder.join(soname(index))).unwrap();
        }
        bounded(&bundle, line, warning);
        assert_eq!(bundle.cached().len(), count);
        let is_link = |entry: &fs::DirEntry| entry.file_type().unwrap().is_symlink();
        let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
        assert_eq!(entries.filter(is_link).count(), after, "{count}");
        let before = snapshot(&bundle.root());
        bounded(&bundle, line, warning);
        assert_eq!(snapshot(&bundle.root()), before, "{count}");
    }
    let bundle = Bundle::new();
    names(&bundle.at("opt/lib"), 30_000, |index| {
        format!("libx{index}.so")
    });
    bounded(
        &bundle,
        line,
        "/opt/lib: not searched: more than 14000 libraries",
    );
    hostile_cases(4);
}

/// Guard: `Files::names`.
#[test]
fn long_sonames() {
    let line = "update-ldcache --folder /opt/lib";
    let long = |index| format!("liby{index:05}.so.{}", "x".repeat(242));
    for (count, warning) in [
        (5_600, ""),
        (
            14_000,
            "/opt/lib: not searched: the names of the libraries take more than",
        ),
    ] {
        let bundle = Bundle::new();
        libraries(&bundle.at("opt/lib"), count, long);
        bounded(&bundle, line, warning);
    }
    hostile_cases(2);
}

/// Guard: `MAX_STRINGS`.
#[test]
fn long_names_of_libraries() {
    let bundle = Bundle::new();
    let long = "x".repeat(230);
    for folder in ["opt/a", "opt/b", "opt/c"] {
        bundle.directory(folder);
        for index in 0..8000 {
            let path = bundle.at(folder).join(format!("lib{long}{index}.so"));
            fs::write(path, library(format!("lib{long}{index}.so"))).unwrap();
        }
    }
    let line = "update-ldcache --folder /opt/a,/opt/b,/opt/c";
    bounded(&bundle, line, "the names of the libraries take more than");
}

/// Guard: `Name::target` is a hash where a target is long.
#[test]
fn long_targets_of_links() {
    let bundle = Bundle::new();
    bundle.directory("opt/lib");
    let target = format!("{}nowhere", "./".repeat(2000));
    // For all of them an emulator takes more than the 2 s of processor time of a search.
    let count = if emulator().is_some() { 200 } else { 5000 };
    for index in 0..count {
        symlink(&target, bundle.at(format!("opt/lib/libx{index}.so"))).unwrap();
    }
    bounded(&bundle, "update-ldcache --folder /opt/lib", "");
}

/// Guards: the bounds of `SearchPath`.
#[test]
fn configuration_without_end() {
    let line = "update-ldcache --folder /opt/lib";
    let hundred_thousand =
        |line: &dyn Fn(usize) -> String| -> String { (0..100_000).map(line).collect() };
    // Guard: `MAX_CONF`.
    let bundle = Bundle::new();
    bundle.file("etc/ld.so.conf", "# \n".repeat(400_000));
    bounded(
        &bundle,
        line,
        "/etc/ld.so.conf: not read, and nothing behind it, the configuration is larger than 1048576 bytes",
    );
    // The same in many files.
    let bundle = Bundle::new();
    bundle.file("etc/ld.so.conf", "include ld.so.conf.d/*\n");
    for index in 0..20 {
        bundle.file(
            format!("etc/ld.so.conf.d/{index}"),
            "# comment\n".repeat(10_000),
        );
    }
    bounded(
        &bundle,
        line,
        "the configuration is larger than 1048576 bytes",
    );
    // Guard: `MAX_STEPS`, for lines, patterns, and names that a pattern is compared with.
    let steps = "the rest of the configuration is not read";
    for text in [
        hundred_thousand(&|index| format!("/{index}\n")),
        hundred_thousand(&|_| "/\n".to_owned()),
        hundred_thousand(&|_| "include x\n".to_owned()),
        format!("include {}\n", "x ".repeat(100_000)),
    ] {
        let bundle = Bundle::new();
        bundle.file("etc/ld.so.conf", text);
        let ran = bounded(&bundle, line, steps);
        assert!(ran.stderr.lines().count() < 20, "{}", beginning(&ran));
    }
    let bundle = Bundle::new();
    bundle.file("etc/ld.so.conf", format!("include {}\n", "/*".repeat(16)));
    for index in 0..200 {
        bundle.link(format!("l{index}"), "/");
    }
    bounded(&bundle, line, steps);
    // Guard: `MAX_CONFS`.
    let bundle = Bundle::new();
    let itself = format!("include {}\n", "ld.so.con[f] ".repeat(3000));
    bundle.file("etc/ld.so.conf", itself);
    let ran = bounded(&bundle, line, "files include each other more than 16 deep");
    assert!(ran.stderr.lines().count() < 20, "{}", beginning(&ran));
}

/// Guard: `MAX_DIRECTORIES`.
#[test]
fn library_directories_without_end() {
    let line = "update-ldcache --folder /opt/lib";
    let bundle = Bundle::new();
    let mut text = String::new();
    for index in 0..2000 {
        bundle.directory(format!("d/{index}"));
        let _ = writeln!(text, "/d/{index}");
    }
    bundle.file("etc/ld.so.conf", text);
    let ran = bounded(&bundle, line, "there are 512 library directories before it");
    assert!(ran.stderr.lines().count() < 20, "{}", beginning(&ran));
    // The same below glibc-hwcaps, where names of one directory are many.
    let bundle = Bundle::new();
    bundle.directory("usr/lib/glibc-hwcaps/v");
    for index in 0..2000 {
        bundle.link(format!("usr/lib/glibc-hwcaps/{index}"), "v");
    }
    let ran = bounded(&bundle, line, "glibc-hwcaps: more than 512 names");
    assert!(ran.stderr.lines().count() < 20, "{}", beginning(&ran));
}

/// Guard: `MAX_PATHS`. The same pattern stands for many paths, each of nearly 4 KiB.
#[test]
fn patterns_that_stand_for_long_paths() {
    let line = "update-ldcache --folder /opt/lib";
    let warning = "a pattern in it stands for paths of more than 262144 bytes";
    let bundle = Bundle::new();
    names(&bundle.at("a/d"), 16_000, |index| format!("{index}.conf"));
    let detour = "d/../".repeat(810);
    for text in [
        format!("include /a/{detour}d/*\n"),
        format!("include /a/d/*/{}x\n", "y/".repeat(500_000)),
        format!("include /a/{detour}d/*\n").repeat(200),
    ] {
        bundle.file("etc/ld.so.conf", text);
        let ran = bounded(&bundle, line, warning);
        assert!(ran.stderr.lines().count() < 20, "{}", beginning(&ran));
    }
    // Many patterns are no matter.
    bundle.file(
        "etc/ld.so.conf",
        format!("include{}\n", " x".repeat(500_000)),
    );
    bounded(&bundle, line, "the rest of the configuration is not read");
    hostile_cases(4);
}

/// Guards: `MAX_CONSTANTS` and `MAX_MULTIARCH`.
#[test]
fn c_libraries_without_end() {
    let bundle = Bundle::new();
    let mut libc = library("libc.so.6");
    // As many program headers as are taken: a large hole each, and the name of a loader, which makes it a C library.
    let count: u16 = 512;
    let at = libc.len() as u64;
    libc[32..40].copy_from_slice(&at.to_le_bytes());
    libc[56..58].copy_from_slice(&count.to_le_bytes());
    for index in 1..=count {
        let kind: u32 = if index == count { 3 } else { 1 };
        libc.extend(kind.to_le_bytes());
        libc.extend(4_u32.to_le_bytes());
        for value in [0_u64, 0, 0, 1 << 30, 1 << 30, 4096] {
            libc.extend(value.to_le_bytes());
        }
    }
    bundle.file("usr/lib/libc.so.6", libc);
    let file = File::options()
        .write(true)
        .open(bundle.at("usr/lib/libc.so.6"))
        .unwrap();
    file.set_len(1 << 30).unwrap();
    for index in 0..1000 {
        let folder = bundle.at(format!("usr/lib/{index}-linux-gnu"));
        fs::create_dir(&folder).unwrap();
        fs::hard_link(bundle.at("usr/lib/libc.so.6"), folder.join("libc.so.6")).unwrap();
    }
    bounded(
        &bundle,
        "update-ldcache",
        "/usr/lib: more than 16 multiarch directories",
    );
}

/// Guards: `MAX_SEARCHED`, and `MAX_DIRECTORIES` of a cache.
#[test]
fn caches_without_end() {
    for count in [60_000_u32, 600_000] {
        let bundle = Bundle::new();
        let mut cache = Vec::from(*b"glibc-ld.so.cache1.1");
        for word in [count, 9000, 2, 0, 0, 0, 0] {
            cache.extend(word.to_le_bytes());
        }
        let strings = 48 + count * 24;
        for index in 0..count {
            for word in [native_flags(), strings, strings + index % 4000, 0, 0, 0] {
                cache.extend(word.to_le_bytes());
            }
        }
        cache.extend(b"/a".repeat(2000));
        cache.extend(b"/libcuda.so.1\0");
        bundle.file("etc/ld.so.cache", cache);
        for line in ["create-symlinks", "update-ldcache --find-driver"] {
            bounded(&bundle, line, "");
        }
    }
}

/// Guard: `MAX_MISSING`.
#[test]
fn links_to_folders_without_end() {
    let bundle = Bundle::new();
    for index in 0..40 {
        let deep = "a/".repeat(2000);
        bundle.link(format!("l{index}"), format!("/l{}/{deep}", index + 1));
    }
    let ran = bundle.hook("create-symlinks --link t::/l0/l");
    ran.fails(&["/l0/l -> t: cannot make the link: "]);
    let bundle = Bundle::new();
    bundle.link("etc", "a/".repeat(2000));
    let ran = bundle.hook("update-ldcache --folder /opt/lib");
    ran.fails(&["(os error 40)"]);
}

/// Guard: `MAX_WARNINGS`.
#[test]
fn warnings_without_end() {
    let bundle = Bundle::new();
    for index in 0..2000 {
        let path = format!("{DRIVER}/lib{index}.so.575.57.08");
        bundle.file(path, library(format!("../{index}")));
    }
    bundle.file(
        format!("{DRIVER}/libcuda.so.575.57.08"),
        library("libcuda.so.1"),
    );
    for line in [
        "create-symlinks",
        "update-ldcache --folder /usr/local/nvidia/lib64",
    ] {
        let ran = bounded(&bundle, line, "more warnings are not shown");
        assert!(ran.stderr.lines().count() <= 101, "{}", beginning(&ran));
    }
}

/// Makes a file `/m/0` that takes milliseconds to be found, however it is looked up.
fn labyrinth(bundle: &Bundle) {
    const LONGEST: usize = 4000;
    bundle.directory("m/a");
    let detour = "a/../".repeat(LONGEST / "a/../".len());
    for depth in 0..36 {
        let target = format!("{detour}{}", depth + 1);
        bundle.link(format!("m/{depth}"), target);
    }
    bundle.file("m/36", library("libm.so.1"));
}

/// Makes links into the labyrinth.
fn links(folder: &Path, count: usize, name: impl Fn(usize) -> String) {
    fs::create_dir_all(folder).unwrap();
    symlink("../../m/0", folder.join(name(0))).unwrap();
    for index in 1..count {
        fs::hard_link(folder.join(name(0)), folder.join(name(index))).unwrap();
    }
}

/// The hook ends with one warning, and so does a later run, which looks again. Returns what is in the cache.
#[track_caller]
fn ends_in_time(bundle: &Bundle, line: &str) -> Vec<String> {
    let warning = "the search for libraries ends here, after 2 s of processor time";
    for _ in 0..2 {
        let ran = bounded(bundle, line, warning);
        let count = ran.stderr.matches(warning).count();
        assert_eq!(count, 1, "{}", beginning(&ran));
    }
    let ms = Meter::new(bundle).read().processor_ms;
    assert!(ms >= 2000, "{line}: {ms} ms");
    bundle.cached()
}

/// Guard: `Budget`. Each place where it is asked has a case; a hook that does not ask takes minutes, and is killed by `RLIMIT_CPU`.
#[test]
fn a_labyrinth_of_links() {
    const LINKS: usize = 12_000;
    let _quiet = Attacker::none();
    let line = format!("update-ldcache --folder {DRIVER}");
    let with_driver = || {
        let bundle = Bundle::new();
        bundle.file(
            format!("{DRIVER}/libcuda.so.575.57.08"),
            library("libcuda.so.1"),
        );
        labyrinth(&bundle);
        bundle
    };
    let driver = format!("{DRIVER}/libcuda.so.1");
    // Links that are followed.
    let bundle = with_driver();
    links(&bundle.at("opt/lib"), LINKS, |index| {
        format!("libx{index}.so")
    });
    let paths = ends_in_time(&bundle, &format!("{line},/opt/lib"));
    assert!(paths.contains(&driver), "{paths:?}");
    // SONAME links that lead elsewhere.
    let bundle = with_driver();
    let name = |index| format!("y{index}");
    libraries(&bundle.at("opt/lib"), LINKS, name);
    links(&bundle.at("opt/lib"), LINKS, name);
    let paths = ends_in_time(&bundle, &format!("{line},/opt/lib"));
    assert!(paths.contains(&driver), "{paths:?}");
    // Lines of the configuration.
    let bundle = with_driver();
    let lines: Vec<_> = (0..16_000).map(|it| format!("/m/0/{it}")).collect();
    bundle.file("etc/ld.so.conf", lines.join("\n"));
    ends_in_time(&bundle, &line);
    // Entries of the cache before: whether they lead anywhere is not known of all, but they are there.
    let bundle = with_driver();
    let name = |index| format!("libx{index}.so");
    links(&bundle.at("opt/lib"), 15_000, name);
    let sonames: Vec<_> = (0..LINKS).map(name).collect();
    let paths: Vec<_> = sonames.iter().map(|it| format!("/opt/lib/{it}")).collect();
    bundle.file("etc/ld.so.cache", cache(&sonames, &paths));
    let paths = ends_in_time(&bundle, &format!("{line},/opt/lib"));
    assert_eq!(paths.len(), LINKS + 1);
    hostile_cases(4);
}

/// The bytes of a cache with these libraries.
fn cache(sonames: &[String], paths: &[String]) -> Vec<u8> {
    let flags = native_flags();
    let entry = |index: usize| CacheEntry {
        soname: sonames[index].as_bytes(),
        path: paths[index].as_bytes(),
        flags,
        os_version: 0,
        hwcap: Hwcap::Bits(0),
    };
    let cache = LdCache {
        format: Format::Extended,
        endian: Endian::Little,
        endian_flag: true,
        entries: (0..sonames.len()).map(entry).collect(),
        generator: b"",
        hwcap_names: Vec::new(),
    };
    cache.write().unwrap()
}
