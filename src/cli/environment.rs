//! Flags that the environment sets when the line does not.

/// A flag, and the variables that set it: the first one that is not empty.
struct Variables {
    /// The flag's command; none is the outermost one.
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
];

/// Those of `cdi generate`.
const GENERATE: &[Variables] = &[
    generate("output", &["NVIDIA_CTK_CDI_OUTPUT_FILE_PATH"]),
    generate("format", &["NVIDIA_CTK_CDI_GENERATE_OUTPUT_FORMAT"]),
    generate("mode", &["NVIDIA_CTK_CDI_GENERATE_MODE"]),
    generate("dev-root", &["NVIDIA_CTK_DEV_ROOT"]),
    generate("driver-root", &["NVIDIA_CTK_DRIVER_ROOT"]),
    generate(
        "device-name-strategy",
        &["NVIDIA_CTK_CDI_GENERATE_DEVICE_NAME_STRATEGIES"],
    ),
    generate(
        "library-search-path",
        &["NVIDIA_CTK_CDI_GENERATE_LIBRARY_SEARCH_PATHS"],
    ),
    generate(
        "config-search-path",
        &["NVIDIA_CTK_CDI_GENERATE_CONFINVIDIA_CTK_CDI_GENERATE_SEARCH_PATHS"],
    ),
    generate("nvidia-cdi-hook-path", &["NVIDIA_CTK_CDI_HOOK_PATH"]),
    generate(
        "ldconfig-path",
        &["NVIDIA_CTK_CDI_GENERATE_LDCONFINVIDIA_CTK_CDI_GENERATE_PATH"],
    ),
    generate("vendor", &["NVIDIA_CTK_CDI_GENERATE_VENDOR"]),
    generate("class", &["NVIDIA_CTK_CDI_GENERATE_CLASS"]),
    generate("csv-file", &["NVIDIA_CTK_CDI_GENERATE_CSV_FILES"]),
    generate(
        "csv-ignore-pattern",
        &["NVIDIA_CTK_CDI_GENERATE_CSV_IGNORE_PATTERNS"],
    ),
    generate(
        "csv-compat-container-root",
        &["NVIDIA_CTK_CDI_GENERATE_CSV_CONTAINER_COMPAT_ROOT"],
    ),
    generate("disable-hook", &["NVIDIA_CTK_CDI_GENERATE_DISABLED_HOOKS"]),
    generate("enable-hook", &["NVIDIA_CTK_CDI_GENERATE_ENABLED_HOOKS"]),
    generate("feature-flag", &["NVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS"]),
    generate("no-all-device", &["NVIDIA_CTK_CDI_GENERATE_NO_ALL_DEVICE"]),
    generate("device-id", &["NVIDIA_CTK_CDI_GENERATE_DEVICE_IDS"]),
    generate("hooks", &["NVIDIA_CTK_CDI_GENERATE_HOOKS"]),
    generate(
        "nvidia-smi-list",
        &["NVIDIA_CTK_CDI_GENERATE_NVIDIA_SMI_LIST"],
    ),
];

const fn generate(flag: &'static str, names: &'static [&'static str]) -> Variables {
    Variables {
        command: Some("generate"),
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

/// What a variable says of a flag.
pub(super) struct Setting {
    /// The flag's command; none is the outermost one.
    pub(super) command: Option<&'static str>,
    pub(super) flag: &'static str,
    pub(super) variable: &'static str,
    pub(super) value: String,
}

/// What the environment says, for `nvidia-cdi-hook` or for `nvidia-ctk`.
pub(super) fn settings(cdi_hook: bool, env: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let (table, more) = if cdi_hook {
        (CDI_HOOK, &[][..])
    } else {
        (CTK, GENERATE)
    };
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
    table.iter().chain(more).filter_map(setting).collect()
}
