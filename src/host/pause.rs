//! Interruptible waiting for commands that run until SIGTERM or SIGINT.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that end a wait instead of the process.
pub struct Pause(SignalFd);

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// The time has passed.
    Time,
    /// A signal asks the process to end; every further wait returns at once.
    Signal,
}

impl Pause {
    /// Redirects SIGTERM and SIGINT from the process to its waits. Call it before other threads exist; child programs receive the
    /// signals as usual. Fails if the kernel refuses a signal descriptor.
    pub fn new() -> nix::Result<Self> {
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self(signals))
    }

    /// Waits for `time` or until a signal arrives. It may return too early. Fails as poll(2) does.
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
