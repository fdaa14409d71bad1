//! README has its headings in order; its commands run, the files that it names exist, and the messages in it are the program's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::command_line::{commands, is_accepted, is_ours};
use crate::common::gpu_host::GpuHost;
use crate::common::machine::{binary, copy_program, has};
use crate::common::outcome::Outcome;
use crate::common::source::code;
use crate::common::wrapper::{HANGS, within};

const README: &str = include_str!("../../README.md");

/// Documents whose fenced blocks are commands.
const DOCUMENTS: [&str; 3] = ["README.md", "packaging/README.md", "tests/bench/README.md"];

const HEADINGS: [&str; 9] = [
    "What works today",
    "Quick start",
    "Why",
    "Install",
    "GPU containers",
    "Commands",
    "Troubleshooting",
    "Limits",
    "Development",
];

/// Makes `$1` the root directory of a command, with the machine's /proc but for the driver's parts of it.
const IN_HOST: &str = r#"set -e; host=$1; shift; mount --bind "$host" /mnt; mount -t proc proc /mnt/proc
for name in driver devices; do mount --bind "$host/proc/$name" "/mnt/proc/$name"; done
exec chroot /mnt "$@""#;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The fenced blocks of a document.
fn blocks(document: &str) -> Vec<String> {
    let text = fs::read_to_string(at(document)).unwrap();
    let parts: Vec<_> = text.split("\n```").collect();
    assert_eq!(parts.len() % 2, 1, "{document}: a block without an end");
    let block = |part: &&str| part.strip_prefix("sh\n").map(str::to_owned);
    let blocks = parts.iter().skip(1).step_by(2);
    let blocks = blocks.map(|part| block(part).expect("a block that is not of sh"));
    blocks.collect()
}

#[test]
fn headings_come_in_order() {
    let headings = README.lines().filter_map(|line| line.strip_prefix("## "));
    assert_eq!(headings.collect::<Vec<_>>(), HEADINGS);
}

#[test]
fn the_first_lines_name_purpose_users_and_limits() {
    let first: Vec<_> = README.lines().take(15).collect();
    let text = first.join(" ");
    for words in [
        "NVIDIA GPUs",
        "for people who",
        "It cannot:",
        "No test of this project has seen a GPU",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let limits = first.iter().filter(|line| line.starts_with("- "));
    assert_eq!(limits.count(), 3);
}

#[test]
fn the_figures_can_be_replaced() {
    let (_, rest) = README.split_once("\n<!-- begin figures -->\n").unwrap();
    let (figures, rest) = rest.split_once("\n<!-- end figures -->\n").unwrap();
    assert!(figures.contains("packaging/bench.svg"));
    assert!(!rest.contains("figures -->"));
}

/// Files of this repository that a document names in code; `.ci/links` looks at its links.
#[test]
fn files_exist() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(at(document)).unwrap();
        let code = text.split('`').skip(1).step_by(2);
        let words = code.flat_map(str::split_whitespace);
        let ours = ["packaging/", "tests/", "hooks.d/", ".ci/"];
        for path in words.filter(|word| ours.iter().any(|top| word.starts_with(top))) {
            assert!(at(path).exists(), "{document}: {path}");
        }
    }
}

#[test]
fn every_manual_page_is_linked() {
    for entry in fs::read_dir(at("packaging/man")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_link = fs::read_to_string(&path).unwrap().starts_with(".so ");
        let link = format!("(packaging/man/{name})");
        assert!(is_link || README.contains(&link), "{name}");
    }
}

/// The messages that README attributes to the program are in its code; dots stand for what varies.
#[test]
fn messages_are_the_programs_own() {
    let code = code();
    let (_, section) = README.split_once("\n## Troubleshooting\n").unwrap();
    let mut count = 0;
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split(" | ");
        let message = cells.next().unwrap().trim_start_matches("| ");
        if cells.next() == Some("`nvidia-ctk`") {
            let message = message.trim_matches('`');
            for part in message.split('…').map(str::trim) {
                assert!(code.contains(part), "{message}: {part}");
            }
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn commands_are_ours_or_known() {
    for document in DOCUMENTS {
        for block in blocks(document) {
            Outcome::of(Command::new("sh").args(["-n", "-c", &block])).silent();
            for words in commands(&block) {
                known(&words);
            }
        }
    }
}

/// Fails for a command that this repository contradicts. NOT CHECKED: the options of apt, systemctl, podman, docker, ctr and kubectl,
/// commands in comments (dnf), and what these programs do; `tests/long` runs engines and package managers.
fn known(words: &[String]) {
    let line = words.join(" ");
    let mut words = words.to_vec();
    words.retain(|word| !is_assignment(word));
    if is_ours(&words) {
        return is_accepted(&words);
    }
    let arguments = &words[1..];
    match words[0].as_str() {
        "apt" => {
            let package = arguments.last().unwrap();
            let file = format!("nvidia-ctk_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
            let is_file = package.ends_with(&format!("/{file}"));
            let names = ["nvidia-ctk", "nvidia-container-toolkit"];
            assert!(is_file || names.contains(&package.as_str()), "{line}");
        }
        "systemctl" => match arguments.last().unwrap().as_str() {
            "docker" | "containerd" | "crio" => assert_eq!(arguments[0], "restart", "{line}"),
            unit => assert!(at("packaging/systemd").join(unit).is_file(), "{line}"),
        },
        "podman" if arguments[0] == "build" => {
            assert!(line.contains("--file packaging/container/Containerfile"));
        }
        "podman" | "docker" | "ctr" => {
            assert_eq!(arguments[0], "run", "{line}");
            assert!(
                line.contains(" --device nvidia.com/gpu=all ")
                    || line.contains(" --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all "),
                "{line}"
            );
        }
        "kubectl" => assert!(at(arguments.last().unwrap()).is_dir(), "{line}"),
        "cargo" => assert_eq!(line, "cargo build --release"),
        "cd" => assert_eq!(line, "cd target/dist"),
        "sha256sum" => assert_eq!(line, "sha256sum --check SHA256SUMS"),
        "target/release/nvidia-ctk" => {
            words[0] = "nvidia-ctk".into();
            is_accepted(&words);
        }
        "sh" => assert!(at(&arguments[0]).is_file(), "{line}"),
        script => {
            let file = fs::metadata(at(script));
            assert!(file.is_ok_and(|it| it.mode() & 0o111 != 0), "{line}");
        }
    }
}

/// Whether a word sets a variable for the command that follows.
fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// A host with two GPUs on which the program is installed.
fn host() -> Option<GpuHost> {
    let host = GpuHost::of("full-2gpu.yaml")?;
    for folder in ["/usr/bin", "/target/release"] {
        host.directory(folder);
        copy_program(&binary(), &host.at(format!("{folder}/nvidia-ctk")));
    }
    // What the unit writes on a host without nvidia-smi.
    host.file("/run/nvidia-ctk/gpus", "");
    host.link("/var/run", "../run");
    run(&host, "nvidia-ctk install");
    Some(host)
}

/// Runs a command, which must succeed, with the host's root directory as its own.
fn run(host: &GpuHost, line: &str) {
    let mut command = within(HANGS, &[], "unshare");
    command
        .args([
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            IN_HOST,
            "sh",
        ])
        .arg(host.root())
        .args(line.split(' '))
        .stdin(Stdio::null());
    let outcome = Outcome::of(&mut command);
    // doctor may warn: the host is incomplete.
    let is_good = outcome.code <= i32::from(line == "nvidia-ctk doctor");
    assert!(is_good, "{line}: {outcome:?}");
    let lists = line == "nvidia-ctk cdi list";
    assert!(!lists || outcome.has("nvidia.com/gpu=all\n"), "{outcome:?}");
}

/// The command that a unit starts, without the option that makes it run until it is stopped.
fn started_by(unit: &str) -> String {
    let text = fs::read_to_string(at("packaging/systemd").join(unit)).unwrap();
    let (_, line) = text.split_once("\nExecStart=/usr/bin/").unwrap();
    let line = line.lines().next().unwrap();
    line.replace(" --watch", "").replace("%t", "/run")
}

/// Each block runs on a new host, line by line; for a unit, the command in its file runs.
#[test]
fn its_commands_run() {
    if !has(&["unshare", "mount", "chroot"]) {
        return;
    }
    let mut count = 0;
    for block in blocks("README.md") {
        let Some(host) = host() else { return };
        for words in commands(&block) {
            let line = words.join(" ");
            if words[0].ends_with("nvidia-ctk") {
                run(&host, &line);
                count += 1;
            } else if let Some(unit) = line.strip_prefix("systemctl enable --now ") {
                run(&host, &started_by(unit));
            }
        }
    }
    assert!(count > 5, "{count}");
}
