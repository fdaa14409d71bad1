//! `nvidia-container-runtime`: runs in front of runc or crun and applies CDI specs to containers that request GPUs.
//!
//! Containers that request nothing cost the start of this program: their configuration is read and not written. All other
//! commands are passed to the low-level runtime unchanged. Only errors are printed, since engines parse a runtime's output.

pub mod arguments;
mod create;
mod file;
mod hook;
pub mod log;
pub(crate) mod low_level;
pub mod request;
mod resolve;
pub mod settings;

use std::ffi::OsString;
use std::process::ExitCode;

use ::log::LevelFilter;

use crate::diagnostics::init;
use crate::names::Program;
use crate::sys;
use arguments::Call;
use low_level::LowLevel;
use settings::Settings;

/// Runs the program with the arguments after `argv[0]`. The runtime returns only on failure, since the low-level runtime replaces
/// this process.
pub(crate) fn run(program: Program, words: &[OsString]) -> ExitCode {
    init(LevelFilter::Error);
    match program {
        Program::Runtime => runtime(words),
        Program::RuntimeHook => hook::run(words),
    }
}

fn runtime(words: &[OsString]) -> ExitCode {
    let call = Call::parse(words);
    let settings = Settings::read();
    let forwarded = create::prepare(&call, &settings)
        .and_then(|()| LowLevel::find(&settings))
        .and_then(|runtime| {
            sys::restore_signals();
            runtime.exec(words)
        });
    let Err(err) = forwarded;
    call.log.error(&err, settings.debug.as_deref());
    ExitCode::FAILURE
}
