//! Mounts. A runtime mounts in the order of the list, so that a mount must come after the one it is below.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value as Tree, json};

use super::config::{Config, last_of_each};
use super::same::{is_blank, same, without};
use crate::cdi::spec::{ContainerEdits, Mount};
use crate::document::json::edit::Entry;
use crate::document::json::scan::Value;

const MOUNTS: &[&str] = &["mounts"];

/// A mount to add.
struct Wanted {
    place: PathBuf,
    tree: Tree,
}

/// Adds mounts, parents first, in place of those with the same destination. The engine's other mounts keep their order.
pub(super) fn add(config: &mut Config<'_, '_>, edits: &[&ContainerEdits]) -> Result<()> {
    let mounts = edits.iter().flat_map(|it| &it.mounts).map(|it| Wanted {
        place: place(&it.container_path),
        tree: tree(it),
    });
    let mut wanted = last_of_each(mounts, |it| it.place.clone());
    wanted.sort_by_key(|it| it.place.components().count());

    let list = config.list(MOUNTS)?;
    // In reverse: of two mounts at one place, the container sees the later one.
    let mut kept: Vec<(usize, PathBuf)> = Vec::new();
    for (index, item) in list.items().iter().enumerate().rev() {
        let place = place(
            &item
                .member("destination")
                .and_then(Value::text)
                .unwrap_or_default(),
        );
        let Some(found) = wanted.iter().position(|it| it.place == place) else {
            kept.push((index, place));
            continue;
        };
        let is_first = !kept.iter().any(|(_, it)| *it == place);
        if is_first
            && wanted
                .get(found)
                .is_some_and(|it| same(Some(*item), Some(&it.tree)))
        {
            kept.push((index, place));
        }
    }
    kept.reverse();
    wanted.retain(|wanted| !kept.iter().any(|(_, it)| *it == wanted.place));
    config.change(MOUNTS, list.with(&merged(&kept, &wanted)));
    Ok(())
}

/// Merges the kept mounts, given by index and place, with the new ones.
fn merged(kept: &[(usize, PathBuf)], wanted: &[Wanted]) -> Vec<Entry> {
    let positions: Vec<_> = wanted.iter().map(|it| position(kept, &it.place)).collect();
    let new_at = |position: usize| {
        let here = wanted
            .iter()
            .zip(&positions)
            .filter(move |(_, it)| **it == position);
        here.map(|(wanted, _)| Entry::New(wanted.tree.to_string()))
    };
    let mut entries = Vec::new();
    for (position, (index, _)) in kept.iter().enumerate() {
        entries.extend(new_at(position));
        entries.push(Entry::Kept(*index));
    }
    entries.extend(new_at(kept.len()));
    entries
}

/// Returns the position of a new mount among the kept ones: before the first one below it that is not hidden already, else the
/// end.
fn position(kept: &[(usize, PathBuf)], place: &Path) -> usize {
    let hides = |(_, it): &(usize, PathBuf)| place.starts_with(it);
    let start = kept.iter().rposition(hides).map_or(0, |it| it + 1);
    let mut rest = kept.iter().skip(start);
    let below = rest.position(|(_, it)| it.starts_with(place));
    below.map_or(kept.len(), |it| start + it)
}

/// Returns the absolute path of a mount in the container.
fn place(destination: &str) -> PathBuf {
    Path::new("/").join(destination).components().collect()
}

fn tree(mount: &Mount) -> Tree {
    let tree = json!({
        "destination": mount.container_path,
        "source": mount.host_path,
        "options": mount.options,
        "type": mount.kind,
    });
    without(is_blank, tree)
}
