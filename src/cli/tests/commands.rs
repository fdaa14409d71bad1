//! Commands with options of every kind.

use argh::{ArgsInfo, FromArgs};

/// Root.
#[derive(FromArgs, ArgsInfo)]
#[expect(dead_code, clippy::struct_excessive_bools, reason = "only parsed")]
pub(super) struct Root {
    /// x
    #[argh(switch, short = 'd')]
    debug: bool,
    /// x
    #[argh(switch)]
    quiet: bool,
    /// x
    #[argh(switch, short = 'v')]
    version: bool,
    /// x
    #[argh(switch)]
    list: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only parsed")]
enum Command {
    Hook(Hook),
    Runtime(Runtime),
    Config(Config),
}

/// Hooks.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "hook")]
#[expect(dead_code, reason = "only parsed")]
struct Hook {
    #[argh(subcommand)]
    command: HookCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only parsed")]
enum HookCommand {
    Chmod(Chmod),
    Noop(Noop),
}

/// Modes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "chmod")]
#[expect(dead_code, reason = "only parsed")]
struct Chmod {
    /// x
    #[argh(option)]
    path: Vec<String>,
    /// x
    #[argh(option, arg_name = "octal")]
    mode: String,
    /// x
    #[argh(option)]
    container_spec: Option<String>,
}

/// Nothing.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "noop")]
struct Noop {}

/// Runtimes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "runtime")]
#[expect(dead_code, reason = "only parsed")]
struct Runtime {
    #[argh(subcommand)]
    command: RuntimeCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only parsed")]
enum RuntimeCommand {
    Configure(Configure),
}

/// Configure.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "configure")]
#[expect(dead_code, reason = "only parsed")]
struct Configure {
    /// x
    #[argh(option)]
    runtime: Option<String>,
    /// x
    #[argh(option, short = 'c')]
    csv_file: Option<String>,
    /// x
    #[argh(switch)]
    nvidia_set_as_default: bool,
    /// x
    #[argh(switch)]
    enable_cdi: bool,
    /// x
    #[argh(switch)]
    dry_run: bool,
    /// x
    #[argh(positional)]
    file: Option<String>,
}

/// Config.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "config")]
#[expect(dead_code, clippy::struct_field_names, reason = "only parsed")]
struct Config {
    /// x
    #[argh(option, short = 'c')]
    config_file: Option<String>,
    /// x
    #[argh(option)]
    set: Vec<String>,
    /// x
    #[argh(switch, short = 'i')]
    in_place: bool,
    #[argh(subcommand)]
    command: Option<ConfigCommand>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only parsed")]
enum ConfigCommand {
    Default(ConfigDefault),
}

/// Default.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "default")]
#[expect(dead_code, reason = "only parsed")]
struct ConfigDefault {
    /// x
    #[argh(option, short = 'o')]
    output: Option<String>,
}
