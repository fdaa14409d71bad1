//! The names under which this program is called: the only list of them.

use std::ffi::OsStr;
use std::path::Path;

/// A name under which the binary is called, and the subcommands that this name stands for.
pub struct Applet {
    /// Basename of `argv[0]`.
    pub name: &'static str,
    /// The subcommands of `nvidia-ctk` that come before the caller's arguments.
    pub path: &'static [&'static str],
}

/// What any name behaves as that is not in [`APPLETS`]: renamed copies still work.
pub(crate) const NVIDIA_CTK: Applet = Applet {
    name: "nvidia-ctk",
    path: &[],
};

/// A program that reads its words by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// The OCI runtime that gives containers what CDI specs say.
    Runtime,
    /// The hook whose name Docker looks for.
    RuntimeHook,
}

/// The name of the hooks, as CDI specs call them and Docker looks for it.
pub const CDI_HOOK: &str = "nvidia-cdi-hook";

/// The only name that is not installed unless that is asked for: it changes what Docker does.
pub const RUNTIME_HOOK: &str = "nvidia-container-runtime-hook";

/// The names of programs. The names with a mode in them do the same as the one without.
pub const PROGRAMS: &[(&str, Program)] = &[
    ("nvidia-container-runtime", Program::Runtime),
    ("nvidia-container-runtime.cdi", Program::Runtime),
    ("nvidia-container-runtime.legacy", Program::Runtime),
    (RUNTIME_HOOK, Program::RuntimeHook),
];

/// All applets.
pub const APPLETS: &[Applet] = &[
    NVIDIA_CTK,
    Applet {
        name: CDI_HOOK,
        path: &["hook"],
    },
    Applet {
        name: "nvidia-ctk-chmod",
        path: &["hook", "chmod"],
    },
    Applet {
        name: "nvidia-ctk-symlinks",
        path: &["hook", "create-symlinks"],
    },
    Applet {
        name: "nvidia-ctk-ldcache",
        path: &["hook", "update-ldcache"],
    },
    Applet {
        name: "nvidia-ctk-soname-symlinks",
        path: &["hook", "create-soname-symlinks"],
    },
    Applet {
        name: "nvidia-ctk-cuda-compat",
        path: &["hook", "enable-cuda-compat"],
    },
    Applet {
        name: "nvidia-ctk-params",
        path: &["hook", "disable-device-node-modification"],
    },
    Applet {
        name: "nvidia-ctk-application-profile",
        path: &["hook", "update-application-profile"],
    },
    Applet {
        name: "nvidia-ctk-apply",
        path: &["hook", "apply"],
    },
    Applet {
        name: "nvidia-ctk-runtime-configure",
        path: &["runtime", "configure"],
    },
];

/// The program that `argv[0]` names, if it names one.
pub(crate) fn program(argv0: &OsStr) -> Option<Program> {
    let name = basename(argv0);
    let mut programs = PROGRAMS.iter();
    programs
        .find(|(it, _)| *it == name)
        .map(|(_, program)| *program)
}

/// The applet that `argv[0]` names.
pub(crate) fn lookup(argv0: &OsStr) -> &'static Applet {
    let name = basename(argv0);
    APPLETS
        .iter()
        .find(|applet| applet.name == name)
        .unwrap_or(&NVIDIA_CTK)
}

/// The name without what login shells put before it, a dash, and the toolkit's installer behind, `.real`.
fn basename(argv0: &OsStr) -> &str {
    let name = Path::new(argv0).file_name().and_then(OsStr::to_str);
    let name = name.unwrap_or_default();
    let name = name.strip_prefix('-').unwrap_or(name);
    name.strip_suffix(".real").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv0_names_the_applet() {
        for (argv0, name) in [
            ("nvidia-ctk-chmod", "nvidia-ctk-chmod"),
            ("/usr/bin/nvidia-cdi-hook", "nvidia-cdi-hook"),
            ("../nvidia-cdi-hook.real", "nvidia-cdi-hook"),
            ("-nvidia-ctk-ldcache", "nvidia-ctk-ldcache"),
            ("nvidia-ctk.real", "nvidia-ctk"),
            ("xnvidia-cdi-hook", "nvidia-ctk"),
            ("nvidia-cdi-hook.real.real", "nvidia-ctk"),
            ("--nvidia-cdi-hook", "nvidia-ctk"),
            ("chmod", "nvidia-ctk"),
            ("/", "nvidia-ctk"),
            ("", "nvidia-ctk"),
        ] {
            assert_eq!(lookup(OsStr::new(argv0)).name, name, "{argv0}");
        }
    }
}
