//! A second process for roots on a file system with a server: the hook's work is done in the new one, which may come to wait where
//! nothing can end it; the one that the runtime waits for does nothing but watch.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, pipe2, read, write};
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};

use super::{GIVE_UP, gives_up, is_started};
use crate::{diagnostics, sys};

/// Among the lines of the log, where it cannot come up: a note that calls return.
const NOTE: u8 = 0;
const FAILURE: u8 = 1;

static IS_SUPERVISED: AtomicBool = AtomicBool::new(false);

/// Goes on in a process that is watched, if the root's file system has a server. Must be called before there are threads, and
/// before the root is asked anything. Does nothing unless [`super::start`] was called.
///
/// A file system below the root's own, or below an overlay, is not seen: for those there are the timers.
pub fn supervise(root: impl AsFd) {
    if is_started()
        && has_server(root)
        && let Err(errno) = start()
    {
        log::debug!("the hook is not supervised: {errno}");
    }
}

/// Local file systems say whether a file is immutable, and overlays do; FUSE, NFS, SMB and 9P do not. Other than statfs(2), this
/// does not ask the server. Where statx(2) is hidden there are the timers.
fn has_server(root: impl AsFd) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(root, "", flags, StatxFlags::INO);
    stat.is_ok_and(|stat| {
        !stat
            .stx_attributes_mask
            .contains(StatxAttributes::IMMUTABLE)
    })
}

/// Returns in the new process. What that one prints goes through this one: a runtime waits until nobody holds its pipe any more.
fn start() -> nix::Result<()> {
    let (heard, told) = pipe2(OFlag::O_CLOEXEC)?;
    if let Some(child) = sys::fork()? {
        drop(told);
        sys::set_timers(0, 0);
        sys::exit(watch(child, &heard));
    }
    set_pdeathsig(Signal::SIGKILL)?;
    dup2_stdout(&told)?;
    dup2_stderr(&told)?;
    IS_SUPERVISED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Tells the supervisor, if there is one, that calls return.
pub(super) fn pass_on_progress() -> bool {
    let is_supervised = IS_SUPERVISED.load(Ordering::Relaxed);
    if is_supervised {
        let _ = write(io::stderr(), &[NOTE]);
    }
    is_supervised
}

/// Passes on what the child says, until it ends or is silent for too long; returns the exit code.
fn watch(child: Pid, heard: &OwnedFd) -> u8 {
    let mut buffer = [0; libc::PIPE_BUF];
    loop {
        let mut descriptors = [PollFd::new(heard.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(GIVE_UP * 1000)) {
            Ok(0) => {
                log::error!("{}", gives_up());
                let _ = kill(child, Signal::SIGKILL);
                return FAILURE;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break,
        }
        match read(heard, &mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let said = buffer.iter().take(length);
                let lines: Vec<u8> = said.copied().filter(|&byte| byte != NOTE).collect();
                diagnostics::relay(&lines);
            }
        }
    }
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => u8::try_from(code).unwrap_or(FAILURE),
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            log::error!("the hook was ended by {signal}");
            FAILURE
        }
        _ => FAILURE,
    }
}
