//! Ends a hook that waits for an unresponsive file system, so that no container start hangs for ever.
//!
//! What can end such a wait depends on the server (measured on Linux 6.18 with `tests/fixtures/fuse.c`; the kernel's code is
//! `request_wait_answer` in fs/fuse/dev.c):
//!
//! | the server | a signal's handler runs | a fatal signal ends the process | another process goes on |
//! |---|---|---|---|
//! | honours FUSE's INTERRUPT | yes | yes | yes |
//! | reads no requests; NFS, automounts | no | yes | yes |
//! | FUSE: reads requests, answers none | no | no, not even SIGKILL | yes |
//!
//! So there are three means: a timer whose handler logs the reason and exits; a later timer that kills; and, for a root on a file
//! system with a server, a second process: see [`supervise`]. The timers take 8 µs, the process 90 µs, as a thread would. No
//! signal is sent while calls return: a FUSE server may fail a call that a signal interrupts.

mod supervisor;

use std::io::{self, Read};
use std::sync::atomic::{AtomicI64, Ordering};

use nix::time::{ClockId, clock_gettime};

pub use supervisor::supervise;

use crate::{diagnostics, sys};

/// How long one call may take, in seconds.
const PATIENCE: u16 = 8;
/// How often progress is noted, in seconds.
const STEP: u16 = 1;
/// How long after the last note the hook gives up.
const GIVE_UP: u16 = PATIENCE + STEP;
/// How long after the last note the hook is killed if it could not give up.
const KILL: u16 = GIVE_UP + 1;

/// The time of the last note, in seconds.
static NOTED: AtomicI64 = AtomicI64::new(NOT_STARTED);
const NOT_STARTED: i64 = i64::MAX;

/// Ends this process from now on when a call does not return. This cannot be undone: it is for programs that are hooks.
pub fn start() {
    diagnostics::prepare_last_words(&gives_up());
    match sys::start_timers() {
        Ok(()) => {
            sys::set_timers(GIVE_UP, KILL);
            NOTED.store(now(), Ordering::Relaxed);
        }
        Err(err) => log::debug!("no limit on the time of calls: {err}"),
    }
}

/// Notes that a call has returned. Costs one read of the clock: 5 ns.
pub fn progress() {
    let now = now();
    if now.saturating_sub(NOTED.load(Ordering::Relaxed)) >= STEP.into() {
        NOTED.store(now, Ordering::Relaxed);
        if !supervisor::pass_on_progress() {
            sys::set_timers(GIVE_UP, KILL);
        }
    }
}

/// A reader that notes each read.
pub struct Noted<R>(pub R);

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer);
        progress();
        read
    }
}

fn is_started() -> bool {
    NOTED.load(Ordering::Relaxed) != NOT_STARTED
}

/// nix rather than rustix, which would look up the vDSO again, for 4 µs.
fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| time.tv_sec())
}

fn gives_up() -> String {
    format!(
        "a file system of the container has not answered for {PATIENCE} s: the hook gives up; \
         look for a FUSE or NFS server or an automount that hangs"
    )
}
