//! Broken hosts: what a hook makes of a machine, or of a container's surroundings, in which something is missing or unusual.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nvidia_ctk::rootfs::ContainerRoot;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use serde_json::Value;

use crate::common::bundle::{Bundle, end};
use crate::common::elf::library;
use crate::common::machine::{can_run, has};
use crate::common::outcome::Outcome;
use crate::common::wrapper::{READ_ONLY, with_mounts, words};

const UPDATE: &str = "update-ldcache --folder /opt/lib";

/// A root with a library and with a cache that is not right any more.
fn image() -> Bundle {
    let bundle = Bundle::new();
    bundle.file("opt/lib/liba.so.1", library("liba.so.1"));
    bundle.file("etc/ld.so.cache", "old");
    bundle.file("f", "").set_mode("f", 0o600);
    bundle
}

/// Runs the hook and then a script, in the same mount namespace; `$root` and `$host` are as in [`with_mounts`].
fn and_then(bundle: &Bundle, script: &str) -> Vec<OsString> {
    let path = bundle.path().display();
    let script =
        format!("root='{path}/rootfs'; host='{path}/host'; \"$@\"; code=$?; {script}; exit $code");
    words(&["sh", "-c", &script, "sh"])
}

// Whose mounts it sees

/// A hook in the container's mount namespace, to which /proc shows another pid namespace: as at createContainer.
fn in_container(bundle: &Bundle, mounts: &str) -> Vec<OsString> {
    let pids = words(&["unshare", "--pid", "--fork"]);
    [with_mounts(bundle, mounts), pids].concat()
}

/// Runs update-ldcache and tells what the container then has as its cache.
fn cache_after(bundle: &Bundle, before: &[OsString]) -> (Outcome, String) {
    let shown = and_then(bundle, "cat \"$root/etc/ld.so.cache\" >\"$host/cache\"");
    let ran = bundle.hook_in(&[before, &shown].concat(), UPDATE);
    let cache = fs::read(bundle.host().join("cache")).unwrap();
    (ran, String::from_utf8_lossy(&cache).into_owned())
}

#[test]
fn a_read_only_root_is_covered_in_the_containers_namespace_only() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    let (ran, cache) = cache_after(&bundle, &in_container(&bundle, READ_ONLY));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(cache.contains("/opt/lib/liba.so.1"), "{ran:?}");
    assert_eq!(bundle.text("etc/ld.so.cache"), "old", "outside");
    // The same where it cannot be told whose namespace it is. Guard: `MountNamespace::Unknown`.
    let bundle = image();
    let (ran, cache) = cache_after(&bundle, &with_mounts(&bundle, READ_ONLY));
    ran.warns(&["the cache is not updated", "Read-only file system"]);
    assert_eq!(cache, "old");
}

/// A runtime in a pid namespace of its own, with the /proc and the mounts of another one: at prestart its hooks are not inside of a
/// container. Guard: the comparison with process 1.
#[test]
fn a_pid_namespace_alone_makes_no_container() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    let mounts = with_mounts(&bundle, READ_ONLY);
    let first = words(&["unshare", "--pid", "--fork", "--mount-proc"]);
    let shell = words(&["sh", "-c", "\"$@\"; exit $?", "sh"]);
    let second = words(&["unshare", "--pid", "--fork"]);
    // The shell, which is process 1, shares its mounts with the hook.
    let before = [first, mounts, shell, second].concat();
    let (ran, cache) = cache_after(&bundle, &before);
    ran.warns(&["the cache is not updated", "Read-only file system"]);
    assert_eq!(cache, "old");
}

/// Guard: `proc_shows_our_pid_namespace` is `None` without /proc.
#[test]
fn without_proc_nothing_is_mounted() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    let hidden = format!("{READ_ONLY}; mount -t tmpfs tmpfs /proc");
    let (ran, cache) = cache_after(&bundle, &in_container(&bundle, &hidden));
    assert_eq!((ran.code, cache.as_str()), (0, "old"), "{ran:?}");
    assert!(ran.stderr.contains("level=warning"), "{ran:?}");
}

/// Guard: `without_proc`, which tells what is missing.
#[test]
fn without_proc_it_is_told_what_is_missing() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    let hidden = with_mounts(&bundle, "mount -t tmpfs tmpfs /proc");
    let ran = bundle.hook_in(&hidden, "chmod --mode 644 --path /f");
    ran.fails(&["/proc is not mounted here"]);
    assert_eq!(bundle.mode("f"), 0o600);
}

/// Guard: a cache that cannot be mounted is a warning.
#[test]
fn a_read_only_root_without_the_capability_to_mount_is_a_warning() {
    if !has(&["unshare", "mount", "setpriv"]) {
        return;
    }
    let bundle = image();
    let weak = words(&["setpriv", "--bounding-set=-sys_admin"]);
    let before = [in_container(&bundle, READ_ONLY), weak].concat();
    let (ran, cache) = cache_after(&bundle, &before);
    ran.warns(&["the cache is not updated", "Operation not permitted"]);
    assert_eq!(cache, "old");
}

/// Mounts that show up elsewhere, a root on no mount of its own, or on one.
#[test]
fn propagation_of_mounts_makes_no_difference() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    for mounts in [
        "mount --make-rshared /",
        "mount --make-rslave /",
        "mount --bind \"$root\" \"$root\"; mount --make-rshared /",
        "mount --bind \"$root\" \"$root\"; mount --make-unbindable \"$root\"",
        "mount --rbind \"$root\" \"$root\"; mount --make-private \"$root\"",
    ] {
        for inside in [with_mounts, in_container] {
            let bundle = image();
            let before = inside(&bundle, mounts);
            bundle.hook_in(&before, UPDATE).silent();
            bundle
                .hook_in(&before, "chmod --mode 644 --path /f")
                .silent();
            bundle
                .hook_in(&before, "create-symlinks --link t::/l")
                .silent();
            assert!(
                bundle.text("etc/ld.so.cache").contains("liba.so.1"),
                "{mounts}"
            );
            assert_eq!((bundle.mode("f"), bundle.target("l")), (0o644, "t".into()));
        }
    }
}

/// crun's main branch between 1.28 and 1.29 (from its commit d2ae0aca until a437b0e4) calls createContainer hooks in the namespaces of
/// the container but for that of mounts, which is still the runtime's, and mounts nothing before. Guards: that no mount of config.json
/// is there, and that there is one which could be.
#[test]
fn mounts_that_are_not_made_are_a_warning() {
    const MOUNTS: &str = r#"[{"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/opt/gpu", "type": "bind", "source": "/opt", "options": ["rbind", "ro"]}]"#;
    const NOTHING: &str = "true";
    const PROC: &str = "mount -t proc proc \"$root/proc\"";
    const VOLUME: &str = "mount --bind \"$host\" \"$root/opt/gpu\"";
    if !has(&["unshare", "mount"]) {
        return;
    }
    for (mounts, made, is_told) in [
        (MOUNTS, NOTHING, true),
        (MOUNTS, PROC, false),
        (MOUNTS, VOLUME, false),
        ("[]", NOTHING, false),
    ] {
        let bundle = image();
        bundle.directory("proc").directory("opt/gpu");
        bundle.config(&format!(
            r#"{{"root": {{"path": "rootfs"}}, "mounts": {mounts}}}"#
        ));
        let mut state = bundle.state();
        state["pid"] = 0.into();
        state["root"] = "rootfs".into();
        let arguments: Vec<_> = UPDATE.split(' ').collect();
        let before = in_container(&bundle, made);
        let ran = bundle.run(&before, "nvidia-cdi-hook", &arguments, state.to_string());
        assert_eq!(ran.code, 0, "{mounts}, {made}: {ran:?}");
        assert_eq!(
            ran.stderr.contains("level=warning") && ran.stderr.contains("/proc"),
            is_told,
            "{mounts}, {made}: {ran:?}"
        );
    }
}

/// The mount namespace is still the runtime's then: what is mounted there stays.
#[test]
fn nothing_is_mounted_before_the_containers_mounts_are() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = image();
    bundle.directory("proc");
    bundle.config(
        r#"{"root": {"path": "rootfs"}, "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]}"#,
    );
    let (ran, cache) = cache_after(&bundle, &in_container(&bundle, READ_ONLY));
    ran.warns(&["the cache is not updated", "/proc and all other mounts"]);
    assert_eq!(cache, "old");
}

// User namespaces

/// Runs the hook that makes `/l` as the root of a user namespace that has no rights on config.json; `enter` is run in it before.
fn in_user_namespace(bundle: &Bundle, state: &Value, enter: &str) -> Outcome {
    let line = "create-symlinks --link t::/l";
    hook_in_user_namespace(bundle, state, enter, line)
}

fn hook_in_user_namespace(bundle: &Bundle, state: &Value, enter: &str, line: &str) -> Outcome {
    // Only below /mnt every folder can be searched by anyone.
    let mounts = with_mounts(
        bundle,
        "mount -t tmpfs -o mode=755 tmpfs /mnt; cp -L \"$bundle/nvidia-cdi-hook\" /mnt; mkdir /mnt/bundle; \
         chmod 711 \"$bundle\"; chmod 600 \"$bundle/config.json\"; chown -R 1000:1000 \"$root\"; \
         chown -R 0:0 \"$root/foreign\" 2>/dev/null || true; \
         mount --bind \"$bundle\" /mnt/bundle; cd /",
    );
    let user = words(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]);
    let namespace = [
        "unshare --user --map-root-user --mount",
        if enter.contains("is_container=") {
            "--pid --fork"
        } else {
            ""
        },
    ];
    let namespace = namespace.join(" ");
    let namespace = words(&namespace.split_whitespace().collect::<Vec<_>>());
    let script = format!("set -e; shift; {enter}; exec /mnt/nvidia-cdi-hook \"$@\"");
    let before = [mounts, user, namespace, words(&["sh", "-c", &script, "sh"])].concat();
    let words: Vec<_> = line.split(' ').collect();
    bundle.run(&before, "nvidia-cdi-hook", &words, state.to_string())
}

/// Whether someone else than root may make a user namespace here.
fn has_user_namespaces() -> bool {
    let made = Command::new("setpriv")
        .args(["--reuid=1000", "--regid=1000", "--clear-groups"])
        .args(["unshare", "--user", "--map-root-user", "--mount", "true"])
        .current_dir("/")
        .output();
    let is_made = made.is_ok_and(|it| it.status.success());
    can_run((!is_made).then(|| "no user namespaces for users".to_owned()))
}

/// Guard: the way of `State::root_path` around a config.json that cannot be read.
#[test]
fn a_user_namespace_hides_config_json() {
    if !has(&["unshare", "mount", "setpriv"]) || !has_user_namespaces() {
        return;
    }
    let state = |root: Option<&str>| {
        let mut state = Bundle::new().state();
        state["bundle"] = "/mnt/bundle".into();
        if let Some(root) = root {
            state["root"] = root.into();
        }
        state
    };
    let mount = "mount --bind /mnt/bundle/rootfs /mnt/bundle/rootfs";
    // The state tells the root.
    for root in ["/mnt/bundle/rootfs", "rootfs"] {
        let bundle = Bundle::new();
        in_user_namespace(&bundle, &state(Some(root)), "true").silent();
        assert_eq!(bundle.target("l"), "t", "{root}");
    }
    // The working directory is the root, as in a createContainer hook of runc.
    let mount = format!("is_container=yes; {mount}");
    let bundle = Bundle::new();
    let enter = format!("{mount}; cd /mnt/bundle/rootfs");
    in_user_namespace(&bundle, &state(None), &enter).silent();
    assert_eq!(bundle.target("l"), "t");
    // It is any directory, or any below the root. Guard: `is_root_of_mount`.
    for enter in [
        "is_container=yes; cd /mnt/bundle/rootfs",
        "mkdir /mnt/bundle/rootfs/d; cd /mnt/bundle/rootfs/d",
        &format!("{mount}; cd /mnt"),
        &format!("{mount}; mkdir /mnt/bundle/rootfs/d; cd /mnt/bundle/rootfs/d"),
    ] {
        let bundle = Bundle::new();
        let ran = in_user_namespace(&bundle, &state(None), enter);
        if enter.ends_with("/mnt") {
            // A mount begins there as well, but it is not this user's.
            assert_eq!(ran.code, 0, "{ran:?}");
            ran.warns(&["Permission denied"]);
        } else {
            ran.fails(&["config.json", "Permission denied"]);
        }
        assert_eq!(bundle.target("l"), "", "{enter}");
    }
    // Elsewhere it is anything. Guard: `MountNamespace::Own`.
    let enter = "mount --bind /mnt/bundle/rootfs /mnt/bundle/rootfs; cd /mnt/bundle/rootfs";
    let bundle = Bundle::new();
    in_user_namespace(&bundle, &state(None), enter).fails(&["config.json", "Permission denied"]);
    assert_eq!(bundle.target("l"), "");
}

/// Files whose owner has no number in the user namespace cannot be changed by its root: a warning. Guard:
/// `is_obstacle` knows `EPERM` and `EACCES`.
#[test]
fn foreign_files_in_a_user_namespace_are_a_warning() {
    if !has(&["unshare", "mount", "setpriv"]) || !has_user_namespaces() {
        return;
    }
    for (line, text) in [
        ("chmod --mode 644 --path /foreign/f", "the mode is not set"),
        ("create-symlinks --link t::/foreign/l", "not made"),
        (
            "update-ldcache --folder /foreign",
            "/foreign: SONAME links are missing",
        ),
    ] {
        let bundle = image();
        bundle
            .file("foreign/f", "")
            .set_mode("foreign/f", 0o600)
            .file("foreign/liba.so.1.2", library("liba.so.1"));
        let mut state = bundle.state();
        state["bundle"] = "/mnt/bundle".into();
        state["root"] = "rootfs".into();
        let ran = hook_in_user_namespace(&bundle, &state, "true", line);
        ran.warns(&[text]);
        assert!(
            ran.stderr.contains("ermi"),
            "no permission is missing: {ran:?}"
        );
    }
}

// Who listens

/// A pipe with no room left, which nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// A hook that has warnings and errors to tell, and nobody who reads them. Guard: poll(2) in `log::print`.
#[test]
fn a_full_standard_error_holds_up_no_hook() {
    for (line, code) in [
        ("--debug chmod --mode 644 --path /f", 0),
        ("chmod --mode 644 --path /loop --path /f", 1),
        (
            &format!("chmod --mode 644 --path /f --path /{}", "x".repeat(100_000)),
            1,
        ),
        ("chmod --mode 644 --path /f more", 0),
    ] {
        let bundle = image();
        bundle.link("loop", "loop");
        let (mut reader, writer) = full_pipe();
        let words: Vec<_> = line.split(' ').collect();
        let mut command = bundle.command(&[], "nvidia-cdi-hook", &words);
        command.stdin(Stdio::piped()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let state = bundle.state().to_string();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(state.as_bytes())
            .unwrap();
        let ran = end(child);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{line:.60}");
        assert_eq!(bundle.mode("f"), 0o644, "{line:.60}");
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert!(
            told.bytes().all(|byte| byte == b'x'),
            "{line:.60}: a piece of a line"
        );
    }
}

// What files carry

/// Guard: `copy_label`. Not by way of a hook: without SELinux only those may set a label who may mount, which no hook may.
#[test]
fn a_new_file_takes_over_the_label_of_the_old_one() {
    const LABEL: &str = "security.selinux";
    const VALUE: &[u8] = b"system_u:object_r:container_file_t:s0:c1,c2\0";
    if !has(&[]) {
        return;
    }
    let bundle = image();
    let old = File::open(bundle.at("etc/ld.so.cache")).unwrap();
    let labelled = fsetxattr(&old, LABEL, VALUE, XattrFlags::empty());
    if !can_run(labelled.err().map(|err| format!("no labels: {err}"))) {
        return;
    }
    let root = ContainerRoot::open(&bundle.root()).unwrap();
    let etc = root.directory(Path::new("etc")).unwrap();
    let name = OsStr::new("ld.so.cache");
    let mode = Mode::from_bits_truncate(0o644);
    assert!(etc.write(name, b"new", mode).unwrap());
    let new = File::open(bundle.at("etc/ld.so.cache")).unwrap();
    let mut label = [0; 100];
    let length = fgetxattr(&new, LABEL, &mut label).unwrap();
    assert_eq!(label.get(..length), Some(VALUE));
    assert_eq!(bundle.text("etc/ld.so.cache"), "new");
}
