//! `runtime configure` and `unconfigure`: the real binary on trees of files, and what the engines say of the result.

use std::env;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::host::{Host, Run, can_run, private, tree};
use crate::common::machine::binary;

fn copy(from: &Path, to: &Path) {
    for (name, text) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/configure")
}

/// Each folder of the fixtures holds the arguments and the files before and after. With `BLESS` in the environment, what comes
/// out is what was wanted.
#[test]
fn the_files_of_the_fixtures() {
    let mut cases = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let case = entry.unwrap().path();
        let Ok(arguments) = fs::read_to_string(case.join("arguments")) else {
            continue;
        };
        let host = Host::new();
        copy(&case.join("before"), host.root.path());
        let before = tree(host.root.path());
        let line = format!("runtime configure {arguments}");
        let dry = host.succeed(&format!("{line} --dry-run"));
        assert!(!dry.stdout.is_empty(), "{line}");
        let diff = host.succeed(&format!("{line} --diff"));
        assert!(diff.stdout.contains("\n+"), "{line}");
        assert_eq!(tree(host.root.path()), before, "{line}");

        host.succeed(&line);
        let mut after = tree(host.root.path());
        after.retain(|path, _| path.extension().is_none_or(|it| it != "bak"));
        for text in after.values_mut() {
            *text = text.replace(host.root.path().to_str().unwrap(), "@ROOT@");
        }
        if env::var_os("BLESS").is_some() {
            for (name, text) in &after {
                let path = case.join("after").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        assert_eq!(after, tree(&case.join("after")), "{line}");

        let times = mtimes(host.root.path());
        let again = host.succeed(&line);
        assert!(!again.stderr.contains("restarted"), "{line}");
        assert_eq!(mtimes(host.root.path()), times, "{line}");

        host.succeed(&format!("{line} --remove"));
        assert_eq!(tree(host.root.path()), before, "{line}");
        let gone = host.succeed(&format!("{line} --remove"));
        assert!(!gone.stderr.contains("restarted"), "{line}");
        cases += 1;
    }
    assert!(cases >= 27, "{cases}");
}

fn mtimes(folder: &Path) -> Vec<(i64, i64, u64)> {
    let times = |path: PathBuf| {
        let metadata = fs::metadata(folder.join(path)).unwrap();
        (metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    };
    tree(folder).into_keys().map(times).collect()
}

#[test]
fn the_other_name_and_the_other_command() {
    let host = Host::new();
    let applet = host.path("nvidia-ctk-runtime-configure");
    symlink(binary(), &applet).unwrap();
    let config = host.write("daemon.json", "{\"debug\": true}\n");
    let output = Command::new(applet).arg("--config").arg(&config).output();
    assert_eq!(Run::from(output.unwrap()).code, 0);
    assert!(
        host.read("daemon.json")
            .contains("nvidia-container-runtime")
    );
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.read("daemon.json"), "{\"debug\": true}\n");
    assert!(!host.path("daemon.json.bak").exists());
}

#[test]
fn the_file_of_a_hook_goes_unless_it_was_edited() {
    let host = Host::new();
    let hook = "--config-mode oci-hook --oci-hook-path @ROOT@/hooks.d/x.json";
    let unconfigure = format!("runtime unconfigure {hook}");
    host.succeed(&format!(
        "runtime configure {hook} --nvidia-runtime-hook-path /opt/hook"
    ));
    host.fail(
        &unconfigure,
        "x.json is not as it was written, for this program; it stays",
    );
    host.fail(
        "runtime unconfigure --config-mode hook",
        "which file? --oci-hook-path names the one that was written",
    );
    host.succeed(&format!(
        "{unconfigure} --nvidia-runtime-hook-path /opt/hook"
    ));
    assert!(!host.path("hooks.d/x.json").exists());
    host.succeed(&unconfigure);

    // podman's list of directories has the one of that file, wherever that is read from.
    let podman =
        "--runtime podman --config @ROOT@/containers.conf --oci-hook-path @ROOT@/hooks.d/x.json";
    let relative = podman.replace("@ROOT@/hooks.d/x.json", "x.json");
    let output = Command::new(binary())
        .args(
            host.expand(&format!("runtime configure {relative}"))
                .split(' '),
        )
        .current_dir(host.path("hooks.d"))
        .output();
    assert_eq!(Run::from(output.unwrap()).code, 0);
    let list = host.expand("hooks_dir = [\"@ROOT@/hooks.d\"]");
    assert!(host.read("containers.conf").contains(&list));
    host.succeed(&format!("runtime unconfigure {podman}"));
    assert!(!host.path("containers.conf").exists());
}

#[test]
fn what_a_user_is_told() {
    let host = Host::new();
    let said = |line: &str| {
        let run = host.succeed(line);
        let errors = run.stderr.replace(host.root.path().to_str().unwrap(), "");
        errors.replace(host.programs.path().to_str().unwrap(), "")
    };
    // First what was done, then what is missing; podman does not call that program.
    assert_eq!(
        said("runtime configure --config @ROOT@/daemon.json --runtime-path /gone"),
        "level=info msg=\"Wrote updated config to /daemon.json\"\n\
         level=info msg=\"It is recommended that docker daemon be restarted.\"\n\
         level=warning msg=\"/gone is not there: containers that ask for it will not start\"\n"
    );
    let program = host.program("runtime", "");
    assert_eq!(
        said("runtime configure --config @ROOT@/daemon.json --runtime-path @BIN@/runtime"),
        "level=info msg=\"Wrote updated config to /daemon.json\"\n\
         level=info msg=\"It is recommended that docker daemon be restarted.\"\n"
    );
    assert!(program.exists());
    host.write("hooks.d/x.json", "{}");
    let podman =
        "--runtime podman --config @ROOT@/containers.conf --oci-hook-path @ROOT@/hooks.d/x.json";
    assert_eq!(
        said(&format!("runtime configure {podman}")),
        "level=info msg=\"Wrote updated config to /containers.conf\"\n"
    );
    assert_eq!(
        said(&format!("runtime unconfigure {podman}")),
        "level=info msg=\"Removed /containers.conf\"\n"
    );
    assert_eq!(
        said(&format!("runtime unconfigure {podman}")),
        "level=info msg=\"/containers.conf is not there\"\n"
    );

    let config = host.write("mine.json", "{}");
    fs::set_permissions(config, fs::Permissions::from_mode(0o000)).unwrap();
    let run = host.run_unprivileged("runtime configure --config @ROOT@/mine.json");
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        host.expand(
            "level=error msg=\"cannot read @ROOT@/mine.json: Permission denied (os error 13): be root, or name a file of yours with \
             --config\"\n"
        )
    );
}

/// Byte for byte for patch(1), but not for eyes.
#[test]
fn a_document_steers_no_terminal() {
    if !can_run(&["script"]) {
        return;
    }
    let host = Host::new();
    host.write(
        "crio.conf",
        "# \"a\\\u{9b}31m\u{202e}\u{feff}\n\t[crio.runtime]\n",
    );
    for line in [
        "runtime configure --runtime crio --drop-in-config= --config @ROOT@/crio.conf --dry-run",
        "runtime configure --runtime crio --drop-in-config= --config @ROOT@/crio.conf --diff",
        "config --config-file @ROOT@/crio.conf",
    ] {
        let printed = host.succeed(line).stdout;
        assert!(
            printed.contains("# \"a\\\u{9b}31m\u{202e}\u{feff}\n"),
            "{printed:?}"
        );
        let line = format!("{} --quiet {}", binary().display(), host.expand(line));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let shown = Run::from(script.stdin(Stdio::null()).output().unwrap());
        assert_eq!(shown.code, 0, "{}", shown.stdout);
        let expected = "# \"a\\\\u{9b}31m\\u{202e}\\u{feff}\r\n";
        assert!(shown.stdout.contains(expected), "{:?}", shown.stdout);
        assert!(
            shown.stdout.contains("\t[crio.runtime]\r\n"),
            "{:?}",
            shown.stdout
        );
    }
}

#[test]
fn the_file_stays_what_it_is() {
    let host = Host::new();
    let real = host.write("real/daemon.json", "{\n  \"debug\": true\n}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real/daemon.json", host.path("daemon.json")).unwrap();
    let run = host.succeed("runtime configure --config @ROOT@/daemon.json");
    assert!(
        run.stderr.contains("Wrote updated config to"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("It is recommended that docker daemon be restarted.")
    );
    let backup = host.path("daemon.json.bak");
    assert!(
        run.stderr
            .contains(&format!("Kept the old config as {}", backup.display()))
    );
    assert!(
        fs::symlink_metadata(host.path("daemon.json"))
            .unwrap()
            .is_symlink()
    );
    for path in [real, backup] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
    }
    // The copy is of the first state, whatever is configured later.
    host.succeed("runtime configure --config @ROOT@/daemon.json --set-as-default");
    assert_eq!(host.read("daemon.json.bak"), "{\n  \"debug\": true\n}\n");
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.read("real/daemon.json"), "{\n  \"debug\": true\n}\n");
}

#[test]
fn a_file_of_ours_goes_whatever_was_configured_since() {
    for (runtime, file) in [
        ("docker", "daemon.json"),
        ("containerd --executable-path @BIN@/containerd-1.7", "x"),
        ("containerd --executable-path @BIN@/containerd-2.1", "x"),
        ("crio --drop-in-config=", "crio.conf"),
        ("crio", "crio.conf"),
    ] {
        let host = Host::new();
        let configure = format!("runtime configure --runtime {runtime} --config @ROOT@/{file}");
        host.succeed(&configure);
        host.succeed(&format!("{configure} --runtime-path /other"));
        host.succeed(&format!("{configure} --set-as-default --cdi.enabled"));
        host.succeed(&format!("{configure} --remove"));
        let left = tree(host.root.path());
        assert!(left.is_empty(), "{runtime}: {left:?}");
    }
}

#[test]
fn a_copy_of_the_admin_is_left_alone() {
    let host = Host::new();
    host.write("daemon.json", "{\"default-runtime\": \"x\"}");
    host.write("daemon.json.bak", "mine");
    host.succeed("runtime configure --config @ROOT@/daemon.json --set-as-default");
    let copy = host.read("daemon.json.nvidia-ctk.bak");
    assert_eq!(copy, "{\"default-runtime\": \"x\"}");
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.read("daemon.json"), "{\"default-runtime\": \"x\"}");
    assert_eq!(host.read("daemon.json.bak"), "mine");
    assert_eq!(tree(host.root.path()).len(), 2);
}

#[test]
fn what_the_admin_edited_since_stays() {
    let host = Host::new();
    let configure = "runtime configure --config @ROOT@/daemon.json --set-as-default --cdi.enabled";
    for (before, edited) in [
        (
            "{\"default-runtime\": \"x\"}",
            "{\"default-runtime\": \"x\", \"debug\": true}",
        ),
        ("{\"debug\": true}", "{\"debug\": true, \"debug\": true}"),
    ] {
        host.write("daemon.json", before);
        host.succeed(configure);
        let text = host.read("daemon.json");
        let end = text.len() - 1;
        host.write(
            "daemon.json",
            &format!("{}, \"debug\": true}}", &text[..end]),
        );
        host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
        assert_eq!(host.read("daemon.json"), edited);
        assert_eq!(tree(host.root.path()).len(), 1);
    }
}

#[test]
fn a_runtime_of_the_main_file_stays_when_ours_goes() {
    let host = Host::new();
    let main = "[crio.runtime.runtimes.nvidia]\nruntime_path = \"/old\"\n";
    host.write("crio.conf", main);
    let configure = "runtime configure --runtime crio --config @ROOT@/crio.conf --set-as-default";
    host.succeed(configure);
    assert_eq!(
        host.read("crio.conf.d/99-nvidia.toml"),
        "[crio.runtime]\ndefault_runtime = \"nvidia\"\n\n[crio.runtime.runtimes.nvidia]\n\
         runtime_path = \"/usr/bin/nvidia-container-runtime\"\nruntime_type = \"oci\"\n"
    );
    host.succeed(&format!("{configure} --remove"));
    assert_eq!(host.read("crio.conf"), main);
    assert!(!host.path("crio.conf.d/99-nvidia.toml").exists());
    host.succeed(&format!("{configure} --remove"));
    assert!(!host.path("crio.conf").exists());
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let host = Host::new();
    host.write("comment.json", "{\n  // mine\n}\n");
    host.write("off.toml", "version = 2\ndisabled_plugins = [\"cri\"]\n");
    host.write("v1.toml", "root = '/x'\n");
    host.write("v9.toml", "version = 9\n");
    let docker = "runtime configure --config @ROOT@/comment.json";
    let containerd =
        "runtime configure --runtime containerd --executable-path /nowhere --config @ROOT@";
    for (line, message) in [
        (docker, "@ROOT@/comment.json:2:3: comments are not JSON"),
        ("runtime configure --config @ROOT@", "cannot read @ROOT@: "),
        (
            "runtime configure --runtime invalid",
            "unrecognized runtime 'invalid'; known are docker, containerd, crio, podman",
        ),
        (
            &format!("{docker} --drop-in-config /x"),
            "runtime docker does not support drop-in configs",
        ),
        (
            &format!("{docker} --runtime-path ./x"),
            "the NVIDIA runtime path \\\"./x\\\" is not an absolute path",
        ),
        (
            &format!("{docker} --runtime-path="),
            "the NVIDIA runtime path is empty",
        ),
        (
            &format!("{docker} --nvidia-runtime-name="),
            "the NVIDIA runtime name is empty",
        ),
        (
            &format!("{docker} extra"),
            "configure has no use for 'extra'",
        ),
        (
            &format!("{docker} --enable-cdi-in-runtime"),
            "flag provided but not defined",
        ),
        (
            &format!("{docker} --config-source=x"),
            "unrecognized Config Source: x; known are file, command",
        ),
        (
            &format!("{containerd}/new.toml --drop-in-config x"),
            "the drop-in-config path \\\"x\\\" is not an absolute path",
        ),
        (
            &format!("{containerd}/off.toml"),
            "@ROOT@/off.toml:2:20: the CRI plugin is off",
        ),
        (
            &format!("{containerd}/v9.toml"),
            "@ROOT@/v9.toml:1:11: the version is not",
        ),
        (
            &format!("{containerd}/v1.toml --drop-in-config @ROOT@/x.toml"),
            "v1.toml has version 1, which imports no other files",
        ),
        (
            &format!("{containerd}/new.toml --config-source=command"),
            "cannot run /nowhere config default: No such file or directory",
        ),
        (
            "runtime configure --runtime containerd --config @ROOT@/v1.toml --executable-path @BIN@/containerd-2.1",
            "v1.toml has version 1, from which containerd 2.x takes no runtimes",
        ),
        (
            "runtime configure --runtime crio --config @ROOT@/x --config-source=command --executable-path /nowhere",
            "cannot run /nowhere status config: No such file",
        ),
        (
            "runtime configure --runtime podman --config @ROOT@/x --oci-hook-path @ROOT@/no/x.json",
            "@ROOT@/no is not there",
        ),
        (
            "runtime configure --config-mode hook --nvidia-runtime-hook-path x",
            "the NVIDIA runtime hook path \\\"x\\\" is not an absolute path",
        ),
    ] {
        host.fail(line, message);
    }
}

#[test]
fn settings_can_come_from_the_engine() {
    let host = Host::new();
    let dump = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\nsnapshotter = 'from-the-engine'\n";
    let answer = host.write("dump.toml", dump);
    host.program("engine", &format!("cat {}", answer.display()));
    host.write("config.toml", "version = 2\n");
    host.succeed(
        "runtime configure --runtime containerd --config @ROOT@/config.toml --config-source command --executable-path @BIN@/engine \
         --drop-in-config @ROOT@/conf.d/x.toml",
    );
    assert!(host.read("conf.d/x.toml").contains("from-the-engine"));
    assert!(host.read("config.toml").contains("/conf.d/*.toml"));

    fs::write(
        &answer,
        "[crio.runtime.runtimes.crun]\nruntime_root = '/from-the-engine'\n",
    )
    .unwrap();
    let crio = "runtime configure --runtime crio --config @ROOT@/crio.conf --config-source command --executable-path @BIN@/engine";
    host.succeed(crio);
    assert!(
        host.read("crio.conf.d/99-nvidia.toml")
            .contains("from-the-engine")
    );
    assert!(!host.path("crio.conf").exists());

    host.program("engine", "echo broken >&2; exit 1");
    host.fail(
        crio,
        "engine status config failed with exit status: 1: broken; cannot run crio-status config: ",
    );
}

#[test]
fn containerd_reads_what_is_written() {
    if !can_run(&["containerd"]) {
        return;
    }
    let host = Host::new();
    let config = host.path("config.toml");
    let containerd = |arguments: &[&str]| {
        let mut command = Command::new("containerd");
        Run::from(command.args(arguments).output().unwrap())
    };
    let ask = || containerd(&["--config", config.to_str().unwrap(), "config", "dump"]);
    let dump = || {
        let run = ask();
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.replace('\'', "\"")
    };
    let knows_cdi = containerd(&["config", "default"])
        .stdout
        .contains("enable_cdi");
    let is_2 = containerd(&["--version"]).stdout.contains("containerd/v2");
    let before =
        |case: &str| fs::read_to_string(fixtures().join(case).join("before/config.toml")).unwrap();
    let v1 = before("containerd-version-1");
    let v2 = before("containerd-in-place");
    let v3 = before("containerd-drop-in");
    let configure =
        "runtime configure --runtime containerd --config @ROOT@/config.toml --set-as-default";
    let drop_in = "--drop-in-config @ROOT@/conf.d/x.toml";
    for (text, arguments) in [
        (v1.as_str(), ""),
        (&v2, ""),
        (&v2, "--drop-in-config="),
        (&v2, drop_in),
        (&v2, "--cdi.enabled"),
        (&v2.replace('\n', "\r\n"), ""),
        ("version = 2\n", "--config-source command"),
        ("", ""),
        (&v3, ""),
        (&v3, "--drop-in-config= --cdi.enabled"),
        (&v3, drop_in),
        ("version = 3\n", "--config-source command"),
        (&v3.replace("version = 3", "version = 4"), ""),
        (
            &v3.replace("version = 3", "version = 4"),
            "--drop-in-config=",
        ),
    ] {
        host.write("config.toml", text);
        // 1.x does not know these; 4 is the form of containerd 2.3.
        let is_new = ["version = 3", "version = 4"].map(|it| text.contains(it));
        if is_new != [false; 2] && !is_2 || is_new[1] && ask().code != 0 {
            continue;
        }
        if is_2 && text == v1 {
            host.fail(
                configure,
                "has version 1, from which containerd 2.x takes no runtimes",
            );
            continue;
        }
        host.succeed(&format!("{configure} {arguments}"));
        let dumped = dump();
        for (wanted, setting) in [
            (true, "BinaryName = \"/usr/bin/nvidia-container-runtime\""),
            (true, "default_runtime_name = \"nvidia\""),
            (arguments.contains("cdi") && knows_cdi, "enable_cdi = true"),
            (text.contains("10010"), "stream_server_port = \"10010\""),
            (text.contains("Systemd"), "SystemdCgroup = true"),
            (text.contains("zfs"), "snapshotter = \"zfs\""),
        ] {
            assert!(
                !wanted || dumped.contains(setting),
                "{text}\n{arguments}: {setting}: {dumped}"
            );
        }
        // An edit of the main file reaches containerd; 1.x takes the CRI settings from a drop-in, so there after another run.
        let edited = host.read("config.toml").replace("10010", "10011");
        host.write("config.toml", &edited);
        if arguments == drop_in {
            host.succeed(&format!("{configure} {arguments}"));
        }
        assert_eq!(
            edited.contains("10011"),
            dump().contains("10011"),
            "{text}\n{arguments}"
        );
        let undo = arguments
            .replace("--config-source command", "")
            .replace("--cdi.enabled", "");
        host.succeed(&format!(
            "runtime unconfigure --runtime containerd --config @ROOT@/config.toml {undo}"
        ));
        assert_eq!(
            host.read("config.toml"),
            text.replace("10010", "10011"),
            "{arguments}"
        );
        assert!(!dump().contains("nvidia"), "{arguments}");
    }
}

/// No CRI-O can be had here: its manual judges.
#[test]
fn crio_knows_the_keys_that_are_written() {
    let known: Vec<&str> = include_str!("../fixtures/crio.keys").lines().collect();
    let mut runtimes = 0;
    for case in fs::read_dir(fixtures()).unwrap() {
        let case = case.unwrap();
        if !case.file_name().to_string_lossy().starts_with("crio-") {
            continue;
        }
        for (file, text) in tree(&case.path().join("after")) {
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
    if !can_run(&["dockerd", "containerd", "runc", "unshare"]) {
        return;
    }
    let host = Host::new();
    host.program("nvidia-container-runtime", "exec runc \"$@\"");
    let config = host.write(
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
    let mut daemon = private(script, &[&config, host.root.path()]);
    let daemon = daemon
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let answer = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        info(&host.path("socket")).ok()
    });
    host.write("stop", "");
    let run = Run::from(daemon.wait_with_output().unwrap());
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
    if !can_run(&["podman"]) {
        return;
    }
    let host = Host::new();
    host.write("hooks.d/x.json", "{}");
    let config = host.write(
        "containers.conf",
        "[engine]\nhooks_dir = [\n  '/x', # mine\n]\n",
    );
    host.succeed("runtime configure --runtime podman --config @ROOT@/containers.conf --oci-hook-path @ROOT@/hooks.d/x.json");
    let output = Command::new("podman")
        .arg("--help")
        .env("CONTAINERS_CONF", config)
        .output();
    let help = Run::from(output.unwrap()).stdout;
    assert!(help.contains(&host.expand("[/x,@ROOT@/hooks.d]")), "{help}");
}

/// Of `config`, too, which writes as `configure` does.
#[test]
fn a_full_disk_leaves_the_old_file() {
    if !can_run(&["unshare", "mount"]) {
        return;
    }
    let host = Host::new();
    host.write("hooks.d/x.json", "{}");
    let comment = format!("# {}\n", "x".repeat(20_000));
    let labels = format!("{{\n  \"labels\": [\"{comment}\"]\n}}\n").replace("\n\"]", "\"]");
    let version_2 = format!("{comment}version = 2\n");
    let version_3 = format!("{comment}version = 3\nimports = ['conf.d/*.toml']\n");
    let binary = &binary();
    // First there is no room for the copy that some keep, then none for the file itself.
    let script = r#"
        mkdir "$1/disk"
        mount -t tmpfs -o size=128k,mode=755 tmpfs "$1/disk"
        cd "$1/disk"
        mkdir conf.d crio.conf.d
        [ ! -s "$2" ] || cp "$2" file
        binary=$3
        shift 3
        files() { find . -type f -printf '%p %i %T@ %s\n' | sort; }
        for backup in none file.bak; do
            [ $backup = none ] || [ ! -e file ] || cp file $backup
            ! cat /dev/zero >filler 2>/dev/null
            files >../before
            cat file* >../content 2>/dev/null || true
            code=0
            "$binary" "$@" || code=$?
            [ $code = 1 ]
            files | cmp - ../before
            cat file* 2>/dev/null | cmp - ../content
            rm filler
        done
        "$binary" "$@" 2>/dev/null
        grep -rqE 'nvidia|hooks.d|disable-require' ."#;
    for (text, line) in [
        (&labels, "runtime configure"),
        (
            &version_2,
            "runtime configure --runtime containerd --executable-path @BIN@/containerd-1.7",
        ),
        (
            &version_3,
            "runtime configure --runtime containerd --executable-path @BIN@/containerd-2.1",
        ),
        (&comment, "runtime configure --runtime crio"),
        (
            &comment,
            "runtime configure --runtime crio --drop-in-config=",
        ),
        (
            &comment,
            "runtime configure --runtime podman --oci-hook-path @ROOT@/hooks.d/x.json",
        ),
        (&comment, "config --set disable-require --in-place"),
        (&String::new(), "config --set disable-require --in-place"),
        (&comment, "config default"),
        (&String::new(), "config default"),
    ] {
        let file = host.write("text", text);
        let option = if line == "config default" {
            "--output"
        } else {
            "--config"
        };
        let line = host.expand(&format!("{line} {option} @ROOT@/disk/file"));
        let output = private(script, &[host.root.path(), &file, binary])
            .args(line.split(' '))
            .output();
        let run = Run::from(output.unwrap());
        assert_eq!(run.code, 0, "{line}: {}{}", run.stdout, run.stderr);
        let errors = run.stderr.lines().filter(|it| {
            it.contains("No space left on device") && it.contains(&host.expand("@ROOT@/disk/"))
        });
        assert_eq!(errors.count(), 2, "{line}: {}", run.stderr);
        fs::remove_dir(host.path("disk")).unwrap();
    }
}
