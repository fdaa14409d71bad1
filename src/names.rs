//! The names under which this program is called; there is no other list of them.

use std::ffi::OsStr;
use std::path::Path;

/// A name under which the binary is called, and the subcommands that it stands for.
pub struct Applet {
    /// The basename of `argv[0]`.
    pub name: &'static str,
    /// The subcommands of `nvidia-ctk` to insert before the caller's arguments.
    pub path: &'static [&'static str],
}

/// The applet for every name that [`APPLETS`] does not contain, so that renamed copies work.
pub(crate) const NVIDIA_CTK: Applet = Applet {
    name: "nvidia-ctk",
    path: &[],
};

/// A program that parses its own arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// The OCI runtime that applies CDI specs to containers.
    Runtime,
    /// The hook whose name Docker searches for.
    RuntimeHook,
}

/// The name of the hooks' program in CDI specs, for which Docker also searches.
pub const CDI_HOOK: &str = "nvidia-cdi-hook";

/// The only name that is installed on request only, since it changes Docker's behaviour.
pub const RUNTIME_HOOK: &str = "nvidia-container-runtime-hook";

/// The names of programs. A mode at the end of a name has no effect.
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

/// Returns the program that `argv[0]` names, if it names one.
pub(crate) fn program(argv0: &OsStr) -> Option<Program> {
    let name = basename(argv0);
    let mut programs = PROGRAMS.iter();
    programs
        .find(|(it, _)| *it == name)
        .map(|(_, program)| *program)
}

/// Returns the applet that `argv[0]` names.
pub(crate) fn lookup(argv0: &OsStr) -> &'static Applet {
    let name = basename(argv0);
    APPLETS
        .iter()
        .find(|applet| applet.name == name)
        .unwrap_or(&NVIDIA_CTK)
}

/// Returns the basename without the dash that login shells prepend and the `.real` that the toolkit's installer appends.
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
