//! `cdi transform root`: rewrites a spec for a driver in another directory.

use std::io::{self, Read};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Error, Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};

use crate::cdi::{
    ContainerEdits, DeviceNode, Format, Hook, MAX_SPEC, Spec, raise_version, read, to_text,
};
use crate::host::file;
use crate::rootfs::Root;
use crate::stdout::output_document;

const STDIN: &str = "-";

/// Rewrite the paths in a CDI spec.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "transform",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk cdi transform root --from /run/nvidia/driver </etc/cdi/nvidia.yaml"
)]
pub struct Transform {
    #[argh(subcommand)]
    /// what is changed
    pub command: TransformCommand,
}

/// What `transform` changes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub enum TransformCommand {
    /// `root`
    Root(TransformRoot),
}

/// Replace the root directory of the paths in a CDI spec.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "root",
    help_triggers("-h", "--help"),
    example = "nvidia-ctk cdi transform root --from /run/nvidia/driver </etc/cdi/nvidia.yaml"
)]
pub struct TransformRoot {
    /// directory to replace (default: /)
    #[argh(option, arg_name = "dir", default = "String::new()")]
    pub from: String,
    /// directory to put in its place (default: /)
    #[argh(option, arg_name = "dir", default = "String::new()")]
    pub to: String,
    /// paths to change: those of the host or of the container (default: host)
    #[argh(option, arg_name = "side", default = "String::from(\"host\")")]
    pub relative_to: String,
    /// spec to read (default: -, standard input)
    #[argh(option, arg_name = "file", default = "String::from(STDIN)")]
    pub input: String,
    /// file to write, named .yaml or .json; .yaml is added to any other name (default: standard output, as YAML)
    #[argh(option, arg_name = "file", default = "String::new()")]
    pub output: String,
}

impl Transform {
    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            TransformCommand::Root(command) => command.run(),
        }
    }
}

impl TransformRoot {
    /// Prints or writes the spec, in a later version if it needs one. Fails if the spec cannot be read, is invalid, or cannot be
    /// written.
    pub fn run(&self) -> Result<()> {
        let is_on_host = match self.relative_to.as_str() {
            "host" => true,
            "container" => false,
            other => bail!("invalid --relative-to value: {other}; known are host and container"),
        };
        let target = (!self.output.is_empty())
            .then(|| output_file(&self.output))
            .transpose()?;
        let mut spec = self.load()?;
        if self.from != self.to {
            let roots = Roots::new(&self.from, &self.to);
            for edits in spec.edits_mut() {
                if is_on_host {
                    roots.transform_host(edits);
                } else {
                    roots.transform_container(edits);
                }
            }
            raise_version(&mut spec);
        }
        let Some((path, format)) = target else {
            return Ok(output_document(&to_text(&spec, Format::Yaml))?);
        };
        file::replace(&path, to_text(&spec, format).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    fn load(&self) -> Result<Spec> {
        let bytes = if self.input == STDIN {
            read_stdin()
        } else {
            absolute(&self.input).and_then(|path| Root::host()?.read(&path, MAX_SPEC))
        };
        bytes
            .map_err(Error::from)
            .and_then(|bytes| read(Path::new(&self.input), &bytes).map_err(Error::msg))
            .with_context(|| format!("cannot read the CDI specification {}", self.input))
    }
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stdin = io::stdin().lock().take(MAX_SPEC + 1);
    let size = stdin.read_to_end(&mut bytes)?;
    if size as u64 > MAX_SPEC {
        let message = format!("larger than {MAX_SPEC} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The file in which engines find the spec, and its format. Refuses an extension that engines ignore.
fn output_file(name: &str) -> Result<(PathBuf, Format)> {
    let extension = Path::new(name).extension().unwrap_or_default();
    ensure!(
        extension != "yml",
        "{name}: engines do not read files with this extension; name it .yaml"
    );
    Ok(if extension == "json" {
        (name.into(), Format::Json)
    } else if extension == "yaml" {
        (name.into(), Format::Yaml)
    } else {
        (format!("{name}.yaml").into(), Format::Yaml)
    })
}

/// Two directories, without a slash at the end.
struct Roots<'a> {
    from: &'a str,
    to: &'a str,
}

impl<'a> Roots<'a> {
    fn new(from: &'a str, to: &'a str) -> Self {
        let [from, to] = [from, to].map(|root| root.trim_end_matches('/'));
        Self { from, to }
    }

    /// The path with the directory replaced; `None` if it is not below that directory.
    fn transformed(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.from)?;
        if !path.starts_with('/') || !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        Some(match (self.to, rest) {
            ("", "") => "/".to_owned(),
            (to, rest) => format!("{to}{rest}"),
        })
    }

    fn transform(&self, path: &mut String) {
        if let Some(transformed) = self.transformed(path) {
            *path = transformed;
        }
    }

    fn transform_host(&self, edits: &mut ContainerEdits) {
        for mount in &mut edits.mounts {
            self.transform(&mut mount.host_path);
        }
        for node in &mut edits.device_nodes {
            if let Some(path) = self.transformed(node.on_host()) {
                node.host_path = Some(path);
            }
        }
        for hook in &mut edits.hooks {
            let is_on_host = sides(hook);
            self.transform_hook(hook, is_on_host);
        }
    }

    fn transform_container(&self, edits: &mut ContainerEdits) {
        for mount in &mut edits.mounts {
            self.transform(&mut mount.container_path);
        }
        for node in &mut edits.device_nodes {
            self.transform_node(node);
        }
        for hook in &mut edits.hooks {
            let is_on_host = sides(hook);
            self.transform_hook(hook, is_on_host.map(|it| !it));
        }
    }

    /// Renames the node in the container, and keeps its path on the host.
    fn transform_node(&self, node: &mut DeviceNode) {
        if let Some(path) = self.transformed(&node.path) {
            let old = std::mem::replace(&mut node.path, path);
            node.host_path.get_or_insert(old);
        }
    }

    fn transform_hook(&self, hook: &mut Hook, [has_path, has_args]: [bool; 2]) {
        if has_path {
            self.transform(&mut hook.path);
        }
        if has_args {
            hook.args.iter_mut().for_each(|arg| self.transform_arg(arg));
        }
    }

    /// An argument may be a path, or a link: target, two colons, path.
    fn transform_arg(&self, arg: &mut String) {
        match arg.split_once("::") {
            None => self.transform(arg),
            Some((target, link)) => {
                let [target, link] =
                    [target, link].map(|it| self.transformed(it).unwrap_or_else(|| it.to_owned()));
                *arg = format!("{target}::{link}");
            }
        }
    }
}

/// Whether the program of a hook is on the host, and whether its arguments are paths there: `createContainer` hooks are programs of
/// the host that work on the container.
fn sides(hook: &Hook) -> [bool; 2] {
    match hook.hook_name.as_str() {
        "startContainer" => [false, false],
        "createContainer" => [true, false],
        _ => [true, true],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_a_slash() {
        const DRIVER: &str = "/run/nvidia/driver";
        for (from, to, path, expected) in [
            (DRIVER, "/", "/run/nvidia/driver/lib/a.so", "/lib/a.so"),
            (DRIVER, "", "/run/nvidia/driver/lib/a.so", "/lib/a.so"),
            (DRIVER, "/", DRIVER, "/"),
            (DRIVER, "/host", DRIVER, "/host"),
            (DRIVER, "/host", "/usr/lib/a.so", "/usr/lib/a.so"),
            (
                DRIVER,
                "/host",
                "/run/nvidia/driver-backup/a",
                "/run/nvidia/driver-backup/a",
            ),
            (
                DRIVER,
                "/host",
                "/run/nvidia/driverfoo",
                "/run/nvidia/driverfoo",
            ),
            (
                "/run/nvidia/driver/",
                "/host/",
                "/run/nvidia/driver/a",
                "/host/a",
            ),
            ("/", "/host", "/usr/lib/a.so", "/host/usr/lib/a.so"),
            ("", "/host", "/usr/lib/a.so", "/host/usr/lib/a.so"),
            ("/", "/host", "nvidia-cdi-hook", "nvidia-cdi-hook"),
        ] {
            let mut path = path.to_owned();
            Roots::new(from, to).transform(&mut path);
            assert_eq!(path, expected);
        }
    }
}
