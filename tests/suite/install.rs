//! `install` and `uninstall` into a temporary root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nvidia_ctk::names::{APPLETS, PROGRAMS, RUNTIME_HOOK};
use serde_json::Value;

use crate::common::host::Host;
use crate::common::machine::{binary, can_run, folder, hostile_cases, not_root};
use crate::common::outcome::Outcome;
use crate::common::tree::{contents, snapshot};
use crate::common::wrapper::with_umask;

const PROGRAM: &str = "usr/bin/nvidia-ctk";
const HOOKS: &str = "usr/share/containers/oci/hooks.d";

/// Runs a command on the host's root, as someone whose files others may not read.
fn run(host: &Host, line: &str) -> Outcome {
    host.run_in(&with_umask("077"), &format!("{line} --root @ROOT@"))
}

/// Runs a command that must succeed without a warning; returns what it says that it did.
#[track_caller]
fn does(host: &Host, line: &str) -> Vec<String> {
    let outcome = run(host, line);
    assert!(
        outcome.success() && outcome.stderr.is_empty(),
        "{line}: {outcome:?}"
    );
    outcome.stdout.lines().map(String::from).collect()
}

/// Runs a command that must end with this exit code and say this on standard error.
#[track_caller]
fn says(host: &Host, line: &str, code: i32, part: &str) {
    let outcome = run(host, line);
    assert_eq!(outcome.code, code, "{line}: {outcome:?}");
    assert!(outcome.stderr.contains(part), "{line}: {outcome:?}");
}

/// Every file and link, with the target of the links.
fn files(host: &Host) -> BTreeMap<String, String> {
    let all = contents(&host.root());
    let files = all.keys().filter(|path| {
        let path = host.at(path);
        !path.is_dir() || path.is_symlink()
    });
    files
        .map(|path| (path.display().to_string(), host.target(path)))
        .collect()
}

fn expected() -> BTreeMap<String, String> {
    let applets = APPLETS.iter().map(|applet| match applet.name {
        "nvidia-ctk" => (PROGRAM.to_owned(), ""),
        "nvidia-cdi-hook" => ("usr/bin/nvidia-cdi-hook".to_owned(), "nvidia-ctk"),
        name => (format!("usr/libexec/{name}"), "../bin/nvidia-ctk"),
    });
    let hook = (format!("{HOOKS}/10-nvidia-ctk-apply.json"), "");
    // Only the hook of the runtime has to be asked for.
    let programs = PROGRAMS.iter().map(|(name, _)| *name);
    let programs = programs.filter(|name| *name != RUNTIME_HOOK);
    let programs = programs.map(|name| (format!("usr/bin/{name}"), "nvidia-ctk"));
    let all = applets.chain(programs).chain([hook]);
    all.map(|(path, target)| (path, target.to_owned()))
        .collect()
}

#[test]
fn everything_is_put_in_place_and_works() {
    let host = Host::new();
    let said = does(&host, "install");
    assert_eq!(files(&host), expected());
    assert_eq!(said.len(), expected().len(), "{said:?}");
    assert_eq!(said[0], "install /usr/bin/nvidia-ctk");

    assert_eq!(
        fs::read(host.at(PROGRAM)).unwrap(),
        fs::read(binary()).unwrap()
    );
    for (path, mode) in [(PROGRAM, 0o755), ("usr", 0o755), (HOOKS, 0o755)] {
        assert_eq!(
            fs::metadata(host.at(path)).unwrap().mode() & 0o7777,
            mode,
            "{path}"
        );
    }
    for (path, target) in expected() {
        if path.starts_with(HOOKS) {
            let file = fs::metadata(host.at(&path)).unwrap();
            assert_eq!(file.mode() & 0o7777, 0o644, "{path}");
            let hook: Value = serde_json::from_slice(&fs::read(host.at(&path)).unwrap()).unwrap();
            let called = host.at(hook["hook"]["path"].as_str().unwrap());
            assert!(called.is_file(), "{path} calls {}", called.display());
        }
        if !target.is_empty() {
            assert_eq!(
                host.at(&path).canonicalize().unwrap(),
                host.at(PROGRAM).canonicalize().unwrap()
            );
            // The runtime's version is that of the low-level one.
            if !path.contains("container-runtime") {
                let version = Outcome::of(Command::new(host.at(&path)).arg("--version"));
                assert!(version.stdout.starts_with("nvidia-ctk version "), "{path}");
            }
        }
    }
    // What was installed can install in its turn.
    let next = Host::new();
    let mut installed = Command::new(host.at(PROGRAM));
    installed.args(["install", "--root"]).arg(next.root());
    assert!(Outcome::of(&mut installed).success());
    assert_eq!(files(&next), expected());
}

#[test]
fn a_second_run_changes_nothing() {
    let host = Host::new();
    does(&host, "install");
    let before = snapshot(&host.root());
    assert!(does(&host, "install").is_empty());
    assert_eq!(snapshot(&host.root()), before);
}

#[test]
fn a_dry_run_tells_what_a_real_one_does_and_changes_nothing() {
    let host = Host::new();
    let before = snapshot(&host.root());
    let dry = does(&host, "install --dry-run");
    assert_eq!(snapshot(&host.root()), before);
    let real = does(&host, "install");
    let would =
        |said: &[String]| -> Vec<_> { said.iter().map(|it| format!("would {it}")).collect() };
    assert_eq!(dry, would(&real));

    let before = snapshot(&host.root());
    let dry = does(&host, "uninstall --dry-run");
    assert_eq!(snapshot(&host.root()), before);
    assert_eq!(dry, would(&does(&host, "uninstall")));
}

#[test]
fn waits_for_the_end_of_its_container() {
    for (options, left) in [
        (&["--wait"][..], expected()),
        (&["--wait", "--uninstall-at-exit"], BTreeMap::new()),
    ] {
        let host = Host::new();
        let mut process = Command::new(binary())
            .args(["install", "--root"])
            .arg(host.root())
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
        assert_eq!(files(&host), left, "{options:?}");
        assert_eq!(rest + 1, 2 * expected().len() - left.len());
    }
    says(
        &Host::new(),
        "install --uninstall-at-exit",
        1,
        "--uninstall-at-exit needs --wait",
    );
    says(
        &Host::new(),
        "install --wait --dry-run",
        1,
        "--dry-run excludes --wait",
    );
}

#[test]
fn other_directories_are_possible() {
    let host = Host::new();
    let line = "--bindir /opt/ctk/bin --libexecdir=/opt/ctk/lib/hooks --hooksdir /etc/containers/oci/hooks.d";
    does(&host, &format!("install {line}"));
    assert_eq!(files(&host).len(), expected().len());
    let target = host.target("opt/ctk/lib/hooks/nvidia-ctk-apply");
    assert_eq!(target, "../../bin/nvidia-ctk");
    let text = host.text("etc/containers/oci/hooks.d/10-nvidia-ctk-apply.json");
    assert!(
        text.contains("\"/opt/ctk/lib/hooks/nvidia-ctk-apply\""),
        "{text}"
    );
    assert!(!text.contains("/usr/libexec"), "{text}");
    does(&host, &format!("uninstall {line}"));
    assert!(files(&host).is_empty());

    for line in ["--bindir relative", "--libexecdir /a/../b", "--hooksdir ."] {
        says(
            &host,
            &format!("install {line}"),
            1,
            "is not an absolute path without",
        );
        says(
            &host,
            &format!("uninstall {line}"),
            1,
            "is not an absolute path without",
        );
    }
    assert!(files(&host).is_empty());
    assert_eq!(host.run("install --root /nowhere").code, 1);
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
            "usr/share/containers/oci/hooks.d/10-nvidia-ctk-apply.json",
            "file",
            "is another hook; move it away",
        ),
        (
            "usr/share/containers/oci/hooks.d/10-nvidia-ctk-apply.json",
            "directory",
            "cannot read",
        ),
        ("usr/libexec", "file", "Not a directory"),
    ] {
        for option in ["", " --dry-run"] {
            let host = Host::new();
            let there = host.at(path);
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            match stranger {
                "file" => fs::write(&there, "{\"hook\":{\"path\":\"/bin/true\"}}").unwrap(),
                "link" => symlink("/bin/true", &there).unwrap(),
                _ => fs::create_dir(&there).unwrap(),
            }
            let before = snapshot(&there);
            if path != "usr/libexec" || option.is_empty() {
                says(&host, &format!("install{option}"), 1, message);
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
        .chain([format!("{HOOKS}/10-nvidia-ctk-apply.json")])
    {
        let host = Host::new();
        does(&host, "install");
        let path = host.at(&name);
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(does(&host, "install").is_empty());
        lchown(&path, Some(OTHER), None).unwrap();
        let before = snapshot(&host.root());
        says(&host, "install", 1, "it belongs to user 4321");
        assert_eq!(snapshot(&host.root()), before);
        says(&host, "uninstall", 0, "kept");
        assert!(path.is_symlink() || path.exists());
    }
    let host = Host::new();
    fs::set_permissions(host.at(""), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(host.at("real")).unwrap();
    symlink("real", host.at("link")).unwrap();
    lchown(host.at("link"), Some(OTHER), None).unwrap();
    let before = snapshot(&host.root());
    let outcome = host.run("install --root @ROOT@/link");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("is not followed"), "{outcome:?}");
    assert_eq!(snapshot(&host.root()), before);
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
            let host = Host::new();
            fs::create_dir_all(host.at("usr/bin")).unwrap();
            let file = fs::File::create(host.at(PROGRAM)).unwrap();
            file.write_all_at(mark, size - u64::try_from(before).unwrap().min(size))
                .unwrap();
            file.set_len(size + 100).unwrap();
            if is_ours {
                assert_eq!(
                    does(&host, "install --dry-run")[0],
                    "would install /usr/bin/nvidia-ctk"
                );
            } else {
                says(&host, "install", 1, "is another program; move it away");
                says(&host, "uninstall", 0, "kept, it is not as install made it");
            }
        }
    }
}

#[test]
fn an_older_release_is_replaced_and_what_was_edited_is_kept() {
    let host = Host::new();
    does(&host, "install");
    // As another release would look: the same program, other bytes.
    let older = [fs::read(binary()).unwrap(), b"older".to_vec()].concat();
    fs::write(host.at(PROGRAM), older).unwrap();
    let cdi = host.at("usr/bin/nvidia-cdi-hook");
    fs::remove_file(&cdi).unwrap();
    symlink("/usr/bin/nvidia-ctk", &cdi).unwrap();
    let edited = host.at(HOOKS).join("10-nvidia-ctk-apply.json");
    let text = fs::read_to_string(&edited).unwrap().replace("755", "711");
    fs::write(&edited, &text).unwrap();
    fs::set_permissions(host.at(PROGRAM), fs::Permissions::from_mode(0o700)).unwrap();

    let outcome = run(&host, "install");
    let said = &outcome.stderr;
    assert!(outcome.success(), "{said}");
    assert!(
        said.contains("10-nvidia-ctk-apply.json: kept, it has been edited"),
        "{said}"
    );
    assert_eq!(
        outcome.stdout,
        "install /usr/bin/nvidia-ctk\ninstall /usr/bin/nvidia-cdi-hook\n"
    );
    assert_eq!(files(&host), expected());
    assert_eq!(fs::read_to_string(&edited).unwrap(), text);
    assert_eq!(
        fs::metadata(host.at(PROGRAM)).unwrap().mode() & 0o7777,
        0o755
    );
}

#[test]
fn uninstall_leaves_what_is_not_ours() {
    let host = Host::new();
    assert!(does(&host, "uninstall").is_empty(), "nothing was there");
    does(&host, "install");
    let other = format!("{HOOKS}/10-other.json");
    fs::write(host.at(&other), "{}").unwrap();
    let edited = format!("{HOOKS}/10-nvidia-ctk-apply.json");
    fs::write(host.at(&edited), "{}").unwrap();
    let link = host.at("usr/libexec/nvidia-ctk-chmod");
    fs::remove_file(&link).unwrap();
    symlink("/bin/true", &link).unwrap();

    let outcome = run(&host, "uninstall");
    let said = &outcome.stderr;
    assert!(outcome.success(), "{said}");
    assert_eq!(
        said.matches("kept, it is not as install made it").count(),
        2,
        "{said}"
    );
    let left: Vec<_> = files(&host).into_keys().collect();
    assert_eq!(left, ["usr/libexec/nvidia-ctk-chmod", &edited, &other]);

    // Another program under our name.
    let host = Host::new();
    fs::create_dir_all(host.at("usr/bin")).unwrap();
    fs::write(host.at(PROGRAM), "#!/bin/sh\n").unwrap();
    says(&host, "uninstall", 0, "/usr/bin/nvidia-ctk: kept");
    assert_eq!(files(&host).len(), 1);
}

/// A spec that calls a hook which is gone keeps containers from starting. Guard: `Layout::has_hook`, `Hook::calls_apply`.
#[test]
fn specs_that_call_apply_go_with_the_program() {
    let spec = |path: &str, args: &str| {
        format!(
            "{{\"cdiVersion\":\"0.6.0\",\"kind\":\"nvidia.com/gpu\",\"devices\":[{{\"name\":\"0\",\"containerEdits\":{{\"hooks\":[
             {{\"hookName\":\"createContainer\",\"path\":\"{path}\",\"args\":[{args}]}}]}}}}]}}"
        )
    };
    let cdi_hook = "/usr/bin/nvidia-cdi-hook";
    let specs = [
        (
            true,
            cdi_hook,
            r#""nvidia-cdi-hook","apply","--link","a::/b""#,
        ),
        (
            true,
            "/usr/bin/nvidia-ctk",
            r#""nvidia-ctk","hook","apply""#,
        ),
        (
            false,
            cdi_hook,
            r#""nvidia-cdi-hook","update-ldcache","--folder","apply""#,
        ),
        (false, cdi_hook, r#""apply""#),
        (
            false,
            "/opt/bin/nvidia-cdi-hook",
            r#""nvidia-cdi-hook","apply""#,
        ),
    ];
    for line in ["uninstall", "uninstall --only-specs"] {
        let host = Host::new();
        host.directory("run").link("var/run", "../run");
        does(&host, "install");
        let installed = files(&host).len();
        for (number, (_, path, args)) in specs.iter().enumerate() {
            let directory = ["etc", "run"][number % 2];
            host.file(format!("{directory}/cdi/{number}.json"), spec(path, args));
        }
        host.file("etc/cdi/broken.yaml", "- apply\n");
        let dry = does(&host, &format!("{line} --dry-run"));
        let done = does(&host, line);
        assert_eq!(dry.len(), done.len());
        assert_eq!(
            done[..2],
            ["remove /etc/cdi/0.json", "remove /var/run/cdi/1.json"]
        );
        assert_eq!(host.names("etc/cdi"), ["2.json", "4.json", "broken.yaml"]);
        assert_eq!(host.names("run/cdi"), ["3.json"]);
        let left = files(&host).len() - 4;
        assert_eq!(left, if line == "uninstall" { 1 } else { installed });
        assert!(does(&host, line).is_empty());
    }
}

/// The root is a whole host, whose links are its own.
#[test]
fn links_of_the_root_are_followed_inside() {
    let host = Host::new();
    let outside = folder();
    fs::create_dir(host.at("usr")).unwrap();
    fs::create_dir(host.at("real")).unwrap();
    symlink("/real", host.at("usr/libexec")).unwrap();
    symlink(outside.path(), host.at("usr/share")).unwrap();
    does(&host, "install");
    assert_eq!(
        fs::read_dir(outside.path()).unwrap().count(),
        0,
        "it got out"
    );
    let link = fs::read_link(host.at("real/nvidia-ctk-chmod")).unwrap();
    assert_eq!(link, Path::new("../usr/bin/nvidia-ctk"));
}
