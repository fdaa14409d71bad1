//! Lines of ld.so.conf, and the names that its patterns match; the last line is the name.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::glob::is_pattern;
use nvidia_ctk::ldcache::conf::{Line, matches, parse_line, split_type, trim_directory, words};

fuzz_target!(|text: &[u8]| {
    let name = text.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let name = OsStr::from_bytes(name);
    for line in text.split(|&byte| byte == b'\n') {
        match parse_line(line) {
            Line::Blank | Line::Hwcap => {}
            Line::Include(patterns) => {
                for pattern in words(patterns) {
                    let pattern = OsStr::from_bytes(pattern);
                    let matched = matches(pattern, name);
                    if !is_pattern(pattern) {
                        assert_eq!(matched, pattern == name);
                    }
                }
            }
            Line::Directory(directory) => {
                assert!(!directory.is_empty());
                let (directory, _) = split_type(directory);
                let path = trim_directory(directory);
                assert!(!path.ends_with(b"/") && directory.starts_with(path));
            }
        }
    }
});
