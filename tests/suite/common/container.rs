//! Real containers for tests: an image made by `tests/fixtures/rootfs.sh`, a bundle around a copy of it, and the runtimes,
//! started in a mount namespace of their own (`tests/fixtures/private.sh`) so that nothing on the machine changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::machine::{binary, can_run, compile, fixture, folder, missing, must, not_root, private};
use super::outcome::Outcome;

/// The version in the names of the driver's libraries.
pub(crate) const VERSION: &str = "575.57.08";

/// The OCI runtimes that the tests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// runc
    Runc,
    /// crun
    Crun,
}

impl Runtime {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Runc, Self::Crun];

    /// Whether it can start a plain container here.
    pub(crate) fn usable(self) -> bool {
        static OBSTACLES: [OnceLock<Option<String>>; 2] = [OnceLock::new(), OnceLock::new()];
        let plain = || {
            let outcome = Container::new().run(self, "true");
            (!outcome.success()).then(|| {
                format!(
                    "{} cannot start a container: {}",
                    self.name(),
                    outcome.text().trim()
                )
            })
        };
        can_run(
            OBSTACLES[self as usize]
                .get_or_init(|| obstacle(self.name()).or_else(plain))
                .clone(),
        )
    }

    /// Its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// Why no container can be started here, if so.
fn obstacle(program: &str) -> Option<String> {
    let missing = missing(&["busybox", "gcc", "unshare", program]).or_else(not_root);
    if missing.is_some() {
        return missing;
    }
    let outcome = Outcome::of(&mut private("true"));
    let why = || format!("no mount namespace can be made: {}", outcome.text().trim());
    (!outcome.success()).then(why)
}

/// A command in a mount namespace where runtimes work, after a shell script that changes what is to be the host.
fn private_host(script: &str, program: &str) -> Command {
    let mut command = private("sh");
    let script = format!("set -e; {script}\nexec \"$@\"");
    command.args(["-c", &script, "sh", program]);
    command
}

/// The folder with `rootfs` and `driver`, made once.
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
        let _ = fs::remove_dir_all(&folder);
        must(Command::new("sh").arg(fixture("rootfs.sh")).arg(&folder));
        folder
    })
}

/// The files of the driver, on the host.
pub(crate) fn driver() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(image().join("driver"))
        .expect("the driver was made")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_name()
        .and_then(|name| name.to_str())
        .expect("a plain file name")
}

/// A bundle: a copy of the image and a config.json.
pub(crate) struct Container {
    folder: TempDir,
    /// Its config.json, but for the command.
    pub(crate) config: Value,
    /// A shell script that makes the host of it.
    host: String,
    /// What is started in place of the runtime.
    program: Option<&'static str>,
}

impl Container {
    /// A container without driver and hooks. It has a folder `/dev/nvidia-caps` that only root may enter.
    pub(crate) fn new() -> Self {
        let folder = folder();
        must(
            Command::new("cp")
                .arg("-a")
                .arg(image().join("rootfs"))
                .arg(folder.path()),
        );
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": [], "env": ["PATH=/usr/sbin:/usr/bin"]},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/nvidia-caps", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0700"]},
            ],
            "linux": {"namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"},
            ]},
            "hooks": {},
        });
        let host = String::new();
        Self {
            folder,
            config,
            host,
            program: None,
        }
    }

    /// The bundle.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The root, on the host.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// Puts the driver's files into a folder of the image.
    #[must_use]
    pub(crate) fn with_driver(self, folder: &str) -> Self {
        let to = self.root().join(folder.trim_start_matches('/'));
        fs::create_dir_all(&to).expect("a folder in the image");
        for file in driver() {
            fs::copy(&file, to.join(name(&file))).expect("a copied library");
        }
        self
    }

    /// Mounts each of the driver's files into a folder of the container.
    #[must_use]
    pub(crate) fn with_mounted_driver(mut self, folder: &str) -> Self {
        for file in driver() {
            let destination = format!("{folder}/{}", name(&file));
            push(
                &mut self.config["mounts"],
                json!({"destination": destination, "type": "bind", "source": file, "options": ["bind", "ro"]}),
            );
        }
        self
    }

    /// Puts a compatibility libcuda into the image, as NVIDIA's package does. Its answer is not the driver's.
    #[must_use]
    pub(crate) fn with_compat_libcuda(self, version: &str, answer: i32) -> Self {
        let folder = self.root().join("usr/local/cuda-12.9/compat");
        fs::create_dir_all(&folder).expect("a folder in the image");
        symlink("cuda-12.9", self.root().join("usr/local/cuda")).expect("a link in the image");
        let flags = [
            "-nostdlib".into(),
            "-Wl,-soname,libcuda.so.1".into(),
            format!("-DANSWER={answer}"),
        ];
        compile(
            "stub.c",
            &folder.join(format!("libcuda.so.{version}")),
            &flags,
        );
        self
    }

    /// Runs a shell script in the mount namespace of the runtime, before it.
    #[must_use]
    pub(crate) fn with_host(mut self, script: &str) -> Self {
        script.clone_into(&mut self.host);
        self
    }

    /// Starts another program in place of the runtime, which the program knows by its settings.
    #[must_use]
    pub(crate) fn through(mut self, program: &'static str) -> Self {
        self.program = Some(program);
        self
    }

    fn program(&self, runtime: Runtime) -> &'static str {
        self.program.unwrap_or(runtime.name())
    }

    /// Mounts a folder or file of the host at the same place.
    #[must_use]
    pub(crate) fn with_mount(mut self, path: &str) -> Self {
        push(
            &mut self.config["mounts"],
            json!({"destination": path, "type": "bind", "source": path, "options": ["rbind"]}),
        );
        self
    }

    /// Makes the root read-only.
    #[must_use]
    pub(crate) fn with_read_only_root(mut self) -> Self {
        self.config["root"]["readonly"] = json!(true);
        self
    }

    /// Sets a variable of the container's process.
    #[must_use]
    pub(crate) fn with_variable(mut self, variable: &str) -> Self {
        push(&mut self.config["process"]["env"], json!(variable));
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub(crate) fn with_annotation(mut self, key: &str, value: &str) -> Self {
        self.config["annotations"][key] = json!(value);
        self
    }

    /// Adds one of our hooks, as `nvidia-cdi-hook`, with the environment that it should have.
    #[must_use]
    pub(crate) fn with_hook(self, stage: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = ["nvidia-cdi-hook"].iter().chain(arguments).collect();
        let hook = json!({"path": binary(), "args": arguments, "env": ["NVIDIA_CTK_DEBUG=false", "RUST_BACKTRACE=1"], "timeout": 70});
        self.with_raw_hook(stage, hook)
    }

    /// Adds a hook as it stands.
    #[must_use]
    pub(crate) fn with_raw_hook(mut self, stage: &str, hook: Value) -> Self {
        push(&mut self.config["hooks"][stage], hook);
        self
    }

    /// Runs a shell command in the container.
    pub(crate) fn run(&mut self, runtime: Runtime, command: &str) -> Outcome {
        self.config["process"]["args"] = json!(["sh", "-c", command]);
        fs::write(self.path().join("config.json"), self.config.to_string())
            .expect("a written config.json");
        let mut start = private_host(&self.host, self.program(runtime));
        if runtime == Runtime::Crun {
            // It can do without, and so has nothing against any layout of them.
            start.arg("--cgroup-manager=disabled");
        }
        start
            .arg("--root")
            .arg(self.path().join("state"))
            .args(["run", "--bundle"])
            .arg(self.path());
        Outcome::of(start.arg(id(self.path())))
    }
}

/// A name that nobody else has, for what belongs to a temporary folder.
pub(crate) fn id(folder: &Path) -> String {
    format!("nvidia-ctk-{}", name(folder).trim_start_matches('.'))
}

/// Adds to a list, which may be missing.
pub(crate) fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        _ => *list = json!([item]),
    }
}

/// podman with a storage, a state and a hooks folder of its own: that of this repository, whose programs are links to the binary
/// under test.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    /// A podman, if it can start a container here.
    pub(crate) fn usable(runtime: Runtime) -> Option<Self> {
        if !runtime.usable() || !can_run(obstacle("podman")) {
            return None;
        }
        let podman = Self::new();
        let outcome = podman.run(runtime, false, &[], &Container::new(), "true");
        let why = || {
            format!(
                "podman cannot start a container with {}: {}",
                runtime.name(),
                outcome.text().trim()
            )
        };
        can_run((!outcome.success()).then(why)).then_some(podman)
    }

    fn new() -> Self {
        let podman = Self { folder: folder() };
        let (programs, hooks) = (podman.path("libexec"), podman.path("hooks.d"));
        for new in [&programs, &hooks] {
            fs::create_dir(new).expect("a folder");
        }
        for (file, mut hook) in hooks_of("hooks.d") {
            let path = Path::new(hook["hook"]["path"].as_str().expect("a path"));
            let program = programs.join(name(path));
            symlink(binary(), &program).expect("a link to the binary");
            hook["hook"]["path"] = json!(program);
            fs::write(hooks.join(file), hook.to_string()).expect("a written hook");
        }
        podman
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a hook to those of this repository.
    pub(crate) fn add_hook(&self, stage: &str, arguments: &[&str]) {
        let arguments: Vec<_> = ["nvidia-cdi-hook"].iter().chain(arguments).collect();
        let hook = json!({
            "version": "1.0.0",
            "hook": {"path": binary(), "args": arguments, "env": ["NVIDIA_CTK_DEBUG=false", "RUST_BACKTRACE=1"], "timeout": 70},
            "when": {"always": true},
            "stages": [stage],
        });
        fs::write(self.path("hooks.d").join("90-added.json"), hook.to_string())
            .expect("a written hook");
    }

    fn command(&self, runtime: Runtime, container: &Container) -> Command {
        let mut command = private_host(&container.host, "podman");
        for folder in ["root", "runroot", "tmpdir"] {
            command.arg(format!("--{folder}")).arg(self.path(folder));
        }
        // What works everywhere: no overlay on top of an overlay, no systemd, no journal.
        command.args(
            "--storage-driver vfs --cgroup-manager cgroupfs --events-backend none".split(' '),
        );
        command.args(["--runtime", container.program(runtime)]);
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        command
    }

    /// `podman run` on a container's root, with our hooks or without.
    pub(crate) fn run(
        &self,
        runtime: Runtime,
        hooks: bool,
        options: &[String],
        container: &Container,
        command: &str,
    ) -> Outcome {
        let mut podman = self.command(runtime, container);
        podman
            .arg("--hooks-dir")
            .arg(self.path(if hooks { "hooks.d" } else { "none" }));
        podman.args("run --rm --network none --cgroups no-conmon --cgroup-parent".split(' '));
        podman.arg(format!("/{}", id(self.folder.path())));
        // podman's own limits are higher than what a root without CAP_SYS_RESOURCE may set.
        podman.args("--ulimit nofile=1024:1024 --ulimit nproc=1024:1024".split(' '));
        // On a busy machine podman can lose what a short container prints: it goes to a file.
        let said = self.path("said");
        fs::write(&said, "").expect("a written file");
        podman.arg(format!("--volume={}:/run/said", said.display()));
        // Not an image: an import writes to podman's cache, which is the machine's.
        podman.args(options).arg("--rootfs").arg(container.root());
        podman.args(["sh", "-c", &format!("exec >/run/said 2>&1; {command}")]);
        let mut outcome = Outcome::of(&mut podman);
        let said = fs::read_to_string(&said).expect("a readable file");
        outcome.stdout.insert_str(0, &said);
        outcome
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        remove_cgroups(&id(self.folder.path()));
    }
}

/// Removes the cgroups whose parents begin with this name, in each hierarchy: engines leave them behind.
pub(crate) fn remove_cgroups(name: &str) {
    let _ = private("find")
        .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path"])
        .args([&format!("*/{name}*"), "-exec", "rmdir", "{}", "+"])
        .output();
}

/// Options for `podman run` that mount each of the driver's files into a folder.
pub(crate) fn volumes(folder: &str) -> Vec<String> {
    driver()
        .iter()
        .flat_map(|file| {
            [
                "-v".into(),
                format!("{}:{folder}/{}:ro", file.display(), name(file)),
            ]
        })
        .collect()
}

/// The hooks in this directory of the repository, by file name.
pub(crate) fn hooks_of(directory: &str) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = fs::read_dir(folder)
        .expect("hooks.d")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_file());
    files
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a readable hook");
            (
                name(&file).to_owned(),
                serde_json::from_str(&text).expect("JSON"),
            )
        })
        .collect()
}
