//! The runtime in documents of all versions.

mod real;

use super::*;
use crate::engine::configuration::tests::data;
use crate::engine::configuration::undo;

/// The table of runtimes in each version's format.
const PREFIXES: [(ConfigVersion, &str); 4] = [
    (ConfigVersion::V1, "plugins.cri"),
    (ConfigVersion::V2, "plugins.\"io.containerd.grpc.v1.cri\""),
    (
        ConfigVersion::V3,
        "plugins.\"io.containerd.cri.v1.runtime\"",
    ),
    (
        ConfigVersion::V4,
        "plugins.\"io.containerd.cri.v1.runtime\"",
    ),
];

fn handler(is_default: bool, cdi: bool) -> Handler {
    Handler {
        name: "test".into(),
        path: "/usr/bin/test".into(),
        is_default,
        cdi,
    }
}

fn in_place() -> ConfigToml {
    ConfigToml {
        new: ConfigVersion::V2,
        base: Base::Own,
        copied: None,
    }
}

/// A drop-in beside `main`, as for containerd 2.x or, with a copy, 1.x.
fn beside(main: &str, is_copied: bool) -> ConfigToml {
    let main = MainFile::read(main, ConfigVersion::V2).unwrap();
    ConfigToml {
        new: main.version,
        base: Base::Followed(main.base.unwrap_or_else(|| main.version.plain())),
        copied: is_copied.then(|| main.cri.unwrap_or_default()),
    }
}

fn add(config: &ConfigToml, text: &str, handler: &Handler) -> String {
    let added = config.add(text, handler).unwrap();
    assert_eq!(config.add(&added, handler).unwrap(), added);
    assert_eq!(undo(config, &added, Some(text), "test").unwrap(), text);
    added
}

fn number(version: ConfigVersion) -> String {
    format!("version = {}\n", version.number())
}

/// The built-in runtime that `document`, which names no other runtime, gets for containerd 1.x beside ours.
fn built_in_of(version: ConfigVersion, prefix: &str, document: &str) -> String {
    let names_another =
        document.contains("runtimes.runc]") || document.contains("runtimes.default]");
    if version >= ConfigVersion::V3 || names_another {
        return String::new();
    }
    format!("\n[{prefix}.containerd.runtimes.runc]\nruntime_type = \"{RUNC}\"\n")
}

fn runtime(prefix: &str, name: &str, kind: &str, settings: &str) -> String {
    format!(
        "[{prefix}.containerd.runtimes.{name}]\n{settings}runtime_type = \"{kind}\"\n\
         [{prefix}.containerd.runtimes.{name}.options]\nBinaryName = \"/usr/bin/{name}\"\nSystemdCgroup = true\n"
    )
}

#[test]
fn an_empty_document_gets_the_runtime_and_its_version() {
    let (version, prefix) = PREFIXES[1];
    let runc = built_in_of(version, prefix, "");
    let entry = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.test]\nprivileged_without_host_devices = false\nruntime_engine = \"\"\nruntime_root = \"\"\nruntime_type = \"io.containerd.runc.v2\"\n\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.test.options]\nBinaryName = \"/usr/bin/test\"\n";
    assert_eq!(
        add(&in_place(), "", &handler(false, false)),
        format!("version = 2\n\n{entry}{runc}")
    );
    assert_eq!(
        add(&in_place(), "", &handler(true, true)),
        format!(
            "version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\nenable_cdi = true\n\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = \"test\"\n\n{entry}{runc}"
        )
    );
    assert_eq!(
        add(&beside("version = 3\n", false), "", &handler(false, false)),
        "version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.test]\nprivileged_without_host_devices = false\nruntime_type = \"io.containerd.runc.v2\"\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.test.options]\nBinaryName = \"/usr/bin/test\"\n"
    );
}

#[test]
fn settings_come_from_the_default_runtime_or_a_usual_one() {
    let kind = RUNC;
    for (version, prefix) in PREFIXES {
        let old = version <= ConfigVersion::V2;
        let settings =
            |name: &str| format!("pod_annotations = [\"{name}\"]\nruntime_root = \"/{name}\"\n");
        let kept = |name: &str| {
            let root = format!("runtime_root = \"/{name}\"\n");
            settings(name).replace(&root, if old { &root } else { "" })
        };
        let default = format!("[{prefix}.containerd]\ndefault_runtime_name = \"default\"\n");
        let one = |name: &str, kind: &str| runtime(prefix, name, kind, &settings(name));
        for (runtimes, from) in [
            (one("runc", kind), "runc"),
            (one("runc", ""), "runc"),
            (one("crun", kind), "crun"),
            (default.clone() + &one("default", kind), "default"),
            (
                default.clone() + &one("runc", kind) + &one("default", kind),
                "default",
            ),
            (
                default.clone() + &one("default", "io.containerd.kata.v2") + &one("runc", kind),
                "runc",
            ),
        ] {
            let main = number(version) + &runtimes;
            let mut entry = runtime(prefix, "test", kind, &kept(from));
            if version == ConfigVersion::V1 {
                entry.push_str("Runtime = \"/usr/bin/test\"\n");
            }
            let added = add(&in_place(), &main, &handler(false, false));
            assert_eq!(data(&added), data(&format!("{main}{entry}")), "{main}");
            if version > ConfigVersion::V1 {
                let added = add(&beside(&main, false), "", &handler(false, false));
                assert_eq!(data(&added), data(&(number(version) + &entry)));
                let added = add(&beside(&main, true), "", &handler(false, false));
                assert_eq!(data(&added), data(&format!("{main}{entry}")));
                assert!(added.starts_with(COPY));
            }
        }
    }
}

/// The table of the toolkit's own tests, with an entry as the toolkit writes it. Its runtimes are of the kind "type" there; here
/// a new runtime inherits only from those of runc's kind.
#[test]
fn the_cases_of_the_toolkit() {
    for (version, prefix) in PREFIXES {
        let entry = |name: &str, bare: bool, root: &str, kind: &str, systemd: Option<bool>| {
            let engine = root.replace("root", "engine");
            let old = format!("runtime_engine = \"{engine}\"\nruntime_root = \"{root}\"\n");
            let root = if version <= ConfigVersion::V2 {
                &old
            } else {
                ""
            };
            let mut text = format!(
                "[{prefix}.containerd.runtimes.{name}]\nprivileged_without_host_devices = {bare}\n{root}runtime_type = \"{kind}\"\n\
                 [{prefix}.containerd.runtimes.{name}.options]\nBinaryName = \"/usr/bin/{name}\"\n"
            );
            match systemd {
                Some(true) => text += "SystemdCgroup = true\n",
                Some(false) => text += "SystemdCgroup = false\n",
                None => {}
            }
            if name == "test" && version == ConfigVersion::V1 {
                text += "Runtime = \"/usr/bin/test\"\n";
            }
            text
        };
        let default =
            |name: &str| format!("[{prefix}.containerd]\ndefault_runtime_name = \"{name}\"\n");
        let plain = entry("test", false, "", RUNC, None);
        let runc = entry("runc", true, "root", RUNC, Some(true));
        let other = default("default") + &entry("default", false, "defaultroot", RUNC, Some(false));
        let from_other = entry("test", false, "defaultroot", RUNC, Some(false));
        for (input, is_default, output) in [
            (String::new(), false, plain.clone()),
            (String::new(), true, default("test") + &plain),
            (
                entry("runc", false, "", "", Some(true)),
                false,
                entry("runc", false, "", "", Some(true))
                    + &entry("test", false, "", RUNC, Some(true)),
            ),
            (
                runc.clone(),
                false,
                runc.clone() + &entry("test", true, "root", RUNC, Some(true)),
            ),
            (other.clone(), false, other.clone() + &from_other),
            (
                other.clone() + &runc,
                false,
                other.clone() + &runc + &from_other,
            ),
            (
                runc.replace(RUNC, "type"),
                false,
                runc.replace(RUNC, "type") + &plain,
            ),
            (default("test") + &plain, true, default("test") + &plain),
            (
                default("test") + &plain,
                false,
                format!("[{prefix}.containerd]\n{plain}"),
            ),
        ] {
            let output = number(version) + &output + &built_in_of(version, prefix, &input);
            let input = number(version) + &input;
            let added = add(&in_place(), &input, &handler(is_default, false));
            assert_eq!(data(&added), data(&output), "{input}");
        }
    }
}

#[test]
fn it_is_no_longer_the_default_if_that_is_not_asked_for() {
    for (version, prefix) in PREFIXES {
        let default = format!("[{prefix}.containerd]\ndefault_runtime_name = \"test\"\n");
        let mut entry = runtime(prefix, "test", RUNC, "");
        if version == ConfigVersion::V1 {
            entry.push_str("Runtime = \"/usr/bin/test\"\n");
        }
        let runc = built_in_of(version, prefix, "");
        let before = number(version) + &default + &entry + &runc;
        assert_eq!(add(&in_place(), &before, &handler(true, false)), before);
        assert_eq!(
            add(&in_place(), &before, &handler(false, false)),
            number(version) + &format!("[{prefix}.containerd]\n") + &entry + &runc
        );
    }
}

#[test]
fn cdi_is_a_setting_of_the_plugin() {
    for (version, prefix) in PREFIXES {
        let added = add(&in_place(), &number(version), &handler(false, true));
        let document: toml_edit::DocumentMut = added.parse().unwrap();
        let [plugins, plugin] = version.cri();
        let cdi = document[plugins][plugin].get("enable_cdi");
        assert_eq!(cdi.and_then(Item::as_bool), Some(true), "{prefix}");
    }
}

const COMMENTED: &str = "# top comment
version = 2   # trailing
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"x/pause:3.9\" # pin
  [plugins.'io.containerd.grpc.v1.cri'.containerd]
    snapshotter = 'zfs'
      # the usual one
      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc] # see above
        # v2
        runtime_type = \"io.containerd.runc.v2\"
        pod_annotations = [ 'x', ] # mine
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
          SystemdCgroup = true # important
[debug]
  level = \"info\"
";

#[test]
fn a_commented_document_gains_lines_only() {
    let block = "
      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.test]
        runtime_type = \"io.containerd.runc.v2\"
        pod_annotations = [ 'x', ]

        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.test.options]
          SystemdCgroup = true
          BinaryName = \"/usr/bin/test\"
";
    let after = COMMENTED.replace("[debug]", &format!("{block}[debug]"));
    assert_eq!(add(&in_place(), COMMENTED, &handler(false, false)), after);
    let windows = COMMENTED.replace('\n', "\r\n");
    assert_eq!(
        add(&in_place(), &windows, &handler(false, false)),
        after.replace('\n', "\r\n")
    );
}

#[test]
fn imports_are_one_line() {
    let imports = ImportingMain {
        new: ConfigVersion::V3,
        pattern: "/etc/x/*.toml".into(),
    };
    for (before, after) in [
        ("", "imports = [\"/etc/x/*.toml\"]\nversion = 3\n"),
        (
            "version = 2\n",
            "version = 2\nimports = [\"/etc/x/*.toml\"]\n",
        ),
        (
            "version = 2\nimports = [\"/foo/bar/*.toml\"]\n",
            "version = 2\nimports = [\"/foo/bar/*.toml\", \"/etc/x/*.toml\"]\n",
        ),
    ] {
        let added = imports.add(before, &handler(false, false)).unwrap();
        assert_eq!(added, after);
        assert_eq!(undo(&imports, &added, Some(before), "x").unwrap(), before);
        let edited = format!("{added}\n[debug]\nlevel = 'info'\n");
        let undone = undo(&imports, &edited, Some(before), "x").unwrap();
        assert!(!undone.contains("/etc/x"), "{undone}");
        assert_eq!(undo(&imports, &edited, None, "x").unwrap(), edited);
    }
    let added = imports.add(COMMENTED, &handler(false, false)).unwrap();
    let line = "# trailing\nimports = [\"/etc/x/*.toml\"]\n";
    assert_eq!(added, COMMENTED.replace("# trailing\n", line));
}

#[test]
fn a_drop_in_follows_the_main_file_and_keeps_what_else_is_in_it() {
    let drop_in = add(&beside(COMMENTED, false), "", &handler(false, false));
    let edited = format!("{drop_in}ShimCgroup = \"/x\"\n");
    let main = COMMENTED.replace("SystemdCgroup = true", "SystemdCgroup = false");
    let followed = beside(&main, false).add(&edited, &handler(false, false));
    assert_eq!(
        followed.unwrap(),
        edited.replace("SystemdCgroup = true", "SystemdCgroup = false")
    );
}

#[test]
fn a_copy_is_written_over_ours_and_over_nothing_else() {
    let config = beside(COMMENTED, true);
    let ours = add(&config, "", &handler(false, false));
    assert_eq!(config.remove(&ours, Some(""), "test").unwrap(), "");
    let edited = format!("{ours}x = 1\n");
    assert_eq!(config.add(&edited, &handler(false, false)).unwrap(), ours);
    let with_section = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nx = 1\n";
    let added = add(&config, with_section, &handler(false, false));
    assert!(added.starts_with(with_section), "{added}");
    let error = config.add("# mine\nversion = 2\n", &handler(false, false));
    assert!(
        error
            .unwrap_err()
            .message
            .contains("did not write the file")
    );
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    for (text, error) in [
        ("version = 0\n", "1:11: the version is not 1, 2, 3 or 4"),
        (
            "x = 1\nversion = '2'\n",
            "2:11: the version is not 1, 2, 3 or 4",
        ),
        ("version = 5\n", "1:11: the version is not 1, 2, 3 or 4"),
        ("version = 2\nversion = 2\n", "2:1: duplicate key"),
        (
            "version = 2\ndisabled_plugins = ['x', 'cri']\n",
            "2:20: the CRI plugin is disabled, so no runtime would be used; remove \"cri\" from disabled_plugins",
        ),
        (
            "disabled_plugins = 1\n",
            "1:20: disabled_plugins is not an array",
        ),
        (
            "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']\n",
            "2:20: the CRI plugin is disabled, so no runtime would be used; remove \"io.containerd.cri.v1.runtime\" from disabled_plugins",
        ),
        (
            "version = 3\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n",
            "2:20: the CRI plugin is disabled, so no runtime would be used; remove \"io.containerd.grpc.v1.cri\" from disabled_plugins",
        ),
        (
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\nruntimes = 1\n",
            "3:12: plugins.io.containerd.cri.v1.runtime.containerd.runtimes is not a table",
        ),
        (
            "[plugins.cri.containerd.runtimes]\nrunc = 1\n",
            "2:8: plugins.cri.containerd.runtimes.runc is not a table",
        ),
    ] {
        let found = in_place().add(text, &handler(true, true)).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
        let found = MainFile::read(text, ConfigVersion::V2).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
    }
    let imports = ImportingMain {
        new: ConfigVersion::V2,
        pattern: "x".into(),
    };
    let error = imports.add("imports = 'x'\n", &handler(false, false));
    assert_eq!(
        error.unwrap_err().to_string(),
        "1:11: imports is not an array"
    );
}
