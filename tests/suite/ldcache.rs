//! `ld.so.cache`: what the real binary writes and prints, and the format itself.

mod driver_first;
mod format;
mod identity;
mod live;
mod print;
mod root;
