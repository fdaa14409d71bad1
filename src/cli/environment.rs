//! Flags that the environment sets when the line does not.

/// A flag, and the variables that set it: the first one that is not empty.
struct Variables {
    /// The flag's command; `None` is the outermost one.
    command: Option<&'static str>,
    flag: &'static str,
    names: &'static [&'static str],
}

const CTK: &[Variables] = &[
    Variables {
        command: None,
        flag: "debug",
        names: &["NVIDIA_CTK_DEBUG"],
    },
    Variables {
        command: None,
        flag: "quiet",
        names: &["NVIDIA_CTK_QUIET"],
    },
    STRICT,
    Variables {
        command: Some("config"),
        flag: "config-file",
        names: &["NVIDIA_CTK_CONFIG_FILE_PATH"],
    },
    of(GENERATE, "output", &["NVIDIA_CTK_CDI_OUTPUT_FILE_PATH"]),
    of(
        GENERATE,
        "format",
        &["NVIDIA_CTK_CDI_GENERATE_OUTPUT_FORMAT"],
    ),
    of(GENERATE, "mode", &["NVIDIA_CTK_CDI_GENERATE_MODE"]),
    of(GENERATE, "dev-root", &["NVIDIA_CTK_DEV_ROOT"]),
    of(GENERATE, "driver-root", &["NVIDIA_CTK_DRIVER_ROOT"]),
    of(
        GENERATE,
        "device-name-strategy",
        &["NVIDIA_CTK_CDI_GENERATE_DEVICE_NAME_STRATEGIES"],
    ),
    of(
        GENERATE,
        "library-search-path",
        &["NVIDIA_CTK_CDI_GENERATE_LIBRARY_SEARCH_PATHS"],
    ),
    of(
        GENERATE,
        "config-search-path",
        &["NVIDIA_CTK_CDI_GENERATE_CONFIG_SEARCH_PATHS"],
    ),
    of(
        GENERATE,
        "nvidia-cdi-hook-path",
        &["NVIDIA_CTK_CDI_HOOK_PATH"],
    ),
    of(
        GENERATE,
        "ldconfig-path",
        &["NVIDIA_CTK_CDI_GENERATE_LDCONFIG_PATH"],
    ),
    of(GENERATE, "vendor", &["NVIDIA_CTK_CDI_GENERATE_VENDOR"]),
    of(GENERATE, "class", &["NVIDIA_CTK_CDI_GENERATE_CLASS"]),
    of(GENERATE, "csv-file", &["NVIDIA_CTK_CDI_GENERATE_CSV_FILES"]),
    of(
        GENERATE,
        "csv-ignore-pattern",
        &["NVIDIA_CTK_CDI_GENERATE_CSV_IGNORE_PATTERNS"],
    ),
    of(
        GENERATE,
        "csv-compat-container-root",
        &["NVIDIA_CTK_CDI_GENERATE_CSV_CONTAINER_COMPAT_ROOT"],
    ),
    of(
        GENERATE,
        "disable-hook",
        &["NVIDIA_CTK_CDI_GENERATE_DISABLED_HOOKS"],
    ),
    of(
        GENERATE,
        "enable-hook",
        &["NVIDIA_CTK_CDI_GENERATE_ENABLED_HOOKS"],
    ),
    of(
        GENERATE,
        "feature-flag",
        &["NVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS"],
    ),
    of(
        GENERATE,
        "no-all-device",
        &["NVIDIA_CTK_CDI_GENERATE_NO_ALL_DEVICE"],
    ),
    of(
        GENERATE,
        "device-id",
        &["NVIDIA_CTK_CDI_GENERATE_DEVICE_IDS"],
    ),
    of(GENERATE, "hooks", &["NVIDIA_CTK_CDI_GENERATE_HOOKS"]),
    of(
        GENERATE,
        "nvidia-smi-list",
        &["NVIDIA_CTK_CDI_GENERATE_NVIDIA_SMI_LIST"],
    ),
    of(
        NODES,
        "driver-root",
        &["ROOT", "NVIDIA_DRIVER_ROOT", "DRIVER_ROOT"],
    ),
    of(NODES, "dev-root", &["NVIDIA_DEV_ROOT", "DEV_ROOT"]),
    of(NODES, "dry-run", &["DRY_RUN"]),
    of(LINKS, "dev-char-path", &["DEV_CHAR_PATH"]),
    of(LINKS, "driver-root", &["NVIDIA_DRIVER_ROOT", "DRIVER_ROOT"]),
    of(LINKS, "create-all", &["CREATE_ALL"]),
    of(LINKS, "load-kernel-modules", &["LOAD_KERNEL_MODULES"]),
    of(LINKS, "create-device-nodes", &["CREATE_DEVICE_NODES"]),
    of(LINKS, "watch", &["WATCH"]),
    of(LINKS, "dry-run", &["DRY_RUN"]),
    of("list", "spec-dir", &[SPEC_DIRS]),
    of("check", "spec-dir", &[SPEC_DIRS]),
];

const GENERATE: &str = "generate";
const NODES: &str = "create-device-nodes";
const LINKS: &str = "create-dev-char-symlinks";

const fn of(
    command: &'static str,
    flag: &'static str,
    names: &'static [&'static str],
) -> Variables {
    Variables {
        command: Some(command),
        flag,
        names,
    }
}

const CDI_HOOK: &[Variables] = &[
    Variables {
        command: None,
        flag: "debug",
        names: &["NVIDIA_CTK_DEBUG", "NVIDIA_CDI_DEBUG"],
    },
    Variables {
        command: None,
        flag: "quiet",
        names: &["NVIDIA_CTK_QUIET", "NVIDIA_CDI_QUIET"],
    },
    STRICT,
];

const STRICT: Variables = Variables {
    command: Some("hook"),
    flag: "strict",
    names: &["NVIDIA_CTK_STRICT"],
};

/// A list, separated by commas.
const SPEC_DIRS: &str = "NVIDIA_CTK_CDI_SPEC_DIRS";

/// The value that a variable gives a flag.
pub(super) struct Setting {
    /// The flag's command; `None` is the outermost one.
    pub(super) command: Option<&'static str>,
    pub(super) flag: &'static str,
    pub(super) variable: &'static str,
    pub(super) value: String,
}

/// Returns the settings of the environment, for `nvidia-cdi-hook` or for `nvidia-ctk`.
pub(super) fn settings(cdi_hook: bool, env: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let table = if cdi_hook { CDI_HOOK } else { CTK };
    let setting = |entry: &Variables| {
        entry.names.iter().find_map(|&variable| {
            Some(Setting {
                command: entry.command,
                flag: entry.flag,
                variable,
                value: env(variable).filter(|value| !value.is_empty())?,
            })
        })
    };
    table.iter().filter_map(setting).collect()
}
