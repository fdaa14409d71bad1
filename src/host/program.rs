//! Programs of the host that are asked a question.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether it ended.
const PAUSE: Duration = Duration::from_millis(5);

/// What the program prints to its standard output. Refuses failure, silence for too long, and what is not UTF-8.
pub fn ask(program: &str, args: &[&str]) -> Result<String> {
    ask_within(PATIENCE, program, args)
}

fn ask_within(patience: Duration, program: &str, args: &[&str]) -> Result<String> {
    let line = [&[program], args].concat().join(" ");
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {line}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let Some(status) = wait(&mut child, patience)? else {
        bail!("{line} did not end within {} s", patience.as_secs_f32());
    };
    // What the program started itself may hold the pipes open: that is not waited for.
    let receive = |text: Receiver<Vec<u8>>| text.recv_timeout(patience).unwrap_or_default();
    if !status.success() {
        match String::from_utf8_lossy(&receive(stderr)).trim() {
            "" => bail!("{line} failed with {status} and said nothing"),
            words => bail!("{line} failed with {status}: {words}"),
        }
    }
    String::from_utf8(receive(stdout)).with_context(|| format!("what {line} prints is not UTF-8"))
}

/// Reads to the end, beside the program, which would stop at a full pipe.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = sender.send(bytes);
    });
    receiver
}

/// None if it had to be killed.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if start.elapsed() > patience => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            None => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(patience: u64, program: &str, args: &[&str]) -> String {
        let patience = Duration::from_millis(patience);
        format!("{:#}", ask_within(patience, program, args).unwrap_err())
    }

    #[test]
    fn programs_answer_or_fail() {
        assert_eq!(ask("echo", &["a", "b"]).unwrap(), "a b\n");
        let much = ask("head", &["-c", "1000000", "/dev/zero"]).unwrap();
        assert_eq!(much.len(), 1_000_000);
        assert_eq!(
            failure(5000, "sh", &["-c", "echo no >&2; exit 3"]),
            "sh -c echo no >&2; exit 3 failed with exit status: 3: no"
        );
        assert_eq!(
            failure(5000, "false", &[]),
            "false failed with exit status: 1 and said nothing"
        );
        assert_eq!(
            failure(50, "sleep", &["60"]),
            "sleep 60 did not end within 0.05 s"
        );
        assert_eq!(
            failure(5000, "/nowhere/x", &[]),
            "cannot run /nowhere/x: No such file or directory (os error 2)"
        );
    }
}
