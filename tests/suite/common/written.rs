//! Files in packaging/ that tests make from the code.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

/// Fails if a file does not hold this text; with `UPDATE` in the environment, writes it.
pub(crate) fn is_up_to_date(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    assert!(
        env::var_os("UPDATE").is_some(),
        "{} is not up to date: UPDATE=1 cargo test --test suite writes it",
        path.display()
    );
    fs::write(path, text).unwrap();
}
