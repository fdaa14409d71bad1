//! Words for yes and no, and the distance between a written and a known name.

/// Reads a bool as Go's `strconv.ParseBool` does.
pub(crate) fn parse_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Returns the name that is nearest to `written`, if one is near enough for a likely misspelling.
pub(crate) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .filter_map(|name| Some((distance_if_near(written, name)?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns the number of letters to add, drop or replace to get from `written` to `name`, if it is small enough for a likely
/// misspelling.
pub(crate) fn distance_if_near(written: &str, name: &str) -> Option<usize> {
    let distance = distance(written, name);
    (distance * 2 < name.len()).then_some(distance)
}

/// Returns the Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (1..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (above, y) in row.iter_mut().zip(b.chars()) {
            let nearest = diagonal.min(*above).min(left);
            let cell = if x == y { diagonal } else { nearest + 1 };
            diagonal = std::mem::replace(above, cell);
            left = cell;
        }
    }
    row.last().copied().unwrap_or_default()
}
