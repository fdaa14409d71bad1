//! The binary: passes the arguments to the library and its exit code to the kernel.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    nvidia_ctk::run(std::env::args_os())
}
