//! Commands for the host's admin.

pub mod install;
