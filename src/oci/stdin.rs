//! Standard input that does not hold up a container for ever.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

/// How long the runtime may take to write the whole state.
const PATIENCE: Duration = Duration::from_secs(10);

/// Standard input with a deadline.
pub(super) struct Stdin {
    deadline: Instant,
}

impl Stdin {
    /// Refuses a terminal: a person called the hook by hand and waits for nothing.
    pub(super) fn open() -> Result<Self> {
        ensure!(
            !io::stdin().is_terminal(),
            "it is a terminal; a container runtime calls this hook with the state as JSON there. By hand: echo \
             '{{\"bundle\":\"/path/to/bundle\"}}' | nvidia-cdi-hook …, or --container-spec FILE"
        );
        Ok(Self::new())
    }

    /// A pipe, whose writer may fail when nobody reads it; none if it is something else.
    pub(super) fn open_pipe() -> Option<Self> {
        let mode = fstat(io::stdin()).ok()?.st_mode;
        let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
        matches!(kind, SFlag::S_IFIFO | SFlag::S_IFSOCK).then(Self::new)
    }

    fn new() -> Self {
        Self {
            deadline: Instant::now() + PATIENCE,
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if poll(
            &mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)],
            timeout,
        )? == 0
        {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no complete state after {} s", PATIENCE.as_secs()),
            ));
        }
        // Unbuffered: nothing may wait behind the first JSON value.
        Ok(nix::unistd::read(stdin, buffer)?)
    }
}
