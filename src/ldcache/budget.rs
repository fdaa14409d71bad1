//! The time limit of the search for libraries: an image may contain links that take seconds to resolve, or be on a slow file
//! system.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// The maximum processor time in seconds; ten thousand libraries take a tenth of it.
const PROCESSOR: i64 = 2;
/// The maximum time in seconds: lazily pulled images are slow.
const TIME: i64 = 60;

/// The time that is left since its creation. It is checked before each name.
pub(super) struct Budget {
    start: TimeSpec,
    processor_before: TimeSpec,
    /// The clock tick at which the processor time was last read.
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

    /// Whether the time is used up. Logs a warning once, with the limit and with `path`, where the search ends.
    pub(super) fn is_spent(&self, path: &Path) -> bool {
        if self.spent.get().is_none()
            && let Some(limit) = self.reached_limit()
        {
            self.spent.get_or_init(|| {
                log::warn!(
                    "{}: the search for libraries ends here, after {limit}: of later directories the cache keeps its old entries",
                    path.display()
                );
            });
        }
        self.spent.get().is_some()
    }

    /// Returns a description of the limit that was reached. Reading the time takes no system call; the processor time, which
    /// takes one, is read once per clock tick, that is every few milliseconds.
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

/// Returns the time on a clock; every kernel has these clocks.
fn read(clock: ClockId) -> TimeSpec {
    clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0))
}
