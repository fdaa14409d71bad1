//! The toolkit's configuration file, `config.toml`, as text: its keys, edits of one key, and the default document.
//!
//! An edit replaces only the bytes of its key; all others stay, including comments and line ends. This module does no I/O.

mod default;
mod edit;
mod host_values;
mod key;
mod setting;

pub use edit::{check, disabled_hooks, driver_root};
pub use host_values::{HostValues, default_document};
pub use setting::Setting;
