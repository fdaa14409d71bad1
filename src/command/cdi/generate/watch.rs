//! `--watch`: stays, and keeps the specs as the host is.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::once::{Generator, Seen, put, report};
use super::output::{Output, Purpose};
use crate::driver::state::{Known, State};
use crate::generate::{Failure, Generated, Notes};
use crate::host::file;
use crate::host::pause::{Pause, Woken};

/// Writes the specs when what they are made of changes, until a signal comes.
pub(super) fn run(
    generator: &Generator<'_>,
    output: &Output,
    path: &Path,
    seconds: u64,
) -> Result<ExitCode> {
    let pause = Pause::new().context("cannot wait for signals")?;
    let mut watch = Watch {
        generator,
        output,
        path,
        known: Known::default(),
        state: None,
        notes: Notes::default(),
        failure: String::new(),
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

/// What comes after a look at the host.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    End,
}

struct Watch<'w> {
    generator: &'w Generator<'w>,
    output: &'w Output,
    path: &'w Path,
    /// What is known of the driver, for looking at it again.
    known: Known,
    /// What the specs were made of.
    state: Option<State>,
    /// What was said last, so that it is said once.
    notes: Notes,
    failure: String,
    has_written: bool,
}

impl Watch<'_> {
    /// Writes the specs if the host has changed since the last look.
    fn look(&mut self) -> Result<Next> {
        let state = State::read(&self.generator.host, &self.known);
        let before = self.state.replace(state.clone());
        if before.as_ref() == Some(&state) {
            return Ok(Next::Wait);
        }
        let are_same = before.is_none_or(|it| it.devices == state.devices);
        if !are_same && self.generator.has_list() {
            log::info!("GPUs or MIG devices have changed: a new list of nvidia-smi is needed");
            return Ok(Next::End);
        }
        let Seen { driver, generated } = self.generator.look()?;
        self.known = Known::of(&driver);
        match generated {
            Ok(generated) => self.write(&generated)?,
            Err(Failure::NotLoaded(err)) => log::debug!("{err:#}"),
            Err(Failure::NoDevices(err)) => {
                self.complain(&err);
                self.remove()?;
            }
            Err(Failure::Other(err)) => self.complain(&err),
        }
        Ok(Next::Wait)
    }

    fn write(&mut self, generated: &Generated) -> Result<()> {
        if self.notes != generated.notes {
            report(&generated.notes);
            self.notes = generated.notes.clone();
        }
        self.failure.clear();
        self.has_written = true;
        put(generated, self.output, Purpose::Write)
    }

    /// A spec without devices is invalid, and one with devices that are gone is worse. What somebody else wrote stays.
    fn remove(&mut self) -> Result<()> {
        let path = self.path.display();
        if std::mem::take(&mut self.has_written) {
            file::remove(self.path).with_context(|| format!("cannot remove {path}"))?;
            log::info!("Removed {path}");
        }
        Ok(())
    }

    fn complain(&mut self, err: &anyhow::Error) {
        let failure = format!("{err:#}");
        if self.failure != failure {
            log::error!("{failure}");
            self.failure = failure;
        }
    }
}
