//! The binary needs nothing of the host: no loader, no library. All tests run the same one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use goblin::elf::Elf;
use goblin::elf::dynamic::DT_NEEDED;
use goblin::elf::program_header::PT_INTERP;

use crate::common::bundle::Bundle;
use crate::common::machine::{binary, folder, has, must};
use crate::common::wrapper::{with_mounts, without, words};

fn is_static(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    let headers = &elf.program_headers;
    let has_interpreter = headers.iter().any(|header| header.p_type == PT_INTERP);
    let entries = elf.dynamic.iter().flat_map(|dynamic| &dynamic.dyns);
    let needs = entries.filter(|entry| entry.d_tag == DT_NEEDED).count();
    !has_interpreter && needs == 0
}

#[test]
fn it_is_static() {
    let path = binary();
    assert!(is_static(&path), "{} needs a loader", path.display());
}

/// The same look at a program that does have both.
#[test]
fn a_dynamic_program_would_be_seen() {
    let folder = folder();
    let program = folder.path().join("dynamic");
    let source = folder.path().join("main.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let gcc = &mut Command::new("gcc");
    must(gcc.arg("-o").arg(&program).arg(&source));
    assert!(!is_static(&program));
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// What runs is what was built (`NVIDIA_CTK_SHA256`): the kernel is asked, while a hook waits for its state.
#[test]
fn the_program_that_runs_is_the_one_that_was_built() {
    let built = std::env::var("NVIDIA_CTK_SHA256").unwrap_or_else(|_| sha256(&binary()));
    let bundle = Bundle::new();
    let mut hook = Command::new(bundle.path().join("nvidia-cdi-hook"))
        .args(["chmod", "--mode", "755", "--path", "/x"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let runs = sha256(&Path::new("/proc").join(hook.id().to_string()).join("exe"));
    hook.kill().unwrap();
    hook.wait().unwrap();
    assert_eq!(runs, built);
}

/// A panic, which there should be none of, says where and why, whatever the environment asks for: here std has no random numbers.
#[test]
fn a_panic_says_why() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let bundle = Bundle::new();
    for value in ["0", "1", "full"] {
        let without = [
            with_mounts(&bundle, "mount -t tmpfs tmpfs /dev"),
            words(&["env", &format!("RUST_BACKTRACE={value}")]),
            without(&["getrandom"]),
        ]
        .concat();
        let ran = bundle.hook_in(&without, "update-ldcache --folder /opt/lib");
        assert!(ran.stderr.contains("panicked at"), "{value}: {ran:?}");
        assert!(
            ran.stderr.contains("failed to generate random data"),
            "{value}: {ran:?}"
        );
    }
}

/// A test that names the binary by itself would run the development build whatever `NVIDIA_CTK_BINARY` says.
#[test]
fn one_function_names_the_binary() {
    let mut naming = Vec::new();
    let mut left = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
        } else if path.extension().is_some_and(|it| it == "rs")
            && fs::read_to_string(&path)
                .unwrap()
                .contains(concat!("CARGO_BIN", "_EXE"))
        {
            naming.push(path);
        }
    }
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/common/machine.rs");
    assert_eq!(naming, [machine]);
}
