//! Work on many items on several processors.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity, unshare};
use nix::unistd::Pid;

use crate::sys::STACK;

/// The number of items that a thread takes at a time.
const PART: usize = 64;
/// The number of parts from which several threads are used.
const MANY_PARTS: usize = 8;
const MAX_THREADS: usize = 4;
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Applies `work` to the items part by part, on several processors if there are many; returns all results in order.
pub(super) fn map<I, R, W>(items: &[I], work: W) -> impl Iterator<Item = R> + use<I, R, W>
where
    I: Sync,
    R: Send,
    W: Fn(&[I]) -> Vec<R> + Sync,
{
    let next = AtomicUsize::new(0);
    let parts: Vec<_> = items.chunks(PART).collect();
    // Each thread takes the next part, so that a late one delays none.
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            match parts.get(index) {
                Some(part) => done.push((index, work(part))),
                None => return done,
            }
        }
    };
    let processors = if parts.len() < MANY_PARTS {
        Vec::new()
    } else {
        other_processors()
    };
    let mut done = if processors.is_empty() {
        run()
    } else {
        run_on(&processors, &run)
    };
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, results)| results)
}

/// Runs the same on these processors and on this thread's own; returns the results of all.
fn run_on<R: Send>(processors: &[usize], run: &(impl Fn() -> Vec<R> + Sync)) -> Vec<R> {
    thread::scope(|scope| {
        let start = |&processor| {
            let helper = move || {
                // With separate descriptor tables, threads do not wait for each other to open files.
                let _ = unshare(CloneFlags::CLONE_FILES);
                move_to(processor);
                run()
            };
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, helper)
                .ok()
        };
        let helpers: Vec<_> = processors.iter().map_while(start).collect();
        let mut done = run();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
}

/// Returns the other processors that this thread may run on, as many as are used.
fn other_processors() -> Vec<usize> {
    let (Ok(own), Ok(allowed)) = (sched_getcpu(), sched_getaffinity(THIS_THREAD)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&processor| processor != own && allowed.is_set(processor).unwrap_or(false))
        .take(MAX_THREADS - 1)
        .collect()
}

/// Moves this thread to a processor, then removes the restriction. A new thread starts on its parent's processor, where the two
/// take turns until the kernel's load balancing separates them: that takes milliseconds, as long as all of the work.
fn move_to(processor: usize) {
    let mut one = CpuSet::new();
    if let Ok(allowed) = sched_getaffinity(THIS_THREAD)
        && one.set(processor).is_ok()
        && sched_setaffinity(THIS_THREAD, &one).is_ok()
    {
        let _ = sched_setaffinity(THIS_THREAD, &allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_together_in_order() {
        for count in [0, 1, PART, PART * MANY_PARTS, 10_007] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = map(&items, |part| part.iter().map(|it| it * 2).collect());
            assert!(doubled.eq(items.iter().map(|it| it * 2)));
        }
    }
}
