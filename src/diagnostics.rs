//! Diagnostics: the only module that writes to standard error and to syslog.
//!
//! Every diagnostic is one line on standard error in the toolkit's shape, `level=error msg="…"`; a command that a person runs at a
//! terminal writes `nvidia-ctk: error: …` instead. A hook's messages, except those of level debug, also go to syslog with the
//! hook's name and the container's id, because crun discards a hook's standard error. Logging never blocks and never fails the
//! caller.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use syslog::{Facility, LogFormat, LoggerBackend, Severity};

use crate::printable::{escape, fold, quote, shorten};

const SYSLOG_SOCKET: &str = "/dev/log";

/// The most detailed level that is shown, as a number; 0 before [`init`].
static SHOWN: AtomicUsize = AtomicUsize::new(0);
/// Most warnings that are shown: an image can cause one with each of its names.
const MAX_WARNINGS: usize = 100;
/// Longest message and longest id of a container, in bytes. A line with both fits into an atomic write to a pipe (`PIPE_BUF`).
const MAX_MESSAGE: usize = 3 << 10;
const MAX_CONTAINER: usize = 512;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);
static LOGGER: StderrAndSyslog = StderrAndSyslog;
static HOOK: Mutex<Option<&'static str>> = Mutex::new(None);
static CONTAINER: OnceLock<String> = OnceLock::new();
static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();
/// The person at the terminal, if [`address_person`] found one.
static PERSON: OnceLock<Person> = OnceLock::new();

/// Who reads a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// A program, or whoever reads the log or file that it writes.
    Program,
    /// A person at a terminal.
    Person {
        /// Whether the terminal has colours, and the person has not declined them.
        sees_colours: bool,
    },
}

impl Reader {
    /// Finds out whether the stream is a terminal. Colours need one whose `TERM` is not `dumb`, and no `NO_COLOR` (no-color.org).
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        if !stream.is_terminal() {
            return Self::Program;
        }
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_none_or(|term| term == "dumb");
        Self::Person {
            sees_colours: !is_dumb && variable("NO_COLOR").is_none(),
        }
    }

    /// The words in the colour of this level, for a reader who sees colours.
    pub(crate) fn paint(self, level: Level, words: &str) -> String {
        let colour = match level {
            Level::Error => 31,
            Level::Warn => 33,
            _ => 36,
        };
        match self {
            Self::Person { sees_colours: true } => format!("\x1b[1;{colour}m{words}\x1b[m"),
            _ => words.to_owned(),
        }
    }

    /// A line as it fits the reader: folded for a person, whole for a program.
    pub(crate) fn fold(self, line: &str, indent: usize) -> String {
        match self {
            Self::Program => line.to_owned(),
            Self::Person { .. } => fold(line, indent),
        }
    }
}

/// Who reads standard error at a terminal, and which program they called.
struct Person {
    program: &'static str,
    reader: Reader,
}

/// An error as it goes to standard error and to syslog.
struct LastWords {
    stderr: String,
    syslog: Vec<u8>,
}

struct StderrAndSyslog;

/// Makes this the logger of the `log` crate, for records at or above `level`.
pub fn init(level: LevelFilter) {
    // A program that embeds the hooks may have set its own logger, which is kept.
    if log::set_logger(&LOGGER).is_ok() {
        set_level(level);
    }
}

/// Shows messages at or above this level from now on.
pub fn set_level(level: LevelFilter) {
    SHOWN.store(level as usize, Ordering::Relaxed);
    // Warnings are counted even if they are not shown.
    log::set_max_level(level.max(LevelFilter::Warn));
}

/// Addresses a person from now on if standard error is a terminal: messages begin with the name of the program. This is for
/// commands that people run. A hook and the runtime never call it: engines give them terminals, and read what they write there.
pub fn address_person(program: &'static str) {
    let reader = Reader::of(&io::stderr());
    if reader != Reader::Program {
        let _ = PERSON.set(Person { program, reader });
    }
}

/// Names the hook that runs: its messages go to syslog from now on.
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

/// Returns the number of warnings, shown or not.
#[must_use]
pub fn warnings() -> usize {
    WARNINGS.load(Ordering::Relaxed)
}

/// Prepares an error for [`say_last_words`].
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

/// Writes the prepared error. It takes no lock and allocates no memory, so that the handler of a signal may call it.
pub fn say_last_words() {
    let Some(words) = LAST_WORDS.get() else {
        return;
    };
    if let Ok(socket) = connect_to_syslog() {
        let _ = socket.send(&words.syslog);
    }
    let _ = nix::unistd::write(io::stderr(), words.stderr.as_bytes());
}

/// Prints lines of another process of this program, at most `PIPE_BUF` bytes.
pub fn relay(lines: &[u8]) {
    print(lines);
}

impl Log for StderrAndSyslog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() as usize <= SHOWN.load(Ordering::Relaxed)
    }

    fn log(&self, record: &Record<'_>) {
        let warnings = match record.level() {
            Level::Warn => WARNINGS.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        if warnings > MAX_WARNINGS || !self.enabled(record.metadata()) {
            return;
        }
        let text = if warnings == MAX_WARNINGS {
            "more warnings are not shown".to_owned()
        } else {
            record.args().to_string()
        };
        if let Some(person) = PERSON.get() {
            return print(person.line(record.level(), &text).as_bytes());
        }
        let message = shorten(&quote(&text), MAX_MESSAGE);
        print(stderr_line(record.level(), &message).as_bytes());
        if record.level() <= Level::Info
            && let Some(hook) = hook()
        {
            let _ = send_to_syslog(hook, record.level(), &message);
        }
    }

    fn flush(&self) {}
}

impl Person {
    /// The message after the name of the program and its level; the level info is left out.
    fn line(&self, level: Level, text: &str) -> String {
        let program = self.program;
        let text = shorten(&escape(text), MAX_MESSAGE);
        if level == Level::Info {
            return format!("{program}: {text}\n");
        }
        let word = self.reader.paint(level, &format!("{}:", name(level)));
        format!("{program}: {word} {text}\n")
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

fn stderr_line(level: Level, message: &str) -> String {
    use std::fmt::Write as _;
    let level = name(level);
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

/// Writes a line to standard error, or drops it if that would block: the other end may have no reader. The descriptor's flags are
/// left alone, since others share it. A pipe that poll(2) calls writable accepts `PIPE_BUF` bytes.
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

/// A line as syslog(3) of a C library sends it; the receiver adds the time.
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
    fn a_line_has_the_toolkits_shape() {
        assert_eq!(stderr_line(Level::Warn, "a"), "level=warning msg=\"a\"\n");
    }

    #[test]
    fn a_person_reads_words_and_sees_colours_where_they_are_wanted() {
        let line = |sees_colours, level, text| {
            let reader = Reader::Person { sees_colours };
            let program = "nvidia-ctk";
            Person { program, reader }.line(level, text)
        };
        for (level, expected) in [
            (Level::Error, "nvidia-ctk: error: a \"b\"\n"),
            (Level::Warn, "nvidia-ctk: warning: a \"b\"\n"),
            (Level::Info, "nvidia-ctk: a \"b\"\n"),
            (Level::Debug, "nvidia-ctk: debug: a \"b\"\n"),
        ] {
            assert_eq!(line(false, level, "a \"b\""), expected);
        }
        assert_eq!(
            line(true, Level::Error, "\x1b[31m\n"),
            "nvidia-ctk: \x1b[1;31merror:\x1b[m \\u{1b}[31m\\n\n"
        );
        assert_eq!(Reader::Program.paint(Level::Error, "a"), "a");
    }

    #[test]
    fn a_line_fits_into_a_pipe() {
        let rest = "level=warning msg=\"\" hook=disable-device-node-modification container=\"\"\n";
        assert!(rest.len() + MAX_MESSAGE + MAX_CONTAINER <= libc::PIPE_BUF);
    }
}
