//! The format by itself: what was written is read again, the loader's way of searching finds it, and no bytes stop the parser.

use std::fs;

use nvidia_ctk::elf::Endian;
use nvidia_ctk::ldcache::format::{CacheEntry, Hwcap, LdCache};
use nvidia_ctk::ldcache::order::{compare, compare_names};
use nvidia_ctk::ldcache::profile::Format;

use super::root::{stored, stored_roots};
use crate::common::random::Random;

const FORMATS: [Format; 3] = [Format::Compat, Format::New, Format::Extended];
const HWCAPS: [&[u8]; 4] = [b"power9", b"x86-64-v2", b"x86-64-v3", b"z15"];

/// What a generated cache borrows from.
struct Library {
    soname: Vec<u8>,
    path: Vec<u8>,
    flags: u32,
    os_version: u32,
    hwcap: Hwcap<'static>,
}

impl Library {
    fn random(random: &mut Random, format: Format) -> Self {
        // Few letters, so that names are equal, begin each other and end each other.
        let mut soname = b"lib".to_vec();
        for _ in 0..random.below(5) {
            soname.push(random.pick(b"ab_.09\x80\xff"));
        }
        soname.extend(format!(".so.{}", random.below(30)).as_bytes());
        let directory: &[u8] = random.pick(&[&b"/lib/"[..], b"/usr/lib/", b"/opt/a b/", b""]);
        Self {
            path: [directory, &soname].concat(),
            soname,
            flags: random.pick(&[0x303, 0x803, 3, 1, 0xa03]),
            os_version: random.pick(&[0, 0x0003_0200]),
            hwcap: match random.below(4) {
                0 if format == Format::Extended => Hwcap::Directory {
                    name: random.pick(&HWCAPS),
                    isa_level: u32::try_from(random.below(4)).unwrap(),
                },
                1 => Hwcap::Bits(1 << 50),
                _ => Hwcap::Bits(0),
            },
        }
    }

    fn as_entry(&self) -> CacheEntry<'_> {
        CacheEntry {
            soname: &self.soname,
            path: &self.path,
            flags: self.flags,
            os_version: self.os_version,
            hwcap: self.hwcap,
        }
    }
}

/// A sorted cache of some of the libraries.
fn cache_of<'a>(
    libraries: &'a [Library],
    random: &mut Random,
    format: Format,
    char_is_signed: bool,
) -> LdCache<'a> {
    let mut entries: Vec<_> = libraries.iter().map(Library::as_entry).collect();
    entries.sort_by(|a, b| compare(a, b, char_is_signed));
    let mut hwcap_names: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry.hwcap {
            Hwcap::Directory { name, .. } => Some(name),
            Hwcap::Bits(_) => None,
        })
        .collect();
    hwcap_names.sort_unstable();
    hwcap_names.dedup();
    LdCache {
        format,
        endian: random.pick(&[Endian::Little, Endian::Big]),
        endian_flag: random.below(2) == 0,
        entries,
        generator: if format == Format::Extended {
            b"a generator"
        } else {
            b""
        },
        hwcap_names,
    }
}

#[test]
fn what_was_written_is_read_again() {
    let mut random = Random::new(1);
    for round in 0..3000 {
        let format = FORMATS[round % FORMATS.len()];
        // Of no entries nobody can tell the byte order.
        let libraries: Vec<_> = (0..=random.below(40))
            .map(|_| Library::random(&mut random, format))
            .collect();
        let cache = cache_of(&libraries, &mut random, format, true);
        let bytes = cache.write().unwrap();
        let (read, behind) = LdCache::split(&bytes).unwrap();
        assert_eq!(read, cache, "round {round}");
        assert_eq!(behind, b"", "round {round}");
        let longer = [bytes.as_slice(), b"xyz"].concat();
        assert_eq!(LdCache::split(&longer).unwrap().1, b"xyz", "round {round}");
    }
}

/// All entries that the loader looks at for a name: it searches by halves, goes back to the first that compares equal, and forward
/// as long as they do (glibc's `search_cache`).
fn lookup<'c, 'a>(
    entries: &'c [CacheEntry<'a>],
    name: &[u8],
    char_is_signed: bool,
) -> &'c [CacheEntry<'a>] {
    let order = |index: usize| compare_names(name, entries[index].soname, char_is_signed);
    let (mut left, mut right) = (0, entries.len());
    while left < right {
        let middle = usize::midpoint(left, right);
        if order(middle).is_lt() {
            left = middle + 1;
        } else if order(middle).is_gt() {
            right = middle;
        } else {
            let first = (0..middle)
                .rev()
                .take_while(|&it| order(it).is_eq())
                .last()
                .unwrap_or(middle);
            let end = (middle..entries.len())
                .take_while(|&it| order(it).is_eq())
                .last()
                .unwrap_or(middle);
            return &entries[first..=end];
        }
    }
    &[]
}

#[test]
fn the_loaders_search_finds_every_entry() {
    let mut random = Random::new(2);
    let mut missed_in_wrong_order = 0;
    for round in 0..300 {
        let char_is_signed = round % 2 == 0;
        let libraries: Vec<_> = (0..random.below(200))
            .map(|_| Library::random(&mut random, Format::Extended))
            .collect();
        let cache = cache_of(&libraries, &mut random, Format::Extended, char_is_signed);
        let bytes = cache.write().unwrap();
        let mut read = LdCache::parse(&bytes).unwrap();
        for entry in &read.entries {
            assert!(
                lookup(&read.entries, entry.soname, char_is_signed).contains(entry),
                "round {round}: {entry}"
            );
        }
        // The other kind of char sorts names with such bytes elsewhere.
        read.entries.sort_by(|a, b| compare(a, b, !char_is_signed));
        missed_in_wrong_order += read
            .entries
            .iter()
            .filter(|entry| !lookup(&read.entries, entry.soname, char_is_signed).contains(entry))
            .count();
    }
    assert_ne!(missed_in_wrong_order, 0);
}

/// Caches to damage: those of the stored roots that are small, and old formats that no stored root has.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = stored_roots()
        .iter()
        .map(|name| fs::read(stored(name, "ld.so.cache")).unwrap())
        .filter(|bytes| bytes.len() < 8 << 10)
        .collect();
    let mut random = Random::new(3);
    for format in FORMATS {
        let libraries: Vec<_> = (0..9)
            .map(|_| Library::random(&mut random, format))
            .collect();
        seeds.push(
            cache_of(&libraries, &mut random, format, true)
                .write()
                .unwrap(),
        );
    }
    // Neither magic string is worth anything without what follows it.
    seeds.extend([
        b"ld.so-1.7.0\0".to_vec(),
        b"glibc-ld.so.cache1.1".to_vec(),
        Vec::new(),
    ]);
    seeds
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() as u64 + 1);
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes.extend((0..random.below(64)).map(|_| random.byte())),
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        kind => {
            // A number of the header or of an entry.
            let at = if kind == 3 { random.below(64) } else { at } & !3;
            if let Some(word) = bytes.get_mut(at..at + 4) {
                let number = random.pick(&[0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 3]);
                let number = if random.below(2) == 0 {
                    number
                } else {
                    u32::from(random.byte()) << 4
                };
                word.copy_from_slice(&number.to_le_bytes());
            }
        }
    }
}

#[test]
fn no_bytes_stop_the_parser() {
    let seeds = seeds();
    let mut random = Random::new(4);
    let mut read = 0;
    for case in 0..20_000 {
        let mut bytes = random.pick(&seeds);
        for _ in 0..=random.below(4) {
            damage(&mut bytes, &mut random);
        }
        let Ok(cache) = LdCache::parse(&bytes) else {
            continue;
        };
        read += 1;
        // What can be read can be written, but for names that the old format has no place for, and is the same then.
        if let Ok(written) = cache.write()
            && !cache.entries.is_empty()
        {
            let again = LdCache::parse(&written).unwrap();
            assert_eq!(again.entries, cache.entries, "case {case}");
        }
    }
    assert!(
        (1000..19_000).contains(&read),
        "{read} of the damaged caches could be read"
    );
}
