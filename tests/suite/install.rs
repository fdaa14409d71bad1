//! `install` and `uninstall` into a temporary root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::machine::{
    BACKTRACE, binary, can_run, folder, hostile_cases, not_root, snapshot,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "usr/bin/nvidia-ctk";
const HOOKS: &str = "usr/share/containers/oci/hooks.d";

/// A root directory to install into.
struct System {
    root: TempDir,
}

impl System {
    fn new() -> Self {
        Self { root: folder() }
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root
            .path()
            .join(path.strip_prefix("/").unwrap_or(path))
    }

    fn run(&self, line: &str) -> Output {
        let words = line.split_whitespace();
        Command::new("sh")
            .args(["-c", "umask 077; exec \"$@\"", "sh"])
            .arg(binary())
            .args(words)
            .arg("--root")
            .arg(self.root.path())
            .env_clear()
            .envs([BACKTRACE])
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed without a warning; returns what it says that it did.
    fn does(&self, line: &str) -> Vec<String> {
        let output = self.run(line);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{line}: {output:?}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(String::from).collect()
    }

    /// Runs a command that must end with this exit code and say this on standard error.
    fn says(&self, line: &str, code: i32, part: &str) {
        let output = self.run(line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        assert!(text.contains(part), "{line}: {text}");
    }

    /// Every file and link, with the target of the links.
    fn files(&self) -> BTreeMap<String, String> {
        let all = snapshot(self.root.path());
        let files = all
            .keys()
            .filter(|path| !path.is_dir() || path.is_symlink());
        let name = |path: &Path| {
            path.strip_prefix(self.root.path())
                .unwrap()
                .display()
                .to_string()
        };
        let target = |path: &Path| {
            fs::read_link(path)
                .unwrap_or_default()
                .display()
                .to_string()
        };
        files.map(|path| (name(path), target(path))).collect()
    }

    fn changes(&self) -> BTreeMap<PathBuf, String> {
        snapshot(self.root.path())
    }
}

fn expected() -> BTreeMap<String, String> {
    [
        (PROGRAM, ""),
        ("usr/bin/nvidia-cdi-hook", "nvidia-ctk"),
        ("usr/libexec/nvidia-ctk-chmod", "../bin/nvidia-ctk"),
        ("usr/libexec/nvidia-ctk-symlinks", "../bin/nvidia-ctk"),
        ("usr/libexec/nvidia-ctk-ldcache", "../bin/nvidia-ctk"),
        (
            "usr/libexec/nvidia-ctk-soname-symlinks",
            "../bin/nvidia-ctk",
        ),
        ("usr/libexec/nvidia-ctk-cuda-compat", "../bin/nvidia-ctk"),
        ("usr/libexec/nvidia-ctk-params", "../bin/nvidia-ctk"),
        (
            "usr/libexec/nvidia-ctk-application-profile",
            "../bin/nvidia-ctk",
        ),
        ("usr/libexec/nvidia-ctk-apply", "../bin/nvidia-ctk"),
        (
            "usr/libexec/nvidia-ctk-runtime-configure",
            "../bin/nvidia-ctk",
        ),
        (
            "usr/share/containers/oci/hooks.d/10-nvidia-ctk-chmod.json",
            "",
        ),
        (
            "usr/share/containers/oci/hooks.d/20-nvidia-ctk-symlinks.json",
            "",
        ),
        (
            "usr/share/containers/oci/hooks.d/30-nvidia-ctk-ldcache.json",
            "",
        ),
    ]
    .map(|(path, target)| (path.to_owned(), target.to_owned()))
    .into()
}

#[test]
fn everything_is_put_in_place_and_works() {
    let system = System::new();
    let said = system.does("install");
    assert_eq!(system.files(), expected());
    assert_eq!(said.len(), expected().len(), "{said:?}");
    assert_eq!(said[0], "install /usr/bin/nvidia-ctk");

    assert_eq!(
        fs::read(system.at(PROGRAM)).unwrap(),
        fs::read(binary()).unwrap()
    );
    for (path, mode) in [(PROGRAM, 0o755), ("usr", 0o755), (HOOKS, 0o755)] {
        assert_eq!(
            fs::metadata(system.at(path)).unwrap().mode() & 0o7777,
            mode,
            "{path}"
        );
    }
    for (path, target) in expected() {
        if path.starts_with(HOOKS) {
            let file = fs::metadata(system.at(&path)).unwrap();
            assert_eq!(file.mode() & 0o7777, 0o644, "{path}");
            let hook: Value = serde_json::from_slice(&fs::read(system.at(&path)).unwrap()).unwrap();
            let called = system.at(hook["hook"]["path"].as_str().unwrap());
            assert!(called.is_file(), "{path} calls {}", called.display());
        }
        if !target.is_empty() {
            assert_eq!(
                system.at(&path).canonicalize().unwrap(),
                system.at(PROGRAM).canonicalize().unwrap()
            );
            let output = Command::new(system.at(&path))
                .arg("--version")
                .output()
                .unwrap();
            assert!(output.stdout.starts_with(b"nvidia-ctk version "), "{path}");
        }
    }
    // What was installed can install in its turn.
    let next = System::new();
    let status = Command::new(
        system
            .at("usr/bin/nvidia-cdi-hook")
            .with_file_name("nvidia-ctk"),
    )
    .args(["install", "--root"])
    .arg(next.root.path())
    .output()
    .unwrap();
    assert!(status.status.success());
    assert_eq!(next.files(), expected());
}

#[test]
fn a_second_run_changes_nothing() {
    let system = System::new();
    system.does("install");
    let before = system.changes();
    assert!(system.does("install").is_empty());
    assert_eq!(system.changes(), before);
}

#[test]
fn a_dry_run_tells_what_a_real_one_does_and_changes_nothing() {
    let system = System::new();
    let before = system.changes();
    let dry = system.does("install --dry-run");
    assert_eq!(system.changes(), before);
    let real = system.does("install");
    let would =
        |said: &[String]| -> Vec<_> { said.iter().map(|it| format!("would {it}")).collect() };
    assert_eq!(dry, would(&real));

    let before = system.changes();
    let dry = system.does("uninstall --dry-run");
    assert_eq!(system.changes(), before);
    assert_eq!(dry, would(&system.does("uninstall")));
}

#[test]
fn waits_for_the_end_of_its_container() {
    for (options, left) in [
        (&["--wait"][..], expected()),
        (&["--wait", "--uninstall-at-exit"], BTreeMap::new()),
    ] {
        let system = System::new();
        let mut process = Command::new(binary())
            .args(["install", "--root"])
            .arg(system.root.path())
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "install /usr/bin/nvidia-ctk");
        // In the midst of the work: that is finished first.
        kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).unwrap();
        let rest = said.count();
        assert!(process.wait().unwrap().success(), "{options:?}");
        assert_eq!(system.files(), left, "{options:?}");
        assert_eq!(rest + 1, 2 * expected().len() - left.len());
    }
    System::new().says(
        "install --uninstall-at-exit",
        1,
        "--uninstall-at-exit needs --wait",
    );
    System::new().says(
        "install --wait --dry-run",
        1,
        "--dry-run does nothing to wait for: leave --wait out",
    );
}

#[test]
fn other_directories_are_possible() {
    let system = System::new();
    let line = "--bindir /opt/ctk/bin --libexecdir=/opt/ctk/lib/hooks --hooksdir /etc/containers/oci/hooks.d";
    system.does(&format!("install {line}"));
    let files = system.files();
    assert_eq!(files.len(), expected().len());
    assert_eq!(
        files["opt/ctk/lib/hooks/nvidia-ctk-chmod"],
        "../../bin/nvidia-ctk"
    );
    let text = fs::read_to_string(system.at("etc/containers/oci/hooks.d/10-nvidia-ctk-chmod.json"))
        .unwrap();
    assert!(
        text.contains("\"/opt/ctk/lib/hooks/nvidia-ctk-chmod\""),
        "{text}"
    );
    assert!(!text.contains("/usr/libexec"), "{text}");
    system.does(&format!("uninstall {line}"));
    assert!(system.files().is_empty());

    for line in ["--bindir relative", "--libexecdir /a/../b", "--hooksdir ."] {
        system.says(
            &format!("install {line}"),
            1,
            "is not an absolute path without",
        );
        system.says(
            &format!("uninstall {line}"),
            1,
            "is not an absolute path without",
        );
    }
    assert!(system.files().is_empty());
    let missing = Command::new(binary())
        .args(["install", "--root", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn what_is_not_ours_is_not_replaced() {
    // path, what stands there, message
    for (path, stranger, message) in [
        (PROGRAM, "file", "is another program; move it away"),
        (PROGRAM, "link", "is another program; move it away"),
        (PROGRAM, "directory", "is another program; move it away"),
        (
            "usr/bin/nvidia-cdi-hook",
            "file",
            "is not a link to nvidia-ctk; move it away",
        ),
        (
            "usr/bin/nvidia-cdi-hook",
            "link",
            "is not a link to nvidia-ctk; move it away",
        ),
        (
            "usr/libexec/nvidia-ctk-chmod",
            "directory",
            "is not a link to nvidia-ctk",
        ),
        (
            "usr/share/containers/oci/hooks.d/10-nvidia-ctk-chmod.json",
            "file",
            "is another hook; move it away",
        ),
        (
            "usr/share/containers/oci/hooks.d/30-nvidia-ctk-ldcache.json",
            "directory",
            "cannot read",
        ),
        ("usr/libexec", "file", "Not a directory"),
    ] {
        for option in ["", " --dry-run"] {
            let system = System::new();
            let there = system.at(path);
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            match stranger {
                "file" => fs::write(&there, "{\"hook\":{\"path\":\"/bin/true\"}}").unwrap(),
                "link" => symlink("/bin/true", &there).unwrap(),
                _ => fs::create_dir(&there).unwrap(),
            }
            let before = snapshot(&there);
            if path != "usr/libexec" || option.is_empty() {
                system.says(&format!("install{option}"), 1, message);
            }
            assert_eq!(snapshot(&there), before, "{path}");
        }
    }
}

/// Guards: `refuse_foreign` and `check_way` in `host/place.rs`.
#[test]
fn what_another_user_put_into_a_shared_folder_is_not_used() {
    const OTHER: u32 = 4321;
    if !can_run(not_root()) {
        return;
    }
    let names = [
        PROGRAM,
        "usr/bin/nvidia-cdi-hook",
        "usr/libexec/nvidia-ctk-chmod",
    ];
    for name in names
        .map(str::to_owned)
        .into_iter()
        .chain([format!("{HOOKS}/10-nvidia-ctk-chmod.json")])
    {
        let system = System::new();
        system.does("install");
        let path = system.at(&name);
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(system.does("install").is_empty());
        lchown(&path, Some(OTHER), None).unwrap();
        let before = system.changes();
        system.says("install", 1, "it belongs to user 4321");
        assert_eq!(system.changes(), before);
        system.says("uninstall", 0, "kept");
        assert!(path.is_symlink() || path.exists());
    }
    let system = System::new();
    fs::set_permissions(system.at(""), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(system.at("real")).unwrap();
    symlink("real", system.at("link")).unwrap();
    lchown(system.at("link"), Some(OTHER), None).unwrap();
    let before = system.changes();
    let output = Command::new(binary())
        .args(["install", "--root"])
        .arg(system.at("link"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not followed"), "{said}");
    assert_eq!(system.changes(), before);
    hostile_cases(5);
}

/// It is looked for in a file as large as a program is, not in one that another user made to fill the time or the memory.
#[test]
fn the_mark_of_this_program_is_looked_for_in_programs() {
    let mark = env!("CARGO_PKG_DESCRIPTION").as_bytes();
    for (size, is_ours) in [
        (0, true),
        (64 << 10, true),
        (1 << 20, true),
        (1 << 30, false),
    ] {
        // Also where the mark lies on an edge of what is read at once.
        for before in [0, 1, mark.len() / 2, mark.len() - 1] {
            let system = System::new();
            fs::create_dir_all(system.at("usr/bin")).unwrap();
            let file = fs::File::create(system.at(PROGRAM)).unwrap();
            file.write_all_at(mark, size - u64::try_from(before).unwrap().min(size))
                .unwrap();
            file.set_len(size + 100).unwrap();
            if is_ours {
                assert_eq!(
                    system.does("install --dry-run")[0],
                    "would install /usr/bin/nvidia-ctk"
                );
            } else {
                system.says("install", 1, "is another program; move it away");
                system.says("uninstall", 0, "kept, it is not as install made it");
            }
        }
    }
}

#[test]
fn an_older_release_is_replaced_and_what_was_edited_is_kept() {
    let system = System::new();
    system.does("install");
    // As another release would look: the same program, other bytes.
    let older = [fs::read(binary()).unwrap(), b"older".to_vec()].concat();
    fs::write(system.at(PROGRAM), older).unwrap();
    let cdi = system.at("usr/bin/nvidia-cdi-hook");
    fs::remove_file(&cdi).unwrap();
    symlink("/usr/bin/nvidia-ctk", &cdi).unwrap();
    let edited = system.at(HOOKS).join("10-nvidia-ctk-chmod.json");
    let text = fs::read_to_string(&edited).unwrap().replace("755", "711");
    fs::write(&edited, &text).unwrap();
    fs::set_permissions(system.at(PROGRAM), fs::Permissions::from_mode(0o700)).unwrap();

    let output = system.run("install");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("10-nvidia-ctk-chmod.json: kept, it has been edited"),
        "{said}"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "install /usr/bin/nvidia-ctk\ninstall /usr/bin/nvidia-cdi-hook\n"
    );
    assert_eq!(system.files(), expected());
    assert_eq!(fs::read_to_string(&edited).unwrap(), text);
    assert_eq!(
        fs::metadata(system.at(PROGRAM)).unwrap().mode() & 0o7777,
        0o755
    );
}

#[test]
fn uninstall_leaves_what_is_not_ours() {
    let system = System::new();
    assert!(system.does("uninstall").is_empty(), "nothing was there");
    system.does("install");
    let other = format!("{HOOKS}/10-other.json");
    fs::write(system.at(&other), "{}").unwrap();
    let edited = format!("{HOOKS}/10-nvidia-ctk-chmod.json");
    fs::write(system.at(&edited), "{}").unwrap();
    let link = system.at("usr/libexec/nvidia-ctk-chmod");
    fs::remove_file(&link).unwrap();
    symlink("/bin/true", &link).unwrap();

    let output = system.run("uninstall");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("kept, it is not as install made it").count(),
        2,
        "{said}"
    );
    let left: Vec<_> = system.files().into_keys().collect();
    assert_eq!(left, ["usr/libexec/nvidia-ctk-chmod", &edited, &other]);

    // Another program under our name.
    let system = System::new();
    fs::create_dir_all(system.at("usr/bin")).unwrap();
    fs::write(system.at(PROGRAM), "#!/bin/sh\n").unwrap();
    system.says("uninstall", 0, "/usr/bin/nvidia-ctk: kept");
    assert_eq!(system.files().len(), 1);
}

/// The root is a whole system, whose links are its own.
#[test]
fn links_of_the_root_are_followed_inside() {
    let system = System::new();
    let host = folder();
    fs::create_dir(system.at("usr")).unwrap();
    fs::create_dir(system.at("real")).unwrap();
    symlink("/real", system.at("usr/libexec")).unwrap();
    symlink(host.path(), system.at("usr/share")).unwrap();
    system.does("install");
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 0, "it got out");
    let link = fs::read_link(system.at("real/nvidia-ctk-chmod")).unwrap();
    assert_eq!(link, Path::new("../usr/bin/nvidia-ctk"));
}
