//! Bounds on reading directories with files of unknown origin: files beyond a bound are skipped and reported.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::rootfs::Root;

/// The remaining bytes to read from files of one kind.
pub struct Allowance {
    all: u64,
    left: u64,
}

impl Allowance {
    /// Allows `all` bytes for all files together.
    #[must_use]
    pub fn new(all: u64) -> Self {
        Self { all, left: all }
    }

    /// Reads a regular file. Fails with `FileTooLarge` for more than `limit` bytes or once all files together exceed the
    /// allowance.
    pub fn read(&mut self, root: &Root, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let most = limit.min(self.left);
        let size = root.stat(path)?.size;
        if size > most {
            return Err(self.too_large(size, limit));
        }
        let read = root.read(path, most);
        let is_too_large = |err: &io::Error| err.kind() == ErrorKind::FileTooLarge;
        let cost = match &read {
            Ok(bytes) => u64::try_from(bytes.len()).unwrap_or(most),
            // stat(2) reported another size, as it does in /proc.
            Err(err) if is_too_large(err) => most,
            Err(_) => 0,
        };
        self.left = self.left.saturating_sub(cost);
        read.map_err(|err| {
            if is_too_large(&err) {
                self.too_large(most.saturating_add(1), limit)
            } else {
                err
            }
        })
    }

    fn too_large(&self, size: u64, limit: u64) -> io::Error {
        let message = if size > limit {
            format!("larger than {limit} bytes")
        } else {
            format!("such files may have at most {} bytes together", self.all)
        };
        io::Error::new(ErrorKind::FileTooLarge, message)
    }
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// Engines reject the file.
    Invalid(String),
    /// The file exceeds a bound of this program.
    LeftOut(String),
}

impl From<io::Error> for Unusable {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            ErrorKind::FileTooLarge => Self::LeftOut(err.to_string()),
            _ => Self::Invalid(err.to_string()),
        }
    }
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(reason) | Self::LeftOut(reason)) = self;
        f.write_str(reason)
    }
}
