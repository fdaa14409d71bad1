//! The toolkit's default configuration, as text.

/// The default document, with the values for a host on which nothing is detected.
pub(super) const DEFAULT: &str = include_str!("default.toml");

/// Whether `line` is the commented-out default of a key with this name.
pub(super) fn is_commented_default(line: &str, name: &str) -> bool {
    commented_out(line).is_some_and(|content| {
        content.starts_with(&format!("{name} = "))
            && DEFAULT
                .lines()
                .any(|known| commented_out(known) == Some(content))
    })
}

fn commented_out(line: &str) -> Option<&str> {
    line.trim().strip_prefix('#').map(str::trim)
}
