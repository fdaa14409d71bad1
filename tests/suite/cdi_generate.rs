//! `cdi generate` on made-up hosts: what it writes, and what it says.

mod faults;
mod golden;
mod hooks;
mod hostile;
mod modes;
mod names;
mod options;
mod output;
mod platforms;
mod watch;

use std::process::Command;

use serde_json::Value;

use crate::common::cdi_spec::{Node, Spec};
use crate::common::gpu_host::{Gpu, GpuHost};
use crate::common::host::Host;
use crate::common::machine::must;
use crate::common::outcome::Outcome;
use crate::common::wrapper::words;

/// Leaves a host with eight GPUs, the description of `nvml_stub.c` included, in the folder that `GPU_HOST` names.
#[test]
#[ignore = "makes a host for tests/bench/cdi.sh"]
fn a_host_for_the_bench() {
    let folder = std::env::var_os("GPU_HOST").expect("a folder");
    let host = GpuHost::new("full-2gpu.yaml", &Gpu::eight()).expect("device nodes");
    host.file("/nvml", GpuHost::nvml(&Gpu::eight()));
    must(Command::new("cp").arg("-a").arg(host.at(".")).arg(folder));
}

/// Runs it on a host, with words that are parted by blanks.
fn generate(host: &Host, options: &str) -> Outcome {
    generate_with(host, &[], options)
}

/// The same with variables.
fn generate_with(host: &Host, variables: &[&str], options: &str) -> Outcome {
    let before = words(&[&["env"], variables].concat());
    host.run_in(&before, &format!("cdi generate --root @ROOT@ {options}"))
}

/// What it prints where it succeeds.
#[track_caller]
fn spec(host: &Host, options: &str) -> Spec {
    let outcome = generate(host, options);
    assert_eq!(outcome.code, 0, "{options}: {}", outcome.stderr);
    Spec::printed(&outcome.stdout)
}

/// It fails with one line in which these words are.
#[track_caller]
fn refuses(host: &Host, options: &str, words: &[&str]) {
    let outcome = generate(host, options);
    assert_eq!(outcome.code, 1, "{options}: {outcome:?}");
    assert_eq!(outcome.stdout, "", "{options}");
    assert_eq!(
        outcome.stderr.lines().count(),
        1,
        "{options}: {}",
        outcome.stderr
    );
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "{options}: {word} in {}",
            outcome.stderr
        );
    }
}

/// The lines of a level that it says.
fn said<'o>(outcome: &'o Outcome, level: &str) -> Vec<&'o str> {
    let start = format!("level={level} ");
    outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with(&start))
        .collect()
}

/// The names of the devices of a spec.
fn names(spec: &Spec) -> Vec<&str> {
    spec.devices().collect()
}

/// What all containers get.
fn common(spec: &Spec) -> &Value {
    &spec.value["containerEdits"]
}

/// What a container gets with this device alone.
#[track_caller]
fn device<'s>(spec: &'s Spec, name: &str) -> &'s Value {
    spec.edits(name)[1]
}

/// The paths of the device nodes of edits.
fn nodes(edits: &Value) -> Vec<String> {
    Node::all(edits).into_iter().map(|node| node.path).collect()
}

/// The words of each hook of edits.
fn hooks(edits: &Value) -> Vec<Vec<&str>> {
    let hooks = edits["hooks"].as_array().into_iter().flatten();
    hooks.map(|hook| texts(&hook["args"])).collect()
}

/// Host path and container path of each mount of edits.
fn mounts(edits: &Value) -> Vec<(&str, &str)> {
    let mounts = edits["mounts"].as_array().into_iter().flatten();
    mounts
        .map(|mount| ["hostPath", "containerPath"].map(|key| mount[key].as_str().unwrap()))
        .map(|[host, container]| (host, container))
        .collect()
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|it| it.as_str().unwrap())
        .collect()
}

/// The values that a hook's words give to an option, in one word or in two.
fn values<'w>(words: &[&'w str], option: &str) -> Vec<&'w str> {
    let mut values = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word == option {
            values.extend(words.get(at + 1));
        } else if let Some(rest) = word.strip_prefix(option) {
            values.extend(rest.strip_prefix('='));
        }
    }
    values
}
