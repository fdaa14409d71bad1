//! Diagnostics and output: the only module that prints.
//!
//! Every diagnostic is one line on standard error in the toolkit's shape, `level=error msg="…"`. What a hook says, but for debug
//! messages, goes to syslog as well, with the hook's name and the container's id, because crun throws a hook's standard error
//! away. Logging never blocks and never fails the caller.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use ::log::{Level, LevelFilter, Log, Metadata, Record};
use syslog::{Facility, LogFormat, LoggerBackend, Severity};

const SYSLOG_SOCKET: &str = "/dev/log";

static SHOWN: OnceLock<LevelFilter> = OnceLock::new();
/// Most warnings that are shown: an image can bring about one with each of its names.
const MAX_WARNINGS: usize = 100;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);
static LOGGER: StderrAndSyslog = StderrAndSyslog;
static HOOK: Mutex<Option<&'static str>> = Mutex::new(None);
static CONTAINER: OnceLock<String> = OnceLock::new();

struct StderrAndSyslog;

/// Sends the `log` crate's records here, those at or above `level`.
pub fn init(level: LevelFilter) {
    // A program that embeds the hooks may have set its own logger: that one stays.
    if ::log::set_logger(&LOGGER).is_ok() {
        let _ = SHOWN.set(level);
        // Warnings are counted even where they are not shown.
        ::log::set_max_level(level.max(LevelFilter::Warn));
    }
}

/// Names the hook that runs: what it says goes to syslog from now on.
pub fn set_hook(name: &'static str) {
    if let Ok(mut hook) = HOOK.lock() {
        *hook = Some(name);
    }
}

fn hook() -> Option<&'static str> {
    HOOK.lock().ok().and_then(|hook| *hook)
}

/// Names the container that the hook works on.
pub fn set_container(id: &str) {
    let _ = CONTAINER.set(id.to_owned());
}

/// How many warnings there were, shown or not.
#[must_use]
pub fn warnings() -> usize {
    WARNINGS.load(Ordering::Relaxed)
}

/// Writes data to standard output. A reader that went away is no error.
pub fn output(data: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(data.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

impl Log for StderrAndSyslog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        SHOWN.get().is_some_and(|shown| metadata.level() <= *shown)
    }

    fn log(&self, record: &Record<'_>) {
        let warnings = match record.level() {
            Level::Warn => WARNINGS.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        if warnings > MAX_WARNINGS || !self.enabled(record.metadata()) {
            return;
        }
        let message = if warnings == MAX_WARNINGS {
            "more warnings are not shown".to_owned()
        } else {
            escape(&record.args().to_string())
        };
        let _ = io::stderr().write_all(stderr_line(record.level(), &message).as_bytes());
        if record.level() <= Level::Info
            && let Some(hook) = hook()
        {
            let _ = send_to_syslog(hook, record.level(), &message);
        }
    }

    fn flush(&self) {}
}

fn stderr_line(level: Level, message: &str) -> String {
    use std::fmt::Write as _;
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    let mut line = format!("level={level} msg=\"{message}\"");
    if let Some(hook) = hook() {
        let _ = write!(line, " hook={hook}");
    }
    if let Some(id) = CONTAINER.get() {
        let _ = write!(line, " container=\"{}\"", escape(id));
    }
    line.push('\n');
    line
}

/// Makes `text` one printable line that fits between double quotes: names out of an image may hold anything.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
        line
    })
}

/// The line as syslog(3) of a C library would send it; the receiver adds the time.
struct SyslogLine;

impl LogFormat<&str> for SyslogLine {
    fn format<W: Write>(
        &self,
        writer: &mut W,
        severity: Severity,
        message: &str,
    ) -> syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u32 | severity as u32;
        let pid = std::process::id();
        write!(writer, "<{priority}>nvidia-ctk[{pid}]: {message}").map_err(syslog::Error::from)
    }
}

fn send_to_syslog(hook: &str, level: Level, message: &str) -> syslog::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A full queue must not hold up the start of a container.
    socket.set_nonblocking(true)?;
    socket.connect(SYSLOG_SOCKET)?;
    let mut logger = syslog::Logger::new(LoggerBackend::Unix(socket), SyslogLine);
    let container = CONTAINER.get().map_or("-", String::as_str);
    let line = format!("{hook}: container {}: {message}", escape(container));
    match level {
        Level::Error => logger.err(line.as_str()),
        Level::Warn => logger.warning(line.as_str()),
        _ => logger.info(line.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_one_line() {
        assert_eq!(
            escape("a\nb\t\"c\" \\ \u{1b}[31m é"),
            "a\\nb\\t\\\"c\\\" \\\\ \\u{1b}[31m é"
        );
        assert_eq!(stderr_line(Level::Warn, "a"), "level=warning msg=\"a\"\n");
    }
}
