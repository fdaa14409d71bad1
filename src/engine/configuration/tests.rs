//! Properties of every engine and document: a second run changes nothing, undoing restores the same bytes, and the
//! administrator's text survives both. A seeded generator creates the documents.

mod random;

use crate::document::lines::unified_diff;
use serde_json::{Value, json};

use super::*;
use crate::engine::containerd::{ConfigToml, ConfigVersion, ImportingMain, MainFile};
use crate::engine::crio::{self, CrioConf};
use crate::engine::docker::DaemonJson;
use crate::engine::podman::ContainersConf;

use random::Random;

const ROUNDS: u64 = 1000;

fn json_document(random: &mut Random) -> String {
    let members = [
        r#""zeta": 12345678901234567890"#,
        r#""alpha": "<&>\u00e9\" }""#,
        r#""log-opts": {"max-size": "100m", "x": [1e3, 1.50, {}]}"#,
        "\"exec-opts\": [\n  \"native.cgroupdriver=systemd\"\n]",
        r#""a" :	null"#,
        "\"debug\":false",
    ];
    let mut members: Vec<String> = random
        .some(&members)
        .iter()
        .map(|&it| it.to_owned())
        .collect();
    let features = [
        "",
        "\"containerd-snapshotter\": true",
        "\"cdi\": false",
        "\"cdi\":true",
        "\n",
    ];
    members.push(format!("\"features\": {{{}}}", random.pick(&features)));
    let runtimes = [
        "",
        r#""crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--x"]}"#,
        "\n    \"runc2\": {\n      \"path\": \"runc\"\n    }\n  ",
        r#""nvidia": {"path": "/old", "runtimeArgs": []}"#,
    ];
    members.push(format!("\"runtimes\": {{{}}}", random.pick(&runtimes)));
    members.push(format!(
        "\"default-runtime\": \"{}\"",
        random.pick(&["runc", "crun", "nvidia"])
    ));
    members.retain(|_| random.below(3) > 0);
    random.shuffle(&mut members);
    let (before, after) = [
        ("\n  ", "\n"),
        ("\n\t", "\n"),
        ("\n\n    ", "\n\n"),
        ("", ""),
        (" ", " "),
    ][random.below(5)];
    let body = members.join(&format!(",{before}"));
    let document = format!("{{{before}{body}{after}}}\n");
    match random.below(20) {
        0 => String::new(),
        1 => "\n".to_owned(),
        2 => "{}".to_owned(),
        _ => random.disguise(&document),
    }
}

fn toml_document(random: &mut Random, root: &[&str], tables: &[&str]) -> String {
    let comments = ["# a comment", "", "  # \"x\" = '''", "#\t[table]"];
    let mut lines = random.some(root);
    let mut tables = random.some(tables);
    lines.append(&mut tables);
    let mut text = String::new();
    for line in lines {
        while random.below(4) == 0 {
            text.push_str(random.pick(&comments));
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
    }
    if random.flip() {
        text.push_str(random.pick(&comments));
        text.push('\n');
    }
    random.disguise(&text)
}

const CONTAINERD_ROOT: &[&str] = &[
    "imports = ['/foo/*.toml'] # mine",
    "imports=[ # mine\n  \"/a.toml\",\n  '/b.toml'\n]",
    "root = '/x' # root",
    "oom_score = -999",
    "required_plugins = [\n\n]",
    "a.b = {c = 1_000, d.e = inf}",
    "text = '''\nversion = 7\n'''",
];

const CRI_TABLES: &[&str] = &[
    "[debug]\n  level = \"info\"",
    "[plugins.CRI]\n  sandbox_image = \"x/pause:3.9\" # pin\n  enable_cdi = false",
    "[plugins.CRI.cni]\nbin_dir = '/opt/cni/bin'",
    "[plugins.CRI.containerd]\n\tsnapshotter = 'zfs'\n\tdefault_runtime_name = \"crun\" # mine",
    "[plugins.CRI.containerd.runtimes.runc] # runc\n  # the type\n  runtime_type = \"io.containerd.runc.v2\" # v2\n  pod_annotations = [ 'x', ]",
    "[plugins.CRI.containerd.runtimes.runc.options]\n  SystemdCgroup = true # important",
    "[plugins.CRI.containerd.runtimes.crun]\nruntime_type='io.containerd.runc.v2'\noptions = { BinaryName = '/usr/bin/crun' } # x",
    "[plugins.CRI.containerd.runtimes.nvidia]\nruntime_type = \"\"\n[plugins.CRI.containerd.runtimes.nvidia.options]\nBinaryName = '/old' # mine",
    "[[proxy]]\nname = 'x'",
    "[\"plugins\".other]\nx = 1979-05-27",
];

const CRIO_ROOT: &[&str] = &["x = 1", "y = [1, 2] # mine"];

const CRIO_TABLES: &[&str] = &[
    "[crio]\nlog_dir = '/x'",
    "[crio.runtime]\n  default_runtime = \"crun\" # mine\n  hooks_dir = [\n  ]",
    "[crio.runtime.runtimes.crun]\n  runtime_path = \"/usr/bin/crun\" # path\n  allowed_annotations = [\n    \"a\", # b\n  ]",
    "[crio.runtime.runtimes.runc]\nruntime_type = ''",
    "[crio.runtime.runtimes.nvidia]\nruntime_path = '/old'",
    "[crio.image]\npause_image = \"x\"",
];

const PODMAN_TABLES: &[&str] = &[
    "[engine]\n# hooks_dir = []\nruntime = \"crun\"",
    "[engine]\nhooks_dir = ['/x', # mine\n '/y']",
    "[engine.runtimes]\ncrun = [\n  \"/usr/bin/crun\",\n]",
    "[network]\n  default_subnet = \"10.88.0.0/16\"",
];

fn containerd_document(random: &mut Random, version: usize) -> String {
    let (numbers, plugins) = match version {
        1 => (["", "version = 1 # one"], ["cri", "'cri'"]),
        2 => (
            ["version = 2", "version=2 # two"],
            [
                "\"io.containerd.grpc.v1.cri\"",
                "'io.containerd.grpc.v1.cri'",
            ],
        ),
        3 => (
            ["version = 3", "version = 0x3"],
            [
                "\"io.containerd.cri.v1.runtime\"",
                "'io.containerd.cri.v1.runtime'",
            ],
        ),
        _ => (
            ["version = 4", "version = +4"],
            [
                "\"io.containerd.cri.v1.runtime\"",
                "'io.containerd.cri.v1.runtime'",
            ],
        ),
    };
    let (number, plugin) = (random.pick(&numbers), random.pick(&plugins));
    let tables: Vec<String> = CRI_TABLES
        .iter()
        .map(|it| it.replace("CRI", plugin))
        .collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let text = toml_document(random, CONTAINERD_ROOT, &tables);
    let (mark, rest) = text.split_at(text.len() - text.trim_start_matches('\u{feff}').len());
    let head = random.pick(&["", "# the file\n\n", "# the number\n"]);
    format!("{mark}{head}{number}\n{rest}")
}

/// A drop-in, and the document that the administrator may have made of it, or none.
fn drop_in(random: &mut Random) -> Box<dyn Configuration> {
    let version = random.below(4);
    if version == 0 {
        let main = toml_document(random, CRIO_ROOT, CRIO_TABLES);
        let mut merged = crio::Merged::default();
        let _ = merged.read(&main);
        let base = merged.base().unwrap_or_default();
        return Box::new(CrioConf {
            base: Base::Followed(base),
        });
    }
    let text = containerd_document(random, version + 1);
    let Ok(main) = MainFile::read(&text, ConfigVersion::V2) else {
        return drop_in(random);
    };
    let is_copied = main.version == ConfigVersion::V2 && random.flip();
    Box::new(ConfigToml {
        new: main.version,
        base: Base::Followed(main.base.unwrap_or_else(|| main.version.plain())),
        copied: is_copied.then(|| main.cri.unwrap_or_default()),
    })
}

/// The number of kinds: each engine, and containerd in each version, once for the runtime and once for the import.
const KINDS: usize = 11;

/// A document that an engine accepts, and that engine.
fn case(kind: usize, random: &mut Random) -> (Box<dyn Configuration>, String) {
    match kind {
        0 => (Box::new(DaemonJson), json_document(random)),
        1 => {
            let conf = CrioConf { base: Base::Own };
            (
                Box::new(conf),
                toml_document(random, CRIO_ROOT, CRIO_TABLES),
            )
        }
        2 => {
            let containers = ContainersConf {
                hooks_dir: "/usr/share/containers/oci/hooks.d".into(),
                default_dirs: vec!["/etc/containers/oci/hooks.d".into()],
            };
            (
                Box::new(containers),
                toml_document(random, &[], PODMAN_TABLES),
            )
        }
        kind => {
            let text = containerd_document(random, kind / 2);
            if kind % 2 == 1 {
                let config = ConfigToml {
                    new: ConfigVersion::V2,
                    base: Base::Own,
                    copied: None,
                };
                (Box::new(config), text)
            } else {
                let imports = ImportingMain {
                    new: ConfigVersion::V2,
                    pattern: "/etc/containerd/conf.d/*.toml".into(),
                };
                (Box::new(imports), text)
            }
        }
    }
}

/// The data of a document, to compare different spellings.
pub(in crate::engine) fn data(text: &str) -> Value {
    fn value(item: &Item) -> Value {
        if let Some(table) = item.as_table_like() {
            return table.iter().map(|(key, item)| (key, value(item))).collect();
        }
        match item.as_array() {
            Some(array) => array
                .iter()
                .map(|it| it.to_string().trim().to_owned())
                .collect(),
            None => json!([item.as_str(), item.as_integer(), item.as_bool()]),
        }
    }
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str(text) {
        Ok(json) => json,
        Err(_) if text.trim().is_empty() => json!({}),
        Err(_) => value(text.parse::<toml_edit::DocumentMut>().unwrap().as_item()),
    }
}

/// Whether `whole` contains all of `part` except empty tables.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, part)| {
            let is_void = |it: &Value| it == &json!({});
            whole
                .get(key)
                .map_or(is_void(part), |whole| holds(whole, part))
        }),
        _ => whole == part,
    }
}

#[test]
fn configure_and_unconfigure_are_inverse_and_idempotent() {
    let mut taken = [0; KINDS];
    for seed in 0..ROUNDS {
        let mut random = Random(seed);
        let kind = random.below(KINDS);
        let (engine, text) = case(kind, &mut random);
        let handler = handler(&mut random);
        let Ok(added) = engine.add(&text, &handler) else {
            continue;
        };
        taken[kind] += 1;
        let show = || format!("seed {seed}\n---\n{text}\n---\n{added}\n---");
        assert_eq!(engine.add(&added, &handler).unwrap(), added, "{}", show());
        assert_eq!(
            undo(&*engine, &added, Some(&text), "nvidia").unwrap(),
            text,
            "{}",
            show()
        );
        assert!(
            engine.find(&added, "nvidia").unwrap().is_some(),
            "{}",
            show()
        );

        // At most the lines of the default runtime, CDI, the path, and those that get a comma are new.
        let diff = unified_diff(&text, &added, "", "");
        let gone = diff
            .lines()
            .skip(2)
            .filter(|it| it.starts_with('-'))
            .count();
        assert!(gone <= 5, "{gone} {}", show());

        // Removing entry by entry also removes all that was added and keeps all that existed.
        let had_one = engine.find(&text, "nvidia").unwrap().is_some();
        let removed = engine.remove(&added, Some(&text), "nvidia").unwrap();
        if !had_one {
            assert!(
                holds(&data(&removed), &data(&text)),
                "{}\n{removed}",
                show()
            );
            assert!(
                holds(&data(&text), &data(&removed)),
                "{}\n{removed}",
                show()
            );
        }
        let again = engine.remove(&removed, Some(&text), "nvidia").unwrap();
        assert_eq!(again, removed, "{}", show());
    }
    let fewest = taken.iter().min().unwrap();
    assert!(*fewest > ROUNDS / 30, "{taken:?}");
}

fn handler(random: &mut Random) -> Handler {
    Handler {
        name: "nvidia".into(),
        path: random
            .pick(&["/usr/bin/nvidia-container-runtime", "/opt/\"x\"/é"])
            .into(),
        is_default: random.flip(),
        cdi: random.flip(),
    }
}

#[test]
fn a_drop_in_comes_follows_and_goes() {
    for seed in 0..ROUNDS / 4 {
        let mut random = Random(seed);
        let (engine, later) = (drop_in(&mut random), drop_in(&mut random));
        let handler = handler(&mut random);
        let added = engine.add("", &handler).unwrap();
        let show = || format!("seed {seed}\n---\n{added}\n---");
        assert_eq!(engine.add(&added, &handler).unwrap(), added, "{}", show());
        let undone = undo(&*engine, &added, Some(""), "nvidia").unwrap();
        assert_eq!(undone, "", "{}", show());
        let found = engine.find(&added, "nvidia").unwrap().unwrap();
        assert_eq!(found.is_default, handler.is_default, "{}", show());

        // After an edit of the main file the result may differ, but it contains our runtime once and loses it on removal.
        if let Ok(followed) = later.add(&added, &handler) {
            assert_eq!(later.add(&followed, &handler).unwrap(), followed);
            let removed = later.remove(&followed, Some(""), "nvidia").unwrap();
            assert_eq!(later.find(&removed, "nvidia").unwrap(), None, "{removed}");
        }
    }
}
