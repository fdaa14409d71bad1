//! A second process for roots on a file system with a server: the child does the hook's work and may get stuck where nothing can
//! end it; the parent, which the runtime waits for, only watches.

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

/// A note that calls return, sent among log lines, which never contain this byte.
const NOTE: u8 = 0;
const FAILURE: u8 = 1;

static IS_SUPERVISED: AtomicBool = AtomicBool::new(false);

/// Continues in a watched child process if the root's file system has a server. Call it before the process has threads and before
/// the first access to the root. Does nothing unless [`super::start`] was called.
///
/// It does not detect a server below the root's own file system or below an overlay: there, only the timers help.
pub fn supervise(root: impl AsFd) {
    if is_started()
        && has_server(root)
        && let Err(errno) = start()
    {
        log::debug!("the hook is not supervised: {errno}");
    }
}

/// Local file systems and overlays report whether a file is immutable; FUSE, NFS, SMB and 9P do not. Unlike statfs(2), this call
/// does not ask the server. Without statx(2) only the timers help.
fn has_server(root: impl AsFd) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(root, "", flags, StatxFlags::INO);
    stat.is_ok_and(|stat| {
        !stat
            .stx_attributes_mask
            .contains(StatxAttributes::IMMUTABLE)
    })
}

/// Forks, and returns in the child, whose output the parent relays: a runtime waits until its pipe has no writer left.
fn start() -> nix::Result<()> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    if let Some(child) = sys::fork()? {
        drop(writer);
        sys::set_timers(0, 0);
        sys::exit(watch(child, &reader));
    }
    set_pdeathsig(Signal::SIGKILL)?;
    dup2_stdout(&writer)?;
    dup2_stderr(&writer)?;
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

/// Relays the child's output until it ends or is silent for too long; returns the exit code.
fn watch(child: Pid, reader: &OwnedFd) -> u8 {
    let mut buffer = [0; libc::PIPE_BUF];
    loop {
        let mut descriptors = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(GIVE_UP * 1000)) {
            Ok(0) => {
                log::error!("{}", gives_up());
                let _ = kill(child, Signal::SIGKILL);
                return FAILURE;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break,
        }
        match read(reader, &mut buffer) {
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
            log::error!("the hook was killed by {signal}");
            FAILURE
        }
        _ => FAILURE,
    }
}
