//! containerd: the main file, or a drop-in file that it imports.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use toml_edit::Table;

use super::current::Current;
use super::files::Files;
use super::generated::Generator;
use super::{DropIn, Request, Source, Target, settings};
use crate::document::toml::unindent;
use crate::engine::Engine;
use crate::engine::configuration::Base;
use crate::engine::containerd::{ConfigToml, ConfigVersion, ImportingMain, MainFile, expand};
use crate::glob;
use crate::host::program;
use crate::rootfs::Root;

/// Most imported files that are looked into.
const MAX_IMPORTS: usize = 256;

/// The edits that add the runtime, in one of the two: that depends on the version of the file and of the installed containerd.
pub(super) fn add(request: &Request, files: Files) -> Result<Vec<Target>> {
    let file = files.main;
    let installed = installed_version(request);
    let new = if installed >= Some([2, 0]) {
        ConfigVersion::V3
    } else {
        ConfigVersion::V2
    };
    let main = MainFile::read(file.text(), new).map_err(|err| file.invalid(&err))?;
    ensure!(
        main.version > ConfigVersion::V1 || installed < Some([2, 0]),
        "{} has version 1, whose runtimes containerd 2.x ignores; migrate it to version 2 or 3 first",
        file.path.display()
    );
    if let (ConfigVersion::V1, DropIn::File(path)) = (main.version, &request.drop_in) {
        bail!(
            "{} has version 1, which imports no other files; leave out --drop-in-config {} to edit the file itself",
            file.path.display(),
            path.display()
        );
    }
    let base = match request.source {
        Source::File => main.base.clone(),
        Source::Command => ask_containerd(request, file.text().is_empty(), new)?.base,
    };
    let base = settings(base, || main.version.plain());
    let is_k0s = files.generator == Some(Generator::K0s);
    let is_merged = main.version >= ConfigVersion::V3 || installed >= Some([2, 0]) || is_k0s;
    if !is_merged {
        refuse_replaced(&file, &main, files.drop_in.as_ref())?;
    }
    if request.handler.cdi && installed.is_some_and(|installed| installed < [1, 7]) {
        log::warn!(
            "this containerd is older than 1.7 and does not support CDI: enable_cdi has no effect"
        );
    }
    match files
        .drop_in
        .filter(|_| has_drop_in(request, main.version, is_merged))
    {
        Some(drop_in) if is_k0s => Ok(vec![Target::drop_in(drop_in, merged(&main, base))]),
        Some(drop_in) if is_merged => beside(file, &main, merged(&main, base), drop_in),
        Some(drop_in) => copied(file, main, base, drop_in),
        None => {
            let base = match request.source {
                Source::File => Base::Own,
                Source::Command => Base::Other(base),
            };
            let config = config(main.version, base, None);
            Ok(vec![Target::main(file, config)])
        }
    }
}

/// Refuses a main file whose CRI settings containerd 1.x takes from a file that it imports.
fn refuse_replaced(file: &Current, main: &MainFile, drop_in: Option<&Current>) -> Result<()> {
    let root = Root::host()?;
    let folder = file.path.parent().unwrap_or(&file.path);
    let patterns = main.imports.iter().map(|pattern| folder.join(pattern));
    let paths = patterns.flat_map(|pattern| expand(&root, &pattern));
    let others =
        paths.filter(|path| *path != file.path && drop_in.is_none_or(|it| it.path != *path));
    for path in others.take(MAX_IMPORTS) {
        let import = Current::read(path)?;
        let read = MainFile::read(import.text(), main.version);
        let read = read.map_err(|err| import.invalid(&err))?;
        ensure!(
            read.cri.is_none(),
            "containerd 1.x takes the CRI settings from {0} and not from {1}, which imports it: use --config {0}",
            import.path.display(),
            file.path.display()
        );
    }
    Ok(())
}

/// Whether the runtime goes into a drop-in file.
fn has_drop_in(request: &Request, version: ConfigVersion, is_merged: bool) -> bool {
    // Version 1 has no imports. In containerd 1.x the section in the drop-in would replace that of the main file.
    version > ConfigVersion::V1 && (is_merged || matches!(request.drop_in, DropIn::File(_)))
}

fn merged(main: &MainFile, mut base: Table) -> ConfigToml {
    unindent(&mut base);
    config(main.version, Base::Followed(base), None)
}

fn copied(file: Current, mut main: MainFile, base: Table, drop_in: Current) -> Result<Vec<Target>> {
    log::warn!(
        "containerd 1.x takes the CRI settings from {0} and not from {1}: they are copied, so run this again after each edit of {1}",
        drop_in.path.display(),
        file.path.display()
    );
    let section = main.cri.take().unwrap_or_default();
    let config = config(main.version, Base::Followed(base), Some(section));
    beside(file, &main, config, drop_in)
}

/// The edit of the drop-in, and then that of the main file if it does not import the drop-in yet.
fn beside(
    file: Current,
    main: &MainFile,
    config: ConfigToml,
    drop_in: Current,
) -> Result<Vec<Target>> {
    let imports = ImportingMain {
        new: main.version,
        pattern: pattern(&drop_in.path)?,
    };
    let mut patterns = main.imports.iter();
    let is_imported = patterns.any(|it| covers(it, &file.path, &drop_in.path));
    let mut targets = vec![Target::drop_in(drop_in, config)];
    if !is_imported {
        targets.push(Target::main(file, imports));
    }
    Ok(targets)
}

/// What finds a runtime in a file of any version.
pub(super) fn any() -> ConfigToml {
    config(ConfigVersion::V2, Base::Own, None)
}

fn config(new: ConfigVersion, base: Base, copied: Option<Table>) -> ConfigToml {
    ConfigToml { new, base, copied }
}

/// The first two numbers of the version of the installed containerd, if it reports one.
fn installed_version(request: &Request) -> Option<[u32; 2]> {
    let answer = program::ask(request.program(), &["--version"])
        .inspect_err(|err| log::debug!("the version of containerd is not known: {err:#}"))
        .ok()?;
    version(&answer)
}

/// From `containerd github.com/containerd/containerd v1.6.20 2806fc1`.
fn version(answer: &str) -> Option<[u32; 2]> {
    let version = answer.split_whitespace().nth(2)?;
    let mut numbers = version.strip_prefix('v').unwrap_or(version).split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some([number()?, number()?])
}

/// The settings that containerd reports; the built-in ones if there is no configuration file, without which versions before 2.0
/// fail.
fn ask_containerd(request: &Request, is_blank: bool, new: ConfigVersion) -> Result<MainFile> {
    let action = if is_blank { "default" } else { "dump" };
    let config = request.config.to_string_lossy();
    let is_usual = *config == *Engine::Containerd.default_config();
    let args: &[&str] = if is_usual || is_blank {
        &["config", action]
    } else {
        &["--config", &config, "config", action]
    };
    let answer = program::ask(request.program(), args)?;
    MainFile::read(&answer, new)
        .map_err(|err| anyhow!("the answer of {}: {err}", request.program()))
}

/// The file that the runtime is in, and with a drop-in the main file, from which it is imported.
pub(super) fn remove(request: &Request, files: Files) -> Result<Vec<Target>> {
    let file = &files.main;
    let new = ConfigVersion::read(file.text(), ConfigVersion::V2);
    let new = new.map_err(|err| file.invalid(&err))?;
    let config = config(new, Base::Own, None);
    let is_k0s = files.generator == Some(Generator::K0s);
    let (main, drop_in) = files.drop_in_with(&config, &request.handler.name)?;
    Ok(match drop_in {
        Some(drop_in) if is_k0s => vec![Target::drop_in(drop_in, config)],
        Some(drop_in) => {
            let pattern = pattern(&drop_in.path)?;
            let main = Target::main(main, ImportingMain { new, pattern });
            vec![main, Target::drop_in(drop_in, config)]
        }
        None => vec![Target::main(main, config)],
    })
}

/// The pattern by which the main file imports the drop-in.
fn pattern(drop_in: &Path) -> Result<String> {
    let folder = drop_in.parent().and_then(Path::to_str);
    let folder = folder.with_context(|| format!("{} is not UTF-8", drop_in.display()))?;
    Ok(format!("{}/*.toml", folder.trim_end_matches('/')))
}

/// Whether a pattern of the main file's imports matches the drop-in. Only the name of the file may be a pattern.
fn covers(pattern: &str, main: &Path, drop_in: &Path) -> bool {
    let pattern = main.parent().unwrap_or(main).join(pattern);
    let names = pattern.file_name().zip(drop_in.file_name());
    names.is_some_and(|(pattern, name)| glob::matches(pattern, name))
        && pattern.parent() == drop_in.parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_containerd_prints() {
        for (answer, version) in [
            (
                "containerd github.com/containerd/containerd v1.6.20 2806fc1",
                Some([1, 6]),
            ),
            (
                "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1",
                Some([1, 6]),
            ),
            (
                "containerd github.com/containerd/containerd/v2 2.1.9-1 x\n",
                Some([2, 1]),
            ),
            ("containerd", None),
            ("a b c", None),
            ("", None),
        ] {
            assert_eq!(super::version(answer), version, "{answer}");
        }
    }

    #[test]
    fn imports_are_recognised() {
        let main = Path::new("/etc/containerd/config.toml");
        let drop_in = Path::new("/etc/containerd/conf.d/99-nvidia.toml");
        for (pattern, expected) in [
            ("/etc/containerd/conf.d/*.toml", true),
            ("conf.d/*.toml", true),
            ("conf.d/*", true),
            ("./conf.d/9*.toml", true),
            ("/etc/containerd/conf.d/99-nvidia.toml", true),
            ("/etc/containerd/*.toml", false),
            ("conf.d/*.conf", false),
            ("conf.d/99-nvidia.toml*99-nvidia.toml", false),
            ("", false),
        ] {
            assert_eq!(covers(pattern, main, drop_in), expected, "{pattern}");
        }
    }
}
