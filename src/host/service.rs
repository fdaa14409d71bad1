//! Services of systemd and their start commands. Formats: systemd.unit(5), systemd.service(5), systemd.exec(5).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::rootfs::Root;

/// The unit search path, in descending order of precedence.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// The maximum size of a file, and the maximum number of drop-ins.
const MAX_FILE: u64 = 256 << 10;
const MAX_DROP_INS: usize = 64;

/// The start command of a service.
pub struct Start {
    /// The files that define it: a unit or drop-in, and environment files.
    pub files: Vec<PathBuf>,
    /// The command line.
    pub words: Vec<String>,
}

/// Variables by name: the value, and the environment file that sets it, if it is not the unit.
type Variables = BTreeMap<String, (String, Option<PathBuf>)>;

/// The merged settings of a unit and its drop-ins; later lines override earlier ones.
#[derive(Default)]
struct Service {
    /// The unit or drop-in that sets the command, and the command.
    start: Option<(PathBuf, String)>,
    variables: BTreeMap<String, String>,
    variable_files: Vec<String>,
}

/// Returns the command that starts the service below `root`; `None` if there is no such service or it is masked.
#[must_use]
pub fn start(root: &Root, name: &str) -> Option<Start> {
    let mut service = Service::default();
    service.read(&unit(root, name)?, root)?;
    for drop_in in drop_ins(root, name) {
        service.read(&drop_in, root);
    }
    let (path, line) = service.start.as_ref()?;
    let variables = service.variables(root);
    let mut files = vec![path.clone()];
    let mut words = Vec::new();
    for word in split(line.trim_start_matches(['@', '-', ':', '+', '!', '|'])) {
        let (expanded, used) = expand(&word, &variables);
        words.extend(expanded);
        files.extend(used);
    }
    Some(Start { files, words })
}

/// Returns the unit file with the highest precedence, which is a link to /dev/null if the unit is masked.
fn unit(root: &Root, name: &str) -> Option<PathBuf> {
    let has_it = |directory: &&str| {
        let directory = root.directory(Path::new(*directory));
        directory.is_ok_and(|it| it.stat(OsStr::new(name)).is_ok())
    };
    let directory = DIRECTORIES.into_iter().find(has_it)?;
    Some(Path::new(directory).join(name))
}

/// Returns the effective drop-ins in the order in which systemd reads them.
fn drop_ins(root: &Root, name: &str) -> Vec<PathBuf> {
    let mut paths: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for directory in DIRECTORIES {
        let directory = Path::new(directory).join(format!("{name}.d"));
        let entries = root.directory(&directory).and_then(|it| it.entries());
        for entry in entries.unwrap_or_default() {
            let path = directory.join(&entry.name);
            if path.extension() == Some(OsStr::new("conf")) {
                paths.entry(entry.name).or_insert(path);
            }
        }
    }
    paths.into_values().take(MAX_DROP_INS).collect()
}

fn read(root: &Root, path: &Path) -> Option<String> {
    let bytes = root.read(path, MAX_FILE).ok()?;
    String::from_utf8(bytes).ok()
}

impl Service {
    fn read(&mut self, path: &Path, root: &Root) -> Option<()> {
        let text = read(root, path)?;
        let mut is_service = false;
        for line in lines(&text) {
            if line.starts_with('[') {
                is_service = line.trim_end() == "[Service]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| is_service) else {
                continue;
            };
            let value = value.trim();
            match key.trim_end() {
                "ExecStart" if value.is_empty() => self.start = None,
                "ExecStart" => self.start = Some((path.to_owned(), value.to_owned())),
                "Environment" if value.is_empty() => self.variables.clear(),
                "Environment" => self.variables.extend(
                    split(value)
                        .iter()
                        .filter_map(|it| it.split_once('='))
                        .map(|(name, value)| (name.to_owned(), value.to_owned())),
                ),
                "EnvironmentFile" if value.is_empty() => self.variable_files.clear(),
                "EnvironmentFile" => self.variable_files.push(value.to_owned()),
                _ => {}
            }
        }
        Some(())
    }

    /// Returns the variables of the unit and of its environment files, which take precedence.
    fn variables(&self, root: &Root) -> Variables {
        let own = self.variables.clone().into_iter();
        let mut variables: Variables = own.map(|(name, value)| (name, (value, None))).collect();
        for path in &self.variable_files {
            let path = Path::new(path.trim_start_matches('-'));
            let text = read(root, path).unwrap_or_default();
            let assignments = assignments(&text).into_iter();
            variables
                .extend(assignments.map(|(name, value)| (name, (value, Some(path.to_owned())))));
        }
        variables
    }
}

/// Returns the lines of a file without comments, joined where one ends with a backslash.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(start) = line.strip_suffix('\\') {
            open.push_str(start);
            open.push(' ');
        } else {
            open.push_str(line);
            lines.push(std::mem::take(&mut open));
        }
    }
    lines.push(open);
    lines
}

/// Returns the variables in an environment file.
fn assignments(text: &str) -> Vec<(String, String)> {
    let assignment = |line: &String| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let inside = value.strip_prefix(quote)?.strip_suffix(quote)?;
            Some(inside.replace("\\\"", "\""))
        });
        Some((
            name.trim().to_owned(),
            quoted.unwrap_or_else(|| value.to_owned()),
        ))
    };
    lines(text).iter().filter_map(assignment).collect()
}

/// Splits a line into words and removes their quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '"' | '\'' if quote == Some(letter) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            _ if letter.is_whitespace() && quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(is_letter)
}

/// Expands variables in a word and returns the environment files that set them: `$NAME` expands to any number of words, `${NAME}`
/// within one.
fn expand(word: &str, variables: &Variables) -> (Vec<String>, Vec<PathBuf>) {
    let name = word.strip_prefix('$').filter(|name| is_name(name));
    if let Some(name) = name {
        let (value, file) = variables.get(name).cloned().unwrap_or_default();
        return (split(&value), file.into_iter().collect());
    }
    let mut files = Vec::new();
    let mut text = String::new();
    let mut left = word;
    while let Some((before, after)) = left.split_once("${") {
        text.push_str(before);
        let (name, rest) = after.split_once('}').unwrap_or((after, ""));
        let (value, file) = variables.get(name).cloned().unwrap_or_default();
        text.push_str(&value);
        files.extend(file);
        left = rest;
    }
    text.push_str(left);
    (vec![text.replace("$$", "$")], files)
}
