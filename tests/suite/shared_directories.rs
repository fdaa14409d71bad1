//! Commands that write files of the host, in a directory that others may write to.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::common::machine::{binary, can_run, hostile_cases, must, not_root, snapshot};
use tempfile::TempDir;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What makes a trap.
type Trap = fn(&Shared);

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

/// A folder such as /tmp, and one of root's with a file in it.
struct Shared {
    folder: TempDir,
}

impl Shared {
    fn new(mode: u32) -> Self {
        let shared = Self {
            folder: TempDir::new().unwrap(),
        };
        fs::create_dir(shared.path("tmp")).unwrap();
        fs::set_permissions(shared.path("tmp"), fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir_all(shared.path("etc/nv")).unwrap();
        for file in ["etc/passwd", "etc/nv/file"] {
            fs::write(shared.path(file), "").unwrap();
        }
        shared
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn link(&self, name: &str, target: &str, owner: u32) {
        symlink(self.path(target), self.path(name)).unwrap();
        lchown(self.path(name), Some(owner), Some(owner)).unwrap();
    }

    fn file(&self, name: &str, text: &str, owner: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o666)).unwrap();
        chown(self.path(name), Some(owner), Some(owner)).unwrap();
    }

    fn run(&self, line: &str, file: &str) -> Output {
        let path = self.path(file);
        let words = line.split(' ').map(|word| match word {
            "@" => path.to_str().unwrap(),
            word => word,
        });
        // The configuration of CRI-O itself is not that of the machine.
        let own = self.path("crio.conf");
        let own: &[&str] = if line.contains("crio --drop-in-config @") {
            &["--config", own.to_str().unwrap()]
        } else {
            &[]
        };
        let mut command = Command::new(binary());
        command
            .args(words)
            .args(own)
            .env_clear()
            .stdin(Stdio::null());
        command.output().unwrap()
    }
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
                it.link("tmp/file", "etc/passwd", OTHER);
            },
        ),
        (
            "tmp/file",
            "the link \\\"file\\\" belongs to user 4321",
            |it| {
                it.link("tmp/file", "etc/new", OTHER);
            },
        ),
        (
            "tmp/nv/file",
            "the link \\\"nv\\\" belongs to user 4321",
            |it| {
                it.link("tmp/nv", "etc/nv", OTHER);
            },
        ),
        (
            "tmp/etc/nv/file",
            "the link \\\"etc\\\" belongs to user 4321",
            |it| {
                it.link("tmp/etc", "etc", OTHER);
            },
        ),
        ("tmp/file", "it belongs to user 4321", |it| {
            it.file("tmp/file", "", OTHER);
        }),
        ("tmp/file", "it belongs to user 4321", |it| {
            must(Command::new("mkfifo").arg(it.path("tmp/file")));
            chown(it.path("tmp/file"), Some(OTHER), None).unwrap();
        }),
    ];
    let mut cases = 0;
    for mode in [0o1777, 0o777, 0o1775] {
        for (file, message, trap) in traps {
            for line in WRITERS {
                let shared = Shared::new(mode);
                trap(&shared);
                let before = snapshot(shared.folder.path());
                let output = shared.run(line, file);
                let said = text(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{line} {file}: {said}");
                assert!(said.contains(message), "{line} {file}: {said}");
                assert_eq!(snapshot(shared.folder.path()), before, "{line} {file}");
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
        let shared = Shared::new(0o1777);
        fs::write(shared.path("tmp/file"), "{\"debug\": true}\n").unwrap();
        shared.link("tmp/file.bak", target, OTHER);
        let before = snapshot(shared.folder.path());
        let output = shared.run("runtime configure --config @", "tmp/file");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains("file.bak"), "{output:?}");
        assert_eq!(snapshot(shared.folder.path()), before);
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
            let shared = Shared::new(mode);
            chown(shared.path("tmp"), Some(folders_owner), None).unwrap();
            shared.link("tmp/nv", "etc/nv", owner);
            shared.link("tmp/link", "tmp/file", owner);
            shared.file("tmp/file", "", owner);
            for file in [
                "tmp/nv/file",
                "tmp/nv/../passwd",
                "tmp/link",
                "tmp/nv/new/file",
            ] {
                let output = shared.run(line, file);
                assert!(output.status.success(), "{line} {file}: {output:?}");
                assert!(
                    fs::metadata(shared.path(file)).unwrap().len() > 0,
                    "{line} {file}"
                );
            }
            let file = fs::metadata(shared.path("tmp/file")).unwrap();
            assert_eq!((file.uid(), file.mode() & 0o7777), (owner, 0o666), "{line}");
        }
    }
}
