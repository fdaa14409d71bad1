//! All but the creation of a container: the low-level runtime gets what this program got.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::common::machine::{emulator, has};
use crate::common::shim::{Call, RUNTIME, Shim};
use crate::common::wrapper::{with_umask, without_privileges, words};

/// Calls the stub first by itself, then by this program. An emulator turns the order of the variables round.
fn both(shim: &Shim, before: &[OsString], arguments: &[impl AsRef<OsStr>]) -> [Call; 2] {
    ["runc", RUNTIME].map(|name| {
        let outcome = shim.run_as(name, before, arguments);
        assert_eq!(outcome.code, 0, "{before:?}: {outcome:?}");
        outcome.silent();
        let mut call = shim.last();
        if emulator().is_some() && name == RUNTIME {
            call.environ.reverse();
        }
        call
    })
}

/// Both calls are the same one.
#[track_caller]
fn same(shim: &Shim, before: &[OsString], arguments: &[impl AsRef<OsStr>]) -> Call {
    let [direct, forwarded] = both(shim, before, arguments);
    assert_eq!(direct.argv, forwarded.argv, "{before:?}");
    assert_eq!(direct.environ, forwarded.environ, "{before:?}");
    assert_eq!(direct.program, forwarded.program, "{before:?}");
    assert_eq!(direct.directory, forwarded.directory, "{before:?}");
    assert_eq!(direct.inherited, forwarded.inherited, "{before:?}");
    assert_eq!(direct.descriptors, forwarded.descriptors, "{before:?}");
    forwarded
}

#[test]
fn arguments() {
    let shim = Shim::new();
    for line in [
        &["state", "c1"][..],
        &[
            "--root", "", "exec", "c 1", "sh", "-c", " ", "", "a\nb", "--", "",
        ],
        &["", "", ""],
        &[],
    ] {
        assert_eq!(same(&shim, &[], line).arguments(), line);
    }
    let odd = [OsStr::from_bytes(b"kill"), OsStr::from_bytes(b"\xff\xfe=")];
    same(&shim, &[], &odd);
    let many: Vec<_> = (0..20_000).map(|it| it.to_string()).collect();
    same(
        &shim,
        &[],
        &[&["exec".to_owned(), "c1".to_owned()], many.as_slice()].concat(),
    );
}

#[test]
fn the_environment() {
    let shim = Shim::new();
    for variables in [
        &["A=", "B= x ", "C=a=b\n", "LISTEN_FDS=3", "NOTIFY_SOCKET=/x"][..],
        &[
            "_LIBCONTAINER_INITPIPE=3",
            "RUST_BACKTRACE=full",
            "NVIDIA_CTK_DEBUG=1",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "GOMAXPROCS=1",
            "XDG_RUNTIME_DIR=/run",
        ],
    ] {
        let before = words(&[&["env"], variables].concat());
        let call = same(&shim, &before, &["state", "c1"]);
        for variable in variables {
            assert!(call.environ.contains(&variable.into()), "{variable}");
        }
    }
    let odd = OsStr::from_bytes(b"ODD=\xff\xc3(").to_owned();
    let call = same(
        &shim,
        &[words(&["env"]), vec![odd.clone()]].concat(),
        &["state"],
    );
    assert!(call.environ.contains(&odd));
}

/// Nothing but the path of the settings, which must be known.
#[test]
fn hardly_an_environment() {
    let shim = Shim::new();
    let path = format!("NVIDIA_CTK_CONFIG_FILE_PATH={}", shim.inside("config.toml"));
    let call = same(&shim, &words(&["env", "-i", &path]), &["state", "c1"]);
    assert_eq!(call.environ, [OsString::from(path)]);
}

/// Rust's start ignores SIGPIPE, whatever it found.
#[test]
fn signals() {
    if !has(&[]) {
        return;
    }
    let shim = Shim::new();
    for signals in [
        &["--default-signal=PIPE"][..],
        &["--ignore-signal=PIPE"],
        &["--default-signal"],
        &["--ignore-signal"],
        &["--ignore-signal=HUP,INT,QUIT,TERM,USR1,USR2,CHLD,TSTP,TTIN,TTOU,WINCH"],
        &[
            "--default-signal",
            "--block-signal=PIPE,HUP,INT,QUIT,TERM,USR1,CHLD,URG,PROF",
        ],
        &["--ignore-signal=PIPE", "--block-signal"],
    ] {
        same(
            &shim,
            &words(&[&["env"], signals].concat()),
            &["start", "c1"],
        );
    }
    let ignored = |signal: &str| {
        let before = words(&["env", signal]);
        let call = same(&shim, &before, &["state"]);
        let line = call.inherited.lines().find(|it| it.starts_with("SigIgn:"));
        let hex = line.unwrap().split_whitespace().nth(1).unwrap();
        u64::from_str_radix(hex, 16).unwrap() & 1 << 12 != 0
    };
    assert!(ignored("--ignore-signal=PIPE"));
    assert!(!ignored("--default-signal=PIPE"));
}

#[test]
fn open_files() {
    let shim = Shim::new();
    for script in [
        "exec 7</dev/null 8>/dev/zero 9<>/dev/null",
        "exec 3<\"$0\" 4<&3 5<. 6<.",
        "exec 9<&0 </dev/null",
        "exec 0</dev/zero 1>/dev/null 2>/dev/full",
    ] {
        let script = format!("{script}; exec \"$@\"");
        same(
            &shim,
            &words(&["sh", "-c", &script, "/dev/null"]),
            &["start", "c1"],
        );
    }
}

#[test]
fn closed_standard_input() {
    let shim = Shim::new();
    // Rust opens /dev/null in the place of a standard stream that is closed, so that no other file gets there.
    let before = words(&["sh", "-c", "exec <&- 7</dev/zero; exec \"$@\"", "sh"]);
    let outcome = shim.run_as(RUNTIME, &before, &["state"]);
    assert!(outcome.success(), "{outcome:?}");
    let call = shim.last();
    assert!(call.descriptors.contains(&"7 /dev/zero".to_owned()));
    let standard = call.descriptors.iter().filter(|it| it.starts_with("0 "));
    assert!(standard.eq(&["0 /dev/null"]), "{:?}", call.descriptors);
}

#[test]
fn the_rest_of_a_process() {
    let shim = Shim::new();
    for umask in ["0", "077", "0777"] {
        // The stub itself could not write its notes with all bits.
        if umask != "0777" || has(&[]) {
            same(&shim, &with_umask(umask), &["state"]);
        }
    }
    let before = words(&["sh", "-c", "cd /; exec \"$@\"", "sh"]);
    assert_eq!(same(&shim, &before, &["state"]).directory, "/");
    same(&shim, &without_privileges(), &["state"]);
    if has(&["setpriv"]) {
        same(&shim, &words(&["setpriv", "--no-new-privs"]), &["state"]);
    }
}

/// The program becomes the low-level runtime: engines wait for this process.
#[test]
fn the_exit_status() {
    let shim = Shim::new();
    for code in [0, 1, 37, 125, 255] {
        shim.file("bin/status", &code.to_string());
        for words in [&["state", "c1"][..], &["create", "c1"], &["--version"], &[]] {
            let outcome = shim.run(words);
            assert_eq!(outcome.code, code, "{words:?}: {outcome:?}");
            assert_eq!(outcome.text(), "", "{words:?}");
        }
    }
}

/// What the kernel is asked for between the start of this program and that of the low-level runtime.
fn trace(shim: &Shim, arguments: &[&str]) -> Vec<String> {
    let file = shim.at("trace");
    let mut before = words(&["strace", "-f", "-s", "200", "-o"]);
    before.push(file.clone().into());
    let outcome = shim.run_as(RUNTIME, &before, arguments);
    assert!(outcome.success(), "{arguments:?}: {outcome:?}");
    let text = fs::read_to_string(file).unwrap();
    let call = |line: &str| line.split_once(' ').unwrap().1.trim().to_owned();
    let is_start = |call: &String| call.starts_with("execve(") && call.contains(" = 0");
    let mut calls = text.lines().map(call);
    assert!(is_start(&calls.next().unwrap()));
    calls.take_while(|call| !is_start(call)).collect()
}

#[test]
fn few_system_calls() {
    if !has(&["strace"]) {
        return;
    }
    let shim = Shim::new();
    let log = shim.inside("log.json");
    for line in [
        &[
            "--root",
            "/x",
            "--log",
            &log,
            "--log-format",
            "json",
            "state",
            "c1",
        ][..],
        &["--log", &log, "kill", "c1", "9"],
        &["exec", "c1", "sh"],
        &["start", "c1"],
        &["delete", "--force", "c1"],
        &["features"],
        &["--version"],
        &["frob"],
        &[],
    ] {
        let calls = trace(&shim, line);
        let all = calls.join("\n");
        assert!(calls.len() <= 40, "{line:?}: {}\n{all}", calls.len());
        for word in [
            "clone",
            "fork",
            "/config.json",
            "log.json",
            "write(",
            "/dev/",
            "socket(",
        ] {
            assert!(!all.contains(word), "{line:?}: {word} in\n{all}");
        }
        assert!(!shim.at("log.json").exists(), "{line:?}");
    }
}

/// A container that asks for nothing: its config.json is read once, and no more is looked at than for other commands.
#[test]
fn few_system_calls_for_a_container_without_a_request() {
    if !has(&["strace"]) {
        return;
    }
    let shim = Shim::new();
    let log = shim.inside("log.json");
    for variables in [
        &[][..],
        &["NVIDIA_VISIBLE_DEVICES=void"],
        &["NVIDIA_VISIBLE_DEVICES="],
    ] {
        shim.variables(variables);
        let bundle = shim.inside("bundle");
        let line = ["--log", &log, "create", "--bundle", &bundle, "c1"];
        let calls = trace(&shim, &line);
        let all = calls.join("\n");
        assert!(calls.len() <= 60, "{}\n{all}", calls.len());
        let opens = |path: &str| {
            let open = |call: &&String| call.starts_with("open") && call.contains(path);
            calls.iter().filter(open).count()
        };
        assert_eq!(opens("config.json"), 1, "{all}");
        for word in [
            "clone", "fork", "O_WRONLY", "O_RDWR", "O_CREAT", "/dev/", "rename",
        ] {
            assert!(!all.contains(word), "{word} in\n{all}");
        }
        for folder in ["etc", "run"] {
            let folder = shim.inside(folder);
            assert!(
                !all.contains(&format!("\"{folder}\"")),
                "{folder} in\n{all}"
            );
        }
        for word in [".so", "/proc/driver", "/sys/"] {
            assert_eq!(opens(word), 0, "{word} in\n{all}");
        }
        assert!(!shim.at("log.json").exists(), "{variables:?}");
    }
}
