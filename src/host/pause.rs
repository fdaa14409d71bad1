//! Waiting that SIGTERM and SIGINT end: for commands that stay and look again from time to time.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals of which this process is told where it waits.
pub struct Pause(SignalFd);

/// Why a wait is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// The time has passed.
    Time,
    /// The process is asked to end; every further wait says so at once.
    Signal,
}

impl Pause {
    /// From now on the two signals do not end the process, but its waits. To be called before there are other threads; programs
    /// that are started get them as usual.
    pub fn new() -> nix::Result<Self> {
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self(signals))
    }

    /// Waits so long, or until a signal comes. May wake too early.
    pub fn wait(&self, time: Duration) -> nix::Result<Woken> {
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let mut signals = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut signals, time) {
            Ok(0) | Err(Errno::EINTR) => Ok(Woken::Time),
            result => result.map(|_| Woken::Signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_signal_ends_every_wait() {
        let pause = Pause::new().unwrap();
        assert_eq!(pause.wait(Duration::ZERO), Ok(Woken::Time));
        raise(Signal::SIGTERM).unwrap();
        for _ in 0..2 {
            assert_eq!(pause.wait(Duration::MAX), Ok(Woken::Signal));
        }
    }
}
