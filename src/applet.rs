//! Which applet runs: by the basename of argv[0], then by argv[1..].

use std::ffi::OsString;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use crate::hook::Hook;

/// A name under which the binary is called, and the subcommands that this name stands for.
pub struct Applet {
    /// Basename of argv[0].
    pub name: &'static str,
    /// The subcommands of `nvidia-ctk` that come before the caller's arguments.
    pub path: &'static [&'static str],
}

/// All applets; the first one is what an unknown name behaves as.
pub const APPLETS: &[Applet] = &[
    Applet { name: "nvidia-ctk", path: &[] },
    Applet { name: "nvidia-cdi-hook", path: &["hook"] },
    Applet { name: "nvidia-ctk-chmod", path: &["hook", "chmod"] },
    Applet { name: "nvidia-ctk-symlinks", path: &["hook", "create-symlinks"] },
    Applet { name: "nvidia-ctk-ldcache", path: &["hook", "update-ldcache"] },
];

/// Prepare containers for NVIDIA GPUs.
#[derive(FromArgs, ArgsInfo)]
struct NvidiaCtk {
    /// log what is done, too
    #[argh(switch, short = 'd')]
    debug: bool,
    /// log errors only
    #[argh(switch)]
    quiet: bool,
    /// print the version
    #[argh(switch, short = 'v')]
    version: bool,
    /// print the names under which this program can be called
    #[argh(switch)]
    list: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Hook(Hook),
}

/// Runs the applet that `argv` names and returns its exit code.
pub fn run(argv: impl Iterator<Item = OsString>) -> ExitCode {
    let _ = argv;
    ExitCode::SUCCESS
}
