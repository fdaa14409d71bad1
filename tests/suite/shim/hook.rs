//! `nvidia-container-runtime-hook`, whose presence alone makes docker before 29.2 accept `--gpus`. It injects nothing.

use serde_json::{Value, json};

use crate::common::host::Host;
use crate::common::machine::{helper, must};
use crate::common::outcome::Outcome;
use crate::common::shim::{Shim, config};
use std::io::Write as _;
use std::process::Stdio;

const NAME: &str = "nvidia-container-runtime-hook";

/// Runs the hook on a bundle as a runtime does.
fn run(config: &Value, arguments: &[&str]) -> Outcome {
    let shim = Shim::new();
    shim.config(config);
    let before = shim.text();
    let state = json!({"ociVersion": "1.0.2", "id": "c1", "pid": 1, "bundle": shim.at("bundle")});
    let outcome = with_state(&shim, arguments, &state.to_string());
    assert_eq!(shim.text(), before);
    outcome
}

fn with_state(shim: &Shim, arguments: &[&str], state: &str) -> Outcome {
    let mut command = shim.command(NAME, &[], arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("timeout");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(state.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("an end").into()
}

/// The container asked for nothing, or has got it.
#[test]
fn nothing_is_left_to_do() {
    for variables in [
        &[][..],
        &["NVIDIA_VISIBLE_DEVICES="],
        &["NVIDIA_VISIBLE_DEVICES=void"],
        &["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void"],
        &["NVIDIA_DRIVER_CAPABILITIES=all"],
    ] {
        run(&config(variables), &["prestart"]).silent();
    }
    let mut served = config(&["NVIDIA_VISIBLE_DEVICES=all"]);
    served["linux"]["devices"] =
        json!([{"path": "/dev/nvidiactl", "type": "c", "major": 195, "minor": 255}]);
    run(&served, &["prestart"]).silent();
}

/// Only our runtime, or CDI, can serve it: the container must not start without a GPU, and docker shows the line.
#[test]
fn a_request_is_refused_with_the_remedies() {
    for variables in [
        &["NVIDIA_VISIBLE_DEVICES=all"][..],
        &["NVIDIA_VISIBLE_DEVICES=0,1"],
        &["CUDA_VERSION=9.0"],
    ] {
        let outcome = run(&config(variables), &["prestart"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.lines().count()),
            ("", 1),
            "{outcome:?}"
        );
        for remedy in ["--runtime", "nvidia.com/gpu="] {
            assert!(outcome.stderr.contains(remedy), "{remedy}: {outcome:?}");
        }
    }
}

#[test]
fn other_stages() {
    let asking = config(&["NVIDIA_VISIBLE_DEVICES=all"]);
    for stage in ["poststart", "poststop"] {
        run(&asking, &[stage]).silent();
    }
}

/// Who asks for GPUs does not start for lack of words.
#[test]
fn what_is_no_state() {
    for state in [
        "",
        "{",
        "{}",
        "{\"bundle\":\"/nowhere\"}",
        "{\"bundle\":3}",
        "null",
    ] {
        let shim = Shim::new();
        shim.variables(&["NVIDIA_VISIBLE_DEVICES=all"]);
        let outcome = with_state(&shim, &["prestart"], state);
        assert_eq!(outcome.code, 1, "{state}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{state}: {outcome:?}");
    }
}

/// The name changes what docker does: it is there only where somebody asked for it.
#[test]
fn it_is_installed_on_request() {
    let path = format!("usr/bin/{NAME}");
    let host = Host::new();
    host.succeed("install --root @ROOT@");
    for name in ["", ".cdi", ".legacy"] {
        let target = host.target(format!("usr/bin/nvidia-container-runtime{name}"));
        assert_eq!(target, "nvidia-ctk", "{name}");
    }
    assert!(!host.at(&path).exists());
    host.succeed("install --with-runtime-hook --root @ROOT@");
    assert_eq!(host.target(&path), "nvidia-ctk");
    host.succeed("uninstall --root @ROOT@");
    assert!(!host.at("usr/bin/nvidia-container-runtime").is_symlink());
    assert!(!host.at(&path).is_symlink());
}

/// The proof that the stub notes what it is given.
#[test]
fn the_stub_itself() {
    let shim = Shim::new();
    must(&mut shim.command(
        "runc",
        &[],
        &["create", "--bundle", &shim.inside("bundle"), "", "a b"],
    ));
    let call = shim.last();
    assert_eq!(call.arguments()[3..], ["", "a b"]);
    assert_eq!(call.config(), config(&[]));
    assert_eq!(
        call.program,
        std::fs::canonicalize(shim.at("bin/runc")).unwrap()
    );
    assert!(helper("low_level.c").exists());
}
