//! The order of names in a cache, on which the loader's binary search relies.

use std::cmp::Ordering;
use std::iter::from_fn;

use super::format::{CacheEntry, Hwcap};

/// Compares names as glibc's `_dl_cache_libcmp` does: runs of digits by value, a digit above anything else, other bytes as
/// `char`.
#[must_use]
pub fn compare_names(mut a: &[u8], mut b: &[u8], char_is_signed: bool) -> Ordering {
    let value = |byte: u8| {
        if char_is_signed {
            i32::from(byte.cast_signed())
        } else {
            i32::from(byte)
        }
    };
    loop {
        match (a, b) {
            ([], []) => return Ordering::Equal,
            ([b'0'..=b'9', ..], [b'0'..=b'9', ..]) => {
                let (left, behind_a) = split_number(a);
                let (right, behind_b) = split_number(b);
                // glibc subtracts ints: on overflow the order is reversed.
                match left.wrapping_sub(right).cmp(&0) {
                    Ordering::Equal => (a, b) = (behind_a, behind_b),
                    different => return different,
                }
            }
            ([b'0'..=b'9', ..], _) => return Ordering::Greater,
            (_, [b'0'..=b'9', ..]) => return Ordering::Less,
            ([x, behind_a @ ..], [y, behind_b @ ..]) if x == y => (a, b) = (behind_a, behind_b),
            _ => {
                let first = |name: &[u8]| name.first().map_or(0, |&byte| value(byte));
                return first(a).cmp(&first(b));
            }
        }
    }
}

/// Compares as slices do, but by words: the memcmp of musl compares bytes, and names of libraries share long prefixes.
#[must_use]
pub(super) fn compare_bytes(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while let (Some((x, behind_a)), Some((y, behind_b))) =
        (a.split_first_chunk::<8>(), b.split_first_chunk::<8>())
    {
        match u64::from_be_bytes(*x).cmp(&u64::from_be_bytes(*y)) {
            Ordering::Equal => (a, b) = (behind_a, behind_b),
            different => return different,
        }
    }
    a.cmp(b)
}

/// Returns the value of the leading digits, as an int that wraps, and the rest.
fn split_number(name: &[u8]) -> (i32, &[u8]) {
    let end = name.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, behind) = name.split_at(end.unwrap_or(name.len()));
    let number = digits.iter().fold(0_i32, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(i32::from(digit - b'0'))
    });
    (number, behind)
}

/// Sorts entries in the cache's order: names descending, then flags descending, then glibc-hwcaps entries by the name of their
/// directory, then the others from the most to the least specific. The sort is stable.
pub(super) fn sort(entries: &mut Vec<CacheEntry<'_>>, char_is_signed: bool) {
    merge_sort(entries, &|a, b| compare(a, b, char_is_signed));
}

/// Compares entries: `Less` if `a` precedes `b` in a cache.
#[must_use]
pub fn compare(a: &CacheEntry<'_>, b: &CacheEntry<'_>, char_is_signed: bool) -> Ordering {
    compare_keys(a, b, char_is_signed)
        .then_with(|| compare_hwcaps(a.hwcap, b.hwcap))
        .then_with(|| b.os_version.cmp(&a.os_version))
}

/// Compares entries as far as the loader requires: it finds a name, and of the entries with its flags uses the first that the
/// processor can run.
#[must_use]
pub fn compare_keys(a: &CacheEntry<'_>, b: &CacheEntry<'_>, char_is_signed: bool) -> Ordering {
    compare_names(b.soname, a.soname, char_is_signed)
        .then_with(|| b.flags.cast_signed().cmp(&a.flags.cast_signed()))
}

fn compare_hwcaps(a: Hwcap<'_>, b: Hwcap<'_>) -> Ordering {
    match (a, b) {
        (Hwcap::Directory { name: a, .. }, Hwcap::Directory { name: b, .. }) => a.cmp(b),
        (Hwcap::Directory { .. }, Hwcap::Bits(_)) => Ordering::Less,
        (Hwcap::Bits(_), Hwcap::Directory { .. }) => Ordering::Greater,
        (Hwcap::Bits(a), Hwcap::Bits(b)) => {
            (b.count_ones().cmp(&a.count_ones())).then_with(|| b.cmp(&a))
        }
    }
}

/// Sorts by merging, stably. The standard library's sort may panic if the order is inconsistent, which numbers beyond 32 bits in
/// names cause.
fn merge_sort<T: Copy>(items: &mut Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) {
    // The libraries of each directory are nearly in reverse order.
    let falling = items.chunk_by(|a, b| compare(a, b).is_gt());
    let mut runs: Vec<Vec<T>> = falling
        .map(|run| run.iter().rev().copied().collect())
        .collect();
    while runs.len() > 1 {
        let mut rest = runs.into_iter();
        runs = from_fn(|| {
            let left = rest.next()?;
            Some(match rest.next() {
                Some(right) => merge(left, right, compare),
                None => left,
            })
        })
        .collect();
    }
    *items = runs.pop().unwrap_or_default();
}

/// Merges two sorted runs; of equal items, those of the left run come first.
fn merge<T: Copy>(left: Vec<T>, right: Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if let (Some(first), Some(last)) = (left.first(), right.last())
        && compare(first, last).is_gt()
    {
        return [right, left].concat();
    }
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.as_slice(), right.as_slice());
    while let ([a, behind_a @ ..], [b, behind_b @ ..]) = (left, right) {
        if compare(a, b).is_gt() {
            merged.push(*b);
            right = behind_b;
        } else {
            merged.push(*a);
            left = behind_a;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_as_in_glibc() {
        let compare = |a: &str, b: &str| compare_names(a.as_bytes(), b.as_bytes(), true);
        assert_eq!(
            compare("libfoo.so.1.10", "libfoo.so.1.9"),
            Ordering::Greater
        );
        assert_eq!(compare("libn.so.1", "libn.so.01"), Ordering::Equal);
        assert_eq!(compare("libn1.so", "libn.so"), Ordering::Greater);
        assert_eq!(compare("liba", "libab"), Ordering::Less);
        assert_eq!(compare("liba1", "liba"), Ordering::Greater);
        assert_eq!(compare("x.4294967297", "x.1"), Ordering::Equal);
        assert_eq!(compare("x.2147483648", "x.2"), Ordering::Greater);
        let accent = "libé";
        assert_eq!(compare(accent, "liba"), Ordering::Less);
        assert_eq!(
            compare_names(accent.as_bytes(), b"liba", false),
            Ordering::Greater
        );
    }

    #[test]
    fn bytes_compare_as_slices_do() {
        let names = [
            "",
            "a",
            "libfoo.s",
            "libfoo.so",
            "libfoo.so.1.2.3",
            "libfoo.so.1.2.4",
            "é",
        ];
        for (a, b) in names
            .iter()
            .flat_map(|a| names.map(|b| (a.as_bytes(), b.as_bytes())))
        {
            assert_eq!(compare_bytes(a, b), a.cmp(b));
        }
    }

    #[test]
    fn sorting_is_stable_and_bears_contradictions() {
        let mut pairs: Vec<_> = (0..100).map(|i| (i % 7, i)).collect();
        merge_sort(&mut pairs, &|a, b| a.0.cmp(&b.0));
        assert!(pairs.is_sorted());
        let mut odd: Vec<u32> = (0..1000).collect();
        merge_sort(&mut odd, &|a, b| {
            if (a * b) % 3 == 0 {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        });
        odd.sort_unstable();
        assert!(odd.iter().copied().eq(0..1000));
    }
}
