//! `nvidia-ctk config` and `config default`: the real binary on files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::machine::{BACKTRACE, binary};
use crate::common::outcome::Outcome;

const DEFAULT: &str = include_str!("../../src/config/default.toml");

fn config(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("config")
        .args(args)
        .env_clear()
        .envs([BACKTRACE])
        .stdin(Stdio::null());
    command
}

/// Standard output of a run that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let outcome = Outcome::of(command);
    assert!(outcome.success(), "{command:?}: {}", outcome.stderr);
    outcome.stdout
}

/// Standard error of a run that must fail with exit code 1 and print nothing else.
#[track_caller]
fn fail(command: &mut Command) -> String {
    let Outcome {
        code,
        stdout,
        stderr,
    } = Outcome::of(command);
    assert_eq!((code, stdout.as_str()), (1, ""), "{command:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// A folder with a `config.toml`.
fn folder(document: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, document).unwrap();
    (folder, path)
}

/// The default document with what depends on the host as in `DEFAULT`.
fn without_host(document: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some(("ldconfig", _)) => "ldconfig = \"@/sbin/ldconfig\"\n".to_owned(),
        Some(("user", _)) => "#user = \"root:video\"\n".to_owned(),
        Some(("path", path)) => match Path::new(path.trim_matches('"')).file_name() {
            Some(name) => format!("path = \"{}\"\n", name.to_str().unwrap()),
            None => format!("{line}\n"),
        },
        _ => format!("{line}\n"),
    };
    document.lines().map(line).collect()
}

#[test]
fn golden_documents() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let mut count = 0;
    for case in fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let file = |name| fs::read_to_string(case.join(name)).unwrap();
        let (_folder, path) = folder(&file("before.toml"));
        let words = file("args");
        let args: Vec<_> = words.split_whitespace().collect();
        let printed = succeed(config(&args).arg("--config-file").arg(&path));
        assert_eq!(printed, file("after.toml"), "{}", case.display());
        assert_eq!(fs::read_to_string(&path).unwrap(), file("before.toml"));

        succeed(config(&args).arg("-i").arg("-c").arg(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), file("after.toml"));
        count += 1;
    }
    assert!(count >= 10);
}

#[test]
fn line_ends_and_byte_order_mark_stay() {
    let (_folder, path) = folder("\u{feff}# c\r\n[nvidia-ctk]\r\npath = 'x' # d\r\n\r\n[a]\r\nb=1");
    let set = |args: &[&str]| succeed(config(args).arg("-c").arg(&path));
    assert_eq!(
        set(&["--set", "nvidia-ctk.path=y"]),
        "\u{feff}# c\r\n[nvidia-ctk]\r\npath = \"y\" # d\r\n\r\n[a]\r\nb=1"
    );
    assert_eq!(
        set(&[
            "--set",
            "disable-require",
            "--set",
            "features.allow-ldconfig-from-container"
        ]),
        "\u{feff}disable-require = true\r\n# c\r\n[nvidia-ctk]\r\npath = 'x' # d\r\n\r\n[a]\r\nb=1\r\n\
         \r\n[features]\r\nallow-ldconfig-from-container = true"
    );
}

#[test]
fn a_feature_that_is_set_and_taken_out_leaves_no_trace() {
    for document in ["", "\n", "a = 1", DEFAULT] {
        let (_folder, path) = folder(document);
        let feature = "features.allow-ldconfig-from-container";
        succeed(config(&["-i", "--set", feature]).arg("-c").arg(&path));
        assert_ne!(fs::read_to_string(&path).unwrap(), document);
        let nil = format!("{feature}=nil");
        succeed(config(&["-i", "--set", &nil]).arg("-c").arg(&path));
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim_end(),
            document.trim_end()
        );
    }
}

#[test]
fn nothing_is_written_if_an_option_is_wrong() {
    let document = "swarm-resource = \"x\"\nnvidia-ctk = 5\n[features]\n[disable-require]\n";
    let (_folder, path) = folder(document);
    for (setting, message) in [
        (
            "undefined=new-value",
            "undefined is not a key of the toolkit",
        ),
        (
            "nvidia-container-cli.debg=/x",
            "similar keys: nvidia-container-cli.debug",
        ),
        ("debug=/x", "nvidia-container-runtime.debug"),
        (
            "nvidia-container-cli",
            "is a table, not a key; it has: nvidia-container-cli.debug",
        ),
        ("swarm-resource", "invalid format: expected KEY=VALUE"),
        (
            "nvidia-container-runtime.runtimes",
            "invalid format: expected KEY=VALUE",
        ),
        (
            "nvidia-container-cli.no-pivot=yes",
            "invalid format: 'yes' is not a bool",
        ),
        (
            "nvidia-container-cli.no-pivot=nil",
            "invalid format: 'nil' is not a bool",
        ),
        (
            "nvidia-container-cli.no-pivot=",
            "invalid format: '' is not a bool",
        ),
        (
            "features.allow-ldconfig-from-container=",
            "'' is not a bool",
        ),
        ("disable-require", "it is a table in the file"),
        ("nvidia-ctk.path=x", "2:14: nvidia-ctk is not a table"),
    ] {
        let args = ["-i", "--set", "swarm-resource=y", "--set", setting];
        let stderr = fail(config(&args).arg("--config").arg(&path));
        assert!(stderr.contains(message), "{setting}: {stderr}");
        assert_eq!(fs::read_to_string(&path).unwrap(), document);
    }
    let both = fail(config(&["-i", "-o", "x"]).arg("-c").arg(&path));
    assert!(both.contains("--in-place and --output"), "{both}");
    let empty = fail(&mut config(&["--set-list-separator="]));
    assert!(empty.contains("set-list-separator must be set"), "{empty}");
    let default = fail(&mut config(&["--set", "disable-require", "default"]));
    assert!(
        default.contains("config default takes neither"),
        "{default}"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let (folder, path) = folder("a = 1\nb = [1,\nc = 2\n");
    let stderr = fail(config(&["--set", "disable-require"]).arg("-c").arg(&path));
    assert!(
        stderr.contains("config.toml is not TOML: 3:3: "),
        "{stderr}"
    );
    let stderr = fail(config(&["-c"]).arg(folder.path()));
    assert!(stderr.contains("Is a directory (os error 21)"), "{stderr}");
    fs::write(&path, b"a = \"\xff\"\n").unwrap();
    let stderr = fail(config(&["-c"]).arg(&path));
    assert!(stderr.contains("valid UTF-8"), "{stderr}");
}

#[test]
fn values_that_consumers_refuse_are_warned_about() {
    let (_folder, path) = folder("");
    for (setting, message) in [
        (
            "nvidia-container-cli.ldconfig=/sbin/ldconfig",
            "does not begin with '@'",
        ),
        (
            "nvidia-container-runtime.mode=cid",
            "'cid' is not a valid nvidia-container-runtime.mode; valid values: auto",
        ),
        (
            "nvidia-container-runtime.log-level=loud",
            "valid values: trace",
        ),
        (
            "nvidia-container-runtime.modes.legacy.cuda-compat-mode=x",
            "valid values: disabled",
        ),
    ] {
        let outcome = Outcome::of(config(&["--set", setting]).arg("-c").arg(&path));
        assert!(outcome.success());
        let stderr = outcome.stderr;
        assert!(
            stderr.starts_with("level=warning") && stderr.contains(message),
            "{stderr}"
        );
    }
}

#[test]
fn where_the_file_is() {
    let (folder, path) = folder("# by variable\n");
    let home = folder.path().join("nvidia-container-runtime/config.toml");
    fs::create_dir(home.parent().unwrap()).unwrap();
    fs::write(&home, "# by home\n").unwrap();
    let with = |name: &str, value: &Path| {
        succeed(
            config(&[])
                .env("XDG_CONFIG_HOME", folder.path())
                .env(name, value),
        )
    };
    assert_eq!(
        with("NVIDIA_CTK_CONFIG_FILE_PATH", &path),
        "# by variable\n"
    );
    assert_eq!(
        with("NVIDIA_CTK_CONFIG_FILE_PATH", Path::new("")),
        "# by home\n"
    );
    let missing = with("XDG_CONFIG_HOME", Path::new("/nonexistent"));
    assert_eq!(without_host(&missing), DEFAULT);
}

#[test]
fn the_default_document() {
    assert_eq!(without_host(&succeed(&mut config(&["default"]))), DEFAULT);
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["nvidia-ctk", "nvidia-container-runtime-hook"] {
        fs::write(bin.join(name), "").unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let document = folder.path().join("a/b/config.toml");
    for name in ["default", "create-default", "generate-default"] {
        succeed(config(&[name, "-o"]).arg(&document).env("PATH", &bin));
        let written = fs::read_to_string(&document).unwrap();
        assert_eq!(without_host(&written), DEFAULT);
        for name in ["nvidia-ctk", "nvidia-container-runtime-hook"] {
            let line = format!("path = \"{}\"\n", bin.join(name).display());
            assert!(written.contains(&line), "{written}");
        }
        fs::remove_file(&document).unwrap();
    }
}

#[test]
fn the_file_is_replaced_as_a_whole() {
    let (folder, path) = folder("disable-require = false\n");
    let link = folder.path().join("link");
    symlink("config.toml", &link).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let in_place = |setting: &str| {
        let outcome = Outcome::of(config(&["-i", "--set", setting]).arg("-c").arg(&link));
        assert!(outcome.success());
        outcome.stderr
    };
    let before = fs::metadata(&path).unwrap();
    assert!(in_place("disable-require=0").contains("is unchanged"));
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    assert!(in_place("disable-require=1").contains("wrote "));
    let after = fs::metadata(&path).unwrap();
    assert_ne!(after.ino(), before.ino());
    assert_eq!(after.mode(), before.mode());
    assert!(link.is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(
        succeed(config(&["-o", "/dev/stdout"]).arg("-c").arg(&path)),
        "disable-require = true\n"
    );
}
