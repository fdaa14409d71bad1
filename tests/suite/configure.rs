//! `runtime configure` and `unconfigure`: the real binary on trees of files, and what the engines say of the result.

mod engines;
mod real_hosts;

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::host::{Host, texts};
use crate::common::machine::{binary, fixture, has, private};
use crate::common::outcome::Outcome;
use crate::common::wrapper::without_privileges;

/// A host with programs that answer as containerd 1.7 and 2.1.
fn host() -> Host {
    let host = Host::new();
    for version in ["1.7", "2.1"] {
        host.program(
            &format!("containerd-{version}"),
            &format!("echo containerd example.com/containerd v{version}.0 0123456"),
        );
    }
    host
}

fn copy(from: &Path, to: &Path) {
    for (name, text) in texts(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn fixtures() -> PathBuf {
    fixture("configure")
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
        let host = host();
        copy(&case.join("before"), &host.root());
        let before = texts(&host.root());
        let line = format!("runtime configure {arguments}");
        let dry = host.succeed(&format!("{line} --dry-run"));
        assert!(!dry.stdout.is_empty(), "{line}");
        let diff = host.succeed(&format!("{line} --diff"));
        assert!(diff.stdout.contains("\n+"), "{line}");
        assert_eq!(texts(&host.root()), before, "{line}");

        host.succeed(&line);
        let mut after = texts(&host.root());
        after.retain(|path, _| path.extension().is_none_or(|it| it != "bak"));
        for text in after.values_mut() {
            *text = host.fold(text);
        }
        if env::var_os("BLESS").is_some() {
            for (name, text) in &after {
                let path = case.join("after").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        assert_eq!(after, texts(&case.join("after")), "{line}");

        let times = mtimes(&host.root());
        let again = host.succeed(&line);
        assert!(!again.stderr.contains("restarted"), "{line}");
        assert_eq!(mtimes(&host.root()), times, "{line}");

        host.succeed(&format!("{line} --remove"));
        assert_eq!(texts(&host.root()), before, "{line}");
        let gone = host.succeed(&format!("{line} --remove"));
        assert!(!gone.stderr.contains("restarted"), "{line}");
        cases += 1;
    }
    assert!(cases >= 27, "{cases}");
}

/// A script of the shell in a mount namespace of its own, with the arguments as $1 and so on.
fn private_script(script: &str, arguments: &[&Path]) -> Command {
    let mut command = private("sh");
    command.args(["-euc", script, "sh"]).args(arguments);
    command
}

fn mtimes(folder: &Path) -> Vec<(i64, i64, u64)> {
    let times = |path: PathBuf| {
        let metadata = fs::metadata(folder.join(path)).unwrap();
        (metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    };
    texts(folder).into_keys().map(times).collect()
}

#[test]
fn the_other_name_and_the_other_command() {
    let host = host();
    let applet = host.at("nvidia-ctk-runtime-configure");
    symlink(binary(), &applet).unwrap();
    host.file("daemon.json", "{\"debug\": true}\n");
    let mut command = Command::new(applet);
    command.arg("--config").arg(host.at("daemon.json"));
    assert!(Outcome::of(&mut command).success());
    assert!(
        host.text("daemon.json")
            .contains("nvidia-container-runtime")
    );
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.text("daemon.json"), "{\"debug\": true}\n");
    assert!(!host.at("daemon.json.bak").exists());
}

#[test]
fn the_file_of_a_hook_goes_unless_it_was_edited() {
    let host = host();
    let hook = "--config-mode oci-hook --oci-hook-path @ROOT@/hooks.d/x.json";
    let unconfigure = format!("runtime unconfigure {hook}");
    host.succeed(&format!(
        "runtime configure {hook} --nvidia-runtime-hook-path /opt/hook"
    ));
    host.fail(
        &unconfigure,
        "x.json was edited, or calls another program; it is kept",
    );
    host.fail(
        "runtime unconfigure --config-mode hook",
        "--oci-hook-path is missing: name the file that was written",
    );
    host.succeed(&format!(
        "{unconfigure} --nvidia-runtime-hook-path /opt/hook"
    ));
    assert!(!host.at("hooks.d/x.json").exists());
    host.succeed(&unconfigure);

    // podman's list of directories has the one of that file, wherever that is read from.
    let podman =
        "--runtime podman --config @ROOT@/containers.conf --oci-hook-path @ROOT@/hooks.d/x.json";
    let relative = podman.replace("@ROOT@/hooks.d/x.json", "x.json");
    let line = host.expand(&format!("runtime configure {relative}"));
    let mut command = Command::new(binary());
    command
        .args(line.split(' '))
        .current_dir(host.at("hooks.d"));
    assert!(Outcome::of(&mut command).success());
    let list = host.expand("hooks_dir = [\"@ROOT@/hooks.d\"]");
    assert!(host.text("containers.conf").contains(&list));
    host.succeed(&format!("runtime unconfigure {podman}"));
    assert!(!host.at("containers.conf").exists());
}

#[test]
fn what_a_user_is_told() {
    let host = host();
    let said = |line: &str| host.fold(&host.succeed(line).stderr).replace("@ROOT@", "");
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
    host.file("hooks.d/x.json", "{}");
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
        "level=info msg=\"/containers.conf does not exist\"\n"
    );

    host.file("mine.json", "{}").set_mode("mine.json", 0o000);
    let line = "runtime configure --config @ROOT@/mine.json";
    let run = host.run_in(&without_privileges(), line);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        host.expand(
            "level=error msg=\"cannot read @ROOT@/mine.json: Permission denied (os error 13): run this as root, or name a file of your own with \
             --config\"\n"
        )
    );
}

/// Byte for byte for patch(1), but not for eyes.
#[test]
fn a_document_steers_no_terminal() {
    if !has(&["script"]) {
        return;
    }
    let host = host();
    host.file(
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
        let shown = Outcome::of(script.stdin(Stdio::null()));
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
    let host = host();
    let real = "real/daemon.json";
    host.file(real, "{\n  \"debug\": true\n}\n")
        .set_mode(real, 0o600)
        .link("daemon.json", real);
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
    let backup = host.at("daemon.json.bak");
    assert!(
        run.stderr
            .contains(&format!("Kept the old config as {}", backup.display()))
    );
    assert!(host.at("daemon.json").is_symlink());
    for path in [real, "daemon.json.bak"] {
        assert_eq!(host.mode(path), 0o600);
    }
    // The copy is of the first state, whatever is configured later.
    host.succeed("runtime configure --config @ROOT@/daemon.json --set-as-default");
    assert_eq!(host.text("daemon.json.bak"), "{\n  \"debug\": true\n}\n");
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.text("real/daemon.json"), "{\n  \"debug\": true\n}\n");
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
        let host = host();
        let configure = format!("runtime configure --runtime {runtime} --config @ROOT@/{file}");
        host.succeed(&configure);
        host.succeed(&format!("{configure} --runtime-path /other"));
        host.succeed(&format!("{configure} --set-as-default --cdi.enabled"));
        host.succeed(&format!("{configure} --remove"));
        let left = texts(&host.root());
        assert!(left.is_empty(), "{runtime}: {left:?}");
    }
}

#[test]
fn a_copy_of_the_admin_is_left_alone() {
    let host = host();
    host.file("daemon.json", "{\"default-runtime\": \"x\"}");
    host.file("daemon.json.bak", "mine");
    host.succeed("runtime configure --config @ROOT@/daemon.json --set-as-default");
    let copy = host.text("daemon.json.nvidia-ctk.bak");
    assert_eq!(copy, "{\"default-runtime\": \"x\"}");
    host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
    assert_eq!(host.text("daemon.json"), "{\"default-runtime\": \"x\"}");
    assert_eq!(host.text("daemon.json.bak"), "mine");
    assert_eq!(texts(&host.root()).len(), 2);
}

#[test]
fn what_the_admin_edited_since_stays() {
    let host = host();
    let configure = "runtime configure --config @ROOT@/daemon.json --set-as-default --cdi.enabled";
    for (before, edited) in [
        (
            "{\"default-runtime\": \"x\"}",
            "{\"default-runtime\": \"x\", \"debug\": true}",
        ),
        ("{\"debug\": true}", "{\"debug\": true, \"debug\": true}"),
    ] {
        host.file("daemon.json", before);
        host.succeed(configure);
        let text = host.text("daemon.json");
        let end = text.len() - 1;
        host.file(
            "daemon.json",
            format!("{}, \"debug\": true}}", &text[..end]),
        );
        host.succeed("runtime unconfigure --config @ROOT@/daemon.json");
        assert_eq!(host.text("daemon.json"), edited);
        assert_eq!(texts(&host.root()).len(), 1);
    }
}

#[test]
fn a_runtime_of_the_main_file_stays_when_ours_goes() {
    let host = host();
    let main = "[crio.runtime.runtimes.nvidia]\nruntime_path = \"/old\"\n";
    host.file("crio.conf", main);
    let configure = "runtime configure --runtime crio --config @ROOT@/crio.conf --set-as-default";
    host.succeed(configure);
    assert_eq!(
        host.text("crio.conf.d/99-nvidia.toml"),
        "[crio.runtime]\ndefault_runtime = \"nvidia\"\n\n[crio.runtime.runtimes.nvidia]\n\
         runtime_path = \"/usr/bin/nvidia-container-runtime\"\nruntime_type = \"oci\"\n"
    );
    host.succeed(&format!("{configure} --remove"));
    assert_eq!(host.text("crio.conf"), main);
    assert!(!host.at("crio.conf.d/99-nvidia.toml").exists());
    host.succeed(&format!("{configure} --remove"));
    assert!(!host.at("crio.conf").exists());
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let host = host();
    host.file("comment.json", "{\n  // mine\n}\n");
    host.file("off.toml", "version = 2\ndisabled_plugins = [\"cri\"]\n");
    host.file("v1.toml", "root = '/x'\n");
    host.file("v9.toml", "version = 9\n");
    let docker = "runtime configure --config @ROOT@/comment.json";
    let containerd =
        "runtime configure --runtime containerd --executable-path /nowhere --config @ROOT@";
    for (line, message) in [
        (docker, "@ROOT@/comment.json:2:3: comments are not JSON"),
        ("runtime configure --config @ROOT@", "cannot read @ROOT@: "),
        (
            "runtime configure --runtime invalid",
            "unrecognized runtime 'invalid'; valid values: docker, containerd, crio, podman",
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
            "configure does not take the argument 'extra'",
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
            "@ROOT@/off.toml:2:20: the CRI plugin is disabled",
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
            "v1.toml has version 1, whose runtimes containerd 2.x ignores",
        ),
        (
            "runtime configure --runtime crio --config @ROOT@/x --config-source=command --executable-path /nowhere",
            "cannot run /nowhere status config: No such file",
        ),
        (
            "runtime configure --runtime podman --config @ROOT@/x --oci-hook-path @ROOT@/no/x.json",
            "@ROOT@/no does not exist",
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
    let host = host();
    let dump = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\nsnapshotter = 'from-the-engine'\n";
    let answer = host.file("dump.toml", dump).at("dump.toml");
    host.program("engine", &format!("cat {}", answer.display()));
    host.file("config.toml", "version = 2\n");
    host.succeed(
        "runtime configure --runtime containerd --config @ROOT@/config.toml --config-source command --executable-path @BIN@/engine \
         --drop-in-config @ROOT@/conf.d/x.toml",
    );
    assert!(host.text("conf.d/x.toml").contains("from-the-engine"));
    assert!(host.text("config.toml").contains("/conf.d/*.toml"));

    fs::write(
        &answer,
        "[crio.runtime.runtimes.crun]\nruntime_root = '/from-the-engine'\n",
    )
    .unwrap();
    let crio = "runtime configure --runtime crio --config @ROOT@/crio.conf --config-source command --executable-path @BIN@/engine";
    host.succeed(crio);
    assert!(
        host.text("crio.conf.d/99-nvidia.toml")
            .contains("from-the-engine")
    );
    assert!(!host.at("crio.conf").exists());

    host.program("engine", "echo broken >&2; exit 1");
    host.fail(
        crio,
        "engine status config failed with exit status: 1: broken; cannot run crio-status config: ",
    );
}

/// First there is no room for the copy that some keep, then none for the file itself.
const FULL_DISK: &str = r#"
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

/// Of `config`, too, which writes as `configure` does.
#[test]
fn a_full_disk_leaves_the_old_file() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let host = host();
    host.file("hooks.d/x.json", "{}");
    let comment = format!("# {}\n", "x".repeat(20_000));
    let labels = format!("{{\n  \"labels\": [\"{comment}\"]\n}}\n").replace("\n\"]", "\"]");
    let version_2 = format!("{comment}version = 2\n");
    let version_3 = format!("{comment}version = 3\nimports = ['conf.d/*.toml']\n");
    let binary = &binary();
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
        let file = host.file("text", text).at("text");
        let option = if line == "config default" {
            "--output"
        } else {
            "--config"
        };
        let line = host.expand(&format!("{line} {option} @ROOT@/disk/file"));
        let mut command = private_script(FULL_DISK, &[&host.root(), &file, binary]);
        let run = Outcome::of(command.args(line.split(' ')));
        assert_eq!(run.code, 0, "{line}: {}{}", run.stdout, run.stderr);
        let errors = run.stderr.lines().filter(|it| {
            it.contains("No space left on device") && it.contains(&host.expand("@ROOT@/disk/"))
        });
        assert_eq!(errors.count(), 2, "{line}: {}", run.stderr);
        fs::remove_dir(host.at("disk")).unwrap();
    }
}
