//! Variables that set options.

use super::*;

#[test]
fn the_environment_sets_switches() {
    for (prefix, line, variables, expected) in [
        ("", "hook noop", "NVIDIA_CTK_DEBUG=1", "--debug hook noop"),
        (
            "",
            "hook noop",
            "NVIDIA_CTK_QUIET=true",
            "--quiet hook noop",
        ),
        ("", "hook noop", "NVIDIA_CTK_DEBUG=", "hook noop"),
        ("", "hook noop", "NVIDIA_CTK_DEBUG=0", "hook noop"),
        ("", "hook noop -d=0", "NVIDIA_CTK_DEBUG=1", "hook noop"),
        ("", "hook noop", "NVIDIA_CDI_DEBUG=1", "hook noop"),
        ("hook", "noop", "NVIDIA_CDI_DEBUG=1", "--debug hook noop"),
        ("hook", "noop", "NVIDIA_CDI_QUIET=1", "--quiet hook noop"),
        (
            "hook",
            "noop",
            "NVIDIA_CDI_DEBUG=1 NVIDIA_CTK_DEBUG=0",
            "hook noop",
        ),
        (
            "hook",
            "noop",
            "NVIDIA_CDI_DEBUG=1 NVIDIA_CTK_DEBUG=",
            "--debug hook noop",
        ),
        (
            "hook",
            "noop",
            "NVIDIA_CTK_DEBUG=yes",
            "hook noop | NVIDIA_CTK_DEBUG is ignored: 'yes' is not a bool",
        ),
        (
            "",
            "hook noop -d",
            "NVIDIA_CTK_DEBUG=yes",
            "--debug hook noop",
        ),
        (
            "",
            "config",
            "NVIDIA_CTK_CONFIG_FILE_PATH=/x",
            "config --config-file /x",
        ),
        (
            "",
            "config -c /y default",
            "NVIDIA_CTK_CONFIG_FILE_PATH=/x",
            "config --config-file /y default",
        ),
        (
            "",
            "hook noop",
            "NVIDIA_CTK_CONFIG_FILE_PATH=/x",
            "hook noop",
        ),
    ] {
        assert_eq!(
            outcome(prefix, line, variables),
            expected,
            "{line} {variables}"
        );
    }
}
