//! How people write: words for yes and no, and which known name was probably meant.

/// The words of Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The name that was probably meant by what was written, if one is near.
pub(crate) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .filter_map(|name| Some((distance_if_near(written, name)?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be added, dropped or replaced to make `written` the `name`, if few enough that it can be meant.
pub(crate) fn distance_if_near(written: &str, name: &str) -> Option<usize> {
    let distance = distance(written, name);
    (distance * 2 < name.len()).then_some(distance)
}

/// Levenshtein's distance.
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
