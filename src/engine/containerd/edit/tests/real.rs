//! Properties of files on real hosts: no runtime at all, and names in another case.

use super::*;

/// A runtime that replaces the built-in one is removed with ours, unless somebody changed it or still needs it.
#[test]
fn the_built_in_runtime_is_kept() {
    let (version, prefix) = PREFIXES[1];
    let runc = built_in_of(version, prefix, "");
    let main = "version = 2\nroot = '/x'\n";
    let added = add(&in_place(), main, &handler(false, false));
    assert!(added.ends_with(&runc), "{added}");
    assert_eq!(in_place().remove(&added, None, "test").unwrap(), main);
    let other = format!("\n[{prefix}.containerd.runtimes.other]\nruntime_type = \"x\"\n");
    for (text, is_left) in [
        (format!("{added}snapshotter = \"zfs\"\n"), true),
        (format!("{added}{other}"), true),
        (added.replace("root = '/x'", "root = '/y'"), false),
    ] {
        let removed = in_place().remove(&text, None, "test").unwrap();
        assert_eq!(removed.contains("runtimes.runc]"), is_left, "{removed}");
    }
    let theirs = format!("{main}{runc}");
    let added = add(&in_place(), &theirs, &handler(false, false));
    let edited = format!("{added}# mine\n");
    let removed = in_place().remove(&edited, Some(&theirs), "test").unwrap();
    assert!(removed.contains("runtimes.runc]"), "{removed}");
}

/// containerd 2 ignores case in names of settings, and the last one of several counts.
#[test]
fn settings_are_found_in_any_case() {
    for (version, prefix) in PREFIXES {
        let main = number(version)
            + &runtime(prefix, "runc", RUNC, "Pod_Annotations = [\"x\"]\n")
                .replace("BinaryName", "binaryName")
                .replace("SystemdCgroup", "systemdCgroup")
            + "runtime = \"/usr/bin/runc\"\n";
        let added = add(&in_place(), &main, &handler(false, false));
        let ours = added.split("runtimes.test]").nth(1).unwrap();
        assert!(ours.contains("BinaryName = \"/usr/bin/test\""), "{added}");
        assert!(ours.contains("systemdCgroup = true"), "{added}");
        assert!(ours.contains("Pod_Annotations"), "{added}");
        assert!(!ours.contains("/usr/bin/runc"), "{added}");
        let theirs = main.replace("runtimes.runc", "runtimes.test")
            + &format!("[{prefix}.containerd]\nDefault_Runtime_Name = \"other\"\n");
        let added = add(&in_place(), &theirs, &handler(true, false));
        let values: Vec<&str> = added.lines().filter(|it| it.contains("ame = ")).collect();
        assert_eq!(
            values,
            [
                "binaryName = \"/usr/bin/test\"",
                "BinaryName = \"/usr/bin/test\"",
                "Default_Runtime_Name = \"test\"",
                "default_runtime_name = \"test\"",
            ],
            "{added}"
        );
        let edited = format!("{added}\n# mine\n");
        let removed = in_place().remove(&edited, Some(&theirs), "test").unwrap();
        assert!(
            removed.contains("Default_Runtime_Name = \"other\""),
            "{removed}"
        );
        assert!(!removed.contains("default_runtime_name"), "{removed}");
    }
}
