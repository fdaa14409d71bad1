//! Processes of the host.

use std::path::{Path, PathBuf};

use crate::rootfs::Root;

/// The maximum number of processes to examine.
const MAX_PROCESSES: usize = 1 << 15;
/// The maximum size of a command line or status file.
const MAX_FILE: u64 = 64 << 10;

/// A process.
pub struct Process {
    /// The path of its command line in /proc.
    pub path: PathBuf,
    /// The arguments.
    pub words: Vec<String>,
}

/// Returns root's processes that run `program`, in order of their pids. Excludes those in containers, which have their own files.
#[must_use]
pub fn find(root: &Root, program: &str) -> Vec<Process> {
    let proc = Path::new("/proc");
    let entries = root.directory(proc).and_then(|it| it.entries());
    let entries = entries.unwrap_or_default();
    let numbers = entries
        .iter()
        .filter_map(|it| it.name.to_str()?.parse::<u32>().ok());
    let mut numbers: Vec<_> = numbers.take(MAX_PROCESSES).collect();
    numbers.sort_unstable();
    let directories = numbers.iter().map(|it| proc.join(it.to_string()));
    let found = directories.filter_map(|directory| {
        let path = directory.join("cmdline");
        let words = words(root, &path)?;
        let is_program = Path::new(words.first()?).file_name()? == program;
        (is_program && is_of_host(root, &directory)).then_some(Process { path, words })
    });
    found.collect()
}

fn words(root: &Root, path: &Path) -> Option<Vec<String>> {
    let bytes = root.read(path, MAX_FILE).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let words = text.trim_end_matches('\0').split('\0');
    Some(words.map(str::to_owned).collect())
}

/// Whether the process runs as root and in the host's pid namespace: see `proc_pid_status(5)`.
fn is_of_host(root: &Root, directory: &Path) -> bool {
    let status = root.read(&directory.join("status"), MAX_FILE);
    let status = String::from_utf8(status.unwrap_or_default()).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let user = field("Uid:").and_then(|it| it.split_whitespace().next());
    let numbers = field("NSpid:").map(|it| it.split_whitespace().count());
    user.is_none_or(|it| it == "0") && numbers.is_none_or(|it| it == 1)
}
