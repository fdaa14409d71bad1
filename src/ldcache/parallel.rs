//! Work on many items on several processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

use crate::sys::STACK;

/// The number of items that a thread takes at a time.
const PART: usize = 16;
/// The number of items from which several processors are used.
const MANY: usize = 512;
const MAX_PROCESSORS: usize = 4;
/// The maximum number of threads while they wait: a disk and a server answer many requests at once.
const MAX_THREADS: usize = 16;
/// A thread gets help if it waits more than once for so many items.
const ITEMS_A_WAIT: usize = 4;
/// The number of parts that must be left for another thread to start.
const WORTH_A_THREAD: usize = 2;
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Applies `work` to the items part by part; returns all results in order.
///
/// Several threads do this if there are many items, one on each processor, or if the work waits, as for pages of files that have to
/// come from a disk.
pub(super) fn map<I, R, W>(items: &[I], work: W) -> impl Iterator<Item = R> + use<I, R, W>
where
    I: Sync,
    R: Send,
    W: Fn(&[I]) -> Vec<R> + Sync,
{
    let team = Team {
        parts: items.chunks(PART).collect(),
        work,
        next: AtomicUsize::new(0),
        threads: AtomicUsize::new(1),
        done: Mutex::default(),
    };
    let processors = if items.len() < MANY {
        Vec::new()
    } else {
        other_processors()
    };
    // Threads have their price even if none starts.
    let is_late = processors.is_empty() && team.work_until_late();
    if is_late || !processors.is_empty() {
        thread::scope(|scope| {
            if is_late {
                team.start(scope, None);
            }
            for processor in processors {
                team.start(scope, Some(processor));
            }
            team.run(scope);
        });
    }
    let mut done = team
        .done
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, results)| results)
}

/// The threads that share the work.
struct Team<'i, I, R, W> {
    parts: Vec<&'i [I]>,
    work: W,
    /// The first part that no thread has taken.
    next: AtomicUsize,
    /// The number of threads that were started, with the first one.
    threads: AtomicUsize,
    /// The results of parts, with their indices.
    done: Mutex<Vec<(usize, Vec<R>)>>,
}

impl<I, R, W> Team<'_, I, R, W>
where
    I: Sync,
    R: Send,
    W: Fn(&[I]) -> Vec<R> + Sync,
{
    /// Works until no part is left, and gets help when it had to wait.
    fn run<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        while self.work_until_late() {
            self.start(scope, None);
        }
    }

    /// Takes one part after the other, so that a late thread delays none. Returns true if this thread had to wait and parts are
    /// left for others; false if none is left.
    fn work_until_late(&self) -> bool {
        let mut done = Vec::new();
        let mut waits = waits_of_this_thread();
        let is_late = loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = self.parts.get(index) else {
                break false;
            };
            done.push((index, (self.work)(part)));
            if index + WORTH_A_THREAD >= self.parts.len() {
                continue;
            }
            let before = std::mem::replace(&mut waits, waits_of_this_thread());
            if waits.saturating_sub(before) > part.len() / ITEMS_A_WAIT {
                break true;
            }
        };
        let mut all = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        all.append(&mut done);
        is_late
    }

    /// Starts one more thread unless there are enough of them, on this processor if one is given.
    fn start<'s>(&'s self, scope: &'s Scope<'s, '_>, processor: Option<usize>) {
        if self.threads.fetch_add(1, Ordering::Relaxed) >= MAX_THREADS {
            return;
        }
        let helper = move || {
            // With separate descriptor tables, threads do not wait for each other to open files.
            let _ = unshare(CloneFlags::CLONE_FILES);
            if let Some(processor) = processor {
                move_to(processor);
            }
            self.run(scope);
        };
        // The others do its share if it does not start.
        let _ = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, helper);
    }
}

/// How often this thread has left its processor by itself, as it does to wait for a page of a file.
fn waits_of_this_thread() -> usize {
    getrusage(UsageWho::RUSAGE_THREAD)
        .ok()
        .and_then(|usage| usage.voluntary_context_switches().try_into().ok())
        .unwrap_or_default()
}

/// Returns the other processors that this thread may run on, as many as are used.
fn other_processors() -> Vec<usize> {
    let (Ok(own), Ok(allowed)) = (sched_getcpu(), sched_getaffinity(THIS_THREAD)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&processor| processor != own && allowed.is_set(processor).unwrap_or(false))
        .take(MAX_PROCESSORS - 1)
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
    use std::collections::HashSet;
    use std::thread::{ThreadId, current, sleep};
    use std::time::Duration;

    use super::*;

    #[test]
    fn parts_come_together_in_order() {
        for count in [0, 1, PART, MANY, 10_007] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = map(&items, |part| part.iter().map(|it| it * 2).collect());
            assert!(doubled.eq(items.iter().map(|it| it * 2)));
        }
    }

    #[test]
    fn a_few_items_without_waits_stay_on_their_thread() {
        let items = [0_u8; MANY - 1];
        let mut threads = map(&items, |part| vec![current().id(); part.len()]);
        assert!(threads.all(|thread| thread == current().id()));
    }

    #[test]
    fn more_threads_than_processors_help_while_items_wait() {
        // The items wait until all threads have started, and then long enough for one too many to start.
        let items = vec![(); PART << 12];
        let progress = Mutex::<(HashSet<ThreadId>, usize)>::default();
        let wait = |part: &[()]| {
            for () in part {
                let mut progress = progress.lock().unwrap();
                let (threads, done) = &mut *progress;
                threads.insert(current().id());
                *done += 1;
                if threads.len() < MAX_THREADS || *done < PART << 9 {
                    drop(progress);
                    sleep(Duration::from_micros(1));
                }
            }
            part.to_vec()
        };
        assert_eq!(map(&items, wait).count(), items.len());
        assert_eq!(progress.lock().unwrap().0.len(), MAX_THREADS);
    }
}
