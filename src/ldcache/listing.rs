//! One library directory: the names in it that matter, and what is under them.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity, unshare};
use nix::unistd::Pid;

use super::library::{self, Parsed};
use super::profile::Profile;
use super::search_path::LibraryDirectory;
use crate::elf::{Error, Head, OpenFile};
use crate::rootfs::{Entry, FileVersion, Kind, is_obstacle};

/// Most names of libraries in all directories; honest images have some thousands.
pub(super) const MAX_LIBRARIES: usize = 1 << 15;
/// How many names a thread reads at a time.
const PART: usize = 64;
/// From this many parts in a directory on, several threads read them.
const MANY_PARTS: usize = 8;
const MAX_THREADS: usize = 4;
/// Longest target of a link that is kept: that of a longer one leads out of the directory, as a rule.
const MAX_TARGET: usize = 64;
/// How the name of the library begins of which every driver has one; its version follows.
const LIBCUDA: &[u8] = b"libcuda.so.";
const THIS_THREAD: Pid = Pid::from_raw(0);

/// How far files are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only whether they are the same as before.
    Identity,
    /// All that the cache holds of them.
    Content,
}

/// The names of a directory, sorted.
#[derive(Hash)]
pub(super) struct Listing {
    names: Vec<Name>,
}

/// One of the names.
#[derive(Hash)]
pub(super) struct Name {
    pub(super) text: OsString,
    pub(super) kind: Kind,
    /// Where it points to, if it is a link, as [`shortened`] has it.
    pub(super) target: PathBuf,
    /// The file that it leads to in the end, as far as that is known.
    pub(super) file: Option<FileVersion>,
}

/// A file and what was found in it; nothing where it is no library, or was not looked into.
pub(super) type File = (FileVersion, Option<Parsed>);

impl Listing {
    /// Reads the directory: of the names that `is_considered` lets pass, the files and where links point to. More than `limit` of
    /// them are refused.
    pub(super) fn read(
        profile: &Profile,
        directory: &LibraryDirectory,
        depth: Depth,
        limit: usize,
        is_considered: impl Fn(&Entry) -> bool,
    ) -> io::Result<(Self, Vec<File>)> {
        let mut entries = directory.directory.entries()?;
        entries.retain(is_considered);
        if entries.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {MAX_LIBRARIES} libraries"),
            ));
        }
        // What ldconfig leaves to the file system's order is decided by name here.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let read = |entries: &[Entry]| {
            let mut head = Head::default();
            entries
                .iter()
                .map(|entry| read_entry(profile, directory, depth, entry, &mut head))
                .collect()
        };
        let found = on_processors(&entries, read);
        let mut names = Vec::with_capacity(entries.len());
        let mut files = Vec::with_capacity(entries.len());
        for (entry, (target, file)) in entries.into_iter().zip(found) {
            names.push(Name {
                text: entry.name,
                kind: entry.kind,
                target,
                file: file.as_ref().map(|(version, _)| *version),
            });
            files.extend(file);
        }
        Ok((Self { names }, files))
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// The file that the name leads to.
    pub(super) fn file(&self, name: &OsStr) -> Option<FileVersion> {
        self.names.get(self.position(name).ok()?)?.file
    }

    /// Whether the directory has the name.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.position(name).is_ok()
    }

    /// The version of the driver whose libraries lie here, as the name of libcuda's file has it.
    pub(super) fn driver_version(&self) -> Option<&[u8]> {
        let files = self.names.iter().filter(|name| name.kind == Kind::File);
        let mut versions = files.filter_map(|name| name.text.as_bytes().strip_prefix(LIBCUDA));
        versions.find(|version| version.contains(&b'.'))
    }

    /// Notes which file the name at this place leads to.
    pub(super) fn set_file(&mut self, index: usize, file: FileVersion) {
        if let Some(name) = self.names.get_mut(index) {
            name.file = Some(file);
        }
    }

    /// Notes that the name is a link now.
    pub(super) fn put_link(&mut self, name: &OsStr, target: &OsStr, file: FileVersion) {
        let link = Name {
            text: name.to_owned(),
            kind: Kind::Link,
            target: shortened(target.into()),
            file: Some(file),
        };
        match self.position(name) {
            Ok(index) => self.names.splice(index..=index, [link]),
            Err(index) => self.names.splice(index..index, [link]),
        };
    }

    /// Forgets a name that was removed.
    pub(super) fn remove(&mut self, name: &OsStr) {
        if let Ok(index) = self.position(name) {
            self.names.remove(index);
        }
    }

    fn position(&self, name: &OsStr) -> Result<usize, usize> {
        self.names
            .binary_search_by(|it| it.text.as_os_str().cmp(name))
    }
}

/// Reads what is under one name, without following it.
fn read_entry(
    profile: &Profile,
    directory: &LibraryDirectory,
    depth: Depth,
    entry: &Entry,
    head: &mut Head,
) -> (PathBuf, Option<File>) {
    let found = match (entry.kind, depth) {
        (Kind::Link, _) => {
            let target = directory.directory.read_link(&entry.name);
            return (shortened(target.unwrap_or_default()), None);
        }
        (Kind::File, Depth::Identity) => directory
            .directory
            .stat(&entry.name)
            .map(|stat| (FileVersion::of(&stat), None)),
        (Kind::File, Depth::Content) => {
            directory
                .directory
                .open_file(&entry.name)
                .map(|(file, stat)| {
                    let parsed = library::parse(profile, &OpenFile::new(file, &stat), head);
                    let path = || directory.path.join(&entry.name);
                    let parsed = parsed.inspect_err(|err| match err {
                        Error::Io(err) => log::warn!("{}: left out: {err}", path().display()),
                        err => log::debug!("{}: no library: {err}", path().display()),
                    });
                    (FileVersion::of(&stat), parsed.ok())
                })
        }
        _ => return (PathBuf::new(), None),
    };
    let path = || directory.path.join(&entry.name);
    let found = found.inspect_err(|err| {
        if is_obstacle(err) {
            log::warn!("{}: left out: {err}", path().display());
        } else {
            log::debug!("{}: passed over: {err}", path().display());
        }
    });
    (PathBuf::new(), found.ok())
}

/// A long target is replaced by its hash: later on only whether it is another one must be seen.
fn shortened(target: PathBuf) -> PathBuf {
    if target.as_os_str().len() <= MAX_TARGET {
        return target;
    }
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    format!("/{:016x}", hasher.finish()).into()
}

/// Applies `work` to the items, part by part, on several processors where there are many; returns all results in order.
fn on_processors<I, R, W>(items: &[I], work: W) -> impl Iterator<Item = R> + use<I, R, W>
where
    I: Sync,
    R: Send,
    W: Fn(&[I]) -> Vec<R> + Sync,
{
    let next = AtomicUsize::new(0);
    let parts: Vec<_> = items.chunks(PART).collect();
    // Each thread takes the next part, so that one which starts late holds up nobody.
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
    let mut done = thread::scope(|scope| {
        let start = |&processor| {
            let helper = move || {
                // With a table of open files of its own, no thread waits for another to open one.
                let _ = unshare(CloneFlags::CLONE_FILES);
                move_to(processor);
                run()
            };
            thread::Builder::new().spawn_scoped(scope, helper).ok()
        };
        let helpers: Vec<_> = processors.iter().map_while(start).collect();
        let mut done = run();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, results)| results)
}

/// The processors beside this thread's own that it may run on, as many as are used.
fn other_processors() -> Vec<usize> {
    let (Ok(own), Ok(allowed)) = (sched_getcpu(), sched_getaffinity(THIS_THREAD)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&processor| processor != own && allowed.is_set(processor).unwrap_or(false))
        .take(MAX_THREADS - 1)
        .collect()
}

/// Moves this thread to a processor, and then sets it free again. A new thread begins on its parent's processor, and the two take
/// turns there until the kernel's balancing parts them: that takes milliseconds, as long as the whole work.
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
            let doubled = on_processors(&items, |part| part.iter().map(|it| it * 2).collect());
            assert!(doubled.eq(items.iter().map(|it| it * 2)));
        }
    }
}
