//! The document that `nvidia-ctk config default` prints.

use anyhow::Result;

use super::default::DEFAULT;
use super::{edit, key};

/// The values of the default document that depend on the host; `None` keeps the toolkit's default.
#[derive(Default, Debug)]
pub struct HostValues {
    /// The ldconfig to run, prefixed with `@`.
    pub ldconfig: Option<String>,
    /// The user that owns device files, if it is not root.
    pub user: Option<String>,
    /// The path of the runtime's hook.
    pub runtime_hook: Option<String>,
    /// The path of nvidia-ctk.
    pub nvidia_ctk: Option<String>,
}

/// Returns the toolkit's default configuration with the values of this host. Fails if a value cannot be set.
pub fn default_document(host: &HostValues) -> Result<String> {
    [
        ("nvidia-container-cli.ldconfig", &host.ldconfig),
        ("nvidia-container-cli.user", &host.user),
        ("nvidia-container-runtime-hook.path", &host.runtime_hook),
        ("nvidia-ctk.path", &host.nvidia_ctk),
    ]
    .into_iter()
    .filter_map(|(path, value)| Some((key::find(path)?, value.as_deref()?)))
    .try_fold(DEFAULT.to_owned(), |text, (key, value)| {
        edit::set(&text, key, &value.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_host_take_the_place_of_the_usual_ones() {
        let path = |path: &str| Some(path.to_owned());
        let document = default_document(&HostValues {
            ldconfig: path("@/sbin/ldconfig.real"),
            user: path("root:video"),
            runtime_hook: path("/a/nvidia-container-runtime-hook"),
            nvidia_ctk: path("/b/nvidia-ctk"),
        });
        let expected = DEFAULT
            .replace("@/sbin/ldconfig", "@/sbin/ldconfig.real")
            .replace("#user", "user")
            .replace(
                "\"nvidia-container-runtime-hook\"",
                "\"/a/nvidia-container-runtime-hook\"",
            )
            .replace("\"nvidia-ctk\"", "\"/b/nvidia-ctk\"");
        assert_eq!(document.unwrap(), expected);
        let nothing = default_document(&HostValues::default());
        assert_eq!(nothing.unwrap(), DEFAULT);
    }
}
