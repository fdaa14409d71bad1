//! Which files doctor says that engines refuse. The judges are the engines, where they are here.

use serde_json::Value;

use super::{DAEMON_JSON, findings, package, program};
use crate::common::host::Host;
use crate::common::machine::{has, private};
use crate::common::outcome::Outcome;

/// What podman, the judge where it is here, says of a file of hooks.d: whether it takes it.
fn podman_takes(host: &Host, folder: &str) -> bool {
    host.program("runtime", "echo it was called >&2; exit 1");
    let mut podman = private("podman");
    for (option, value) in [
        ("--root", host.expand("@BIN@/storage")),
        ("--runroot", host.expand("@BIN@/run")),
        ("--storage-driver", "vfs".to_owned()),
        ("--cgroup-manager", "cgroupfs".to_owned()),
        ("--events-backend", "file".to_owned()),
        ("--hooks-dir", host.at(folder).display().to_string()),
        // Hooks are read before it is called.
        ("--runtime", host.expand("@BIN@/runtime")),
    ] {
        podman.args([option, &value]);
    }
    podman.args("run --rm --network none --rootfs".split(' '));
    let said = Outcome::of(podman.arg(host.at("rootfs")).arg("x")).stderr;
    let is_refused = said.contains("setting up OCI Hooks");
    assert!(is_refused || said.contains("it was called"), "{said}");
    !is_refused
}

/// Each rule is that of podman's own reader.
#[test]
fn files_of_hooks_d_that_engines_refuse() {
    const REFUSED: &str = "hooks-dir-invalid";
    const PROGRAM: &str = "hook-program-missing";
    let judge = has(&["podman", "unshare"]);
    let folder = "/usr/share/containers/oci/hooks.d";
    let hook = r#""version": "1.0.0", "hook": {"path": "/bin/sh"}"#;
    let stages = r#""when": {"always": true}, "stages": ["prestart"]"#;
    let with_path =
        |path: &str| format!(r#"{{"version": "1.0.0", "hook": {{"path": "{path}"}}, {stages}}}"#);
    for (text, code) in [
        (format!("{{{hook}, {stages}}}"), ""),
        (format!("{{{hook}, \"stages\": []}}"), ""),
        (format!("{{{hook}, \"stages\": [\"precreate\"]}}"), ""),
        (
            format!("{{{hook}, \"when\": null, \"x\": 1, \"stages\": []}}"),
            "",
        ),
        (
            r#"{"Version": "1.0.0", "HOOK": {"Path": "/bin/sh"}, "stages": []}"#.to_owned(),
            "",
        ),
        (
            r#"{"hook": "/bin/sh", "stage": ["prestart"], "cmds": [".*"]}"#.to_owned(),
            "",
        ),
        (
            r#"{"version": "0.1.0", "hook": "/bin/sh", "stages": ["prestart"]}"#.to_owned(),
            "",
        ),
        (with_path("/gone"), PROGRAM),
        (with_path("relative"), PROGRAM),
        (with_path("/etc"), PROGRAM),
        (with_path("/bin/sh/x"), REFUSED),
        (with_path(""), REFUSED),
        (format!("{{{hook}}}"), REFUSED),
        (format!("{{{hook}, \"stages\": null}}"), REFUSED),
        (format!("{{{hook}, \"stages\": [\"start\"]}}"), REFUSED),
        (
            format!("{{{hook}, \"when\": {{\"always\": 1}}, \"stages\": []}}"),
            REFUSED,
        ),
        (format!("{{{hook}, \"stages\": []}} x"), REFUSED),
        (
            r#"{"version": "0.2.0", "hook": "/bin/sh", "stages": []}"#.to_owned(),
            REFUSED,
        ),
        (
            r#"{"version": 1, "hook": "/bin/sh", "stages": []}"#.to_owned(),
            REFUSED,
        ),
        (r#"{"hook": "/bin/sh"}"#.to_owned(), REFUSED),
        (
            r#"{"hook": "/bin/sh", "stage": [], "stages": []}"#.to_owned(),
            REFUSED,
        ),
        (
            r#"{"version": "1.0.0", "hook": {"path": "/bin/sh", "timeout": "1"}, "stages": []}"#
                .to_owned(),
            REFUSED,
        ),
        ("null".to_owned(), REFUSED),
        (String::new(), REFUSED),
    ] {
        let host = Host::new();
        host.directory("rootfs").directory("etc");
        program(&host, "/bin/sh", "");
        host.file(format!("{folder}/x.json"), &text);
        let found = findings(&host);
        let found: Vec<_> = found
            .iter()
            .map(|it| it["code"].as_str().unwrap())
            .collect();
        assert_eq!(found.join(" "), code, "{text}");
        if judge {
            assert_eq!(podman_takes(&host, folder), code != REFUSED, "{text}");
        }
    }
}

/// A file that is a link which leads nowhere is none.
#[test]
fn a_link_in_hooks_d_that_leads_nowhere() {
    let host = Host::new();
    host.link("/etc/containers/oci/hooks.d/x.json", "gone");
    assert_eq!(findings(&host), [Value::Null; 0]);
}

/// Whether the dockerd of this machine takes the file; none where it would have to start for that.
fn dockerd_refuses(host: &Host) -> bool {
    let mut dockerd = private("timeout");
    dockerd
        .args(["2", "dockerd", "--config-file"])
        .arg(host.at(DAEMON_JSON));
    // It ends there if it takes the file.
    let outcome = Outcome::of(dockerd.args([
        "--tlsverify",
        "--tlscacert",
        "/gone",
        "--host",
        "tcp://127.0.0.1:1",
    ]));
    outcome
        .stderr
        .contains("unable to configure the Docker daemon with file")
}

/// dockerd 20.10 reads the first value of a file, and later versions all of it, without a byte order mark.
#[test]
fn files_of_docker_that_it_refuses() {
    let judge =
        has(&["dockerd", "unshare"]) && crate::common::engine::major_version("dockerd") == 20;
    for (text, refused_by_20, refused_by_28) in [
        ("null", false, false),
        ("{\"features\": null, \"runtimes\": null}", false, false),
        ("", true, false),
        (" \n", true, false),
        ("\u{feff}{}", true, false),
        ("{} x", false, true),
        ("[]", true, true),
        ("// c\n{}", true, true),
        ("{\"runtimes\": {\"nvidia\": \"/x\"}}", true, true),
        ("{\"default-runtime\": 1}", true, true),
        ("{\"exec-opts\": [1]}", true, true),
        ("{\"features\": {\"cdi\": \"true\"}}", true, true),
    ] {
        let host = Host::new();
        host.file(DAEMON_JSON, text);
        for (version, is_refused) in [
            ("20.10.24+dfsg1-1", refused_by_20),
            ("5:28.3.0-1~debian.12~bookworm", refused_by_28),
        ] {
            package(&host, "docker-ce", version, "install ok installed");
            let found = findings(&host);
            let found: Vec<_> = found.iter().map(|it| &it["code"]).collect();
            let expected = Value::from("engine-config-invalid");
            let expected: Vec<_> = is_refused.then_some(&expected).into_iter().collect();
            assert_eq!(found, expected, "{version}: {text}");
        }
        if judge {
            assert_eq!(dockerd_refuses(&host), refused_by_20, "{text}");
        }
    }
}
