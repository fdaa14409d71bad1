//! What the environment and annotations can make a hook do or leave: they may be the image's.

use std::fs;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::machine::{has, hostile_cases};
use crate::common::outcome::Outcome;
use crate::common::wrapper::{Meter, READ_ONLY, with_mounts, words};

const CHMOD: &str = "chmod --mode 644 --path /f";

fn bundle(config: &str) -> Bundle {
    let bundle = Bundle::new();
    bundle.file("f", "").set_mode("f", 0o600);
    bundle.config(config);
    bundle
}

fn run(bundle: &Bundle, variables: &[&str], line: &str) -> Outcome {
    bundle.hook_in(&words(&[&["env"], variables].concat()), line)
}

/// A config.json whose process has these variables.
fn with_env(env: &[&str]) -> String {
    let env = serde_json::json!(env);
    format!(r#"{{"root":{{"path":"rootfs"}},"process":{{"args":["x"],"env":{env}}}}}"#)
}

/// Guard: what the container has as well does not count in `Environment::of`.
#[test]
fn variables_of_the_container_switch_nothing_off() {
    let mut cases = 0;
    for (of_container, of_hook, is_off) in [
        (vec!["A=b"], "NVIDIA_CTK_DISABLE_HOOKS=chmod", true),
        (
            vec!["NVIDIA_CTK_DISABLE_HOOKS=chmod"],
            "NVIDIA_CTK_DISABLE_HOOKS=chmod",
            false,
        ),
        (
            vec!["NVIDIA_CTK_DISABLE_HOOKS=all", "A=b"],
            "NVIDIA_CTK_DISABLE_HOOKS=all",
            false,
        ),
        // The admin's is another one.
        (
            vec!["NVIDIA_CTK_DISABLE_HOOKS=all"],
            "NVIDIA_CTK_DISABLE_HOOKS=chmod",
            true,
        ),
    ] {
        let bundle = bundle(&with_env(&of_container));
        let ran = run(&bundle, &[of_hook], CHMOD);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(
            bundle.mode("f") == 0o600,
            is_off,
            "{of_container:?} {of_hook}"
        );
        cases += usize::from(!is_off);
    }
    hostile_cases(cases);
}

/// The same for the other variable that changes what is done: an image must not keep its container from starting with another
/// one's hooks, nor the admin's wish be lost.
#[test]
fn variables_of_the_container_make_no_warning_an_error() {
    let odd = |env: &str| {
        let bundle = bundle(env);
        // Not a library's name.
        bundle.file("opt/lib/liba.so.1", library("a/b"));
        bundle
    };
    let update = "update-ldcache --folder /opt/lib";
    for (env, code) in [
        (with_env(&[]), 1),
        (with_env(&["NVIDIA_CTK_STRICT=true"]), 0),
    ] {
        let ran = run(&odd(&env), &["NVIDIA_CTK_STRICT=true"], update);
        assert_eq!(ran.code, code, "{env}: {ran:?}");
        assert!(
            ran.stderr.contains("its SONAME has a slash in it"),
            "{ran:?}"
        );
    }
    let ran = run(&odd(&with_env(&[])), &["NVIDIA_CTK_STRICT=maybe"], update);
    ran.warns(&["NVIDIA_CTK_STRICT is ignored"]);
    // The option counts whatever the environment has.
    let line = format!("{update} --strict=false");
    let ran = run(&odd(&with_env(&[])), &["NVIDIA_CTK_STRICT=true"], &line);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = format!("{update} --strict");
    let ran = run(&odd(&with_env(&["NVIDIA_CTK_STRICT=false"])), &[], &line);
    assert_eq!(ran.code, 1, "{ran:?}");
    hostile_cases(1);
}

/// crun gives the root, so that config.json is not needed. Guard: `own_variables` is `None`.
#[test]
fn where_config_json_cannot_be_read_only_the_log_can_be_set() {
    for config in [
        "",
        "{",
        r#"{"process":{"env":"x"}}"#,
        r#"{"process":{"env":[7]}}"#,
    ] {
        let bundle = bundle(config);
        let mut state = bundle.state();
        state["root"] = "rootfs".into();
        let variables = [
            "NVIDIA_CTK_DISABLE_HOOKS=all",
            "NVIDIA_CTK_STRICT=1",
            "NVIDIA_CTK_DEBUG=1",
        ];
        let before = words(&[&["env"], &variables[..]].concat());
        let arguments: Vec<_> = CHMOD.split(' ').collect();
        let ran = bundle.run(&before, "nvidia-cdi-hook", &arguments, state.to_string());
        assert_eq!(
            (ran.code, bundle.mode("f")),
            (0, 0o644),
            "{config}: {ran:?}"
        );
        let debug = "level=debug msg=\"variables of the log alone count";
        assert!(ran.stderr.contains(debug), "{config}: {ran:?}");
        hostile_cases(1);
    }
}

/// The variables that name a configuration are for commands of the host.
#[test]
fn no_variable_names_the_configuration_of_a_hook() {
    let bundle = bundle(&with_env(&[]));
    let folder = bundle.host().join("nvidia-container-runtime");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("config.toml");
    fs::write(&file, "[nvidia-ctk]\ndisabled-hooks = [\"all\"]\n").unwrap();
    let host = bundle.host();
    for (name, value) in [
        ("NVIDIA_CTK_CONFIG_FILE_PATH", &file),
        ("XDG_CONFIG_HOME", &host),
    ] {
        bundle.set_mode("f", 0o600);
        run(&bundle, &[&format!("{name}={}", value.display())], CHMOD).silent();
        assert_eq!(bundle.mode("f"), 0o644, "{name}");
    }
    hostile_cases(2);
}

/// An image must not hide what a hook says, nor make it talk. Guard: `read_again`.
#[test]
fn the_container_does_not_set_the_log() {
    let off = "NVIDIA_CTK_DISABLE_HOOKS=chmod";
    for prefix in ["NVIDIA_CTK", "NVIDIA_CDI"] {
        let (debug, quiet) = (
            format!("{prefix}_DEBUG=true"),
            format!("{prefix}_QUIET=true"),
        );
        for (of_container, is_set) in [(&[][..], true), (&[debug.as_str(), &quiet], false)] {
            let config = with_env(of_container);
            let ran = run(&bundle(&config), &[&debug], CHMOD);
            let says = ran.stderr.contains("msg=\"/f: mode is now");
            assert_eq!((ran.code, says), (0, is_set), "{debug} {config}: {ran:?}");
            let ran = run(&bundle(&config), &[&quiet, off], CHMOD);
            let is_quiet = ran.stderr.is_empty();
            assert_eq!(
                (ran.code, is_quiet),
                (0, is_set),
                "{quiet} {config}: {ran:?}"
            );
            // The line counts whatever the container has.
            let line = format!("{CHMOD} --debug");
            let ran = run(&bundle(&config), &[&debug], &line);
            assert!(
                ran.stderr.contains("msg=\"/f: mode is now"),
                "{config}: {ran:?}"
            );
        }
    }
    hostile_cases(4);
}

/// std gives a thread the stack that a variable asks for, and starts none where there is not so much. Guard: `sys::STACK`.
#[test]
fn the_environment_keeps_no_thread_from_starting() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    hostile_cases(2);
    for size in ["18446744073709551615", "1099511627776"] {
        let bundle = bundle(&with_env(&[]));
        bundle
            .file("opt/lib/liba.so.1", library("liba.so.1"))
            .file("etc/ld.so.cache", "old");
        // A thread mounts the new cache: it is there as long as the mounts are.
        let stack = format!("export RUST_MIN_STACK={size} root");
        let mounts = with_mounts(&bundle, &format!("{READ_ONLY}; {stack}"));
        let hook = words(&["unshare", "--pid", "--fork"]);
        let look = "\"$@\" && grep -c /opt/lib/liba.so.1 \"$root/etc/ld.so.cache\"";
        let before = [mounts, words(&["sh", "-c", look, "sh"]), hook].concat();
        let ran = bundle.hook_in(&before, "update-ldcache --folder /opt/lib");
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "1\n"), "{ran:?}");
    }
}

/// Guard: the bounds in `oci::variables`. What cannot be a process's environment is none, and takes no memory.
#[test]
fn memory_does_not_follow_the_environment_of_a_container() {
    let long = format!("A={}", "x".repeat(40_000_000));
    let many: Vec<_> = (0..1_000_000)
        .map(|number| format!("NVIDIA_CTK_{number}=x"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let peak = |env: &[&str], is_off: bool| {
        let bundle = bundle(&with_env(env));
        let meter = Meter::new(&bundle);
        let before = [
            words(&["env", "NVIDIA_CTK_DISABLE_HOOKS=chmod"]),
            meter.before(),
        ]
        .concat();
        let ran = bundle.hook_in(&before, CHMOD);
        assert_eq!(
            (ran.code, bundle.mode("f") == 0o600),
            (0, is_off),
            "{ran:?}"
        );
        meter.read().peak
    };
    hostile_cases(2);
    let least = peak(&["A=b"], true);
    for env in [&[long.as_str()][..], &many] {
        let most = peak(env, false);
        assert!(
            most < least + (4 << 10),
            "{most} KiB, with a small one {least} KiB"
        );
    }
}

/// No hook reads config.json for variables that nobody set. Guard: `is_own_variable`.
#[test]
fn without_variables_of_its_own_a_hook_reads_no_environment() {
    let bundle = bundle("{");
    let mut state = bundle.state();
    state["root"] = "rootfs".into();
    let arguments: Vec<_> = CHMOD.split(' ').chain(["--debug"]).collect();
    for (variable, is_read) in [
        ("CUDA_VERSION=12", false),
        ("A_NVIDIA_CTK_DEBUG=1", false),
        ("NVIDIA_CTK_DEBUG=1", true),
        ("NVIDIA_CDI_DEBUG=1", true),
    ] {
        let before = words(&["env", variable]);
        let ran = bundle.run(&before, "nvidia-cdi-hook", &arguments, state.to_string());
        let says = ran.stderr.contains("variables of the log alone count");
        assert_eq!((ran.code, says), (0, is_read), "{variable}: {ran:?}");
    }
}
