//! The flags of a dockerd command line.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::engine::Engine;
use crate::host::{process, service};
use crate::rootfs::Root;

const SERVICE: &str = "docker.service";
/// Short flags and their long names.
const SHORT: [(char, &str); 7] = [
    ('b', "bridge"),
    ('D', "debug"),
    ('G', "group"),
    ('H', "host"),
    ('l', "log-level"),
    ('p', "pidfile"),
    ('s', "storage-driver"),
];
/// Flags that have another name in `daemon.json`. All others have the same name, except `add-runtime`, which dockerd merges with
/// the file.
const NAMES: [(&str, &str); 15] = [
    ("authorization-plugin", "authorization-plugins"),
    ("cdi-spec-dir", "cdi-spec-dirs"),
    ("cluster-store-opt", "cluster-store-opts"),
    ("default-address-pool", "default-address-pools"),
    ("default-network-opt", "default-network-opts"),
    ("default-ulimit", "default-ulimits"),
    ("dns-opt", "dns-opts"),
    ("exec-opt", "exec-opts"),
    ("host", "hosts"),
    ("insecure-registry", "insecure-registries"),
    ("label", "labels"),
    ("log-opt", "log-opts"),
    ("node-generic-resource", "node-generic-resources"),
    ("registry-mirror", "registry-mirrors"),
    ("storage-opt", "storage-opts"),
];

/// The flags of a command line.
pub(super) struct Flags {
    /// The files that contain the command line.
    pub(super) files: Vec<PathBuf>,
    /// Long names and values, in order.
    flags: Vec<(String, String)>,
}

/// Reads the flags of systemd's unit for dockerd, and those of running dockerd processes.
pub(super) fn read(root: &Root) -> Vec<Flags> {
    let started = service::start(root, SERVICE).map(|it| Flags::new(it.files, &it.words));
    let running = process::find(root, Engine::Docker.program());
    let running = running
        .into_iter()
        .map(|it| Flags::new(vec![it.path], &it.words));
    started.into_iter().chain(running).collect()
}

impl Flags {
    /// Parses a command line. dockerd has no positional arguments: a word without a dash is the value of the preceding flag.
    fn new(files: Vec<PathBuf>, words: &[String]) -> Self {
        let program = Some(Engine::Docker.program().as_ref());
        let words = words.iter();
        let words = words.skip_while(|it| Path::new(it).file_name() != program);
        let mut flags: Vec<(String, String)> = Vec::new();
        for word in words.skip(1) {
            if let Some(flag) = word.strip_prefix("--") {
                let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                flags.push((name.to_owned(), value.to_owned()));
            } else if let Some(flag) = word.strip_prefix('-') {
                flags.extend(short(flag));
            } else if let Some((_, value)) = flags.last_mut() {
                value.clone_from(word);
            }
        }
        Self { files, flags }
    }

    /// Returns the values of a flag.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let flags = self.flags.iter().filter(move |(flag, _)| flag == name);
        flags.map(|(_, value)| value.as_str())
    }

    /// Returns the flags with which dockerd does not start beside this `daemon.json`, each with its name in the file.
    pub(super) fn conflicts<'f>(&'f self, config: &Map<String, Value>) -> Vec<(&'f str, &'f str)> {
        let names = self.flags.iter().map(|(flag, _)| {
            let other = NAMES.iter().find(|(name, _)| name == flag);
            (flag.as_str(), other.map_or(flag.as_str(), |(_, key)| key))
        });
        names.filter(|(_, key)| config.contains_key(*key)).collect()
    }
}

fn short(flag: &str) -> Option<(String, String)> {
    let mut letters = flag.chars();
    let letter = letters.next()?;
    let (_, name) = SHORT.iter().find(|(short, _)| *short == letter)?;
    let value = letters.as_str();
    let value = value.strip_prefix('=').unwrap_or(value);
    Some(((*name).to_owned(), value.to_owned()))
}
