//! `--watch`: keeps running, and the specs up to date with the host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result};

use super::once::{Generator, Seen, put, report};
use super::output::{Output, Purpose};
use crate::driver::state::{Known, State};
use crate::generate::{Failure, Notes, Specs};
use crate::host::file;
use crate::host::pause::{Pause, Woken};
use crate::rootfs::{FileVersion, Root};

/// Writes the specs whenever their sources change, until a signal ends it. Fails if they cannot be written the first time; later
/// failures are logged and retried, since a disk may be full for a while.
pub(super) fn run(generator: &Generator<'_>, output: &Output, seconds: u64) -> Result<ExitCode> {
    let pause = Pause::new().context("cannot wait for signals")?;
    let mut watch = Watch {
        generator,
        output,
        here: Root::host().context("cannot open /")?,
        known: Known::default(),
        state: None,
        is_due: false,
        notes: Notes::default(),
        failure: String::new(),
        written: Vec::new(),
        has_written: false,
    };
    let time = Duration::from_secs(seconds);
    while watch.look()? == Next::Wait {
        if pause.wait(time).context("cannot wait")? == Woken::Signal {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do after a look at the host.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    End,
}

struct Watch<'w> {
    generator: &'w Generator<'w>,
    output: &'w Output,
    /// The root directory of the files that are written.
    here: Root,
    /// Known facts about the driver, for the next look.
    known: Known,
    /// The sources of the specs.
    state: Option<State>,
    /// Whether the next look must be a full one, because this one failed.
    is_due: bool,
    /// The notes that were logged last, so that they are logged once.
    notes: Notes,
    failure: String,
    /// The files that this process has written.
    written: Vec<(Option<FileVersion>, PathBuf)>,
    has_written: bool,
}

impl Watch<'_> {
    /// Writes the specs if the host, or a file that was written, has changed since the last look.
    fn look(&mut self) -> Result<Next> {
        let state = State::read(&self.generator.host, &self.known);
        let before = self.state.replace(state.clone());
        let has_changed = before.as_ref() != Some(&state);
        if !has_changed && !self.is_due && self.is_as_written() {
            return Ok(Next::Wait);
        }
        let are_others = before.is_some_and(|it| it.devices != state.devices);
        self.is_due = false;
        match self.generator.look() {
            Ok(seen) => self.take(seen, are_others && self.generator.has_list()),
            Err(err) => {
                self.fail(&err);
                Ok(Next::Wait)
            }
        }
    }

    /// Writes what was seen, unless the list that names the devices is outdated.
    fn take(&mut self, seen: Seen, is_outdated: bool) -> Result<Next> {
        self.known = Known::of(&seen.driver);
        let is_gone = matches!(seen.specs, Err(Failure::NoDevices(_)));
        if self.notes != seen.notes && (is_gone || !is_outdated) {
            report(&seen.notes);
            self.notes = seen.notes;
        }
        match seen.specs {
            Err(Failure::NoDevices(err)) => {
                self.complain(&err);
                // A spec without devices is invalid, and one with devices that no longer exist is worse.
                self.remove_all_but(&[]);
            }
            _ if is_outdated => {}
            Ok(specs) => self.write(&specs)?,
            Err(Failure::NotLoaded(err)) => log::debug!("{err:#}"),
            Err(Failure::Other(err)) => self.fail(&err),
        }
        if is_outdated {
            log::info!("GPUs or MIG devices have changed: a new list of nvidia-smi is needed");
            return Ok(Next::End);
        }
        Ok(Next::Wait)
    }

    fn write(&mut self, specs: &Specs) -> Result<()> {
        let paths = specs.iter().filter_map(|(it, _)| self.output.path(it));
        let paths: Vec<_> = paths.collect();
        self.remove_all_but(&paths);
        match put(specs, self.output, Purpose::Write) {
            Err(err) if self.has_written => self.fail(&err),
            result => {
                result?;
                self.failure.clear();
                self.has_written = true;
            }
        }
        let as_it_is = |path: PathBuf| (self.version(&path), path);
        self.written = paths.into_iter().map(as_it_is).collect();
        Ok(())
    }

    /// Removes the files of this process, except these. Files of others are kept.
    fn remove_all_but(&mut self, kept: &[PathBuf]) {
        for (_, path) in std::mem::take(&mut self.written) {
            if kept.contains(&path) {
                continue;
            }
            match file::remove(&path) {
                Ok(()) => log::info!("Removed {}", path.display()),
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
                Err(err) => {
                    let name = path.display().to_string();
                    self.written.push((None, path));
                    self.fail(&Error::new(err).context(format!("cannot remove {name}")));
                }
            }
        }
    }

    fn is_as_written(&self) -> bool {
        let mut files = self.written.iter();
        files.all(|(version, path)| self.version(path) == *version)
    }

    fn version(&self, path: &Path) -> Option<FileVersion> {
        let path = std::path::absolute(path).ok()?;
        Some(self.here.stat(&path).ok()?.version())
    }

    /// Logs an error, and looks again: its reason may vanish without a change in what is watched.
    fn fail(&mut self, err: &Error) {
        self.is_due = true;
        self.complain(err);
    }

    fn complain(&mut self, err: &Error) {
        let failure = format!("{err:#}");
        if self.failure != failure {
            log::error!("{failure}");
            self.failure = failure;
        }
    }
}
