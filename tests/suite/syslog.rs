//! What a hook tells syslog. crun throws away what a hook prints, so this is where an admin reads it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::common::bundle::{Bundle, end};
use crate::common::elf::library;
use crate::common::machine::has;
use crate::common::outcome::Outcome;
use crate::common::syslog::Syslog;
use crate::common::wrapper::with_mounts;

/// A /dev for the hook, in which a socket may be bound as `log`.
struct Container {
    bundle: Bundle,
}

impl Container {
    fn new() -> Option<Self> {
        if !has(&["unshare", "mount"]) {
            return None;
        }
        let bundle = Bundle::new();
        fs::create_dir(bundle.path().join("dev")).unwrap();
        Some(Self { bundle })
    }

    fn bind(&self) -> Syslog {
        Syslog::bind(&self.bundle.path().join("dev/log"))
    }

    fn before(&self) -> Vec<OsString> {
        with_mounts(&self.bundle, "mount --bind \"$bundle/dev\" /dev")
    }

    fn hook(&self, line: &str) -> Outcome {
        self.bundle.hook_in(&self.before(), line)
    }
}

/// All lines that came in, with `PID` in the place of the process id.
fn lines(socket: &Syslog) -> Vec<String> {
    let line = |message: String| {
        let (start, rest) = message.split_once('[').unwrap();
        let (pid, rest) = rest.split_once(']').unwrap();
        assert!(pid.parse::<u32>().is_ok(), "{message}");
        format!("{start}[PID]{rest}")
    };
    socket.messages().into_iter().map(line).collect()
}

#[test]
fn errors_and_warnings_are_one_line_each() {
    let Some(container) = Container::new() else {
        return;
    };
    let socket = container.bind();
    container.bundle.link("loop", "loop").directory("dir");

    container
        .hook("chmod --mode 644 --path /loop")
        .fails(&["/loop"]);
    // The words for the error are libc's.
    let said = lines(&socket);
    let start = "<27>nvidia-ctk[PID]: chmod: container c1: /loop: cannot set the mode to 0644: ";
    assert!(
        said[0].starts_with(start) && said[0].ends_with(" (os error 40)"),
        "{said:?}"
    );
    assert_eq!(
        said[1..],
        ["<27>nvidia-ctk[PID]: chmod: container c1: chmod failed for 1 of 1 paths"]
    );

    container
        .hook("--quiet create-symlinks --link t::/dir")
        .fails(&["/dir"]);
    assert_eq!(
        lines(&socket)[0],
        "<27>nvidia-ctk[PID]: create-symlinks: container c1: /dir -> t: cannot make the link: \
         Is a directory (os error 21); a directory is in the way, move it or choose another name"
    );

    // A name of the image with a line of its own in it.
    let soname = library("x/\n<27>forged");
    container
        .bundle
        .file("usr/lib/libcuda.so.1.2\n<27>.3.4", &soname);
    container.bundle.file("usr/lib/lib\n<27>forged.so", soname);
    container
        .hook("update-ldcache")
        .warns(&["its SONAME has a slash in it"]);
    let said = lines(&socket);
    assert_eq!(said.len(), 2, "{said:?}");
    for line in said {
        assert!(
            line.starts_with("<28>nvidia-ctk[PID]: update-ldcache: container c1: "),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }

    container
        .bundle
        .hook_in(&container.before(), "--debug chmod --mode 755 --path /dir");
    container.hook("create-symlinks --link t::/new").silent();
    assert!(lines(&socket).is_empty(), "success is told");
}

#[test]
fn the_line_is_there_before_a_container_is_known() {
    let Some(container) = Container::new() else {
        return;
    };
    let socket = container.bind();
    let words = ["chmod", "--mode", "644", "--path", "/f"];
    let before = container.before();
    let run = |state: &str| {
        container
            .bundle
            .run(&before, "nvidia-cdi-hook", &words, state)
    };
    run("no state").fails(&["cannot read the OCI state"]);
    let said = lines(&socket);
    let start = "<27>nvidia-ctk[PID]: chmod: container -: cannot read the OCI state";
    assert!(said.len() == 1 && said[0].starts_with(start), "{said:?}");
    container.hook("chmod --path /f").fails(&["--mode"]);
    let said = lines(&socket);
    let start = "<27>nvidia-ctk[PID]: nvidia-cdi-hook: container -: ";
    assert!(said.len() == 1 && said[0].starts_with(start), "{said:?}");
    run("{\"id\":\"a\\nb\"}").fails(&["names no bundle"]);
    let said = lines(&socket);
    let start = "<27>nvidia-ctk[PID]: chmod: container a\\nb: the OCI state names no bundle";
    assert!(said.len() == 1 && said[0].starts_with(start), "{said:?}");
}

/// crun shows nobody else that a hook of a newer spec was left out.
#[test]
fn what_is_odd_in_a_line_is_told() {
    let Some(container) = Container::new() else {
        return;
    };
    let socket = container.bind();
    container.bundle.directory("d");
    for (odd, line) in [
        ("of-next-year", "of-next-year --path /d"),
        ("more", "chmod --mode 755 --path /d more"),
    ] {
        container.hook(line).warns(&[odd]);
        let said = lines(&socket);
        let start = "<28>nvidia-ctk[PID]: nvidia-cdi-hook: container -: ";
        assert!(
            said.len() == 1 && said[0].starts_with(start) && said[0].contains(odd),
            "{said:?}"
        );
    }
}

#[test]
fn nobody_who_listens_is_no_reason_to_wait_or_fail() {
    let Some(container) = Container::new() else {
        return;
    };
    let log = container.bundle.path().join("dev/log");
    container.bundle.directory("d").link("loop", "loop");
    let both = || {
        container.hook("chmod --mode 755 --path /d").silent();
        container
            .hook("chmod --mode 755 --path /loop")
            .fails(&["/loop"]);
    };
    both(); // no /dev/log
    drop(container.bind());
    both(); // nobody behind it
    fs::remove_file(&log).unwrap();
    fs::write(&log, "").unwrap();
    both(); // a file
    fs::remove_file(&log).unwrap();

    // A queue that nobody reads.
    let socket = container.bind();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"full", &log).is_ok() {}
    both();
    // Room again: the next line comes through.
    assert!(!socket.messages().is_empty());
    both();
    assert_eq!(lines(&socket).len(), 2);
}

#[test]
fn a_message_of_any_length_and_a_reader_that_went_away_do_no_harm() {
    let Some(container) = Container::new() else {
        return;
    };
    let socket = container.bind();
    let long = format!("/{}", "x".repeat(100_000));
    container
        .hook(&format!("chmod --mode 755 --path {long}"))
        .fails(&["(os error 36)"]);
    assert!(
        lines(&socket)
            .iter()
            .any(|it| it.contains("chmod failed for 1 of 1 paths"))
    );

    // Standard error is a pipe without a reader.
    let closed = with_mounts(
        &container.bundle,
        "mount --bind \"$bundle/dev\" /dev; mkfifo \"$bundle/gone\"; \
         exec 3<>\"$bundle/gone\" 2>\"$bundle/gone\" 3<&-",
    );
    let words = [
        "chmod", "--mode", "755", "--path", "/missing", "--path", "/f/x",
    ];
    container.bundle.file("f", "");
    let mut child = container
        .bundle
        .spawn(&closed, "nvidia-cdi-hook", &words, Stdio::piped());
    let state = container.bundle.state().to_string();
    io::Write::write_all(child.stdin.as_mut().unwrap(), state.as_bytes()).unwrap();
    let ran = end(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert!(
        lines(&socket)
            .iter()
            .any(|it| it.contains("/f/x: cannot set the mode to 0755"))
    );
}
