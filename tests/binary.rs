//! The binary needs nothing of the host: no loader, no library.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "also outside of the test functions")]

#[path = "common/machine.rs"]
#[allow(dead_code, reason = "no test program needs all of it")]
mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use goblin::elf::dynamic::DT_NEEDED;
use goblin::elf::program_header::PT_INTERP;

/// The binary under test and, where there is one, the release build beside it.
fn binaries() -> Vec<PathBuf> {
    let release = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release/nvidia-ctk");
    let mut all = vec![machine::binary()];
    if release.is_file() {
        all.push(release);
    }
    all
}

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
    for path in binaries() {
        assert!(is_static(&path), "{} needs a loader", path.display());
    }
}

/// The same look at a program that does have both.
#[test]
fn a_dynamic_program_would_be_seen() {
    let folder = machine::folder();
    let program = folder.path().join("dynamic");
    let source = folder.path().join("main.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let gcc = &mut std::process::Command::new("gcc");
    machine::must(gcc.arg("-o").arg(&program).arg(&source));
    assert!(!is_static(&program));
}
