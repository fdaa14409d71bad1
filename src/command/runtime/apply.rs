//! Works out the edits of all files, and then prints or writes them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::plan::{Current, Plan, Target, advise};
use crate::document::lines::unified_diff;
use crate::engine::Engine;
use crate::engine::configuration::{Handler, undo};
use crate::host::file;
use crate::stdout::output_document;

/// What to do with the edits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Write the files.
    Write,
    /// Print the new documents.
    Print,
    /// Print the differences.
    Diff,
}

impl Mode {
    pub(super) fn new(dry_run: bool, diff: bool) -> Self {
        match (dry_run, diff) {
            (_, true) => Self::Diff,
            (true, false) => Self::Print,
            (false, false) => Self::Write,
        }
    }
}

/// A file before and after the edit; `None` for a file that is removed.
struct Edit {
    current: Current,
    after: Option<String>,
    backup: Backup,
}

/// What to do with the copy of the original file.
enum Backup {
    /// Leave it alone.
    Leave,
    /// Make it.
    Make(PathBuf),
    /// Remove it.
    Remove(PathBuf),
}

/// Puts the runtime into the documents.
pub(super) fn add(plan: Plan, mode: Mode) -> Result<()> {
    let targets = plan.targets.into_iter();
    let edits = targets.map(|it| edit_to_add(it, &plan.handler));
    let edits: Vec<_> = edits.collect::<Result<_>>()?;
    carry_out(&edits, plan.engine, mode)
}

/// Takes the runtime out of the documents.
pub(super) fn remove(plan: Plan, mode: Mode) -> Result<()> {
    let targets = plan.targets.into_iter();
    let edits = targets.map(|it| edit_to_remove(it, &plan.handler.name));
    let edits: Vec<_> = edits.collect::<Result<_>>()?;
    carry_out(&edits, plan.engine, mode)
}

fn edit_to_add(target: Target, handler: &Handler) -> Result<Edit> {
    let text = target.current.text();
    let after = target.document.add(text, handler);
    let after = after.map_err(|err| target.current.invalid(&err))?;
    // CRI-O reads every file in the directory of a drop-in, whatever its name is.
    let backup = if target.is_drop_in || after == text {
        None
    } else {
        backup_to_make(&target, &handler.name)?
    };
    Ok(Edit {
        current: target.current,
        after: Some(after),
        backup: backup.map_or(Backup::Leave, Backup::Make),
    })
}

/// The path for a copy, if one is needed. It is made once, before our first edit, and never over a file that may be the
/// administrator's.
fn backup_to_make(target: &Target, name: &str) -> Result<Option<PathBuf>> {
    let text = target.current.text();
    let [usual, other] = backups_of(&target.current.path);
    let Current {
        path: usual,
        text: there,
    } = Current::read(usual)?;
    let is_configured = target
        .document
        .find(text, name)
        .is_ok_and(|it| it.is_some());
    // A file that we created has no original.
    let is_ours =
        undo(&*target.document, text, None, name).is_ok_and(|it| it.is_empty() && !text.is_empty());
    Ok(match there {
        _ if is_ours => None,
        None => Some(usual),
        Some(copy) if copy == text || is_configured => None,
        Some(_) => Some(other),
    })
}

/// The copy that was made, and its text.
fn backup_made(path: &Path) -> Result<Option<(PathBuf, String)>> {
    let [usual, other] = backups_of(path);
    for backup in [other, usual] {
        let backup = Current::read(backup)?;
        if let Some(text) = backup.text {
            return Ok(Some((backup.path, text)));
        }
    }
    Ok(None)
}

fn edit_to_remove(target: Target, name: &str) -> Result<Edit> {
    let text = target.current.text();
    let backup = if target.is_drop_in {
        None
    } else {
        backup_made(&target.current.path)?.filter(|(_, copy)| copy != text)
    };
    let copy = match &backup {
        Some((_, copy)) => Some(copy.as_str()),
        None => target.is_drop_in.then_some(""),
    };
    let undone =
        undo(&*target.document, text, copy, name).map_err(|err| target.current.invalid(&err))?;
    let has_changed = undone != text;
    let is_void = undone.is_empty() && backup.is_none();
    let is_left_over = target.is_drop_in && target.document.is_blank(&undone);
    let after = if has_changed && (is_void || is_left_over) {
        None
    } else {
        target.current.text.is_some().then_some(undone)
    };
    Ok(Edit {
        current: target.current,
        after,
        backup: match backup {
            Some((path, _)) if has_changed => Backup::Remove(path),
            _ => Backup::Leave,
        },
    })
}

/// Writes the file of a hook, or prints it.
pub(super) fn write_hook(path: &Path, document: &str, mode: Mode) -> Result<()> {
    let edit = Edit {
        current: Current::read(path.to_owned())?,
        after: Some(document.to_owned()),
        backup: Backup::Leave,
    };
    edit.carry_out(mode).map(drop)
}

/// Removes the file of a hook. Refuses one that somebody edited.
pub(super) fn remove_hook(path: &Path, document: &str, mode: Mode) -> Result<()> {
    let current = Current::read(path.to_owned())?;
    ensure!(
        current.text.as_deref().is_none_or(|text| text == document),
        "{} was edited, or calls another program; it is kept",
        path.display()
    );
    let edit = Edit {
        current,
        after: None,
        backup: Backup::Leave,
    };
    edit.carry_out(mode).map(drop)
}

fn carry_out(edits: &[Edit], engine: Engine, mode: Mode) -> Result<()> {
    let mut has_changed = false;
    for edit in edits {
        has_changed |= edit.carry_out(mode)?;
    }
    if has_changed && mode == Mode::Write && engine != Engine::Podman {
        log::info!("It is recommended that {engine} daemon be restarted.");
    }
    Ok(())
}

impl Edit {
    /// Returns whether the file changes.
    fn carry_out(&self, mode: Mode) -> Result<bool> {
        let has_changed = self.current.text != self.after;
        match mode {
            Mode::Write if has_changed => self.write()?,
            Mode::Write if self.current.text.is_some() => {
                log::info!("{} is unchanged", self.current.path.display());
            }
            Mode::Write => log::info!("{} does not exist", self.current.path.display()),
            Mode::Print => self.print()?,
            Mode::Diff => output_document(&self.diff())?,
        }
        Ok(has_changed)
    }

    fn write(&self) -> Result<()> {
        let path = self.current.path.display();
        if let Backup::Make(backup) = &self.backup
            && self.current.text.is_some()
        {
            file::copy(&self.current.path, backup)
                .map_err(advise)
                .with_context(|| format!("cannot copy {path} to {}", backup.display()))?;
            log::info!("Kept the old config as {}", backup.display());
        }
        if let Some(text) = &self.after {
            file::replace(&self.current.path, text.as_bytes())
                .map_err(advise)
                .with_context(|| format!("cannot write {path}, which is unchanged"))?;
            log::info!("Wrote updated config to {path}");
        } else {
            file::remove(&self.current.path)
                .map_err(advise)
                .with_context(|| format!("cannot remove {path}"))?;
            log::info!("Removed {path}");
        }
        if let Backup::Remove(backup) = &self.backup {
            file::remove(backup).with_context(|| format!("cannot remove {}", backup.display()))?;
        }
        Ok(())
    }

    fn print(&self) -> Result<()> {
        match &self.after {
            Some(text) => {
                log::info!("{}:", self.current.path.display());
                let end = if text.ends_with('\n') || text.is_empty() {
                    ""
                } else {
                    "\n"
                };
                output_document(&format!("{text}{end}"))?;
            }
            None if self.current.text.is_some() => {
                log::info!("{} would be removed", self.current.path.display());
            }
            None => {}
        }
        Ok(())
    }

    fn diff(&self) -> String {
        let name = |text: &Option<String>| match text {
            Some(_) => self.current.path.to_string_lossy().into_owned(),
            None => "/dev/null".to_owned(),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (old, new) = (text(&self.current.text), text(&self.after));
        unified_diff(&old, &new, &name(&self.current.text), &name(&self.after))
    }
}

/// The usual name of the copy, and the one that it gets if that is taken.
fn backups_of(path: &Path) -> [PathBuf; 2] {
    [".bak", ".nvidia-ctk.bak"].map(|end| {
        let mut name = OsString::from(path);
        name.push(end);
        name.into()
    })
}
