//! What the toolkit's commands accept and argh cannot describe: other names, texts with commas, groups that act by themselves.

/// Flags under other names: the command, the name, argh's name. argh allows one name for a flag, without dots.
const FLAGS: &[(&str, &str, &str)] = &[
    ("config", "config", "config-file"),
    ("generate", "discovery-mode", "mode"),
    ("generate", "nvidia-ctk-path", "nvidia-cdi-hook-path"),
    ("generate", "cdi-vendor", "vendor"),
    ("generate", "cdi-class", "class"),
    ("generate", "disable-hooks", "disable-hook"),
    ("generate", "enable-hooks", "enable-hook"),
    ("generate", "feature-flags", "feature-flag"),
    ("generate", "device-ids", "device-id"),
    ("generate", "device", "device-id"),
    ("generate", "devices", "device-id"),
    ("create-device-nodes", "root", "driver-root"),
    ("configure", "runtime-path", "nvidia-runtime-path"),
    ("configure", "set-as-default", "nvidia-set-as-default"),
    ("configure", "cdi.enable", "enable-cdi"),
    ("configure", "cdi.enabled", "enable-cdi"),
];

/// Subcommands under other names: the command, the name, argh's name.
const SUBCOMMANDS: &[(&str, &str, &str)] = &[
    ("config", "create-default", "default"),
    ("config", "generate-default", "default"),
];

/// Repeatable flags whose values may hold commas: the command, the flag.
const TEXTS: &[(&str, &str)] = &[("config", "--set")];

/// Options whose value may be left out: the command, the option, the value it then has.
const DEFAULTS: &[(&str, &str, &str)] = &[("generate", "--watch", "5")];

/// Commands that have subcommands and also act without one.
const ACTING_GROUPS: &[&str] = &["config"];

/// argh's name for the flag `name` of `command`.
pub(super) fn flag<'a>(command: &str, name: &'a str) -> &'a str {
    resolve(FLAGS, command, name)
}

/// argh's name for the subcommand `name` of `command`.
pub(super) fn subcommand<'a>(command: &str, name: &'a str) -> &'a str {
    resolve(SUBCOMMANDS, command, name)
}

fn resolve<'a>(table: &[(&str, &str, &'static str)], command: &str, name: &'a str) -> &'a str {
    table
        .iter()
        .find(|(of, alias, _)| (*of, *alias) == (command, name))
        .map_or(name, |(_, _, resolved)| resolved)
}

/// Whether the values of the flag `long` of `command` are lists with commas between the elements.
pub(super) fn is_list(command: &str, long: &str) -> bool {
    !TEXTS.contains(&(command, long))
}

/// The value that the option `long` of `command` has if none is given, where that is allowed. A value is then written as
/// `--option=value`.
pub(super) fn value_without(command: &str, long: &str) -> Option<&'static str> {
    let mut defaults = DEFAULTS.iter();
    let (_, _, value) = defaults.find(|(of, option, _)| (*of, *option) == (command, long))?;
    Some(value)
}

/// Whether `command` acts without one of its subcommands.
pub(super) fn acts_alone(command: &str) -> bool {
    ACTING_GROUPS.contains(&command)
}
