//! Hooks that the admin switched off.

use std::fs;

use crate::common::bundle::Bundle;
use crate::common::machine::has;
use crate::common::wrapper::{with_mounts, words};

#[test]
fn hooks_that_are_switched_off_do_nothing() {
    for (disabled, hook, is_off) in [
        ("chmod", "chmod --mode 644 --path /f", true),
        ("create-symlinks, chmod", "chmod --mode 644 --path /f", true),
        ("all", "chmod --mode 644 --path /f", true),
        ("", "chmod --mode 644 --path /f", false),
        ("chmo,CHMOD,chmod x", "chmod --mode 644 --path /f", false),
        ("chmod", "apply --chmod 644:/f", true),
        ("apply", "apply --chmod 644:/f", true),
        (
            "create-symlinks",
            "apply --chmod 644:/f --link t::/l --link-if-target f::/m",
            false,
        ),
    ] {
        let bundle = Bundle::new();
        bundle.file("f", "").set_mode("f", 0o600);
        let variable = format!("NVIDIA_CTK_DISABLE_HOOKS={disabled}");
        let ran = bundle.hook_in(&words(&["env", &variable]), hook);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(bundle.mode("f") == 0o600, is_off, "{disabled}: {hook}");
        assert_eq!([bundle.target("l"), bundle.target("m")], ["", ""]);
        let told = ran
            .stderr
            .contains("is switched off by NVIDIA_CTK_DISABLE_HOOKS");
        assert_eq!(told, is_off || hook.contains("t::/l"), "{ran:?}");
    }
}

#[test]
fn the_hosts_configuration_switches_hooks_off() {
    const CONFIG: &str = "/etc/nvidia-container-runtime/config.toml";
    if !has(&["unshare", "mount"]) {
        return;
    }
    for (config, is_off, said) in [
        (
            "[nvidia-ctk]\ndisabled-hooks = [\"chmod\"]\n",
            true,
            "level=info msg=\"chmod is switched off by /etc/nvidia",
        ),
        (
            "nvidia-ctk.disabled-hooks = [\"all\"]\n",
            true,
            "level=info ",
        ),
        ("[nvidia-ctk]\ndisabled-hooks = [\"apply\", 7]\n", false, ""),
        ("[nvidia-ctk]\n#disabled-hooks = [\"chmod\"]\n", false, ""),
        ("[other]\ndisabled-hooks = [\"chmod\"]\n", false, ""),
        (
            "[nvidia-ctk]\ndisabled-hooks = \"chmod\"\n",
            false,
            "level=warning ",
        ),
        (
            "[nvidia-ctk\ndisabled-hooks = [\"chmod\"]\n",
            false,
            "level=warning ",
        ),
        // What is not asked for is not even parsed.
        ("[nvidia-ctk\n", false, ""),
    ] {
        let bundle = Bundle::new();
        bundle.file("f", "").set_mode("f", 0o600);
        fs::write(bundle.path().join("config.toml"), config).unwrap();
        let mounts = with_mounts(
            &bundle,
            &format!(
                "mount -t tmpfs tmpfs /etc; mkdir -p {CONFIG}; rmdir {CONFIG}; cp $bundle/config.toml {CONFIG}"
            ),
        );
        let ran = bundle.hook_in(&mounts, "chmod --mode 644 --path /f");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(bundle.mode("f") == 0o600, is_off, "{config}");
        assert!(
            ran.stderr.contains(said) && ran.stderr.is_empty() == said.is_empty(),
            "{ran:?}"
        );
    }
}
