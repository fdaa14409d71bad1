//! The layers that CONTRIBUTING.md draws are those of the code, and of packaging/architecture.svg.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::written::{is_up_to_date, packaging};

/// The lines of the drawing in CONTRIBUTING.md, from above to below: the names of a floor's modules, and what the floor is for.
fn drawing() -> Vec<(Vec<&'static str>, &'static str)> {
    let text = include_str!("../../.github/CONTRIBUTING.md");
    let (_, section) = text.split_once("## Layers").unwrap();
    let lines = section.lines().filter(|line| line.starts_with("    "));
    let parts = lines.map(|line| line.trim_start().split_once("   ").unwrap());
    parts
        .map(|(names, purpose)| (names.split("  ").collect(), purpose.trim_start()))
        .collect()
}

/// The modules of each floor; `hook/*` are all modules of a folder.
fn floors() -> Vec<Vec<String>> {
    let module = |name: &str| name.trim_end_matches("/*").to_owned();
    let floor = |names: Vec<&str>| names.into_iter().map(module).collect();
    drawing()
        .into_iter()
        .map(|(names, _)| floor(names))
        .collect()
}

/// All files of the crate but tests, with their text up to the unit tests.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut left = vec![root.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code: Vec<_> = code
                .lines()
                .filter(|it| !it.trim_start().starts_with("//"))
                .collect();
            let path = path.strip_prefix(&root).unwrap().to_owned();
            sources.insert(path, code.join("\n"));
        }
    }
    sources
}

/// The part of the crate that a file belongs to.
fn module(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The words behind each `crate::`, also in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let list = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap(),
            None => rest,
        };
        let words = if rest.starts_with('{') {
            list.split(',').map(str::trim).collect()
        } else {
            vec![list]
        };
        for word in words {
            let end = word.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let name = &word[..end.unwrap_or(word.len())];
            if !name.is_empty() {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn imports_go_down() {
    let floors = floors();
    let floor = |module: &str| {
        floors
            .iter()
            .position(|it| it.iter().any(|name| name == module))
    };
    let sources = sources();
    assert!(sources.len() > 100, "{} files", sources.len());
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, code) in &sources {
        let from = module(path);
        if from == "lib" {
            continue;
        }
        let height =
            floor(&from).unwrap_or_else(|| panic!("{from} is not drawn in CONTRIBUTING.md"));
        for to in imports(code) {
            let Some(there) = floor(&to) else {
                panic!("{}: {to} is not drawn in CONTRIBUTING.md", path.display());
            };
            assert!(
                there >= height,
                "{} imports {to}, which is above it",
                path.display()
            );
            if to != from {
                edges.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    // Beside each other modules may import, but not in a circle.
    assert_no_circle(&edges);
}

/// Who imports nothing that is left is taken away, until none is left.
#[track_caller]
fn assert_no_circle(edges: &BTreeMap<String, BTreeSet<String>>) {
    let mut left: BTreeSet<_> = edges.keys().cloned().collect();
    while !left.is_empty() {
        let is_leaf = |it: &&String| edges[*it].iter().all(|to| !left.contains(to));
        let leaves: Vec<_> = left.iter().filter(is_leaf).cloned().collect();
        assert!(!leaves.is_empty(), "these import each other: {left:?}");
        left.retain(|it| !leaves.contains(it));
    }
}

/// The paths of a `use`, without its braces.
fn expand(path: &str) -> Vec<String> {
    let Some((start, rest)) = path.split_once('{') else {
        let path = path.split(" as ").next().unwrap();
        return vec![path.trim().to_owned()];
    };
    let inner = &rest[..rest.rfind('}').unwrap()];
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts: Vec<_> = parts.filter(|part| !part.trim().is_empty()).collect();
    let inside = |part: &&str| expand(&format!("{}{}", start.trim(), part.trim()));
    parts.iter().flat_map(inside).collect()
}

/// Nor do two files, but a module and what is inside of it.
#[test]
fn files_import_each_other_in_one_direction() {
    let sources = sources();
    let name = |path: &Path| {
        path.with_extension("")
            .display()
            .to_string()
            .replace('/', "::")
    };
    let files: BTreeSet<_> = sources.keys().map(|path| name(path)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for (path, code) in &sources {
        let from = name(path);
        let starts = code
            .match_indices("use ")
            .filter(|(at, _)| code[..*at].ends_with(['\n', ' ', ')']));
        let uses = starts.map(|(at, start)| code[at + start.len()..].split(';').next().unwrap());
        for used in uses.flat_map(expand) {
            let mut module: Vec<&str> = from.split("::").collect();
            let mut words = used.split("::").peekable();
            match words.peek() {
                Some(&"crate") => {
                    words.next();
                    module.clear();
                }
                Some(&"super") => {
                    while words.next_if_eq(&"super").is_some() {
                        module.pop();
                    }
                }
                _ => continue,
            }
            module.extend(words);
            let longest = (1..=module.len()).rev().map(|it| module[..it].join("::"));
            let Some(to) = longest.into_iter().find(|it| files.contains(it)) else {
                continue;
            };
            let is_inside = |inner: &str, outer: &str| inner.starts_with(&format!("{outer}::"));
            if to != from && !is_inside(&to, &from) && !is_inside(&from, &to) {
                edges.entry(from.clone()).or_default().insert(to);
                count += 1;
            }
        }
    }
    assert!(count > 200, "{count} imports");
    assert_no_circle(&edges);
}

/// What is drawn is there.
#[test]
fn the_drawing_has_no_other_modules() {
    let modules: BTreeSet<_> = sources().keys().map(|path| module(path)).collect();
    for name in floors().concat() {
        assert!(modules.contains(&name), "{name} is drawn, and is not there");
    }
}

/// A hook does its own work; only `apply` calls the others.
#[test]
fn hooks_import_no_hooks() {
    let sources = sources();
    let hooks = "chmod create_soname_symlinks create_symlinks disable_device_node_modification enable_cuda_compat \
        update_application_profile update_ldcache apply";
    let hooks: Vec<_> = hooks.split_whitespace().collect();
    for hook in hooks.iter().filter(|it| **it != "apply") {
        let code = &sources[&PathBuf::from(format!("hook/{hook}.rs"))];
        for other in hooks.iter().filter(|it| *it != hook) {
            for import in [format!("super::{other}"), format!("hook::{other}")] {
                assert!(!code.contains(&import), "{hook} imports {other}");
            }
        }
    }
    let commands: Vec<_> = sources
        .iter()
        .filter(|(path, _)| module(path) == "command")
        .collect();
    for (path, code) in commands {
        assert!(
            !imports(code).contains("hook"),
            "{} imports a hook",
            path.display()
        );
    }
}

const HEAD: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 @HEIGHT@" width="860" height="@HEIGHT@" role="img"
  aria-labelledby="title desc" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13">
<title id="title">The layers of the crate</title>
<desc id="desc">Each line is a layer: its modules, and what they are for. A module imports from its own layer or from below.</desc>
<style>
.page { fill: #ffffff; stroke: #d1d9e0 } .floor { fill: #f6f8fa; stroke: #d1d9e0 } text { fill: #59636e }
.name { fill: #1f2328; font-weight: 600; font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace }
.arrow { stroke: #3d7a00; stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; stroke: #3d444d } .floor { fill: #151b23; stroke: #3d444d } text { fill: #9198a1 }
.name { fill: #f0f6fc }
.arrow { stroke: #76b900 }
}
</style>
<rect class="page" x="0.5" y="0.5" width="859" height="@BOTTOM@" rx="6"/>
"#;

/// The drawing in SVG.
fn picture() -> String {
    let (top, step) = (20, 48);
    let drawing = drawing();
    let bottom = top + step * drawing.len();
    let mut svg = HEAD
        .replace("@HEIGHT@", &(bottom + 36).to_string())
        .replace("@BOTTOM@", &(bottom + 35).to_string());
    for (floor, (names, purpose)) in drawing.iter().enumerate() {
        let y = top + step * floor;
        let base = y + 25;
        writeln!(
            svg,
            r#"<rect class="floor" x="52.5" y="{y}.5" width="787" height="40" rx="6"/>"#
        )
        .unwrap();
        let mut x = 68;
        for name in names {
            writeln!(
                svg,
                r#"<text class="name" x="{x}" y="{base}">{name}</text>"#
            )
            .unwrap();
            x += 8 * name.len() + 20;
        }
        writeln!(
            svg,
            r#"<text x="824" y="{base}" text-anchor="end">{purpose}</text>"#
        )
        .unwrap();
    }
    let end = bottom - 8;
    writeln!(
        svg,
        r#"<path class="arrow" d="M30 {top}V{end}m-6 -9 6 9 6 -9"/>"#
    )
    .unwrap();
    let caption = bottom + 18;
    writeln!(
        svg,
        r#"<text x="52" y="{caption}">A module imports from its own layer or from below, never from above.</text>"#
    )
    .unwrap();
    svg + "</svg>\n"
}

#[test]
fn the_picture_shows_the_drawing() {
    is_up_to_date(&packaging("architecture.svg"), &picture());
}
