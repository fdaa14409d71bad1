//! Prepares a container for NVIDIA GPUs: modes, symbolic links, `ld.so.cache`.
//!
//! One static binary stands in for `nvidia-ctk` and `nvidia-cdi-hook` of the NVIDIA Container Toolkit. The way of the data:
//!
//! ```text
//! argv ──> applet ──> options ──> State (stdin) ──> ContainerRoot ──> the one effect ──> exit code
//!          by argv[0],            bundle, root      a directory        chmod, link,      one line to stderr
//!          then argv[1..]         id, pid           descriptor         ld.so.cache       and to syslog
//! ```
//!
//! A hook reads the state once, opens the container's root once, and from then on knows no path of the host: [`rootfs`] is the
//! only door to what an image's author wrote.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests prepare trees by path

pub mod applet;
pub mod cdi;
pub mod cli;
pub mod command;
pub mod config;
pub mod cuda;
pub mod document;
pub mod driver;
pub mod elf;
pub mod engine;
pub mod hook;
pub mod hooks_dir;
pub mod host;
pub mod inventory;
pub mod ldcache;
pub mod log;
pub mod oci;
pub mod rootfs;
pub mod runtime;
pub mod sandbox;
mod spelling;
pub mod sys;

pub use applet::run;
