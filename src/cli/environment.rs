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
    Variables {
        command: Some("list"),
        flag: "spec-dir",
        names: &[SPEC_DIRS],
    },
    Variables {
        command: Some("check"),
        flag: "spec-dir",
        names: &[SPEC_DIRS],
    },
];

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

/// A list with commas.
const SPEC_DIRS: &str = "NVIDIA_CTK_CDI_SPEC_DIRS";

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
