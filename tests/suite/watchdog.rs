//! File systems that do not answer, and such that are slow: a FUSE server of our own is the root, lies below it, or in a volume.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{can_run, helper, hostile_cases, not_root};
use crate::common::outcome::Outcome;
use crate::common::syslog::Syslog;
use crate::common::wrapper::{with_mounts, words};

/// How long one call may take. A hook waits at least so long, on any machine.
const PATIENCE: Duration = Duration::from_secs(8);
/// When it gives up, and when it is killed.
const LIMIT: Duration = Duration::from_secs(10);
/// When the one who waits for a hook in a test ends it.
const HANGS: Duration = Duration::from_secs(60);
const NO_ANSWER: &str =
    "a file system of the container has not answered for 8 s: the hook gives up";
const FOLDER: &str = "/opt/lib";

fn usable() -> bool {
    let fuse = Path::new("/dev/fuse").exists();
    can_run(not_root().or_else(|| (!fuse).then(|| "there is no /dev/fuse".into())))
}

/// Commands before a hook that let a FUSE server show the image at this place: see `fuse.c`.
fn fuse(bundle: &Bundle, how: &str, place: &str, then: &str) -> Vec<OsString> {
    let script = format!(
        "mkdir -p \"$bundle/image\" && mount --bind \"$root\" \"$bundle/image\"; mkdir -p {place}"
    );
    let path = bundle.path().display();
    let then = format!("set -e; bundle='{path}'; root=$bundle/rootfs; {then}; exec \"$@\"");
    let place = place
        .replace("$root", &format!("{path}/rootfs"))
        .replace("$bundle", &path.to_string());
    [
        with_mounts(bundle, &script),
        vec![helper("fuse.c").into()],
        words(&[
            how,
            &format!("{path}/image"),
            &place,
            "sh",
            "-c",
            &then,
            "sh",
        ]),
    ]
    .concat()
}

/// The server is the root itself.
fn as_root(bundle: &Bundle, how: &str) -> Vec<OsString> {
    fuse(bundle, how, "$root", "true")
}

/// The root is an overlay on top of it, as where images are pulled lazily.
fn below_an_overlay(bundle: &Bundle, how: &str) -> Vec<OsString> {
    fuse(
        bundle,
        how,
        "$bundle/lower",
        "mkdir $bundle/layer; mount -t tmpfs tmpfs $bundle/layer; mkdir $bundle/layer/upper $bundle/layer/work; \
         mount -t overlay overlay -o lowerdir=$bundle/lower,upperdir=$bundle/layer/upper,workdir=$bundle/layer/work $root",
    )
}

/// It is a volume, to which a link of the image leads.
fn as_volume(bundle: &Bundle, how: &str) -> Vec<OsString> {
    let bind_dev = "if [ -e $bundle/dev ]; then mount --bind $bundle/dev /dev; fi";
    fuse(bundle, how, "$root/volume", bind_dev)
}

/// Runs a hook that searches the folder; tells how long that took.
fn search(bundle: &Bundle, before: &[OsString]) -> (Outcome, Duration) {
    let start = Instant::now();
    let ran = bundle.hook_in(before, &format!("update-ldcache --folder {FOLDER}"));
    (ran, start.elapsed())
}

#[test]
fn a_root_that_never_answers_is_an_error() {
    if !usable() {
        return;
    }
    let cases = ["deaf", "stuck", "interruptible", "stuck:opt"];
    hostile_cases(cases.len());
    thread::scope(|scope| {
        for how in cases {
            scope.spawn(move || {
                let bundle = Bundle::new();
                bundle.directory(FOLDER);
                let (ran, time) = search(&bundle, &as_root(&bundle, how));
                ran.fails(&[NO_ANSWER]);
                assert!(time >= PATIENCE, "{how}: {time:?}");
            });
        }
    });
}

#[test]
fn a_volume_that_never_answers_is_an_error() {
    if !usable() {
        return;
    }
    hostile_cases(1);
    let bundle = Bundle::new();
    bundle.link(FOLDER, "/volume");
    fs::create_dir(bundle.path().join("dev")).unwrap();
    let syslog = Syslog::bind(&bundle.path().join("dev/log"));
    let (ran, time) = search(&bundle, &as_volume(&bundle, "interruptible"));
    ran.fails(&[NO_ANSWER]);
    assert!(time >= PATIENCE, "{time:?}");
    let line = &syslog.messages()[0];
    assert!(
        line.contains(&format!("update-ldcache: container c1: {NO_ANSWER}")),
        "{line}"
    );
}

/// The kernel lets no handler run there, but kills the hook: long before the one who waits in a test would do it.
#[test]
fn a_volume_whose_server_is_stopped_is_the_end_of_the_hook() {
    if !usable() {
        return;
    }
    hostile_cases(1);
    let bundle = Bundle::new();
    bundle.link(FOLDER, "/volume");
    let state = bundle.path().join("state");
    fs::write(&state, bundle.state().to_string()).unwrap();
    let line = format!(
        "update-ldcache --folder {FOLDER} --container-spec {}",
        state.display()
    );
    let line: Vec<_> = line.split(' ').collect();
    let before = as_volume(&bundle, "deaf");
    let start = Instant::now();
    let child = bundle.spawn(&before, "nvidia-cdi-hook", &line, Stdio::null());
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(status.signal(), Some(9), "{status}");
    assert!(start.elapsed() < HANGS, "the hook hangs");
}

#[test]
fn what_a_supervised_hook_says_is_passed_on() {
    if !usable() {
        return;
    }
    let bundle = Bundle::new();
    let before = as_root(&bundle, "slow");
    let hook = |line: &str| bundle.hook_in(&before, line);
    hook("create-symlinks --link x::/l").warns(&["/l"]);
    let strict = hook("create-symlinks --strict --link x::/l");
    strict.fails(&["--strict was asked for"]);
    assert_eq!(strict.stderr.lines().count(), 2, "{strict:?}");
}

/// Each request takes 50 ms, all of them longer than the limit of one. The server below the overlay would let a call fail that a
/// signal meets.
#[test]
fn slow_roots_are_waited_for() {
    if !usable() {
        return;
    }
    let is_slow = |time: Duration| assert!(time > LIMIT, "{time:?}: more files are needed");
    let overlay = || {
        let bundle = Bundle::new();
        for number in 0..36 {
            let soname = format!("liba{number}.so.1");
            bundle.file(format!("{FOLDER}/{soname}.2"), library(&soname));
        }
        let (ran, time) = search(&bundle, &below_an_overlay(&bundle, "eintr"));
        ran.silent();
        is_slow(time);
    };
    let root = || {
        let bundle = Bundle::new();
        let files = (0..220).map(|number| format!("/file{number}"));
        let files: Vec<_> = files
            .inspect(|file| {
                bundle.file(file, "");
            })
            .collect();
        let start = Instant::now();
        let line = format!("chmod --mode 644 --path {}", files.join(","));
        bundle.hook_in(&as_root(&bundle, "slow"), &line).silent();
        is_slow(start.elapsed());
    };
    thread::scope(|scope| {
        scope.spawn(overlay);
        scope.spawn(root);
    });
}

/// A search that takes more than a minute ends with a warning, and what was found is written. Guard: `TIME` of `Budget`.
#[test]
#[ignore = "takes more than a minute: tests/long/slow.sh"]
fn a_search_ends_after_a_minute() {
    if !usable() {
        return;
    }
    let bundle = Bundle::new();
    bundle.link(FOLDER, "/volume/lib");
    fs::create_dir(bundle.root().join("volume")).unwrap();
    for number in 0..600 {
        let soname = format!("liba{number:03}.so.1");
        bundle.file(format!("lib/{soname}"), library(&soname));
    }
    let state = bundle.path().join("state");
    fs::write(&state, bundle.state().to_string()).unwrap();
    let state = state.display().to_string();
    let line = [
        "update-ldcache",
        "--folder",
        FOLDER,
        "--container-spec",
        &state,
    ];
    let start = Instant::now();
    let mut command =
        bundle.command_within("150", &as_volume(&bundle, "slow"), "nvidia-cdi-hook", &line);
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{:?}: {ended:?}", start.elapsed());
    assert!(
        start.elapsed() >= Duration::from_secs(60),
        "more files are needed"
    );
    assert!(
        said.contains("the search for libraries ends here, after 60 s"),
        "{said}"
    );
    let cache = bundle.text("etc/ld.so.cache");
    let there = |number: usize| cache.contains(&format!("{FOLDER}/liba{number:03}.so.1"));
    assert!(there(0) && !there(599), "{said}");
}
