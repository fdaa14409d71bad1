use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use crate::common::host::Host;
use crate::common::machine::{binary, fixture};
use crate::common::outcome::Outcome;
use crate::common::wrapper::{HANGS, with_umask, within};

const SPEC: &str = "---
cdiVersion: 0.3.0
kind: v.com/c
devices:
    - name: x
      containerEdits:
        deviceNodes:
            - path: /drv/dev/a
            - path: /dev/b
containerEdits:
    hooks:
        - hookName: createRuntime
          path: /drv/bin/h
          args:
            - /drv/bin/h
            - /drv/a::/drv/b
        - hookName: createContainer
          path: /drv/bin/h
          args:
            - /drv/bin/h
            - ../a::/drv/b
        - hookName: startContainer
          path: /drv/bin/h
          args:
            - /drv
    mounts:
        - hostPath: /drv/lib/a.so
          containerPath: /drv/lib/a.so
        - hostPath: /drv-backup/a
          containerPath: /drv-backup/a
";

const ON_HOST: &str = "---
cdiVersion: 0.5.0
kind: v.com/c
devices:
    - name: x
      containerEdits:
        deviceNodes:
            - path: /drv/dev/a
              hostPath: /dev/a
            - path: /dev/b
containerEdits:
    hooks:
        - hookName: createRuntime
          path: /bin/h
          args:
            - /bin/h
            - /a::/b
        - hookName: createContainer
          path: /bin/h
          args:
            - /drv/bin/h
            - ../a::/drv/b
        - hookName: startContainer
          path: /drv/bin/h
          args:
            - /drv
    mounts:
        - hostPath: /lib/a.so
          containerPath: /drv/lib/a.so
        - hostPath: /drv-backup/a
          containerPath: /drv-backup/a
";

const IN_CONTAINER: &str = "---
cdiVersion: 0.5.0
kind: v.com/c
devices:
    - name: x
      containerEdits:
        deviceNodes:
            - path: /dev/a
              hostPath: /drv/dev/a
            - path: /dev/b
containerEdits:
    hooks:
        - hookName: createRuntime
          path: /drv/bin/h
          args:
            - /drv/bin/h
            - /drv/a::/drv/b
        - hookName: createContainer
          path: /drv/bin/h
          args:
            - /bin/h
            - ../a::/b
        - hookName: startContainer
          path: /bin/h
          args:
            - /
    mounts:
        - hostPath: /drv/lib/a.so
          containerPath: /lib/a.so
        - hostPath: /drv-backup/a
          containerPath: /drv-backup/a
";

#[test]
fn paths_of_either_side() {
    let host = Host::new();
    host.file("/x.yaml", SPEC);
    let line = "cdi transform root --input @ROOT@/x.yaml";
    for (options, expected) in [
        ("--from=/drv --to=/", ON_HOST),
        ("--from /drv/ --relative-to=host", ON_HOST),
        ("--from=/drv --relative-to=container", IN_CONTAINER),
        ("--from=/elsewhere --to=/", SPEC),
        ("--from=/drv --to=/drv", SPEC),
    ] {
        let outcome = host.succeed(&format!("{line} {options}"));
        assert_eq!(outcome.text(), expected, "{options}");
    }
    let back = format!("{line} --from=/drv --to=/x --output=@ROOT@/out.yaml");
    assert_eq!(host.succeed(&back).text(), "");
    let back = host.succeed("cdi transform root --from=/x --to=/drv --input=@ROOT@/out.yaml");
    let expected = SPEC.replace("0.3.0", "0.5.0");
    let node = "- path: /drv/dev/a\n";
    let expected = expected.replace(node, &format!("{node}              hostPath: /drv/dev/a\n"));
    assert_eq!(back.text(), expected);
}

#[test]
fn specs_of_the_toolkit_stay_as_they_are() {
    let host = Host::new();
    for name in ["full-2gpu.yaml", "small-mig.yaml", "small-mig.json"] {
        let input = fixture(&format!("cdi/{name}"));
        let line = format!("cdi transform root --input {}", input.display());
        let text = fs::read_to_string(&input).unwrap();
        host.succeed(&format!("{line} --output @ROOT@/{name}"));
        assert_eq!(host.text(format!("/{name}")), text);
    }
}

#[test]
fn files_are_written_as_a_whole() {
    let host = Host::new();
    let input = fixture("cdi/small-2gpu.yaml");
    let line = format!("cdi transform root --input {} --output", input.display());
    for (name, written) in [
        ("a/b.yaml", "a/b.yaml"),
        ("c", "c.yaml"),
        ("d.json", "d.json"),
    ] {
        let line = format!("{line} @ROOT@/{name}");
        let outcome = host.run_in(&with_umask("077"), &line);
        assert!(
            outcome.success() && outcome.text().is_empty(),
            "{outcome:?}"
        );
        assert_eq!(host.mode(written), 0o644, "{name}");
        let before = fs::metadata(host.at(written)).unwrap();
        host.succeed(&line);
        let after = fs::metadata(host.at(written)).unwrap();
        assert_eq!(before.ino(), after.ino(), "{name}");
        assert_eq!(before.ctime_nsec(), after.ctime_nsec(), "{name}");
    }
    assert_eq!(host.names("/a"), ["b.yaml"]);
    let json = fs::read_to_string(fixture("cdi/small-2gpu.json")).unwrap();
    assert_eq!(host.text("/d.json"), json);
    host.fail(&format!("{line} @ROOT@/x.yml"), "name it .yaml");
    host.fail(
        &format!("{line} @ROOT@/c.yaml/x.yaml"),
        "cannot write @ROOT@/c.yaml/x.yaml: Not a directory",
    );
}

/// A run whose standard input is this file.
fn from_stdin(host: &Host, path: &str, options: &str) -> Outcome {
    let mut command = within(HANGS, &[], binary());
    let options = host.expand(options);
    let words = ["cdi", "transform", "root"]
        .into_iter()
        .chain(options.split_whitespace());
    let stdin = File::open(host.at(path)).unwrap();
    Outcome::of(command.args(words).stdin(stdin))
}

#[test]
fn standard_input() {
    let host = Host::new();
    host.file("/x.yaml", SPEC);
    assert_eq!(from_stdin(&host, "/x.yaml", "").text(), SPEC);
    assert_eq!(
        from_stdin(&host, "/x.yaml", "--from=/drv --input=-").text(),
        ON_HOST
    );
    let (json, yaml) = (fixture("cdi/small-mig.json"), fixture("cdi/small-mig.yaml"));
    host.file("/x.json", fs::read(json).unwrap());
    assert_eq!(
        from_stdin(&host, "/x.json", "").text(),
        fs::read_to_string(yaml).unwrap()
    );
    File::create(host.at("/large"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let refused = from_stdin(&host, "/large", "");
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("-: larger than 1048576 bytes"),
        "{refused:?}"
    );
}

#[test]
fn what_is_refused() {
    let host = Host::new();
    host.file("/x.yaml", SPEC.replace("kind", "unknown"))
        .file("/y.yaml", SPEC.replace("0.3.0", "0.2.9"))
        .node("/fifo.yaml", &["p"]);
    for (options, message) in [
        ("--input @ROOT@/x.yaml", "x.yaml: unknown field 'unknown'"),
        (
            "--input @ROOT@/y.yaml",
            "y.yaml: cdiVersion '0.2.9' is not known",
        ),
        (
            "--input @ROOT@/nowhere",
            "nowhere: No such file or directory",
        ),
        ("--input @ROOT@/fifo.yaml", "fifo.yaml: not a regular file"),
        ("--input @ROOT@", "Is a directory"),
        ("--relative-to=x", "invalid --relative-to value: x"),
    ] {
        let refused = host.run(&format!("cdi transform root {options}"));
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (1, ""),
            "{options}"
        );
        assert!(
            refused.stderr.contains(message),
            "{options}: {}",
            refused.stderr
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
}
