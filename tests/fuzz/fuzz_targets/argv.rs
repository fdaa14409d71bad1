//! Any command line is understood or refused: the first byte picks the name that was called, NULs separate its arguments.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::applet::parse_only;
use nvidia_ctk::names::APPLETS;

fuzz_target!(|bytes: &[u8]| {
    let Some((pick, line)) = bytes.split_first() else {
        return;
    };
    let applet = &APPLETS[usize::from(*pick) % APPLETS.len()];
    let words: Vec<OsString> = line
        .split(|&byte| byte == 0)
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    if let Err(message) = parse_only(applet, &words) {
        // Of a line that was rewritten for argh, argh refuses values alone.
        assert!(message.starts_with("Error parsing"), "{message}");
    }
});
