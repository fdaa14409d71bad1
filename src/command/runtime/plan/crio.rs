//! CRI-O: its main file, or a file among its drop-ins.

use anyhow::{Context, Result, anyhow};
use toml_edit::Table;

use super::current::Current;
use super::files::Files;
use super::{Request, Source, Target, settings};
use crate::document::toml::unindent;
use crate::engine::configuration::{Base, Configuration, Handler};
use crate::engine::crio::{CrioConf, Merged, drop_ins};
use crate::host::program;
use crate::rootfs::Root;

pub(super) fn add(request: &Request, files: Files) -> Result<Vec<Target>> {
    let merged = match request.source {
        Source::File => read_all(request, &files)?,
        Source::Command => {
            let mut merged = Merged::default();
            let answer = merged.read(&ask(request)?);
            answer.map_err(|err| anyhow!("the answer of {}: {err}", request.program()))?;
            merged
        }
    };
    let mut base = settings(merged.base(), Table::new);
    Ok(vec![if let Some(drop_in) = files.drop_in {
        unindent(&mut base);
        let base = Base::Followed(base);
        Target::drop_in(drop_in, CrioConf { base })
    } else {
        let base = Base::Other(base);
        Target::main(files.main, CrioConf { base })
    }])
}

pub(super) fn remove(request: &Request, files: Files) -> Result<Vec<Target>> {
    let conf = CrioConf { base: Base::Own };
    let (main, drop_in) = files.drop_in_with(&conf, &request.handler.name)?;
    Ok(vec![match drop_in {
        Some(drop_in) => Target::drop_in(drop_in, conf),
        None => Target::main(main, conf),
    }])
}

/// The files that CRI-O reads, in its order, without the drop-in that is written.
fn read_all(request: &Request, files: &Files) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut read = |file: &Current| merged.read(file.text()).map_err(|err| file.invalid(&err));
    read(&files.main)?;
    warn_of_deprecated(&files.main, &request.handler);
    let target = files.drop_in.as_ref().unwrap_or(&files.main);
    let folder = request.engine.drop_in_folder().unwrap_or_default();
    let folder = files.main.path.with_file_name(folder);
    let paths = drop_ins(&Root::host()?, &folder);
    for path in paths.with_context(|| format!("cannot read {}", folder.display()))? {
        if path == target.path {
            continue;
        }
        let is_later = files.drop_in.is_none() || path > target.path;
        let file = Current::read(path)?;
        read(&file)?;
        warn_of_deprecated(&file, &request.handler);
        if is_later {
            warn_of_override(&file, &request.handler);
        }
    }
    Ok(merged)
}

fn warn_of_deprecated(file: &Current, ours: &Handler) {
    if ours.is_default && CrioConf::has_deprecated_default(file.text()) {
        log::warn!(
            "{} has the deprecated setting runtime, which old releases of CRI-O use as the default whatever default_runtime is: \
             remove it",
            file.path.display()
        );
    }
}

/// A later file takes precedence.
fn warn_of_override(file: &Current, ours: &Handler) {
    let conf = CrioConf { base: Base::Own };
    let path = file.path.display();
    if conf
        .find(file.text(), &ours.name)
        .is_ok_and(|it| it.is_some())
    {
        log::warn!(
            "{path} is read later, and its runtime {} takes precedence; remove it there",
            ours.name
        );
    }
    let default = CrioConf::default_runtime(file.text());
    if ours.is_default && default.as_ref().is_some_and(|it| *it != ours.name) {
        log::warn!(
            "{path} is read later, and its default_runtime takes precedence; change it there"
        );
    }
}

fn ask(request: &Request) -> Result<String> {
    program::ask(request.program(), &["status", "config"]).or_else(|first| {
        program::ask("crio-status", &["config"]).map_err(|second| anyhow!("{first:#}; {second:#}"))
    })
}
