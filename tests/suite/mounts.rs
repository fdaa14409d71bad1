//! What is mounted in a container belongs to others: a hook changes nothing there, wherever the image's links lead.
//!
//! Each case is an image and mounts of a runtime, in a mount namespace of its own: as at createContainer, as at prestart, and as a
//! hook sees it to which the runtime tells nothing. The guard is `Gate`; Landlock, which lets submounts of the root be written to, is taken away.

mod links;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{has, hostile_cases};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::{
    OLD_KERNEL, READ_ONLY, refused, with_mounts, without_landlock, words,
};

const UPDATE: &str = "update-ldcache --folder /opt/lib";
/// A volume of the host in the container, as a runtime makes it, before crun 1.26 and later make it read-only.
const VOLUME: &str = "mkdir -p \"$root/vol\"; mount --bind \"$host\" \"$root/vol\"";

/// Where the hook runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// In the container's mount namespace: /proc shows other process numbers.
    CreateContainer,
    /// The same on an old kernel.
    OldKernel,
    /// The same under a filter that refuses all calls that an old kernel lacks.
    Filtered,
    /// In the runtime's: the container's first process has its own.
    Prestart,
    /// The runtime does not say where the container's mounts are.
    Unknown,
}

const CREATE_CONTAINER: [Stage; 3] = [Stage::CreateContainer, Stage::OldKernel, Stage::Filtered];
const STAGES: [Stage; 5] = [
    Stage::CreateContainer,
    Stage::OldKernel,
    Stage::Filtered,
    Stage::Prestart,
    Stage::Unknown,
];
/// Runs a script in a mount namespace of a process of its own, whose number goes into the state, and another one there afterwards.
const PRESTART: &str = r#"set -e; mkfifo "$bundle/ready"
    unshare --mount --propagation=private sh -c "set -e; $mounts; echo >\"$bundle/ready\"; exec sleep 60" &
    pid=$!; read -r ready <"$bundle/ready"; rm "$bundle/ready"
    sed -i "s/\"pid\":1/\"pid\":$pid/" "$bundle/state"
    code=0; "$@" || code=$?
    nsenter --target $pid --mount sh -c "$look"; kill $pid; exit $code"#;

/// Runs a hook after `mounts`, twice if `look` says `"$@"`, which comes next, all in one mount namespace.
fn run(bundle: &Bundle, stage: Stage, mounts: &str, line: &str, look: &str) -> Outcome {
    let file = bundle.path().join("state");
    fs::write(&file, bundle.state().to_string()).unwrap();
    let mounts = format!("mount --bind \"$root\" \"$root\"; {mounts}");
    let mut before: Vec<OsString> = if stage == Stage::Prestart {
        let variables = [
            ("bundle", bundle.path()),
            ("root", &bundle.root()),
            ("host", &bundle.host()),
        ]
        .map(|(name, path)| format!("{name}={}", path.display()));
        let scripts = [format!("mounts={mounts}"), format!("look={look}")];
        let env: Vec<_> = ["env".to_owned()]
            .into_iter()
            .chain(variables)
            .chain(scripts)
            .collect();
        let env: Vec<_> = env.iter().map(String::as_str).collect();
        [words(&env), words(&["sh", "-c", PRESTART, "sh"])].concat()
    } else {
        let export = format!("{mounts}; export root host bundle");
        let look = format!("\"$@\"; code=$?; {look}; exit $code");
        [
            with_mounts(bundle, &export),
            words(&["sh", "-c", &look, "sh"]),
        ]
        .concat()
    };
    before.extend(match stage {
        Stage::OldKernel => refused("ENOSYS", &OLD_KERNEL),
        Stage::Filtered => refused("EPERM", &OLD_KERNEL),
        _ => without_landlock(),
    });
    if CREATE_CONTAINER.contains(&stage) {
        before.extend(words(&["unshare", "--pid", "--fork"]));
    }
    let line = format!("{line} --container-spec {}", file.display());
    bundle.hook_in(&before, &line)
}

/// An image with a library, and a host with everything that a hook would like to change.
fn image() -> Bundle {
    let bundle = Bundle::new();
    bundle.file("opt/lib/liba.so.1.2", library("liba.so.1"));
    let host = bundle.host();
    fs::write(host.join("libhost.so.1.2"), library("libhost.so.1")).unwrap();
    symlink("missing", host.join("libstale.so.1")).unwrap();
    for folder in ["ld.so.conf.d", "nvidia", "dir"] {
        fs::create_dir(host.join(folder)).unwrap();
    }
    for name in [
        "ld.so.cache",
        "ld.so.conf",
        "ld-musl-x86_64.path",
        "00-compat-nvidia-ctk.conf",
        "ld.so.conf.d/00-compat-nvidia-ctk.conf",
        "ld.so.conf.d/00-nvidia-ctk.conf",
        "secret",
    ] {
        fs::write(host.join(name), "the host's\n").unwrap();
        fs::set_permissions(host.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    bundle
}

/// The host is as it was, and the container starts, with a warning or without.
#[track_caller]
fn untouched(mounts: &str, line: &str, prepare: impl Fn(&Bundle)) -> Vec<Outcome> {
    if !has(&["unshare", "mount", "gcc"]) {
        return Vec::new();
    }
    hostile_cases(STAGES.len());
    let case = |stage| {
        let bundle = image();
        prepare(&bundle);
        let before = snapshot(&bundle.host());
        let ran = run(&bundle, stage, mounts, line, "true");
        assert_eq!(
            snapshot(&bundle.host()),
            before,
            "{stage:?} {line}: {ran:?}"
        );
        assert_eq!(ran.code, 0, "{stage:?} {line}: {ran:?}");
        ran
    };
    STAGES.map(case).into()
}

const NOT_OWN: &str = "it is on a mount that is not the container's own";

#[test]
fn drop_ins_stay_out_of_volumes() {
    for (link, target) in [
        ("etc/ld.so.conf.d", "/vol/ld.so.conf.d"),
        ("etc", "/vol"),
        ("etc", "../../../vol"),
        ("etc/ld.so.conf.d", "/vol/new/directory"),
    ] {
        for ran in untouched(VOLUME, UPDATE, |bundle| {
            bundle.link(link, target);
        }) {
            ran.warns(&["ld.so.conf.d is not changed", NOT_OWN]);
        }
    }
    // enable-cuda-compat takes back what an earlier run named.
    for ran in untouched(
        VOLUME,
        "enable-cuda-compat --host-driver-version 570.1",
        |bundle| {
            bundle.link("etc/ld.so.conf.d", "/vol/ld.so.conf.d");
        },
    ) {
        ran.warns(&[
            "ld.so.conf.d does not say which libcuda is to be used",
            NOT_OWN,
        ]);
    }
}

/// The cache is complete whatever becomes of the drop-in: the next run must not search again. Guard: `Found::is_complete`.
#[test]
fn a_drop_in_that_cannot_be_written_leaves_the_cache_its_mark() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let bundle = image();
    bundle.link("etc/ld.so.conf.d", "/vol/ld.so.conf.d");
    run(&bundle, Stage::Unknown, VOLUME, UPDATE, "true").warns(&["ld.so.conf.d is not changed"]);
    let mut mark = [0; 8];
    let length = rustix::fs::getxattr(bundle.at("etc/ld.so.cache"), "user.nvidia-ctk", &mut mark);
    // As on any file system that can hold one.
    let other = image();
    other.hook(UPDATE).silent();
    let expected = rustix::fs::getxattr(other.at("etc/ld.so.cache"), "user.nvidia-ctk", &mut mark);
    assert_eq!(length, expected);
}

#[test]
fn links_and_leftovers_stay_out_of_volumes() {
    for line in [
        "update-ldcache --folder /opt/lib --folder /vol",
        "update-ldcache --folder /opt/lib --folder /linked",
        "create-soname-symlinks --folder /vol",
        "create-soname-symlinks --folder /linked",
        "create-symlinks --link x::/linked/y",
        "create-symlinks --link x::/vol/secret",
        "create-symlinks --link x::/vol/dir/new/y",
        "create-symlinks --link libcuda.so.1::/linked/libcuda.so",
    ] {
        untouched(VOLUME, line, |bundle| {
            bundle.link("linked", "vol");
        });
    }
}

#[test]
fn modes_are_set_on_own_mounts_only() {
    for path in ["/vol/secret", "/linked/dir", "/linked", "/f"] {
        let mounts = format!("{VOLUME}; touch $root/f; mount --bind $host/secret $root/f");
        for ran in untouched(
            &mounts,
            &format!("chmod --mode 777 --path {path}"),
            |bundle| {
                bundle.link("linked", "/vol");
            },
        ) {
            ran.warns(&["the mode is not set to 0777", NOT_OWN]);
        }
    }
}

#[test]
fn profiles_stay_out_of_volumes() {
    let mounts = format!("{VOLUME}; mkdir -p $root/dev; mknod $root/dev/nvidia0 c 195 0");
    for ran in untouched(&mounts, "update-application-profile", |bundle| {
        bundle.link("etc/nvidia", "/vol/nvidia");
    }) {
        ran.warns(&["10-container.conf: not written", NOT_OWN]);
    }
}

/// Kernel file systems are never the container's, even where they are new ones. (What is tried here the kernel refuses as well: the
/// machine must not change where the guard is missing.)
#[test]
fn kernel_file_systems_are_not_changed() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    hostile_cases(2 * STAGES.len());
    for stage in STAGES {
        for path in ["/l/kernel/ostype", "/proc/sys/kernel/ostype"] {
            let bundle = image();
            bundle.link("l", "proc/sys");
            let line = format!("chmod --mode 711 --path {path}");
            let mounts = "mkdir $root/proc; mount -t proc proc $root/proc";
            let ran = run(&bundle, stage, mounts, &line, "true");
            ran.warns(&[NOT_OWN]);
        }
    }
}

/// What is read to be written again is readable by everyone then. Guard: `read_own`.
#[test]
fn nothing_is_copied_out_of_a_mount() {
    for target in [
        "/vol/secret",
        "/proc/timer_list",
        "../proc/sys/kernel/ostype",
    ] {
        if !has(&["unshare", "mount", "gcc"]) {
            return;
        }
        hostile_cases(STAGES.len());
        for stage in STAGES {
            let bundle = image();
            bundle.file("lib/ld-musl-x86_64.so.1", "");
            bundle.link("etc/ld-musl-x86_64.path", target);
            let mounts = format!("{VOLUME}; mkdir $root/proc; mount -t proc proc $root/proc");
            let ran = run(&bundle, stage, &mounts, UPDATE, "true");
            ran.warns(&["musl's search path is not changed", NOT_OWN]);
            assert_eq!(bundle.target("etc/ld-musl-x86_64.path"), target, "{ran:?}");
        }
    }
}

/// A file that is mounted over another one is not replaced, and stays mounted.
#[test]
fn mounted_files_stay() {
    let mounts = "for f in etc/ld.so.cache etc/ld.so.conf.d/00-nvidia-ctk.conf; do mkdir -p $root/${f%/*}; \
                  touch $root/$f; mount --bind $host/secret $root/$f; done";
    for ran in untouched(mounts, UPDATE, |_| ()) {
        ran.warns(&["ld.so.conf.d is not changed", "(os error 16)"]);
    }
}

/// What the runtime mounts for one container is that container's. Guard: `OF_ONE_CONTAINER`.
#[test]
fn the_containers_own_file_systems_are_changed() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let mounts = "mkdir -p $root/dev; mount -t tmpfs tmpfs $root/dev; mkdir -m 700 $root/dev/dri";
    for stage in STAGES {
        let line = "chmod --mode 755 --path /dev/dri";
        let ran = run(&image(), stage, mounts, line, "stat -c %a $root/dev/dri");
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("755\n", ""),
            "{stage:?}"
        );
        let line = "create-symlinks --link ../a::/dev/dri/by-path/b";
        let ran = run(
            &image(),
            stage,
            mounts,
            line,
            "readlink $root/dev/dri/by-path/b",
        );
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("../a\n", ""),
            "{stage:?}"
        );
    }
}

/// In a user namespace nobody can make device nodes: the runtime mounts the host's. Guard: the type is asked of the file, not of the
/// directory.
#[test]
fn devices_that_are_mounted_are_seen() {
    if !has(&["unshare", "mount", "mknod", "gcc"]) {
        return;
    }
    let mounts = "mkdir $root/dev; mount -t tmpfs tmpfs $root/dev; touch $root/dev/nvidia3; \
                  mknod $bundle/node c 195 3; mount --bind $bundle/node $root/dev/nvidia3";
    let look = "cat $root/etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf";
    let ran = run(
        &image(),
        Stage::CreateContainer,
        mounts,
        "update-application-profile",
        look,
    );
    assert!(
        ran.stdout.contains("EGLVisibleDGPUDevices\",0x8"),
        "{ran:?}"
    );
}

/// Where someone else may be at work a device or a FIFO is not even opened that takes a library's place behind the listing, here by
/// a mount. Guard: `is_quiet`.
#[test]
fn what_takes_the_place_of_a_library_is_not_opened() {
    if !has(&["unshare", "mount", "mkfifo", "strace"]) {
        return;
    }
    hostile_cases(3);
    let swap =
        "touch $at/libfifo.so.1; mkfifo $bundle/fifo; mount --bind $bundle/fifo $at/libfifo.so.1";
    for (stage, status, mounts) in [
        (Stage::Unknown, "running", "at=$root/opt/lib".to_owned()),
        (
            Stage::CreateContainer,
            "creating",
            format!("{VOLUME}; at=$root/vol"),
        ),
    ] {
        let bundle = image();
        let trace = bundle.path().join("trace");
        let strace = format!(
            "strace -f -qq -e trace=openat,openat2 -o {}",
            trace.display()
        );
        let mounts = format!("{mounts}; {swap}; export root host bundle");
        let mut before = with_mounts(&bundle, &mounts);
        if stage == Stage::CreateContainer {
            before.extend(words(&["unshare", "--pid", "--fork"]));
        }
        before.extend(words(&strace.split(' ').collect::<Vec<_>>()));
        let mut state = bundle.state();
        state["status"] = status.into();
        let arguments: Vec<_> = UPDATE.split(' ').chain(["--folder", "/vol"]).collect();
        let ran = bundle.run(&before, "nvidia-cdi-hook", &arguments, state.to_string());
        assert_eq!(ran.code, 0, "{ran:?}");
        let trace = fs::read_to_string(trace).unwrap();
        let opened: Vec<_> = trace.lines().filter(|it| it.contains("libfifo")).collect();
        assert!(!opened.is_empty(), "{trace}");
        // Or the kernel refuses to open it.
        let is_looked_at = |it: &&&str| it.contains("O_PATH") || it.contains("EXDEV");
        assert!(opened.iter().all(|it| is_looked_at(&it)), "{opened:?}");
    }
}

/// Others that look the same are not. Guards, in this order: the comparison of devices, of the mount's root, of config.json's
/// binds, also where another mount is odd or the file cannot be read; `mounts_below_root`; `OF_ONE_CONTAINER`.
#[test]
fn file_systems_of_others_are_not_changed() {
    const LOOK: &str = "stat -c %a $root/dev/dri";
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let config = |odd: &str| {
        let bind = r#"{"destination":"/dev","type":"none","source":"/x","options":["rbind"]}"#;
        format!(
            r#"printf '%s' '{{"root":{{"path":"rootfs"}},"mounts":[{odd}{bind}]}}' >$bundle/config.json"#
        )
    };
    let tmpfs = "mkdir -p $root/dev; mount -t tmpfs tmpfs $host/dir; mkdir -m 700 $host/dir/dri";
    let unseen = format!("{tmpfs}; mount --bind $host/dir $root/dev; umount -l $host/dir");
    for mounts in [
        format!("{tmpfs}; mount --bind $host/dir $root/dev"),
        format!("{tmpfs}; mkdir -m 700 $host/dir/sub $host/dir/sub/dri; mount --bind $host/dir/sub $root/dev; umount -l $host/dir"),
        format!("{unseen}; {}", config("")),
        format!("{unseen}; {}", config(r#"{"destination":"/x","options":[7]},{"type":"tmpfs"},"#)),
        format!("{unseen}; {}", config(r#"{"destination":7},"#)),
        "umount $root; mkdir -p $root/dev; mount -t tmpfs tmpfs $root/dev; mkdir -m 700 $root/dev/dri; mount --rbind $root $root".to_owned(),
        "mkdir -p $root/dev; mount -t ramfs ramfs $root/dev; mkdir -m 700 $root/dev/dri".to_owned(),
    ] {
        hostile_cases(STAGES.len());
        for stage in STAGES {
            let line = "chmod --mode 755 --path /dev/dri";
            let ran = run(&image(), stage, &mounts, line, LOOK);
            assert_eq!(ran.stdout, "700\n", "{stage:?} {mounts}: {ran:?}");
            assert!(ran.stderr.contains(NOT_OWN), "{ran:?}");
        }
    }
}

/// The calls by which a hook gives up what it may, as strace shows them, with these mounts.
fn trace(bundle: &Bundle, mounts: &str) -> String {
    let file = bundle.path().join("trace");
    let strace = format!(
        "set -- strace -f -qq -e trace=landlock_restrict_self,clone,clone3 -o {} \"$@\"",
        file.display()
    );
    let mounts = format!("mount --bind \"$root\" \"$root\"; {mounts}; {strace}");
    let mut before = words(&["unshare", "--pid", "--fork"]);
    before.splice(0..0, with_mounts(bundle, &mounts));
    let ran = bundle.hook_in(&before, UPDATE);
    assert_eq!(ran.code, 0, "{ran:?}");
    let trace = fs::read_to_string(file).unwrap();
    let hook = trace.split_once("landlock_restrict_self");
    let (before, behind) = hook.expect("Landlock");
    assert!(!behind.contains("clone"), "{trace}");
    before.to_owned()
}

/// An image whose /etc leads to what cannot be written to must not keep the hook from giving up its privileges: only a mount of
/// the runtime lets it start a thread that may mount. Guard: `needs_mount` follows no link.
#[test]
fn no_link_decides_what_a_hook_may_mount() {
    // unshare starts the hook by a clone.
    let threads = |trace: &str| trace.matches("CLONE_THREAD").count();
    if !has(&["unshare", "mount", "strace"]) {
        return;
    }
    hostile_cases(2);
    let sysfs = "mkdir $root/sys; mount -t sysfs -o ro sysfs $root/sys";
    let read_only = format!("{VOLUME}; mount -o remount,bind,ro $root/vol");
    for (target, mounts) in [("/sys", sysfs), ("/vol", read_only.as_str())] {
        let bundle = image();
        bundle.link("etc", target);
        let trace = trace(&bundle, mounts);
        assert_eq!(threads(&trace), 0, "{trace}");
    }
    for mounts in [READ_ONLY, "mkdir $root/etc; mount --bind $host $root/etc"] {
        let trace = trace(&image(), mounts);
        assert_eq!(threads(&trace), 1, "{trace}");
    }
}

// Covering

/// Volumes at /etc, as `VOLUME /etc`, `-v vol:/etc` and an emptyDir make them: the GPU must not be lost.
#[test]
fn an_etc_of_others_gets_a_cover() {
    // A second run mounts nothing more.
    const LOOK: &str = "count() { grep -c '/etc/ld.so.cache .*nvidia-ctk' /proc/self/mountinfo; }; once=$(count); \"$@\";
        [ $(count) = $once ] && echo once; grep -c /opt/lib/liba.so.1 $root/etc/ld.so.cache; cat $host/ld.so.cache $bundle/below";
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let below = "cp $root/etc/ld.so.cache $bundle/below; umount $root/etc 2>/dev/null || true";
    for etc in [
        "mount --bind $host $root/etc",
        "mount -t overlay -o lowerdir=$host,upperdir=$bundle/upper,workdir=$bundle/work overlay $root/etc",
        "mount -t tmpfs tmpfs $host/dir; echo old >$host/dir/ld.so.cache; mount --bind $host/dir $root/etc",
        "mount --bind $host/ld.so.cache $root/etc/ld.so.cache",
        READ_ONLY,
    ] {
        for stage in CREATE_CONTAINER {
            let bundle = image();
            bundle.file("etc/ld.so.cache", "old\n");
            for folder in ["upper", "work"] {
                fs::create_dir(bundle.path().join(folder)).unwrap();
            }
            let before = snapshot(&bundle.host());
            let look = format!("{LOOK}; {below}");
            let mounts = format!("{etc}; cp $root/etc/ld.so.cache $bundle/below");
            let ran = run(&bundle, stage, &mounts, UPDATE, &look);
            let case = format!("{stage:?} {etc}: {ran:?}");
            assert_eq!(ran.code, 0, "{case}");
            assert!(ran.stdout.starts_with("once\n1\nthe host's\n"), "{case}");
            assert_eq!(snapshot(&bundle.host()), before, "{case}");
            assert_eq!(bundle.text("etc/ld.so.cache"), "old\n", "{case}");
            let upper = fs::read_dir(bundle.path().join("upper")).unwrap();
            assert_eq!(upper.count(), 0, "{case}");
        }
    }
}

/// The mount would be seen elsewhere. Guard: `is_private`.
#[test]
fn a_shared_mount_gets_no_cover() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    hostile_cases(CREATE_CONTAINER.len());
    let mounts =
        "mount --bind $host $host; mount --make-shared $host; mount --bind $host $root/etc";
    let look = "cat $host/ld.so.cache; grep -c '/ld.so.cache ' /proc/self/mountinfo";
    for stage in CREATE_CONTAINER {
        let bundle = image();
        bundle.directory("etc");
        let ran = run(&bundle, stage, mounts, UPDATE, look);
        let reason =
            "cannot mount a new one over it: it is on a mount that other mount namespaces share";
        assert!(ran.stderr.contains(reason), "{stage:?} {ran:?}");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "the host's\n0\n"),
            "{stage:?} {ran:?}"
        );
    }
}

/// While nobody else can change a file of the container, a library is opened at once, another file by a second lookup, and a missing
/// link is not looked for; elsewhere, as in a volume, a file is inspected first and opened through /proc. Guards: `is_creating`,
/// `is_quiet`, `RESOLVE_NO_XDEV` of `open_on_root`.
#[test]
fn only_while_a_container_is_made_its_own_libraries_are_opened_at_once() {
    if !has(&["unshare", "mount", "strace"]) {
        return;
    }
    for (is_inside, status, is_at_once) in [
        (false, "running", false),
        (false, "creating", true),
        (true, "created", true),
        (true, "creating", true),
    ] {
        let bundle = image();
        bundle.file("etc/ld.so.conf", "include /vol/ld.so.conf\n");
        let trace = bundle.path().join("trace");
        let mounts = format!("mount --bind $root $root; {VOLUME}");
        let mut before = with_mounts(&bundle, &mounts);
        if is_inside {
            before.extend(words(&["unshare", "--pid", "--fork"]));
        }
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=openat,openat2,newfstatat",
            "-o",
        ];
        before.extend(words(&strace));
        before.push(trace.clone().into());
        let mut state = bundle.state();
        state["status"] = status.into();
        let arguments: Vec<_> = UPDATE.split(' ').chain(["--folder", "/vol"]).collect();
        let ran = bundle.run(&before, "nvidia-cdi-hook", &arguments, state.to_string());
        assert_eq!(ran.code, 0, "{ran:?}");
        let trace = fs::read_to_string(trace).unwrap();
        for (name, is_at_once) in [("liba.so.1.2", is_at_once), ("libhost.so.1.2", false)] {
            let mut opened = trace.lines().filter(|it| it.contains(name));
            let first = opened.next().expect("the library is opened");
            assert_eq!(!first.contains("O_PATH"), is_at_once, "{status}: {first}");
        }
        for (path, is_at_once) in [("etc/ld.so.conf", is_at_once), ("vol/ld.so.conf", false)] {
            let name = format!("\"{path}\"");
            let opened: Vec<_> = trace.lines().filter(|it| it.contains(&name)).collect();
            assert!(
                opened.iter().any(|it| it.contains("O_PATH")),
                "{path}: {trace}"
            );
            let is_opened = |it: &&str| !it.contains("O_PATH") && !it.contains("EXDEV");
            assert_eq!(opened.iter().any(is_opened), is_at_once, "{opened:?}");
        }
        let is_asked = |it: &str| it.contains("newfstatat") && it.contains("\"liba.so.1\"");
        assert_eq!(
            !trace.lines().any(is_asked),
            is_at_once,
            "{status}: {trace}"
        );
    }
}
