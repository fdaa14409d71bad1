//! How long a hook looks for libraries: an image may have links that take seconds to resolve, or lie on a file system that takes
//! them to answer.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Most processor time, in seconds; ten thousand libraries take a tenth of it.
const PROCESSOR: i64 = 2;
/// Most time, in seconds: images that are pulled lazily are slow.
const TIME: i64 = 60;

/// The time that is left, from its making on. It is asked before each name.
pub(super) struct Budget {
    start: TimeSpec,
    processor_before: TimeSpec,
    /// The tick of the clock at which the processor time was last asked for.
    asked: AtomicI64,
    spent: OnceLock<()>,
}

impl Budget {
    pub(super) fn new() -> Self {
        let start = read(ClockId::CLOCK_MONOTONIC_COARSE);
        Self {
            start,
            processor_before: read(ClockId::CLOCK_PROCESS_CPUTIME_ID),
            asked: AtomicI64::new(start.tv_nsec()),
            spent: OnceLock::new(),
        }
    }

    /// Whether nothing is left. The first time a warning says which limit it was, and that `path` is what could not be searched any
    /// more.
    pub(super) fn is_spent(&self, path: &Path) -> bool {
        if self.spent.get().is_none()
            && let Some(limit) = self.reached_limit()
        {
            self.spent.get_or_init(|| {
                log::warn!(
                    "{}: the search for libraries ends here, after {limit}: of what is behind it the cache has no more than before",
                    path.display()
                );
            });
        }
        self.spent.get().is_some()
    }

    /// The limit that is reached, in words. The time is read without a system call, the processor time with one: once for each tick
    /// of that clock, which are milliseconds.
    fn reached_limit(&self) -> Option<String> {
        let now = read(ClockId::CLOCK_MONOTONIC_COARSE);
        if (now - self.start).tv_sec() >= TIME {
            return Some(format!("{TIME} s"));
        }
        if self.asked.swap(now.tv_nsec(), Ordering::Relaxed) == now.tv_nsec() {
            return None;
        }
        let spent = read(ClockId::CLOCK_PROCESS_CPUTIME_ID) - self.processor_before;
        (spent.tv_sec() >= PROCESSOR).then(|| format!("{PROCESSOR} s of processor time"))
    }
}

/// The time on a clock; every kernel has these.
fn read(clock: ClockId) -> TimeSpec {
    clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0))
}
