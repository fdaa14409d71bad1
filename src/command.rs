//! Commands for the host's admin.

pub mod cdi;
pub mod config;
pub mod create_dev_char_symlinks;
pub mod create_device_nodes;
pub mod doctor;
mod finding;
pub mod info;
pub mod install;
pub mod print_ldcache;
pub mod runtime;
pub mod system;
