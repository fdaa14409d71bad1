//! How config.json is written: as a whole or not at all.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use crate::common::machine::{has, not_root};
use crate::common::shim::{CREATE, RUNTIME, Shim, got, spec};
use crate::common::wrapper::words;

fn asking() -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["0"]))
        .variables(&["NVIDIA_VISIBLE_DEVICES=0"]);
    shim
}

/// Runs the program in a mount namespace of its own, between two scripts that have `$bundle` and `$out`.
fn between(shim: &Shim, first: &str, last: &str) -> Vec<OsString> {
    let (bundle, out) = (shim.inside("bundle"), shim.inside("out"));
    let script = format!(
        "set -e; bundle='{bundle}' out='{out}'; {first}\nset +e; \"$@\"; code=$?; {last}\nexit $code"
    );
    words(&[
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
        "sh",
    ])
}

#[test]
fn owner_and_mode_stay() {
    if not_root().is_some() {
        return;
    }
    for mode in [0o600, 0o640, 0o444, 0o666] {
        let shim = asking();
        let path = shim.at("bundle/config.json");
        chown(&path, Some(12), Some(34)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        assert_eq!(got(&shim.created()), ["0"]);
        let after = fs::metadata(&path).unwrap();
        assert_eq!(
            (after.uid(), after.gid(), after.mode() & 0o7777),
            (12, 34, mode)
        );
        assert_ne!(after.ino(), inode, "it is replaced as a whole");
        assert_eq!(
            fs::read_dir(shim.at("bundle")).unwrap().count(),
            1,
            "nothing is left"
        );
    }
}

/// Nobody else may read a config.json on its way: it holds the variables of the container.
#[test]
fn the_umask_does_not_matter() {
    for umask in ["0", "077"] {
        let shim = asking();
        let path = shim.at("bundle/config.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let before = words(&["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        let outcome = shim.create_in(&before);
        assert!(outcome.success(), "{outcome:?}");
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            0o644,
            "{umask}"
        );
        let umask = format!("Umask:\t{umask:0>4}");
        assert!(shim.last().inherited.contains(&umask));
    }
}

/// podman and test tools mount a config.json of their own: a rename is refused (`EBUSY`).
#[test]
fn a_mount_is_written_in_place() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let shim = asking();
    fs::copy(shim.at("bundle/config.json"), shim.at("out")).unwrap();
    let inode = fs::metadata(shim.at("out")).unwrap().ino();
    let before = between(&shim, "mount --bind \"$out\" \"$bundle/config.json\"", ":");
    let below = shim.text();
    let outcome = shim.create_in(&before);
    assert!(outcome.success(), "{outcome:?}");
    outcome.silent();
    assert_eq!(got(&shim.last().config()), ["0"]);
    assert_eq!(shim.text(), below);
    assert_eq!(fs::metadata(shim.at("out")).unwrap().ino(), inode);
    let text = fs::read(shim.at("out")).unwrap();
    assert_eq!(Some(text), shim.last().bytes);
    assert_eq!(
        fs::read_dir(shim.at("bundle")).unwrap().count(),
        1,
        "nothing is left"
    );
}

/// The file may be written, its folder may not (`EACCES`).
#[test]
fn a_folder_that_may_not_be_written() {
    if !has(&["setpriv"]) {
        return;
    }
    let shim = asking();
    fs::set_permissions(shim.at("bundle"), fs::Permissions::from_mode(0o555)).unwrap();
    let inode = fs::metadata(shim.at("bundle/config.json")).unwrap().ino();
    let outcome = shim.create_in(&words(&[
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]));
    fs::set_permissions(shim.at("bundle"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(outcome.success(), "{outcome:?}");
    outcome.silent();
    assert_eq!(got(&shim.last().config()), ["0"]);
    assert_eq!(
        fs::metadata(shim.at("bundle/config.json")).unwrap().ino(),
        inode
    );
}

/// In the way of a change: the old file is whole, nothing is started, one error says why.
fn refused(first: &str, reason: &str) {
    let shim = asking();
    let before = between(
        &shim,
        first,
        "cp \"$bundle/config.json\" \"$out\"; ls -A \"$bundle\" >\"$out.names\"",
    );
    let outcome = shim.create_in(&before);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(shim.calls().is_empty(), "a start: {outcome:?}");
    for part in ["config.json", reason] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    let errors = shim.log("error");
    assert!(
        matches!(&errors[..], [error] if error.contains(reason)),
        "{errors:?}"
    );
    assert_eq!(
        fs::read_to_string(shim.at("out")).unwrap(),
        shim.text(),
        "{reason}"
    );
    let names = fs::read_to_string(shim.at("out.names")).unwrap();
    let temporary = names
        .lines()
        .filter(|name| !["config.json", "full"].contains(name));
    assert_eq!(temporary.count(), 0, "{names}");
}

#[test]
fn a_full_disk() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let full = "cp \"$bundle/config.json\" /mnt/; mount -t tmpfs -o size=16k tmpfs \"$bundle\"; \
        mv /mnt/config.json \"$bundle/\"; cat /dev/zero >\"$bundle/full\" 2>/dev/null || :";
    // /mnt is this namespace's.
    refused(
        &format!("mount -t tmpfs tmpfs /mnt; {full}"),
        "No space left",
    );
}

#[test]
fn a_file_system_that_is_read_only() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    refused(
        "mount --bind \"$bundle\" \"$bundle\"; mount -o remount,bind,ro \"$bundle\"",
        "Read-only",
    );
}

/// A limit that takes effect while the file is written.
#[test]
fn a_file_that_may_not_grow() {
    if !has(&["prlimit"]) {
        return;
    }
    let shim = asking();
    let before = shim.text();
    let outcome = shim.create_in(&words(&["prlimit", "--fsize=100"]));
    assert!(!outcome.success(), "{outcome:?}");
    assert_eq!(shim.text(), before);
    assert!(shim.calls().is_empty());
    assert_eq!(
        fs::read_dir(shim.at("bundle")).unwrap().count(),
        1,
        "nothing is left"
    );
}

/// Killed or refused at any call: config.json is the old one or the new one, and no container starts with half of it.
#[test]
fn killed_at_any_moment() {
    if !has(&["strace"]) {
        return;
    }
    let new = {
        let shim = asking();
        shim.created();
        shim.text()
    };
    for call in [
        "write",
        "fsync",
        "rename,renameat,renameat2",
        "fchmod,chmod,fchmodat",
        "fchown,chown,fchownat",
    ] {
        for fault in ["signal=KILL", "error=EIO", "error=ENOSPC"] {
            let shim = asking();
            let old = shim.text();
            let inject = format!("--inject={call}:{fault}");
            let before = words(&["strace", "-o", "/dev/null", "-f", &inject]);
            let words = CREATE.map(|word| shim.expand(word));
            let output = shim.command(RUNTIME, &before, &words).output().unwrap();
            let text = shim.text();
            assert!(text == old || text == new, "{call}, {fault}: {text}");
            if text == old {
                assert!(shim.calls().is_empty(), "{call}, {fault}: {output:?}");
            }
        }
    }
}
