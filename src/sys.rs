//! The only module with `unsafe` code.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, alarm};

use crate::diagnostics::say_last_words;

/// The stack size of a thread, in bytes: std's default. Without a size std reads `RUST_MIN_STACK`, which a hook may inherit from
/// the container's image; a thread with too large a stack does not start.
pub const STACK: usize = 2 << 20;

/// Closes every descriptor above standard error. Runtimes such as runc leave descriptors open in hooks, and one of runc's leads
/// out of the container. Call it before this program opens any.
pub fn close_inherited_descriptors() {
    const FIRST: libc::c_uint = 3;
    /// The descriptors that are closed one by one before Linux 5.9.
    const USUAL: libc::c_uint = 256;
    // SAFETY: no value of this process owns any of these descriptors yet.
    unsafe {
        if libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) != 0 {
            for descriptor in FIRST..USUAL {
                libc::close(descriptor.cast_signed());
            }
        }
    }
}

/// Maps this program's executable file for reading. Fails if it cannot be opened or mapped. No other file is safe to map: whoever
/// can write to it can shrink it, and a read past its end raises SIGBUS.
#[expect(clippy::disallowed_methods, reason = "the program's own file")]
pub fn map_own_program() -> io::Result<Mmap> {
    let file = File::open("/proc/self/exe")?;
    // SAFETY: the map is private to this process and read-only. While a program runs, the kernel lets nobody write to its file or
    // shrink it (ETXTBSY); package managers replace it by renaming.
    unsafe { Mmap::map(&file) }
}

/// The signal whose handler logs the last words and ends this process.
const GIVE_UP: Signal = Signal::SIGALRM;

static KILLER: OnceLock<Timer> = OnceLock::new();

struct Timer(libc::timer_t);

// SAFETY: the kernel's number of a timer of this process; no memory is behind it.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

/// Creates the timers of [`set_timers`]; the handler of the first one logs the text given to
/// [`crate::diagnostics::prepare_last_words`]. Fails if the kernel refuses a handler or a timer.
pub fn start_timers() -> nix::Result<()> {
    let handler = SigHandler::Handler(give_up);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: all zeros are a valid value of this struct.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    // Any other signal would stay pending behind the first one if that cannot be handled.
    event.sigev_signo = libc::SIGKILL;
    let mut timer = null_mut();
    // SAFETY: the handler does only what a handler may; both pointers are valid during the call.
    unsafe {
        sigaction(GIVE_UP, &action)?;
        let created = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
        Errno::result(created)?;
    }
    let _ = KILLER.set(Timer(timer));
    // The runtime may have blocked it.
    SigSet::from(GIVE_UP).thread_unblock()
}

/// Makes this process give up and be killed after so many seconds each; 0 disables a timer. Replaces earlier settings.
pub fn set_timers(give_up: u16, kill: u16) {
    let Some(Timer(killer)) = KILLER.get() else {
        return;
    };
    match give_up {
        0 => alarm::cancel(),
        seconds => alarm::set(seconds.into()),
    };
    let after = |seconds| libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let once = libc::itimerspec {
        it_interval: after(0),
        it_value: after(kill.into()),
    };
    // SAFETY: the timer exists and is never deleted; the pointer is valid during the call.
    unsafe { libc::timer_settime(*killer, 0, &raw const once, null_mut()) };
}

extern "C" fn give_up(_: libc::c_int) {
    say_last_words();
    exit(1);
}

/// Ends the process at once.
pub fn exit(code: u8) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code.into()) }
}

/// Forks this process; returns the child's pid in the parent. For processes with a single thread only. Fails as fork(2) does.
pub fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: with one thread, no lock is held by a thread that the new process does not have.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Whether SIGPIPE was ignored when this process started: Rust's runtime ignores it before `main`.
static IGNORES_SIGPIPE: AtomicBool = AtomicBool::new(false);

/// Called by the C library before Rust's runtime starts.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

extern "C" fn remember_sigpipe() {
    // SAFETY: all zeros are a valid value of this struct, and the pointer is valid during the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGPIPE, null(), &raw mut action) == 0 {
            IGNORES_SIGPIPE.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
        }
    }
    #[cfg(target_env = "musl")]
    blocked::remember();
}

/// The signals that were blocked when this process started: musl unblocks some of its own as soon as a handler is set.
#[cfg(target_env = "musl")]
mod blocked {
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicU64, Ordering};

    static SIGNALS: AtomicU64 = AtomicU64::new(0);
    /// The size of a signal set in the kernel.
    const SIZE: usize = size_of::<u64>();

    pub(super) fn remember() {
        let mut set = 0_u64;
        // SAFETY: the pointer is valid during the call, and the set has the given size.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_BLOCK,
                null_mut::<u64>(),
                &raw mut set,
                SIZE,
            )
        };
        SIGNALS.store(set, Ordering::Relaxed);
    }

    pub(super) fn restore() {
        let set = SIGNALS.load(Ordering::Relaxed);
        // SAFETY: as above.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const set,
                null_mut::<u64>(),
                SIZE,
            )
        };
    }
}

/// Runs `work` while a signal is ignored.
pub fn without_signal<T>(signal: Signal, work: impl FnOnce() -> T) -> T {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: this installs no handler of this process.
    let before = unsafe { sigaction(signal, &ignore) };
    let done = work();
    if let Ok(before) = before {
        // SAFETY: restores the earlier action.
        let _ = unsafe { sigaction(signal, &before) };
    }
    done
}

/// Restores the action of SIGPIPE and the blocked signals from the start of this process, for a program that it executes.
pub fn restore_signals() {
    #[cfg(target_env = "musl")]
    blocked::restore();
    let handler = if IGNORES_SIGPIPE.load(Ordering::Relaxed) {
        SigHandler::SigIgn
    } else {
        SigHandler::SigDfl
    };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: this installs no handler of this process.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &action) };
}
