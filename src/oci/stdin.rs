//! Standard input with a deadline, so that a hook does not wait for ever.

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
    /// Opens standard input. Fails for a terminal: then a person called the hook by hand.
    pub(super) fn open() -> Result<Self> {
        ensure!(
            !io::stdin().is_terminal(),
            "it is a terminal; a container runtime calls this hook with the state as JSON there. By hand: echo \
             '{{\"bundle\":\"/path/to/bundle\"}}' | nvidia-cdi-hook …, or --container-spec FILE"
        );
        Ok(Self::new())
    }

    /// Opens standard input if it is a pipe or a socket, whose writer may fail if nobody reads.
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
        // Unbuffered, so that no byte after the first JSON value is waited for.
        Ok(nix::unistd::read(stdin, buffer)?)
    }
}
