//! What a hook gives up: each part is tried in a process of its own that has entered the sandbox.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use nvidia_ctk::rootfs::ContainerRoot;
use nvidia_ctk::sandbox::{self, Mounts};

use crate::common::machine::{binary, can_run, missing, must};

const ROOT: &str = "SANDBOX_TEST_ROOT";

/// Runs the ignored test `name` of this program in another process, with a root directory of its own and files around it.
fn in_sandbox(name: &str) {
    let around = tempfile::tempdir().unwrap();
    let root = around.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(around.path().join("outside"), "untouched").unwrap();
    fs::write(root.join("inside"), "").unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--test-threads=1"])
        .arg(format!("{module}::{name}"))
        .env(ROOT, &root)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    // A name that no test has would pass.
    assert!(run.status.success() && said.contains("1 passed"), "{run:?}");
    let outside = fs::read_to_string(around.path().join("outside")).unwrap();
    assert_eq!(outside, "untouched");
}

fn enter(mounts: Mounts) -> PathBuf {
    let root = PathBuf::from(std::env::var_os(ROOT).unwrap());
    sandbox::enter(&mut ContainerRoot::open(&root).unwrap(), mounts);
    root
}

fn status(key: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

/// A path string that the root's code would never use: only Landlock stands in the way. Guard: `write_below`.
#[test]
fn the_kernel_refuses_to_write_outside() {
    in_sandbox("escaping_writes");
}

#[test]
#[ignore = "run by the_kernel_refuses_to_write_outside"]
fn escaping_writes() {
    let root = enter(Mounts::None);
    let outside = root.parent().unwrap().join("outside");
    let refused = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    };
    refused(fs::write(&outside, "changed"));
    refused(File::options().append(true).open(&outside).map(|_| ()));
    refused(fs::remove_file(&outside));
    refused(fs::create_dir(root.parent().unwrap().join("directory")));
    refused(std::os::unix::fs::symlink(
        "x",
        root.parent().unwrap().join("link"),
    ));
    refused(fs::rename(&outside, root.join("moved")).map_err(|err| {
        // What may not be moved across a border is told as if it were another file system.
        if err.kind() == ErrorKind::CrossesDevices {
            ErrorKind::PermissionDenied.into()
        } else {
            err
        }
    }));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
    fs::write(root.join("inside"), "changed").unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    std::os::unix::fs::symlink("x", root.join("link")).unwrap();
}

/// Guards: `set_no_new_privs`, `drop_capabilities`, `LIMITS`.
#[test]
fn privileges_and_resources_are_given_up() {
    in_sandbox("what_is_left");
}

#[test]
#[ignore = "run by privileges_and_resources_are_given_up"]
fn what_is_left() {
    let before = u64::from_str_radix(&status("CapPrm"), 16).unwrap();
    enter(Mounts::None);
    assert_eq!(status("NoNewPrivs"), "1");
    // DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID
    let kept = before & 0b1_1110;
    for set in ["CapPrm", "CapEff"] {
        assert_eq!(
            u64::from_str_radix(&status(set), 16).unwrap(),
            kept,
            "{set}"
        );
    }
    assert_eq!(status("CapInh"), "0000000000000000");
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    for limit in [
        "Max cpu time              20 ",
        "Max file size             67108864",
        "Max core file size        0",
        "Max address space         1073741824",
    ] {
        assert!(limits.contains(limit), "{limit}: {limits}");
    }
}

/// The thread that mounts keeps what mounting needs, and the hook itself nothing more than any other.
#[test]
fn mounting_keeps_one_capability_in_one_thread() {
    in_sandbox("what_is_left_for_mounting");
}

#[test]
#[ignore = "run by mounting_keeps_one_capability_in_one_thread"]
fn what_is_left_for_mounting() {
    const SYS_ADMIN: u64 = 1 << 21;
    let before = u64::from_str_radix(&status("CapPrm"), 16).unwrap();
    let path = PathBuf::from(std::env::var_os(ROOT).unwrap());
    let mut root = ContainerRoot::open(&path).unwrap();
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        tasks.map(|task| task.unwrap().path()).collect::<Vec<_>>()
    };
    let others = threads();
    sandbox::enter(&mut root, Mounts::Needed);
    assert_eq!(
        u64::from_str_radix(&status("CapPrm"), 16).unwrap(),
        before & 0b1_1110
    );
    let outside = path.parent().unwrap().join("outside");
    fs::write(outside, "changed").unwrap_err();
    let new: Vec<_> = threads()
        .into_iter()
        .filter(|it| !others.contains(it))
        .collect();
    let [mounter] = &new[..] else {
        panic!("{new:?}");
    };
    // It gives up the rest when it first runs.
    let kept = format!("CapPrm:\t{:016x}\n", before & SYS_ADMIN);
    let status = || fs::read_to_string(mounter.join("status")).unwrap();
    while !status().contains(&kept) {
        std::thread::yield_now();
    }
    assert!(status().contains("NoNewPrivs:\t1"));
}

/// runc leaves descriptors of its own open in hooks; one of them leads out of the container. Guard: `close_inherited_descriptors`.
#[test]
fn inherited_descriptors_are_closed() {
    if !can_run(missing(&["strace"])) {
        return;
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    must(
        Command::new("sh")
            .args([
                "-c",
                "exec 9</; exec strace -e trace=close_range -o \"$0\" \"$1\" hook noop",
            ])
            .arg(trace.path())
            .arg(binary()),
    );
    let trace = fs::read_to_string(trace.path()).unwrap();
    assert!(trace.contains("close_range(3, 4294967295, 0)"), "{trace}");
}
