//! What NVIDIA's toolkit does in each case that is known of its hooks, and whether this program does the same.
//!
//! The cases are data, `cases/*.json`: a tree before, a command line, and the exit code, the words and the tree after it. Where
//! this program differs on purpose, `toolkit` says what the toolkit 1.20 does, and why that is not wanted. With
//! `NVIDIA_CDI_HOOK=path` in the environment that program is run in place of this one, and must do what the toolkit does; so the
//! data can be checked.
//!
//! | key of a case | what |
//! |---|---|
//! | `name` | of the case |
//! | `args` | words, as a list or parted by blanks |
//! | `program` | another name than `nvidia-cdi-hook` |
//! | `before` | paths in the root, or `$HOST/…` beside it, and what is made there, see [`Thing`] |
//! | `state`, `config` | OCI state, config.json |
//! | `params` | the host's `/proc/driver/nvidia/params`; without it the host has none; the container's, if there, says `Linux` |
//! | `env` | variables |
//! | `read_only` | whether the root is |
//! | `look` | a shell command that runs afterwards in the same mount namespace; its output is in `stdout` |
//! | `expect` | what is to be, with the keys that follow |
//! | `toolkit` | where the toolkit differs: `expect` with those keys that do, and `why`; `skip` where it is not to be run |
//!
//! | key of `expect` | what |
//! |---|---|
//! | `code` | exit code, 0 without it |
//! | `stdout`, `stderr` | parts that occur there |
//! | `after` | paths, with `*` in the last part for one name, and what is there; null for nothing |
//! | `cached` | paths in ld.so.cache |
//!
//! `$ROOT`, `$HOST` and `$BUNDLE` stand for these directories everywhere; a path may begin with `$INSIDE`,
//! which has the path of `$HOST` in the root.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "also outside of the test functions: they work on files that they made"
)]

/// Of what the suite has in common, as much as is needed here.
#[path = "../suite/common"]
#[allow(dead_code, reason = "all of it is used in the suite")]
mod common {
    pub(crate) mod bundle;
    pub(crate) mod cdi_spec;
    pub(crate) mod container;
    pub(crate) mod elf;
    pub(crate) mod gpu_host;
    pub(crate) mod host;
    pub(crate) mod machine;
    pub(crate) mod nvidia_host;
    pub(crate) mod outcome;
    pub(crate) mod syslog;
    pub(crate) mod tree;
    pub(crate) mod wrapper;
}
mod cdi_generate;
mod thing;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use thing::Thing;

use crate::common::bundle::{Bundle, end};
use crate::common::machine::has;
use crate::common::outcome::Outcome;
use crate::common::wrapper::{READ_ONLY, with_mounts, words};

/// Where the environment names the toolkit's hook.
const TOOLKIT: &str = "NVIDIA_CDI_HOOK";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    args: Words,
    program: Option<String>,
    #[serde(default)]
    before: BTreeMap<String, String>,
    state: Option<String>,
    config: Option<String>,
    params: Option<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    read_only: bool,
    look: Option<String>,
    #[serde(default, rename = "expect")]
    expected: Expected,
    toolkit: Option<Difference>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Words {
    Line(String),
    List(Vec<String>),
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    code: Option<i32>,
    stdout: Option<Vec<String>>,
    stderr: Option<Vec<String>>,
    after: Option<BTreeMap<String, Option<String>>>,
    cached: Option<Vec<String>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    why: String,
    #[serde(default)]
    skip: bool,
    #[serde(default, rename = "expect")]
    expected: Expected,
}

impl Expected {
    /// These expectations in the place of others, key by key.
    fn instead_of(&self, other: &Self) -> Self {
        let (this, other) = (self.clone(), other.clone());
        Self {
            code: this.code.or(other.code),
            stdout: this.stdout.or(other.stdout),
            stderr: this.stderr.or(other.stderr),
            after: this.after.or(other.after),
            cached: this.cached.or(other.cached),
        }
    }
}

/// Runs all cases of a file, and tells of all that fail.
#[track_caller]
fn check(cases: &str) {
    let cases: Vec<Case> = serde_json::from_str(cases).expect("cases");
    let toolkit = std::env::var_os(TOOLKIT).map(PathBuf::from);
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| can_run(case, toolkit.is_some()))
        .flat_map(|case| check_case(case, toolkit.as_deref()))
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn can_run(case: &Case, toolkit: bool) -> bool {
    let makes_nodes = case.before.values().any(|it| Thing::parse(it).is_node());
    // Other names of the program are not the toolkit's business.
    let is_skipped = case.program.is_some() || case.toolkit.as_ref().is_some_and(|it| it.skip);
    !(toolkit && is_skipped)
        && (!case.needs_namespace(toolkit) || has(&["unshare", "mount"]))
        && (!makes_nodes || has(&["mknod"]))
}

/// Runs one case; returns what is not as expected.
fn check_case(case: &Case, toolkit: Option<&Path>) -> Vec<String> {
    let bundle = Bundle::new();
    if let Some(toolkit) = toolkit {
        let hook = bundle.path().join("nvidia-cdi-hook");
        fs::remove_file(&hook).unwrap();
        symlink(toolkit, hook).unwrap();
    }
    let ran = case.run(&bundle, toolkit.is_some());
    let mut failed: Vec<_> = match case.toolkit.as_ref().filter(|_| toolkit.is_some()) {
        None => case.expected.compare(&bundle, &ran).collect(),
        Some(difference) => {
            assert!(!difference.why.is_empty(), "{}", case.name);
            let expected = difference.expected.instead_of(&case.expected);
            let same = case.expected.compare(&bundle, &ran).next().is_none();
            let same = same.then(|| "is no difference to the toolkit".to_owned());
            expected.compare(&bundle, &ran).chain(same).collect()
        }
    };
    for it in &mut failed {
        *it = format!("{}: {it}\n  {ran:?}", case.name);
    }
    failed
}

impl Case {
    /// The toolkit insists on a root that is a mount point.
    fn needs_namespace(&self, toolkit: bool) -> bool {
        toolkit || self.params.is_some() || self.read_only || self.look.is_some()
    }

    fn run(&self, bundle: &Bundle, toolkit: bool) -> Outcome {
        for (path, thing) in &self.before {
            Thing::parse(&expand(bundle, thing)).make(bundle, path);
        }
        if let Some(config) = &self.config {
            bundle.config(&expand(bundle, config));
        }
        let state = self
            .state
            .as_ref()
            .map_or_else(|| bundle.state().to_string(), |state| expand(bundle, state));
        let words: Vec<_> = match &self.args {
            Words::Line(line) => line.split_whitespace().map(str::to_owned).collect(),
            Words::List(words) => words.clone(),
        };
        let words: Vec<_> = words.iter().map(|word| expand(bundle, word)).collect();
        let program = self.program.as_deref().unwrap_or("nvidia-cdi-hook");
        let before = [
            self.variables(),
            if self.needs_namespace(toolkit) {
                self.namespace(bundle)
            } else {
                Vec::new()
            },
        ];
        let mut child = bundle.spawn(&before.concat(), program, &words, Stdio::piped());
        // Who does not read it, as after a usage error, need not. Dropped then: the toolkit waits for its end.
        let _ = child.stdin.take().unwrap().write_all(state.as_bytes());
        end(child)
    }

    fn variables(&self) -> Vec<OsString> {
        let mut env = vec![OsString::from("env")];
        env.extend(self.env.iter().map(OsString::from));
        env
    }

    /// As in a createContainer hook: a mount namespace, and a /proc with other process numbers.
    fn namespace(&self, bundle: &Bundle) -> Vec<OsString> {
        let mut script = String::from("mount --bind \"$root\" \"$root\"");
        if let Some(params) = &self.params {
            fs::write(bundle.path().join("params"), params).unwrap();
            script.push_str(
                "; mount -t tmpfs tmpfs /proc/driver; mkdir /proc/driver/nvidia; cp $bundle/params /proc/driver/nvidia;
                   params=$root/proc/driver/nvidia/params;
                   [ ! -e $params ] || mount --bind /proc/sys/kernel/ostype $params",
            );
        }
        if self.read_only {
            READ_ONLY.clone_into(&mut script);
        }
        let look = self.look.as_deref().unwrap_or("true");
        let script = format!("{script}; export bundle root host");
        let after = format!("\"$@\"; code=$?; {look}; exit $code");
        [
            with_mounts(bundle, &script),
            words(&["sh", "-c", &after, "sh", "unshare", "--pid", "--fork"]),
        ]
        .concat()
    }
}

impl Expected {
    /// What is not as expected.
    fn compare<'a>(&'a self, bundle: &'a Bundle, ran: &'a Outcome) -> impl Iterator<Item = String> {
        let code = self.code.unwrap_or(0);
        let code = (ran.code != code).then(|| format!("exit code {}, not {code}", ran.code));
        let lacks = |(text, parts): (&'a String, &'a Option<Vec<String>>)| {
            let parts = parts.iter().flatten().map(|part| expand(bundle, part));
            parts.filter(move |part| !text.contains(part))
        };
        let printed = [(&ran.stdout, &self.stdout), (&ran.stderr, &self.stderr)];
        let printed = printed.into_iter().flat_map(lacks);
        let tree = self.after.iter().flatten().filter_map(|(path, thing)| {
            let expected = thing.as_ref().map(|it| expand(bundle, it));
            let found = Thing::find(bundle, path, expected.as_deref());
            (found != expected).then(|| format!("{path} is {found:?}, not {expected:?}"))
        });
        let paths = bundle.cached();
        let cached = self.cached.iter().flatten();
        let cached = cached.filter(move |path| !paths.contains(path));
        code.into_iter()
            .chain(printed.map(|part| format!("does not say: {part}")))
            .chain(tree)
            .chain(cached.map(|path| format!("the cache does not have {path}")))
    }
}

fn expand(bundle: &Bundle, text: &str) -> String {
    let directory = |path: PathBuf| path.display().to_string();
    text.replace("$ROOT", &directory(bundle.root()))
        .replace("$HOST", &directory(bundle.host()))
        .replace("$BUNDLE", &directory(bundle.path().to_owned()))
}

macro_rules! cases {
    ($($name:ident),+) => {$(
        #[test]
        fn $name() {
            check(include_str!(concat!("cases/", stringify!($name), ".json")));
        }
    )+};
}

cases!(
    command_line,
    state,
    update_ldcache,
    create_symlinks,
    chmod,
    enable_cuda_compat,
    disable_device_node_modification,
    update_application_profile
);
