//! The host's own files, programs, processes and services.

pub mod allowance;
pub mod file;
pub mod packages;
pub mod pause;
pub mod place;
pub mod process;
pub mod program;
pub mod service;
