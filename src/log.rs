//! Diagnostics and output: the only module that prints.
//!
//! Every diagnostic is one line on standard error in the toolkit's shape, `level=error msg="…"`. What a hook says, but for debug
//! messages, goes to syslog as well, with the hook's name and the container's id, because crun throws a hook's standard error
//! away. Logging never blocks and never fails the caller.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use ::log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;
use syslog::{Facility, LogFormat, LoggerBackend, Severity};

const SYSLOG_SOCKET: &str = "/dev/log";

static SHOWN: OnceLock<LevelFilter> = OnceLock::new();
/// Most warnings that are shown: an image can bring about one with each of its names.
const MAX_WARNINGS: usize = 100;
/// Longest message and longest id of a container, in bytes. A line with both is not longer than a pipe takes as a whole
/// (`PIPE_BUF`).
const MAX_MESSAGE: usize = 3 << 10;
const MAX_CONTAINER: usize = 512;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);
static LOGGER: StderrAndSyslog = StderrAndSyslog;
static HOOK: Mutex<Option<&'static str>> = Mutex::new(None);
static CONTAINER: OnceLock<String> = OnceLock::new();
static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();

/// An error as it goes to standard error and to syslog.
struct LastWords {
    stderr: String,
    syslog: Vec<u8>,
}

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

/// Writes a document that may be someone else's to standard output: to a terminal line by line as [`escape`] shows it, to anything
/// else byte for byte.
pub fn output_document(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        return output(&escape_all_but(text, &['\n', '\t', '\'', '"', '\\']));
    }
    output(text)
}

/// Writes JSON to standard output. What [`escape`] would escape is written as `\u` and a number, which means the same to a program.
pub fn output_json(value: &Value) -> io::Result<()> {
    let mut text = String::new();
    for c in format!("{value:#}\n").chars() {
        if c.is_ascii() && c != '\x7f' || !is_escaped(c) {
            text.push(c);
        } else {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    output(&text)
}

/// Makes an error ready for [`say_last_words`].
pub fn prepare_last_words(message: &str) {
    let message = quote(message);
    let mut syslog = Vec::new();
    if let Some(hook) = hook() {
        let line = syslog_line(hook, &message);
        let _ = SyslogLine.format(&mut syslog, Severity::LOG_ERR, line.as_str());
    }
    let stderr = stderr_line(Level::Error, &message);
    let _ = LAST_WORDS.set(LastWords { stderr, syslog });
}

/// Says what was made ready. Takes no lock and no memory, as the handler of a signal must not.
pub fn say_last_words() {
    let Some(words) = LAST_WORDS.get() else {
        return;
    };
    if let Ok(socket) = connect_to_syslog() {
        let _ = socket.send(&words.syslog);
    }
    let _ = nix::unistd::write(io::stderr(), words.stderr.as_bytes());
}

/// Prints lines that another process of this program made, at most `PIPE_BUF` bytes.
pub fn relay(lines: &[u8]) {
    print(lines);
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
            shorten(&quote(&record.args().to_string()), MAX_MESSAGE)
        };
        print(stderr_line(record.level(), &message).as_bytes());
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
        let _ = write!(
            line,
            " container=\"{}\"",
            shorten(&quote(id), MAX_CONTAINER)
        );
    }
    line.push('\n');
    line
}

/// Writes a line to standard error, or drops it where that would block: nobody may read what is at the other end. Nothing is set on
/// the descriptor, which others share. A pipe that poll(2) calls writable takes `PIPE_BUF` bytes.
fn print(line: &[u8]) {
    let mut stderr = io::stderr().lock();
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let is_ready = poll(&mut descriptors, PollTimeout::ZERO) == Ok(1);
    let [descriptor] = descriptors;
    if is_ready
        && descriptor
            .revents()
            .is_some_and(|it| it.contains(PollFlags::POLLOUT))
    {
        let _ = stderr.write_all(line);
    }
}

/// Makes `text` one line that reads as it is written: names out of files and images may hold anything. Whatever Rust's
/// [`char::escape_debug`] escapes is escaped, but for quotes and backslashes: control and format characters of Unicode, separators
/// but the blank, combining marks, and what has no meaning.
#[must_use]
pub fn escape(text: &str) -> String {
    escape_all_but(text, &['\'', '"', '\\'])
}

/// The same for a place between double quotes.
fn quote(text: &str) -> String {
    escape_all_but(text, &['\''])
}

fn escape_all_but(text: &str, kept: &[char]) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if kept.contains(&c) {
                line.push(c);
            } else {
                line.extend(c.escape_debug());
            }
            line
        })
}

fn is_escaped(c: char) -> bool {
    c.escape_debug().len() > 1
}

/// Takes so much out of the middle of a text that at most `limit` bytes are left: the end often has the reason.
fn shorten(text: &str, limit: usize) -> String {
    const GAP: &str = "...";
    if text.len() <= limit {
        return text.to_owned();
    }
    let half = limit.saturating_sub(GAP.len()) / 2;
    let is_boundary = |it: &usize| text.is_char_boundary(*it);
    let end = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let start = (text.len() - half..=text.len())
        .find(is_boundary)
        .unwrap_or(0);
    let head = text.get(..end).unwrap_or_default();
    let tail = text.get(start..).unwrap_or_default();
    format!("{head}{GAP}{tail}")
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

fn connect_to_syslog() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A full queue must not hold up the start of a container.
    socket.set_nonblocking(true)?;
    socket.connect(SYSLOG_SOCKET)?;
    Ok(socket)
}

fn syslog_line(hook: &str, message: &str) -> String {
    let container = CONTAINER.get().map_or("-", String::as_str);
    format!(
        "{hook}: container {}: {message}",
        shorten(&quote(container), MAX_CONTAINER)
    )
}

fn send_to_syslog(hook: &str, level: Level, message: &str) -> syslog::Result<()> {
    let mut logger = syslog::Logger::new(LoggerBackend::Unix(connect_to_syslog()?), SyslogLine);
    let line = syslog_line(hook, message);
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
            quote("a\nb\t\"c\" 'd' \\ \u{1b}[31m é"),
            "a\\nb\\t\\\"c\\\" 'd' \\\\ \\u{1b}[31m é"
        );
        assert_eq!(escape("\"a\" 'b' \\ \u{1b}"), "\"a\" 'b' \\ \\u{1b}");
        assert_eq!(stderr_line(Level::Warn, "a"), "level=warning msg=\"a\"\n");
    }

    /// Each character that Unicode calls a control, a format character, or a separator of lines.
    #[test]
    fn nothing_steers_a_terminal_hides_or_turns_the_order_around() {
        for (first, last) in [
            ('\0', '\x1f'),
            ('\x7f', '\u{a0}'),
            ('\u{ad}', '\u{ad}'),
            ('\u{600}', '\u{605}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{180e}', '\u{180e}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202f}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{fff9}', '\u{fffb}'),
            ('\u{1d173}', '\u{1d17a}'),
            ('\u{e0001}', '\u{e007f}'),
            ('\u{e0100}', '\u{e01ef}'),
        ] {
            for c in first..=last {
                let escaped = escape(&c.to_string());
                assert!(
                    escaped.starts_with('\\') && escaped.is_ascii(),
                    "{:x}",
                    u32::from(c)
                );
            }
        }
        for text in [
            "é",
            "ß",
            "\u{65e5}\u{672c}",
            "\u{5d0}",
            "\u{fffd}",
            "\u{1f600}",
        ] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn a_line_fits_into_a_pipe() {
        let long = format!("é{}é", "é".repeat(5000));
        for limit in 10..20 {
            let short = shorten(&long, limit);
            assert!(short.len() <= limit && short.len() + 4 > limit, "{short}");
            assert!(short.starts_with('é') && short.ends_with('é'), "{short}");
        }
        assert_eq!(shorten("0123456789", 10), "0123456789");
        let rest = "level=warning msg=\"\" hook=disable-device-node-modification container=\"\"\n";
        assert!(rest.len() + MAX_MESSAGE + MAX_CONTAINER <= libc::PIPE_BUF);
    }
}
