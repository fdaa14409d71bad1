//! What a hook makes of the OCI state and of config.json, however a runtime hands them over.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::common::bundle::{Bundle, end};
use crate::common::machine::{has, hostile_cases, memory_of_code};
use crate::common::outcome::Outcome;
use crate::common::tree::snapshot;
use crate::common::wrapper::{Meter, each_kernel, with_mounts, words};

const WORDS: [&str; 3] = ["create-symlinks", "--link", "t::/l"];

/// Runs the hook that makes the link `/l`.
fn link(bundle: &Bundle, state: impl AsRef<[u8]>) -> Outcome {
    bundle.run(&[], "nvidia-cdi-hook", &WORDS, state)
}

#[test]
fn states_are_understood() {
    let bundle = Bundle::new();
    let path = bundle.path().display();
    let escaped = bundle.path().display().to_string().replace('/', "\\/");
    for state in [
        format!(r#"{{"bundle":"{path}"}}"#),
        format!(
            r#"{{"ociVersion":"9","id":"","pid":0,"status":"never heard of","bundle":"{path}"}}"#
        ),
        format!(r#"{{"bundle":"{path}"}}{{"bundle":"/"}}"#),
        format!(r#"{{"bundle":"{path}"}} trailing"#),
        format!("\u{feff}\n {{\"bundle\":\"{path}\"}}"),
        format!(r#"{{"bundle":"{escaped}"}}"#),
        format!(r#"{{"BUNDLE":"{path}","Pid":1}}"#),
        format!(r#"{{"bundle":"/nowhere","bundle":"{path}"}}"#),
        format!(r#"{{"bundle":"{path}","annotations":null,"status":7,"pid":null}}"#),
        format!(r#"{{"bundle":"{path}","root":"rootfs"}}"#),
        format!(r#"{{"bundle":"/nowhere","root":"{path}/rootfs"}}"#),
        format!(r#"{{"root":"{path}/rootfs"}}"#),
        format!(
            r#"{{"bundle":"{path}/../{}//."}}"#,
            bundle.path().file_name().unwrap().display()
        ),
    ] {
        link(&bundle, &state).silent();
        assert_eq!(bundle.target("l"), "t", "{state}");
        fs::remove_file(bundle.at("l")).unwrap();
    }
}

#[test]
fn configurations_are_understood() {
    for config in [
        r#"{"root":{"path":"rootfs"}}"#,
        r#"{"process":7,"mounts":{"a":[1]},"ROOT":{"x":null,"Path":"./rootfs/"},"linux":"?"} trailing"#,
        "\u{feff}{\"root\":{\"path\":\"root\\u0066s\"}}",
        r#"{"root":{"path":"linked"}}"#,
        r#"{"root":{"path":"ABSOLUTE"}}"#,
    ] {
        let bundle = Bundle::new();
        symlink("rootfs", bundle.path().join("linked")).unwrap();
        let absolute = bundle.root().display().to_string();
        bundle.config(&config.replace("ABSOLUTE", &absolute));
        link(&bundle, bundle.state().to_string()).silent();
        assert_eq!(bundle.target("l"), "t", "{config}");
    }
    // crun's member counts more than config.json, which need not be readable.
    let bundle = Bundle::new();
    bundle.config("no JSON");
    let mut state = bundle.state();
    state["root"] = json!("rootfs");
    link(&bundle, state.to_string()).silent();
    assert_eq!(bundle.target("l"), "t");
}

#[test]
fn a_bundle_may_be_reached_through_links() {
    let bundle = Bundle::new();
    let alias = bundle.path().join("alias");
    symlink(bundle.path(), &alias).unwrap();
    link(&bundle, json!({"bundle": alias}).to_string()).silent();
    assert_eq!(bundle.target("l"), "t");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_would_write_to_a_wrong_place_is_refused() {
    // Not one that would change the host, should it not be refused.
    let harmless = ["chmod", "--mode=700", "--path=/nvidia-ctk/is/not/there"];
    // state (BUNDLE stands for the path), config.json, message
    let refused = [
        ("[]", "", "standard input"),
        ("null", "", "standard input"),
        ("\"x\"", "", "standard input"),
        ("{}", "", "names no bundle with an absolute path"),
        (r#"{"bundle":7}"#, "", "standard input"),
        (r#"{"bundle":"BUNDLE","pid":"x"}"#, "", "standard input"),
        (
            r#"{"bundle":"relative"}"#,
            "",
            "names no bundle with an absolute path",
        ),
        (
            r#"{"bundle":"","root":"rootfs"}"#,
            "",
            "names no bundle with an absolute path",
        ),
        (
            r#"{"bundle":"BUNDLE/missing"}"#,
            "",
            "missing/config.json: No such file",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"/"}"#,
            "",
            "is the host's root directory",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"/../proc/.."}"#,
            "",
            "is the host's root directory",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"slash"}"#,
            "",
            "is the host's root directory",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"."}"#,
            "",
            "is the bundle itself",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"host/.."}"#,
            "",
            "is the bundle itself",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"BUNDLE"}"#,
            "",
            "is the bundle itself",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"missing"}"#,
            "",
            "No such file",
        ),
        (
            r#"{"bundle":"BUNDLE","root":"config.json"}"#,
            "",
            "Not a directory",
        ),
        (r#"{"bundle":"BUNDLE"}"#, "{}", "has no root.path"),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":{"path":""}}"#,
            "has no root.path",
        ),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":null}"#,
            "has no root.path",
        ),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":"rootfs"}"#,
            "cannot read",
        ),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":{"path":"/"}}"#,
            "is the host's root directory",
        ),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":{"path":"."}}"#,
            "is the bundle itself",
        ),
        (r#"{"bundle":"BUNDLE"}"#, "", "cannot read"),
        (
            r#"{"bundle":"BUNDLE"}"#,
            r#"{"root":{"path":"rootfs""#,
            "cannot read",
        ),
    ];
    hostile_cases(refused.len());
    for (text, config, message) in refused {
        let bundle = Bundle::new();
        symlink("/", bundle.path().join("slash")).unwrap();
        if text.contains("root") || !config.is_empty() || text == r#"{"bundle":"BUNDLE"}"# {
            bundle.config(config);
        }
        let before = snapshot(bundle.path());
        let text = text.replace("BUNDLE", &bundle.path().display().to_string());
        let ran = bundle.run(&[], "nvidia-cdi-hook", &harmless, &text);
        ran.fails(&[message]);
        assert_eq!(snapshot(bundle.path()), before, "{text} {config}");
    }
}

/// A hook's working directory is the container's root under runc: it must count for nothing.
#[test]
fn the_working_directory_counts_for_nothing() {
    let bundle = Bundle::new();
    bundle.file("config.json", r#"{"root":{"path":"."}}"#);
    let before = snapshot(&bundle.root());
    let inside = words(&["env", "-C", &bundle.root().display().to_string()]);
    for state in [
        "{}",
        r#"{"bundle":"."}"#,
        r#"{"bundle":"","root":"."}"#,
        r#"{"root":"x"}"#,
    ] {
        let ran = bundle.run(&inside, "nvidia-cdi-hook", &WORDS, state);
        ran.fails(&["names no bundle with an absolute path"]);
        assert_eq!(snapshot(&bundle.root()), before, "{state}");
    }
}

#[test]
fn a_state_comes_from_a_file_as_well() {
    let bundle = Bundle::new();
    let file = bundle.path().join("state.json").display().to_string();
    fs::write(&file, bundle.state().to_string()).unwrap();
    let all = |spec: &str, stdin: &str| {
        for words in [
            ["chmod", "--mode=700", "--path=/", spec].as_slice(),
            &["create-symlinks", "--link=t::/l", spec],
            &["update-ldcache", spec],
        ] {
            bundle.run(&[], "nvidia-cdi-hook", words, stdin).silent();
        }
    };
    all(&format!("--container-spec={file}"), "no state");
    assert_eq!(bundle.mode(""), 0o700);
    assert_eq!(bundle.target("l"), "t");
    assert!(bundle.at("etc/ld.so.cache").exists());
    for spec in ["--container-spec=-", "--container-spec="] {
        all(spec, &bundle.state().to_string());
    }
    let missing = [
        "chmod",
        "--mode=700",
        "--path=/",
        "--container-spec=/nowhere",
    ];
    let ran = bundle.run(&[], "nvidia-cdi-hook", &missing, "");
    ran.fails(&["cannot read the OCI state from /nowhere: No such file"]);
}

#[test]
fn only_regular_files_are_read() {
    if !has(&["mknod"]) {
        return;
    }
    for (kind, numbers) in [("p", &[][..]), ("c", &["1", "5"])] {
        let bundle = Bundle::new();
        let node = |name: &str| {
            let path = bundle.path().join(name);
            let _ = fs::remove_file(&path);
            let made = Command::new("mknod")
                .arg(&path)
                .arg(kind)
                .args(numbers)
                .status();
            assert!(made.unwrap().success());
            path.display().to_string()
        };
        node("config.json");
        link(&bundle, bundle.state().to_string()).fails(&["config.json: not a regular file"]);
        let spec = format!("--container-spec={}", node("state.json"));
        let words = [&WORDS[..], &[spec.as_str()]].concat();
        bundle
            .run(&[], "nvidia-cdi-hook", &words, "")
            .fails(&["state.json: not a regular file"]);
    }
    let bundle = Bundle::new();
    let spec = format!("--container-spec={}", bundle.path().display());
    let words = [&WORDS[..], &[spec.as_str()]].concat();
    bundle
        .run(&[], "nvidia-cdi-hook", &words, "")
        .fails(&["not a regular file"]);
}

#[test]
fn a_closed_or_empty_standard_input_is_explained() {
    let bundle = Bundle::new();
    let null = bundle.spawn(&[], "nvidia-cdi-hook", &WORDS, Stdio::null());
    end(null).fails(&["cannot read the OCI state from standard input"]);
    let closed = words(&["sh", "-c", "exec \"$@\" <&-", "sh"]);
    let closed = bundle.spawn(&closed, "nvidia-cdi-hook", &WORDS, Stdio::null());
    end(closed).fails(&["cannot read the OCI state from standard input"]);
    let mut cut = bundle.spawn(&[], "nvidia-cdi-hook", &WORDS, Stdio::piped());
    let state = bundle.state().to_string();
    let mut pipe = cut.stdin.take().unwrap();
    pipe.write_all(&state.as_bytes()[..state.len() - 1])
        .unwrap();
    drop(pipe);
    end(cut).fails(&["cannot read the OCI state from standard input"]);
}

#[test]
fn a_state_may_come_in_pieces() {
    let bundle = Bundle::new();
    let mut child = bundle.spawn(&[], "nvidia-cdi-hook", &WORDS, Stdio::piped());
    let mut pipe = child.stdin.take().unwrap();
    for byte in bundle.state().to_string().bytes() {
        pipe.write_all(&[byte]).unwrap();
        std::thread::yield_now();
    }
    end(child).silent();
    assert_eq!(bundle.target("l"), "t");
}

/// crun fails when the pipe is closed before it has written the state.
#[test]
fn a_hook_with_nothing_to_do_waits_for_the_state() {
    let bundle = Bundle::new();
    let lines = ["noop", "unknown-hook", "create-symlinks --link t::/l"];
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let mut command = bundle.command(&[], "nvidia-cdi-hook", &words);
        command.env("NVIDIA_CTK_DISABLE_HOOKS", "all");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // Long enough for a hook that does not wait.
        for _ in 0..50 {
            assert!(child.try_wait().unwrap().is_none(), "{line}: it has ended");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(bundle.state().to_string().as_bytes())
            .unwrap();
        assert_eq!(end(child).code, 0, "{line}");
        assert!(!bundle.at("l").is_symlink(), "{line}");
    }
    // Nothing but a pipe is read, and no state is no error.
    bundle
        .run(&[], "nvidia-cdi-hook", &["noop"], "no state")
        .silent();
    let closed = bundle.spawn(&[], "nvidia-cdi-hook", &["noop"], Stdio::null());
    end(closed).silent();
}

/// The only test that waits as long as the hook does.
#[test]
fn a_silent_standard_input_does_not_hold_up_a_container_for_ever() {
    let bundle = Bundle::new();
    for mut child in ["", "{\"id\":\"c2\",", "{\"bundle\":\"/"].map(|start| {
        let mut child = bundle.spawn(&[], "nvidia-cdi-hook", &WORDS, Stdio::piped());
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(start.as_bytes())
            .unwrap();
        child
    }) {
        let pipe = child.stdin.take();
        end(child).fails(&["no complete state after 10 s"]);
        drop(pipe);
    }
}

#[test]
fn a_terminal_on_standard_input_is_told_what_is_missing() {
    if !has(&["script"]) {
        return;
    }
    let bundle = Bundle::new();
    let program = bundle.path().join("nvidia-cdi-hook");
    let line = format!("{} {}", program.display(), WORDS.join(" "));
    let output = Command::new("timeout")
        .args([
            "60",
            "script",
            "--quiet",
            "--return",
            "--command",
            &line,
            "/dev/null",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("it is a terminal; a container runtime calls this hook"),
        "{text}"
    );
}

#[test]
fn large_inputs_have_bounds() {
    let bundle = Bundle::new();
    let filler = "x".repeat(1 << 20);
    let state = format!(
        r#"{{"a":"{filler}","bundle":"{}"}}"#,
        bundle.path().display()
    );
    link(&bundle, state).fails(&["larger than 1048576 bytes"]);
    let deep = "[".repeat(100_000);
    link(&bundle, format!("{{\"a\":{deep}")).fails(&["nested deeper than 128 levels"]);
    bundle.config(&format!("{{\"a\":{deep}"));
    link(&bundle, bundle.state().to_string()).fails(&["nested deeper than 128 levels"]);
    let sparse = File::create(bundle.path().join("config.json")).unwrap();
    sparse.set_len((64 << 20) + 1).unwrap();
    link(&bundle, bundle.state().to_string()).fails(&["config.json: "]);
}

/// 60 MB of what engines write there, most of it before `root`.
#[test]
fn memory_does_not_follow_the_size_of_config_json() {
    let peak = |entries: usize| {
        let bundle = Bundle::new();
        let mut text = String::from(r#"{"ociVersion":"1.2.0","mounts":["#);
        for entry in 0..entries {
            let _ = write!(
                text,
                r#"{{"destination":"/data/{entry}","type":"bind","source":"/var/lib/volumes/{entry}/_data","options":["rbind","rprivate","ro"]}},"#
            );
        }
        text.push_str(r#"{}],"annotations":{""#);
        text.push_str(&"v".repeat(60_000));
        text.push_str(r#"":""#);
        text.push_str(&"\\u00e9".repeat(entries));
        text.push_str(r#""},"root":{"path":"rootfs"}}"#);
        bundle.config(&text);
        let meter = Meter::new(&bundle);
        let ran = bundle.run(
            &meter.before(),
            "nvidia-cdi-hook",
            &WORDS,
            bundle.state().to_string(),
        );
        ran.silent();
        assert_eq!(bundle.target("l"), "t");
        (text.len(), meter.read().peak)
    };
    let (_, least) = peak(1);
    let (size, most) = peak(475_000);
    assert!((60_000_000..64 << 20).contains(&size), "{size}");
    assert!(most < (8 << 10) + memory_of_code(), "{most} KiB");
    assert!(
        most < least + 512,
        "{most} KiB, with a small one {least} KiB"
    );
}

/// A process with a mount namespace of its own, in which there is something mounted at `/mnt` of the root; it ends with its input.
fn start_container(root: &Path) -> Child {
    let mut container = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-ec"])
        .arg("mount -t tmpfs tmpfs \"$0/mnt\"; ln -s / \"$0/mnt/up\"; echo ready; exec cat")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(container.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(ready, "ready\n");
    container
}

/// At prestart and createRuntime a hook is outside of the container's mount namespace.
#[test]
fn the_mounts_of_a_container_are_reached_through_its_process() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.directory("mnt");
    let mut container = start_container(&bundle.root());
    let with = |pid: u32, option: &str| {
        let mut state = bundle.state();
        state["pid"] = json!(pid);
        let words = ["create-symlinks", "--link", option];
        each_kernel(|kernel| {
            bundle
                .run(kernel, "nvidia-cdi-hook", &words, state.to_string())
                .silent();
        });
    };
    let inside = |path: &str| {
        let process = Path::new("/proc")
            .join(container.id().to_string())
            .join("root");
        let path = bundle.at(path);
        process.join(path.strip_prefix("/").unwrap())
    };
    with(container.id(), "t::/mnt/l");
    with(container.id(), "t::/mnt/up/mnt/m");
    for path in ["mnt/l", "mnt/m"] {
        assert_eq!(
            fs::read_link(inside(path)).unwrap(),
            Path::new("t"),
            "{path}"
        );
    }
    assert_eq!(
        fs::read_dir(bundle.at("mnt")).unwrap().count(),
        0,
        "it went below the mount"
    );
    // No process, that of the host, and one in our own namespace.
    for pid in [0, 1, std::process::id()] {
        with(pid, "t::/mnt/n");
        assert_eq!(bundle.target("mnt/n"), "t", "{pid}");
        fs::remove_file(bundle.at("mnt/n")).unwrap();
    }
    drop(container.stdin.take());
    container.wait().unwrap();
    // A process that is gone.
    with(container.id(), "t::/mnt/n");
    assert_eq!(bundle.target("mnt/n"), "t");
}

/// At createContainer a hook is inside of them, but /proc is still the host's, where the pid is somebody else's.
#[test]
fn a_hook_inside_of_the_container_does_not_follow_its_pid() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.directory("mnt");
    let mounts = with_mounts(&bundle, "mount -t tmpfs tmpfs \"$root/mnt\"");
    let with_pids = words(&["unshare", "--pid", "--fork"]);
    // A namespace where a shell is process 1, and /proc says so.
    let below_init = [
        words(&["unshare", "--mount", "--propagation=private"]),
        words(&["--pid", "--fork", "--mount-proc"]),
        words(&["sh", "-c", "\"$@\"; exit $?", "sh"]),
    ]
    .concat();
    for (before, pid) in [
        ([below_init, mounts.clone()].concat(), 1),
        ([mounts, with_pids].concat(), std::process::id()),
    ] {
        let mut state = bundle.state();
        state["pid"] = json!(pid);
        let words = ["create-symlinks", "--link", "t::/mnt/l"];
        bundle
            .run(&before, "nvidia-cdi-hook", &words, state.to_string())
            .silent();
        assert_eq!(
            bundle.target("mnt/l"),
            "",
            "it left its mount namespace for {pid}'s"
        );
    }
}

/// The process of the state may be in the mount namespace of the hook, which is the container's, or the host's. In the container's a
/// missing mount is a warning. Guard: `mount_namespace`.
#[test]
fn a_process_in_the_hooks_own_mount_namespace_is_the_containers_or_the_hosts() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.config(r#"{"root":{"path":"rootfs"},"mounts":[{"destination":"/dev"}]}"#);
    let file = bundle.path().join("state");
    let own = with_mounts(&bundle, "true");
    // A host, whose process 1 sees the same mounts.
    let host = [
        words(&["unshare", "--mount", "--propagation=private"]),
        words(&["--pid", "--fork", "--mount-proc"]),
        words(&["sh", "-c", "\"$@\"; exit $?", "sh"]),
    ]
    .concat();
    let script = format!("sed -i s/PID/$$/ {}; exec \"$@\"", file.display());
    let of_hook = words(&["sh", "-c", &script, "sh"]);
    let state = bundle.state().to_string();
    let state = state.replace("\"pid\":1", "\"pid\":PID");
    for (mounts, is_own) in [(own, true), (host, false)] {
        fs::write(&file, &state).unwrap();
        let spec = format!("--container-spec={}", file.display());
        let words = [&WORDS[..], &[spec.as_str()]].concat();
        let before = [mounts, of_hook.clone()].concat();
        let ran = bundle.run(&before, "nvidia-cdi-hook", &words, "");
        if is_own {
            ran.warns(&["/dev and all other mounts of the container are missing"]);
        } else {
            ran.silent();
        }
        fs::remove_file(bundle.at("l")).unwrap();
    }
}
