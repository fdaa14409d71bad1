//! The source code of the program, as text.

use std::fs;
use std::path::Path;

/// The source code, with string literals that continue on another line joined.
pub(crate) fn code() -> String {
    let mut text = String::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        } else {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    let lines = text.split("\\\n");
    lines.map(str::trim_start).collect()
}
