//! What the engines themselves make of the files that `runtime configure` wrote.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{fixtures, host, private_script};
use crate::common::host::{Host, texts};
use crate::common::machine::has;
use crate::common::outcome::Outcome;

fn containerd(words: &[&str]) -> Outcome {
    Outcome::of(Command::new("containerd").args(words))
}

/// What containerd makes of the host's configuration.
fn ask_containerd(host: &Host) -> Outcome {
    let config = host.at("config.toml");
    containerd(&["--config", config.to_str().unwrap(), "config", "dump"])
}

/// The same, which must be something.
#[track_caller]
fn containerds_dump(host: &Host) -> String {
    let outcome = ask_containerd(host);
    assert!(outcome.success(), "{}", outcome.stderr);
    outcome.stdout.replace('\'', "\"")
}

const CONFIGURE: &str =
    "runtime configure --runtime containerd --config @ROOT@/config.toml --set-as-default";
const DROP_IN: &str = "--drop-in-config @ROOT@/conf.d/x.toml";

#[test]
fn containerd_reads_what_is_written() {
    if !has(&["containerd"]) {
        return;
    }
    let host = host();
    let is_2 = containerd(&["--version"]).stdout.contains("containerd/v2");
    let before =
        |case: &str| fs::read_to_string(fixtures().join(case).join("before/config.toml")).unwrap();
    let v1 = before("containerd-version-1");
    let v2 = before("containerd-in-place");
    let v3 = before("containerd-drop-in");
    let v4 = v3.replace("version = 3", "version = 4");
    for (text, arguments) in [
        (v1.as_str(), ""),
        (&v2, ""),
        (&v2, "--drop-in-config="),
        (&v2, DROP_IN),
        (&v2, "--cdi.enabled"),
        (&v2.replace('\n', "\r\n"), ""),
        ("version = 2\n", "--config-source command"),
        ("", ""),
        (&v3, ""),
        (&v3, "--drop-in-config= --cdi.enabled"),
        (&v3, DROP_IN),
        ("version = 3\n", "--config-source command"),
        (&v4, ""),
        (&v4, "--drop-in-config="),
    ] {
        host.file("config.toml", text);
        // 1.x does not know these; 4 is the form of containerd 2.3.
        let is_new = ["version = 3", "version = 4"].map(|it| text.contains(it));
        if is_new != [false; 2] && !is_2 || is_new[1] && !ask_containerd(&host).success() {
            continue;
        }
        if is_2 && text == v1 {
            host.fail(
                CONFIGURE,
                "has version 1, whose runtimes containerd 2.x ignores",
            );
            continue;
        }
        host.succeed(&format!("{CONFIGURE} {arguments}"));
        assert_configured(&host, text, arguments);
        assert_edits_count(&host, text, arguments);
        let undo = arguments
            .replace("--config-source command", "")
            .replace("--cdi.enabled", "");
        host.succeed(&format!(
            "runtime unconfigure --runtime containerd --config @ROOT@/config.toml {undo}"
        ));
        let left = text.replace("10010", "10011");
        assert_eq!(host.text("config.toml"), left, "{arguments}");
        assert!(!containerds_dump(&host).contains("nvidia"), "{arguments}");
    }
}

/// What was asked for is there, and what was there before.
fn assert_configured(host: &Host, before: &str, arguments: &str) {
    let knows_cdi = containerd(&["config", "default"])
        .stdout
        .contains("enable_cdi");
    let dumped = containerds_dump(host);
    for (wanted, setting) in [
        (true, "BinaryName = \"/usr/bin/nvidia-container-runtime\""),
        (true, "default_runtime_name = \"nvidia\""),
        (arguments.contains("cdi") && knows_cdi, "enable_cdi = true"),
        (before.contains("10010"), "stream_server_port = \"10010\""),
        (before.contains("Systemd"), "SystemdCgroup = true"),
        (before.contains("zfs"), "snapshotter = \"zfs\""),
    ] {
        assert!(
            !wanted || dumped.contains(setting),
            "{before}\n{arguments}: {setting}: {dumped}"
        );
    }
}

/// An edit of the main file reaches containerd; 1.x takes the CRI settings from a drop-in, so there after another run.
fn assert_edits_count(host: &Host, before: &str, arguments: &str) {
    let edited = host.text("config.toml").replace("10010", "10011");
    host.file("config.toml", &edited);
    if arguments == DROP_IN {
        host.succeed(&format!("{CONFIGURE} {arguments}"));
    }
    assert_eq!(
        edited.contains("10011"),
        containerds_dump(host).contains("10011"),
        "{before}\n{arguments}"
    );
}

/// No CRI-O can be had here: its manual judges.
#[test]
fn crio_knows_the_keys_that_are_written() {
    let known: Vec<&str> = include_str!("../../fixtures/crio.keys").lines().collect();
    let mut runtimes = 0;
    for case in fs::read_dir(fixtures()).unwrap() {
        let case = case.unwrap();
        if !case.file_name().to_string_lossy().starts_with("crio-") {
            continue;
        }
        for (file, text) in texts(&case.path().join("after")) {
            let document: toml_edit::DocumentMut = text.parse().unwrap();
            let top: Vec<&str> = document.iter().map(|(key, _)| key).collect();
            assert_eq!(top, ["crio"], "{}", file.display());
            let runtime = document["crio"]["runtime"].as_table_like().unwrap();
            let key = |key: &str, value: &toml_edit::Item| {
                let kind = value.type_name().trim_start_matches("inline ");
                let line = format!("{key} {kind}");
                assert!(known.contains(&line.as_str()), "{}: {line}", file.display());
            };
            for (name, value) in runtime.iter().filter(|(name, _)| *name != "runtimes") {
                key(name, value);
            }
            let all = runtime.get("runtimes").unwrap().as_table_like().unwrap();
            for (name, entry) in all.iter() {
                for (setting, value) in entry.as_table_like().unwrap().iter() {
                    key(&format!("runtimes.NAME.{setting}"), value);
                }
                if name == "nvidia" {
                    assert_eq!(entry["runtime_type"].as_str(), Some("oci"));
                    assert!(entry["runtime_path"].as_str().unwrap().starts_with('/'));
                    runtimes += 1;
                }
            }
        }
    }
    assert!(runtimes >= 5, "{runtimes}");
}

#[test]
fn dockerd_reads_what_is_written() {
    if !has(&["dockerd", "containerd", "runc", "unshare"]) {
        return;
    }
    let host = host();
    host.program("nvidia-container-runtime", "exec runc \"$@\"");
    host.file(
        "daemon.json",
        "{\n  \"debug\": false,\n  \"features\": {\"buildkit\": true}\n}\n",
    );
    host.succeed(
        "runtime configure --config @ROOT@/daemon.json --set-as-default --cdi.enabled \
         --runtime-path @BIN@/nvidia-container-runtime",
    );
    // dockerd 20.10 cannot validate a file: it has to start.
    let script = r#"
        ! dockerd --help | grep -q -- --validate || dockerd --validate --config-file "$1"
        dockerd --config-file "$1" --data-root "$2/data" --exec-root "$2/exec" --pidfile "$2/pid" --host "unix://$2/socket" \
            --iptables=false --ip6tables=false --bridge=none &
        while kill -0 $! && [ ! -e "$2/stop" ]; do sleep 0.1; done
        kill $!
        wait $!"#;
    // The path of a socket has its bounds.
    let short = TempDir::new().unwrap();
    let daemon = private_script(script, &[&host.at("daemon.json"), short.path()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let answer = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        info(&short.path().join("socket")).ok()
    });
    fs::write(short.path().join("stop"), "").unwrap();
    let run = Outcome::from(daemon.wait_with_output().unwrap());
    let answer = answer.unwrap_or_else(|| panic!("{}", run.stderr));
    assert!(answer.contains("\"DefaultRuntime\":\"nvidia\""), "{answer}");
    let entry = host.expand("\"nvidia\":{\"path\":\"@BIN@/nvidia-container-runtime\"");
    assert!(answer.contains(&entry), "{answer}");
    // 20.10 knows no CDI; 26 reads specs only if asked.
    assert_eq!(
        answer.contains("\"CDISpecDirs\":[\"/etc/cdi\""),
        answer.contains("\"CDISpecDirs\""),
        "{answer}"
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// What dockerd says of itself.
fn info(socket: &Path) -> io::Result<String> {
    let mut socket = UnixStream::connect(socket)?;
    socket.write_all(b"GET /info HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn podman_reads_what_is_written() {
    if !has(&["podman"]) {
        return;
    }
    let host = host();
    host.file("hooks.d/x.json", "{}");
    host.file(
        "containers.conf",
        "[engine]\nhooks_dir = [\n  '/x', # mine\n]\n",
    );
    host.succeed("runtime configure --runtime podman --config @ROOT@/containers.conf --oci-hook-path @ROOT@/hooks.d/x.json");
    let mut podman = Command::new("podman");
    podman.env("CONTAINERS_CONF", host.at("containers.conf"));
    let help = Outcome::of(podman.arg("--help")).stdout;
    assert!(help.contains(&host.expand("[/x,@ROOT@/hooks.d]")), "{help}");
}
