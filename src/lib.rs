//! Prepares a container for NVIDIA GPUs: modes, symbolic links, `ld.so.cache`.
//!
//! One static binary replaces `nvidia-ctk` and `nvidia-cdi-hook` of the NVIDIA Container Toolkit. The data flow of a hook:
//!
//! ```text
//! argv ──> applet ──> options ──> State (stdin) ──> ContainerRoot ──> the one effect ──> exit code
//!          by argv[0],            bundle, root      a directory        chmod, link,      one line to stderr
//!          then argv[1..]         id, pid           descriptor         ld.so.cache       and to syslog
//! ```
//!
//! A hook reads the state once, opens the container's root once, and from then on uses no path of the host: [`rootfs`] is the
//! only access to files that an image's author wrote. A command for the host starts in the same way, and continues with
//!
//! ```text
//! options ──> host state ──> new settings ──> difference ──> atomic write ──> one line per change
//!             inventory,     engine,          document       host             to stdout
//!             document       config
//! ```
//!
//! The layers; a module imports from below or beside it, never from above:
//!
//! ```text
//! main  applet  cli                                           argv to a command
//!   hook/*  shim  command/*                                   options, a straight line of calls, a report
//!     inventory  generate  sandbox                            survey of the host; content of specs; dropped privileges
//!       driver  engine  cdi  config  hooks_dir  host  oci     one kind of file each
//!         ldcache  rootfs                                     caches; files below a root
//!           elf  document  cuda                               bytes in, values out
//!             watchdog  sys  diagnostics  stdout              the process and its messages
//!               names  printable  spelling  glob              words
//! ```
//!
//! # In another container runtime
//!
//! Each module of [`hook`] has a function `run` that does the hook's work in an open root, without command line, state or
//! sandbox; [`hook::apply::run`] does the work of all hooks. They return errors, and log warnings through the `log` crate. New
//! files have the documented modes if the process has no umask.
//!
//! ```
//! use nvidia_ctk::hook::create_symlinks::{self, Link};
//! use nvidia_ctk::hook::{chmod, update_ldcache};
//! use nvidia_ctk::rootfs::ContainerRoot;
//!
//! # let bundle = tempfile::tempdir()?;
//! # std::fs::create_dir_all(bundle.path().join("rootfs/dev/dri"))?;
//! let root = ContainerRoot::open(&bundle.path().join("rootfs"))?;
//! let link = Link {
//!     target: "libcuda.so.1".into(),
//!     path: "/usr/lib64/libcuda.so".into(),
//!     needs_target: false,
//! };
//! create_symlinks::run(&root, &[link])?;
//! chmod::run(&root, &chmod::Options {
//!     paths: vec!["/dev/dri".into()],
//!     mode: chmod::Mode::from_bits_truncate(0o755),
//! })?;
//! update_ldcache::run(&root, &update_ldcache::Options {
//!     folders: vec!["/usr/lib64".into()],
//!     ..Default::default()
//! })?;
//! assert!(root.stat("/etc/ld.so.cache".as_ref())?.size > 0);
//! # anyhow::Ok(())
//! ```

#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests prepare trees by path

pub mod applet;
pub mod cdi;
pub mod cli;
pub mod command;
pub mod config;
pub mod cuda;
pub mod diagnostics;
pub mod document;
pub mod driver;
pub mod elf;
pub mod engine;
pub mod generate;
pub mod glob;
pub mod hook;
pub mod hooks_dir;
pub mod host;
pub mod inventory;
pub mod ldcache;
pub mod names;
pub mod oci;
mod printable;
pub mod rootfs;
pub mod sandbox;
pub mod shim;
mod spelling;
mod stdout;
pub mod sys;
pub mod watchdog;

pub use applet::run;
