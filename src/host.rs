//! The host's own files and programs.

pub mod file;
pub mod place;
pub mod program;
