//! `nvidia-container-runtime`, before a stub that notes what a low-level runtime would be given.

mod arguments;
mod beside;
mod edit;
mod engines;
mod errors;
mod forward;
mod hook;
mod live;
mod low_level;
mod mounts_and_annotations;
mod replace;
mod requests;
mod resolve;
mod settings;
mod twice;
mod unasked;
