//! The black-box tests: the real binary on real trees and in real runtimes. They are one program, which links once; one file of
//! them runs by `cargo test --test suite hooks::`.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "also outside of the test functions: they work on files that they made"
)]

mod common;

mod binary;
mod bounds;
mod cdi;
mod cdi_generate;
mod cdi_specs;
mod cli;
mod config;
mod configure;
mod containment;
mod engines;
mod environment;
mod faults;
mod find_driver;
mod help;
mod hooks;
mod hostile;
mod hosts;
mod info;
mod install;
mod json;
mod layers;
mod ldcache;
mod manual;
mod many_files;
mod mounts;
mod old_kernels;
mod platforms;
mod random_roots;
mod readme;
mod runtimes;
mod sandbox;
mod shared_directories;
mod shim;
mod soname_links;
mod state;
mod syslog;
mod system;
mod terminal;
mod trace;
mod unread;
mod watchdog;
