//! `system print-ldcache`: the same text as the machine's own `ldconfig -p`, and every kind of problem.

use std::fs;
use std::path::Path;
use std::process::Command;

use nvidia_ctk::elf::Endian;
use nvidia_ctk::ldcache::format::{CacheEntry, Hwcap, LdCache};
use serde_json::Value;

use crate::machine::{binary, can_run, missing};
use crate::root::{Root, assert_same, obstacle, stored, stored_roots};

/// Stored caches that the machine's ldconfig cannot read or has no words for, and what is among the text of them.
const FOREIGN: [(&str, &str); 2] = [
    (
        "bookworm-s390x",
        "67 libs found in cache `/etc/ld.so.cache'\n\tlibzstd.so.1 (libc6,64bit) => /lib/s390x-linux-gnu/libzstd.so.1\n",
    ),
    (
        "edgeS-sid-loong64",
        "\n\tlibz.so.1 (libc6,double-float) => /lib/libz.so.1\n",
    ),
];

fn print(root: &Path, options: &[&str]) -> (bool, String, String) {
    let output = Command::new(binary())
        .args(["system", "print-ldcache", "--root"])
        .arg(root)
        .args(options)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A root that has nothing but this cache.
fn root_with(cache: &[u8]) -> Root {
    let root = Root::new();
    fs::create_dir(root.path("etc")).unwrap();
    fs::write(root.path("etc/ld.so.cache"), cache).unwrap();
    root
}

/// What the machine's ldconfig prints of a cache, in the words of versions up to 2.36.
fn ldconfig(cache: &Path) -> String {
    let output = Command::new("ldconfig")
        .arg("-p")
        .arg("-C")
        .arg(cache)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).replace("(unknown or unsupported flag", "(ELF")
}

/// The text without what versions since 2.36 leave out.
fn without_os(text: &str) -> String {
    let line = |line: &str| match line.split_once(", OS ABI: ") {
        Some((start, rest)) => format!("{start}{}\n", &rest[rest.find(')').unwrap()..]),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_machines_own_cache_is_printed_as_ldconfig_prints_it() {
    if !can_run(missing(&["ldconfig"])) {
        return;
    }
    let (success, ours, errors) = print(Path::new("/"), &[]);
    assert!(success, "{errors}");
    assert_same(
        "ldconfig -p",
        ours.as_bytes(),
        ldconfig(Path::new("/etc/ld.so.cache")).as_bytes(),
    );
}

#[test]
fn caches_of_other_machines_are_printed_as_ldconfig_prints_them() {
    if !can_run(missing(&["ldconfig"]).filter(|_| cfg!(target_endian = "little"))) {
        return;
    }
    for name in stored_roots() {
        let cache = stored(&name, "ld.so.cache");
        let root = root_with(&fs::read(&cache).unwrap());
        let (success, ours, errors) = print(&root.path(""), &[]);
        assert!(success, "{name}: {errors}");
        if let Some((_, text)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
            assert!(ours.contains(text), "{name}: {ours}");
            continue;
        }
        let theirs = ldconfig(&cache).replacen(cache.to_str().unwrap(), "/etc/ld.so.cache", 1);
        assert_same(
            &name,
            without_os(&ours).as_bytes(),
            without_os(&theirs).as_bytes(),
        );
    }
}

#[test]
fn json_holds_the_same() {
    for name in stored_roots() {
        let root = root_with(&fs::read(stored(&name, "ld.so.cache")).unwrap());
        let (_, text, _) = print(&root.path(""), &[]);
        let (success, json, errors) = print(&root.path(""), &["--json"]);
        assert!(success, "{name}: {errors}");
        let json: Value = serde_json::from_str(&json).unwrap();
        let libraries = json["libraries"].as_array().unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('\t')).collect();
        assert_eq!(libraries.len(), lines.len(), "{name}");
        for (library, line) in libraries.iter().zip(lines) {
            let word = |key: &str| library[key].as_str().unwrap();
            let start = format!("\t{} ({}", word("soname"), word("abi"));
            let end = format!(") => {}", word("path"));
            assert!(
                line.starts_with(&start) && line.ends_with(&end),
                "{name}: {line}: {library}"
            );
        }
    }
}

/// Libraries of other machines that their ldconfig enters all the same.
const PASSED_OVER: [(&str, &str); 1] = [(
    "edgeS-bookworm-armhf",
    "libx32.so.1 (ELF) => /lib/libx32.so.1
  has flags that the root's loaders pass over (0x1); they take: libc6,AArch64; libc6,hard-float; libc6,soft-float; libc6
libi386.so.1 (ELF) => /lib/libi386.so.1
  has flags that the root's loaders pass over (0x1); they take: libc6,AArch64; libc6,hard-float; libc6,soft-float; libc6
",
)];

#[test]
fn nothing_is_wrong_with_what_ldconfig_wrote() {
    if !can_run(obstacle()) {
        return;
    }
    // It takes long to unpack, and has nothing that others have not.
    for name in stored_roots().into_iter().filter(|name| name != "many") {
        let root = Root::unpack(&name);
        root.update();
        let (success, ours, errors) = print(&root.path(""), &["--check"]);
        let problems = PASSED_OVER.iter().find(|(with, _)| *with == name);
        assert_eq!(success, problems.is_none(), "{name}: {ours}{errors}");
        match problems {
            Some((_, text)) => assert_eq!(ours, *text),
            None => assert!(ours.ends_with(" entries, nothing is wrong\n"), "{ours}"),
        }
    }
}

/// Writes a damaged cache into the root and returns what is said about it.
fn check(root: &Root, damaged: &LdCache<'_>, behind: &[u8]) -> String {
    let bytes = [&damaged.write().unwrap(), behind].concat();
    fs::write(root.path("etc/ld.so.cache"), bytes).unwrap();
    let (success, problems, errors) = print(&root.path(""), &["--check"]);
    assert!(!success, "nothing was found");
    assert!(errors.contains("writes it anew"), "{errors}");
    let (success, json, _) = print(&root.path(""), &["--check", "--json"]);
    assert!(!success);
    let json: Value = serde_json::from_str(&json).unwrap();
    let listed = json["problems"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(listed.join("\n") + "\n", problems);
    problems
}

#[test]
fn each_kind_of_problem_is_named() {
    if !can_run(obstacle()) {
        return;
    }
    let root = Root::unpack("edgeS-trixie");
    root.update();
    let bytes = root.cache();
    let good = LdCache::parse(&bytes).unwrap();
    let damaged = |damage: &dyn Fn(&mut LdCache<'_>)| {
        let mut cache = good.clone();
        damage(&mut cache);
        check(&root, &cache, b"")
    };
    let (first, last) = (good.entries[0], *good.entries.last().unwrap());

    let order = damaged(&|cache| cache.entries.reverse());
    let sentence = format!(
        " has to stand behind {}: the loader searches by halves",
        good.entries[1]
    );
    assert!(order.contains(&sentence), "{order}");

    let twice = damaged(&|cache| {
        cache.entries.extend_from_within(..1);
        cache.entries.rotate_right(1);
    });
    assert_eq!(twice, format!("{first}\n  is there twice\n"));

    let flags = damaged(&|cache| cache.entries[0].flags = 0xa03);
    let text = flags.split_once(" => ").unwrap();
    assert!(
        text.0.ends_with("(libc6,AArch64)") && text.1.contains("pass over (0xa03)"),
        "{flags}"
    );

    let hwcap =
        damaged(&|cache| cache.entries.last_mut().unwrap().hwcap = Hwcap::Bits(1 << 62 | 0x63));
    assert!(hwcap.contains("whose name is missing"), "{hwcap}");

    let hwcap = damaged(&|cache| cache.entries.last_mut().unwrap().hwcap = Hwcap::Bits(1 << 50));
    assert!(hwcap.contains("since glibc 2.37"), "{hwcap}");

    for (path, reason) in [
        ("/lib/gone.so", "No such file"),
        ("/../../../../../../etc/passwd", "No such file"),
        ("/etc", "no regular file"),
    ] {
        let dangling = damaged(&|cache| cache.entries.last_mut().unwrap().path = path.as_bytes());
        let moved = CacheEntry {
            path: path.as_bytes(),
            ..last
        };
        let sentence = format!("{moved}\n  leads to nothing that can be loaded: {reason}");
        assert!(dangling.starts_with(&sentence), "{dangling}");
    }

    let foreign = check(
        &root,
        &LdCache {
            endian: Endian::Big,
            ..good.clone()
        },
        b"",
    );
    assert!(foreign.contains("the cache is big-endian"), "{foreign}");

    let garbage = check(&root, &good, b"abc");
    assert_eq!(
        garbage,
        "3 bytes stand behind the end of the cache: no loader reads them\n"
    );
}

#[test]
fn what_is_no_cache_is_refused() {
    for (bytes, reason) in [
        (&b""[..], "not an ld.so.cache"),
        (b"glibc-ld.so.cache1.1", "cut off"),
        (b"ld.so-1.7.0\0\xff\xff\xff\xff", "cut off"),
    ] {
        let (success, text, errors) = print(&root_with(bytes).path(""), &[]);
        assert!(!success && text.is_empty());
        assert!(errors.contains(reason), "{errors}");
    }
    let (success, _, errors) = print(&Root::new().path(""), &[]);
    assert!(
        !success && errors.contains("cannot read /etc/ld.so.cache"),
        "{errors}"
    );
}
