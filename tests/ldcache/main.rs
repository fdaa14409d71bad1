//! `ld.so.cache`: what the real binary writes and prints, and the format itself.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code, on files that it made itself"
)]

mod format;
mod identity;
mod live;
mod print;
mod random;
mod root;

#[path = "../common/machine.rs"]
mod machine;
