//! `nvidia-container-runtime` with settings, CDI specs, a bundle and a log of its own, and a stub (`low_level.c`) in place of runc.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::gpu_host::GpuHost;
use super::machine::{binary, copy_program, fixture, folder, helper};
use super::outcome::Outcome;
use super::wrapper::{HANGS, within, words};

/// The program's name.
pub(crate) const RUNTIME: &str = "nvidia-container-runtime";

/// Settings with the stub as the only low-level runtime, and spec directories of this test.
pub(crate) const SETTINGS: &str = "[nvidia-container-runtime]\nruntimes = [\"@BIN@/runc\"]\n\
    [nvidia-container-runtime.modes.cdi]\nspec-dirs = [\"@SHIM@/etc\", \"@SHIM@/run\"]\n";

/// The folder with all of it. `bin` holds the programs, `etc` and `run` hold specs, `bundle` holds config.json.
pub(crate) struct Shim {
    at: PathBuf,
    /// Where the program finds the folder.
    inside: PathBuf,
    before: Vec<OsString>,
    _temporary: Option<TempDir>,
}

impl Shim {
    /// One on this machine, which has no GPU.
    pub(crate) fn new() -> Self {
        let temporary = folder();
        let at = temporary.path().to_owned();
        let shim = Self {
            inside: at.clone(),
            at,
            before: Vec::new(),
            _temporary: Some(temporary),
        };
        shim.make();
        symlink(binary(), shim.at("bin/nvidia-ctk")).expect("a link");
        shim
    }

    /// One on a made-up host, in its folder `/shim`.
    pub(crate) fn on(host: &GpuHost) -> Self {
        let root = host.root();
        let mut before = words(&["sh"]);
        before.extend([fixture("gpu_host.sh").into(), root.into()]);
        let shim = Self {
            at: host.at("/shim"),
            inside: "/shim".into(),
            before,
            _temporary: None,
        };
        fs::create_dir(&shim.at).expect("a folder");
        shim.make();
        host.node("/dev/null", (1, 3), 0o666, 0);
        // Programs of this machine have their loader in /lib, which is a link.
        if host.at("/lib/firmware").is_dir() {
            fs::rename(host.at("/lib/firmware"), host.at("/usr/lib/firmware")).expect("a folder");
            fs::remove_dir(host.at("/lib")).expect("an empty folder");
            host.link("/lib", "usr/lib");
        }
        copy_program(&binary(), &shim.at("bin/nvidia-ctk"));
        shim
    }

    fn make(&self) {
        for folder in ["bin/calls", "etc", "run", "bundle"] {
            fs::create_dir_all(self.at(folder)).expect("a folder");
        }
        for suffix in ["", ".cdi", ".legacy", "-hook"] {
            let link = self.at(&format!("bin/{RUNTIME}{suffix}"));
            symlink("nvidia-ctk", link).expect("a link");
        }
        symlink("nvidia-ctk", self.at("bin/nvidia-cdi-hook")).expect("a link");
        self.low_level("bin/runc");
        self.settings(SETTINGS);
        self.config(&config(&[]));
    }

    /// Puts the stub in a place. Its calls are noted in `calls` beside it.
    pub(crate) fn low_level(&self, path: &str) {
        let at = self.at(path);
        let calls = at.parent().expect("a parent").join("calls");
        fs::create_dir_all(calls).expect("a folder");
        copy_program(&helper("low_level.c"), &at);
    }

    /// Where a path of the folder is.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.at.join(path)
    }

    /// The same for the program.
    pub(crate) fn inside(&self, path: &str) -> String {
        self.inside.join(path).display().to_string()
    }

    /// A text in which `@SHIM@` and `@BIN@` stand for the folder and for that of the programs.
    pub(crate) fn expand(&self, text: &str) -> String {
        text.replace("@BIN@", &self.inside("bin"))
            .replace("@SHIM@", &self.inside.display().to_string())
    }

    /// Writes a file.
    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
        fs::write(at, text).expect("a written file");
        self
    }

    /// Writes config.toml.
    pub(crate) fn settings(&self, text: &str) -> &Self {
        self.file("config.toml", &self.expand(text))
    }

    /// Writes config.toml with lines before those of [`SETTINGS`], and others at its end.
    pub(crate) fn settings_with(&self, first: &str, last: &str) -> &Self {
        self.settings(&format!("{first}\n{SETTINGS}{last}\n"))
    }

    /// Writes config.json.
    pub(crate) fn config(&self, config: &Value) -> &Self {
        self.file("bundle/config.json", &config.to_string())
    }

    /// Writes config.json with variables only.
    pub(crate) fn variables(&self, variables: &[&str]) -> &Self {
        self.config(&config(variables))
    }

    /// Writes a spec.
    pub(crate) fn spec(&self, path: &str, spec: &Value) -> &Self {
        self.file(path, &spec.to_string())
    }

    /// What config.json holds.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.at("bundle/config.json")).expect("config.json")
    }

    /// Runs a program of `bin`, behind others.
    pub(crate) fn run_as(
        &self,
        name: &str,
        before: &[OsString],
        arguments: &[impl AsRef<OsStr>],
    ) -> Outcome {
        Outcome::of(&mut self.command(name, before, arguments))
    }

    /// The command that runs a program of `bin`.
    pub(crate) fn command(
        &self,
        name: &str,
        before: &[OsString],
        arguments: &[impl AsRef<OsStr>],
    ) -> std::process::Command {
        let before = [self.before.as_slice(), before].concat();
        let program = self.inside.join("bin").join(name);
        let mut command = within(HANGS, &before, program);
        let rest = std::env::var("PATH").expect("PATH");
        command
            .args(arguments)
            .current_dir(self.at("bundle"))
            .env("PATH", format!("{}:{rest}", self.inside("bin")))
            .env("NVIDIA_CTK_CONFIG_FILE_PATH", self.inside("config.toml"));
        command
    }

    /// Runs the program with words, in which `@SHIM@` is expanded.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let arguments: Vec<_> = arguments.iter().map(|it| self.expand(it)).collect();
        self.run_as(RUNTIME, &[], &arguments)
    }

    /// Creates the container as containerd does.
    pub(crate) fn create(&self) -> Outcome {
        self.create_in(&[])
    }

    /// The same behind other programs.
    pub(crate) fn create_in(&self, before: &[OsString]) -> Outcome {
        let words = CREATE.map(|word| self.expand(word));
        self.run_as(RUNTIME, before, &words)
    }

    /// Creates the container, which must be silent; returns the config.json that the low-level runtime found.
    #[track_caller]
    pub(crate) fn created(&self) -> Value {
        let outcome = self.create();
        let log = self.log_text();
        assert!(outcome.success(), "{outcome:?}\n{log}");
        outcome.silent();
        self.last().config()
    }

    /// Tries to create the container, which must fail without a change and without a start. Returns the message.
    #[track_caller]
    pub(crate) fn refused(&self) -> String {
        let before = self.text();
        let calls = self.calls().len();
        let outcome = self.create();
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert_eq!(outcome.stdout, "", "{outcome:?}");
        assert_eq!(self.calls().len(), calls, "a start: {outcome:?}");
        assert_eq!(self.text(), before, "a change: {outcome:?}");
        let errors = self.log("error");
        assert_eq!(errors.len(), 1, "{errors:?}, {outcome:?}");
        let lines = outcome.stderr.lines();
        let errors = lines.filter(|line| line.contains("level=error"));
        assert_eq!(errors.count(), 1, "{outcome:?}");
        self.log("error").remove(0)
    }

    /// What the stub in `bin` noted, call by call.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls_of("bin")
    }

    /// What stubs in this folder noted.
    pub(crate) fn calls_of(&self, folder: &str) -> Vec<Call> {
        let folder = self.at(folder).join("calls");
        let call = |number: usize| Call::read(&folder.join(number.to_string()));
        (0..).map_while(call).collect()
    }

    /// The last call of the stub in `bin`.
    #[track_caller]
    pub(crate) fn last(&self) -> Call {
        self.calls().pop().expect("a start")
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.at("log.json")).unwrap_or_default()
    }

    /// The messages of a level in the log, which holds nothing but JSON.
    #[track_caller]
    pub(crate) fn log(&self, level: &str) -> Vec<String> {
        let text = self.log_text();
        let entries = text.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect(line);
            for key in ["level", "msg", "time"] {
                assert!(entry[key].is_string(), "{line}");
            }
            entry
        });
        entries
            .filter(|entry| entry["level"] == level)
            .map(|entry| entry["msg"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// How containerd and docker create a container.
pub(crate) const CREATE: [&str; 11] = [
    "--root",
    "@SHIM@/root",
    "--log",
    "@SHIM@/log.json",
    "--log-format",
    "json",
    "create",
    "--bundle",
    "@SHIM@/bundle",
    "--pid-file=@SHIM@/pid",
    "c1",
];

/// One start of the stub.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its arguments, the program's name included.
    pub(crate) argv: Vec<OsString>,
    /// Its environment.
    pub(crate) environ: Vec<OsString>,
    /// The program that runs.
    pub(crate) program: PathBuf,
    /// Its working directory.
    pub(crate) directory: String,
    /// Its umask, signals and privileges.
    pub(crate) inherited: String,
    /// Number and target of its open files; pipes are not told apart.
    pub(crate) descriptors: Vec<String>,
    /// What config.json held; none where there was none.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Call {
    fn read(folder: &Path) -> Option<Self> {
        let text = |name| fs::read_to_string(folder.join(name)).expect(name);
        if !folder.is_dir() {
            return None;
        }
        let words = |name: &str| -> Vec<OsString> {
            let bytes = fs::read(folder.join(name)).expect(name);
            let words = bytes.split_inclusive(|byte| *byte == 0);
            words
                .map(|word| OsStr::from_bytes(&word[..word.len() - 1]).to_owned())
                .collect()
        };
        let plain = |line: &str| line.split(":[").next().unwrap_or_default().to_owned();
        Some(Self {
            argv: words("argv"),
            environ: words("environ"),
            program: text("program").into(),
            directory: text("directory"),
            inherited: text("inherited"),
            descriptors: text("descriptors").lines().map(plain).collect(),
            bytes: fs::read(folder.join("config.json")).ok(),
        })
    }

    /// The arguments behind the program's name.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        let texts = self.argv.iter().map(|word| word.to_str().expect("UTF-8"));
        texts.skip(1).collect()
    }

    /// config.json.
    #[track_caller]
    pub(crate) fn config(&self) -> Value {
        let bytes = self.bytes.as_ref().expect("config.json");
        serde_json::from_slice(bytes).expect("JSON")
    }
}

/// A config.json with variables beside PATH.
pub(crate) fn config(variables: &[&str]) -> Value {
    let mut env = vec!["PATH=/usr/bin:/bin"];
    env.extend(variables);
    json!({
        "ociVersion": "1.1.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "env": env, "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "mount"}],
        },
    })
}

/// A spec of a kind whose devices have these names. Each gives the variable `GOT_name=yes` (with `_` for what is no letter and no
/// digit) and the node `/dev/nvidiaN` with the number of its place, which is the host's `/dev/null`.
pub(crate) fn spec(kind: &str, names: &[&str]) -> Value {
    let device = |(number, name): (usize, &&str)| {
        json!({"name": name, "containerEdits": {
            "env": [format!("GOT_{}=yes", plain(name))],
            "deviceNodes": [{"path": format!("/dev/nvidia{number}"), "hostPath": "/dev/null"}],
        }})
    };
    let devices: Vec<_> = names.iter().enumerate().map(device).collect();
    json!({
        "cdiVersion": "0.7.0",
        "kind": kind,
        "devices": devices,
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "hooks": [{"hookName": "createContainer", "path": "/usr/bin/true", "args": ["true", kind]}],
        },
    })
}

fn plain(name: &str) -> String {
    let letter = |it: char| if it.is_ascii_alphanumeric() { it } else { '_' };
    name.chars().map(letter).collect()
}

/// The variables of a config.json.
pub(crate) fn env(config: &Value) -> Vec<&str> {
    let env = config["process"]["env"].as_array().into_iter().flatten();
    env.map(|it| it.as_str().expect("a text")).collect()
}

/// The devices of [`spec`] that a container got, by name, in the order of their variables.
pub(crate) fn got(config: &Value) -> Vec<&str> {
    let name = |it: &&'_ str| it.starts_with("GOT_");
    let found = env(config).into_iter().filter(name);
    found
        .map(|it| it["GOT_".len()..].trim_end_matches("=yes"))
        .collect()
}

/// The paths of the device nodes of a config.json.
pub(crate) fn devices(config: &Value) -> Vec<&str> {
    let devices = config["linux"]["devices"].as_array().into_iter().flatten();
    devices
        .map(|it| it["path"].as_str().expect("a path"))
        .collect()
}
