//! `nvidia-container-runtime`: stands before runc or crun, and gives a container that asks for GPUs what a CDI spec says.
//!
//! Containers that ask for nothing cost the start of this program: their configuration is read, and not written. Every other
//! command goes to the low-level runtime as it came. Nothing is printed but an error, since engines read what runtimes print.

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

/// Runs the program with the words behind argv[0]. Returns for an error only, where the program is the runtime: else the low-level
/// runtime has taken its place.
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
