//! Commands that write files of the host, in a directory that others may write to.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::process::Command;

use crate::common::host::Host;
use crate::common::machine::{can_run, hostile_cases, must, not_root};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;

/// What makes a trap.
type Trap = fn(&Host);

/// Someone who is neither root nor the owner of any directory here.
const OTHER: u32 = 4321;
/// Every way to write a file of the host, with `@` where it is.
const WRITERS: [&str; 9] = [
    "config --set disable-require --output @",
    "config --set disable-require --in-place --config @",
    "config default --output @",
    "runtime configure --config @",
    "runtime configure --runtime crio --drop-in-config= --config @",
    "runtime configure --runtime crio --drop-in-config @",
    "runtime configure --runtime containerd --executable-path /bin/false --drop-in-config= --config @",
    "runtime configure --config-mode oci-hook --oci-hook-path @",
    "runtime unconfigure --config @",
];

/// A host with a folder such as /tmp, and one of root's with a file in it.
fn shared(mode: u32) -> Host {
    let host = Host::new();
    host.directory("tmp").set_mode("tmp", mode);
    host.file("etc/passwd", "").file("etc/nv/file", "");
    host
}

fn owned_link(host: &Host, name: &str, target: &str, owner: u32) {
    host.link(name, host.at(target));
    lchown(host.at(name), Some(owner), Some(owner)).unwrap();
}

fn owned_file(host: &Host, name: &str, text: &str, owner: u32) {
    host.file(name, text).set_mode(name, 0o666);
    chown(host.at(name), Some(owner), Some(owner)).unwrap();
}

fn run(host: &Host, line: &str, file: &str) -> Outcome {
    // The configuration of CRI-O itself is not that of the machine.
    let own = if line.contains("crio --drop-in-config @") {
        " --config @ROOT@/crio.conf"
    } else {
        ""
    };
    host.run(&format!(
        "{}{own}",
        line.replace('@', &format!("@ROOT@/{file}"))
    ))
}

/// Guard: `refuse_foreign` in `host/place.rs`. The kernel's own protection (`fs.protected_symlinks`) may be off.
#[test]
fn what_another_user_put_into_a_shared_folder_is_not_used() {
    if !can_run(not_root()) {
        return;
    }
    let traps: [(&str, &str, Trap); 6] = [
        (
            "tmp/file",
            "the link \\\"file\\\" belongs to user 4321",
            |it| {
                owned_link(it, "tmp/file", "etc/passwd", OTHER);
            },
        ),
        (
            "tmp/file",
            "the link \\\"file\\\" belongs to user 4321",
            |it| {
                owned_link(it, "tmp/file", "etc/new", OTHER);
            },
        ),
        (
            "tmp/nv/file",
            "the link \\\"nv\\\" belongs to user 4321",
            |it| {
                owned_link(it, "tmp/nv", "etc/nv", OTHER);
            },
        ),
        (
            "tmp/etc/nv/file",
            "the link \\\"etc\\\" belongs to user 4321",
            |it| {
                owned_link(it, "tmp/etc", "etc", OTHER);
            },
        ),
        ("tmp/file", "it belongs to user 4321", |it| {
            owned_file(it, "tmp/file", "", OTHER);
        }),
        ("tmp/file", "it belongs to user 4321", |it| {
            must(Command::new("mkfifo").arg(it.at("tmp/file")));
            chown(it.at("tmp/file"), Some(OTHER), None).unwrap();
        }),
    ];
    let mut cases = 0;
    for mode in [0o1777, 0o777, 0o1775] {
        for (file, message, trap) in traps {
            for line in WRITERS {
                let host = shared(mode);
                trap(&host);
                let before = snapshot(&host.root());
                let Outcome { code, stderr, .. } = run(&host, line, file);
                assert_eq!(code, 1, "{line} {file}: {stderr}");
                assert!(stderr.contains(message), "{line} {file}: {stderr}");
                assert_eq!(snapshot(&host.root()), before, "{line} {file}");
                cases += 1;
            }
        }
    }
    hostile_cases(cases);
}

/// The copy of the old file is one more name in that folder.
#[test]
fn no_copy_goes_where_another_user_wants_it() {
    if !can_run(not_root()) {
        return;
    }
    for target in ["etc/passwd", "etc/new"] {
        let host = shared(0o1777);
        host.file("tmp/file", "{\"debug\": true}\n");
        owned_link(&host, "tmp/file.bak", target, OTHER);
        let before = snapshot(&host.root());
        let outcome = run(&host, "runtime configure --config @", "tmp/file");
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stderr.contains("file.bak"), "{outcome:?}");
        assert_eq!(snapshot(&host.root()), before);
    }
    hostile_cases(2);
}

/// What root, the caller or the folder's owner put there is theirs to put there; and in a folder that only its owner may write to,
/// all is.
#[test]
fn what_the_admin_put_somewhere_is_used() {
    if !can_run(not_root()) {
        return;
    }
    for (mode, folders_owner, owner) in [
        (0o1777, 0, 0),
        (0o1777, OTHER, OTHER),
        (0o755, 0, OTHER),
        (0o775, 0, OTHER),
    ] {
        for line in WRITERS.iter().filter(|line| !line.contains("unconfigure")) {
            let host = shared(mode);
            chown(host.at("tmp"), Some(folders_owner), None).unwrap();
            owned_link(&host, "tmp/nv", "etc/nv", owner);
            owned_link(&host, "tmp/link", "tmp/file", owner);
            owned_file(&host, "tmp/file", "", owner);
            for file in [
                "tmp/nv/file",
                "tmp/nv/../passwd",
                "tmp/link",
                "tmp/nv/new/file",
            ] {
                let outcome = run(&host, line, file);
                assert!(outcome.success(), "{line} {file}: {outcome:?}");
                assert!(
                    fs::metadata(host.at(file)).unwrap().len() > 0,
                    "{line} {file}"
                );
            }
            let file = fs::metadata(host.at("tmp/file")).unwrap();
            assert_eq!((file.uid(), file.mode() & 0o7777), (owner, 0o666), "{line}");
        }
    }
}
