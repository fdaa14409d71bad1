//! The log file that engines read for a runtime's errors. Formats: logrus' JSON and text, one line each.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::printable::{escape, shorten};

/// The maximum length of a message, in bytes, before escaping.
const MAX_MESSAGE: usize = 4 << 10;

/// The log for errors besides standard error.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Log {
    /// The file of `--log`.
    pub path: Option<PathBuf>,
    /// Whether the format is JSON.
    pub is_json: bool,
}

impl Log {
    /// Logs an error to standard error, to the engine's file, and to the administrator's debug file.
    pub(super) fn error(&self, err: &anyhow::Error, debug: Option<&Path>) {
        log::error!("{err:#}");
        self.write("error", &format!("{err:#}"));
        let debug = Self {
            path: debug.map(Path::to_owned),
            is_json: self.is_json,
        };
        debug.write("error", &format!("{err:#}"));
    }

    /// Logs a warning to the file only: engines may mix standard error with the low-level runtime's output.
    pub(super) fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// Writes an escaped line, since engines show messages on terminals. Failures are ignored: a missing log must not stop the
    /// container.
    #[expect(clippy::disallowed_methods, reason = "the file that the engine named")]
    fn write(&self, level: &str, message: &str) {
        let Some(path) = &self.path else { return };
        let time = time(SystemTime::now());
        let message = Value::from(escape(&shorten(message, MAX_MESSAGE)));
        let line = if self.is_json {
            format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        } else {
            format!("time=\"{time}\" level={level} msg={message}\n")
        };
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let open = || options.open(path);
        let file = open().or_else(|_| {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            open()
        });
        if let Ok(mut file) = file {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// Formats a time as RFC 3339 in UTC: `2026-11-23T14:22:46Z`.
fn time(now: SystemTime) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let (days, second) = (seconds / DAY, seconds % DAY);
    // Years begin on 1 March, so that the leap day is the last day of a year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_443_766, "2026-11-23T14:22:46Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
