//! The toolkit's configuration file, `config.toml`, as text: what its keys are, how one is set, what the default is.
//!
//! An edit replaces the bytes that it is about; all others stay, comments and line ends too. No input and output.

mod default;
mod edit;
mod host_values;
mod key;
mod setting;

pub use edit::{check, disabled_hooks, driver_root};
pub use host_values::{HostValues, default_document};
pub use setting::Setting;
