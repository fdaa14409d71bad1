//! ELF files that are as much of a library as hooks look at.

use super::machine::is_of_aarch64;

/// The flags of a cache's entries for which a root without a C library has a loader: the binary's architecture counts.
pub(crate) fn native_flags() -> u32 {
    if is_of_aarch64() { 0xa03 } else { 0x303 }
}

/// The bytes of a shared library of x86-64 with this SONAME, and nothing else. Loaders read segments, other readers sections.
pub(crate) fn library(soname: impl AsRef<[u8]>) -> Vec<u8> {
    const HEADERS: u64 = 64 + 2 * 56;
    const DYNAMIC: u64 = 4 * 16;
    let strings = [b"\0", soname.as_ref(), b"\0"].concat();
    let length = strings.len() as u64;
    let sections = (HEADERS + DYNAMIC + length).next_multiple_of(8);
    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |width: usize, values: &[u64]| {
        for value in values {
            file.extend(value.to_le_bytes().iter().take(width));
        }
    };
    put(2, &[3, 62]); // ET_DYN, EM_X86_64
    put(4, &[1]);
    put(8, &[0, 64, sections]);
    put(4, &[0]);
    put(2, &[64, 56, 2, 64, 3, 2]);
    let size = HEADERS + DYNAMIC + length;
    put(4, &[1, 4]); // PT_LOAD of everything
    put(8, &[0, 0, 0, size, size, 4096]);
    put(4, &[2, 4]); // PT_DYNAMIC
    put(8, &[HEADERS, HEADERS, HEADERS, DYNAMIC, DYNAMIC, 8]);
    put(8, &[5, HEADERS + DYNAMIC]); // DT_STRTAB
    put(8, &[10, length]); // DT_STRSZ
    put(8, &[14, 1]); // DT_SONAME
    put(8, &[0, 0]);
    file.extend(strings);
    file.resize(file.len().next_multiple_of(8) + 64, 0); // SHT_NULL
    let mut put = |width: usize, values: &[u64]| {
        for value in values {
            file.extend(value.to_le_bytes().iter().take(width));
        }
    };
    for (kind, at, size, link, each) in [
        (6, HEADERS, DYNAMIC, 2, 16),         // SHT_DYNAMIC
        (3, HEADERS + DYNAMIC, length, 0, 0), // SHT_STRTAB
    ] {
        put(4, &[0, kind]);
        put(8, &[0, at, at, size]);
        put(4, &[link, 0]);
        put(8, &[8, each]);
    }
    file
}

/// The bytes of a shared library of i386 with this SONAME, and nothing else.
pub(crate) fn library_of_32_bits(soname: &str) -> Vec<u8> {
    const HEADERS: u32 = 52 + 2 * 32;
    const DYNAMIC: u32 = 4 * 8;
    let strings = ["\0", soname, "\0"].concat();
    let length = u32::try_from(strings.len()).expect("a short name");
    let size = HEADERS + DYNAMIC + length;
    let mut file = Vec::from(*b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([3, 0, 3, 0]); // ET_DYN, EM_386
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect::<Vec<_>>()
    };
    file.extend(words(&[1, 0, 52, 0, 0]));
    file.extend([52, 0, 32, 0, 2, 0, 40, 0, 0, 0, 0, 0]);
    file.extend(words(&[1, 0, 0, 0, size, size, 4, 4096])); // PT_LOAD of everything
    file.extend(words(&[
        2, HEADERS, HEADERS, HEADERS, DYNAMIC, DYNAMIC, 4, 4,
    ])); // PT_DYNAMIC
    file.extend(words(&[5, HEADERS + DYNAMIC, 10, length, 14, 1, 0, 0]));
    file.extend(strings.into_bytes());
    file
}

/// The bytes of an ELF file of x86-64 with a section of notes, in which this owner says this.
pub(crate) fn with_note(section: &str, owner: &str, text: &[u8]) -> Vec<u8> {
    let names = format!("\0{section}\0.shstrtab\0");
    let pad = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let word = |value: usize| u32::try_from(value).expect("a small number").to_le_bytes();
    let owner = [owner.as_bytes(), b"\0"].concat();
    let note = [
        &word(owner.len())[..],
        &word(text.len()),
        &word(1),
        &pad(&owner),
        &pad(text),
    ]
    .concat();
    let (note_at, names_at) = (64, 64 + note.len());
    let table = names_at + names.len();
    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |width: usize, values: &[usize]| {
        for value in values {
            file.extend(value.to_le_bytes().iter().take(width));
        }
    };
    put(2, &[3, 62]); // ET_DYN, EM_X86_64
    put(4, &[1]);
    put(8, &[0, 0, table]);
    put(4, &[0]);
    put(2, &[64, 56, 0, 64, 3, 2]);
    put(1, &note.iter().map(|&byte| byte.into()).collect::<Vec<_>>());
    put(1, &names.bytes().map(usize::from).collect::<Vec<_>>());
    put(8, &[0; 8]);
    for (name, kind, at, size) in [
        (1, 7, note_at, note.len()),                   // SHT_NOTE
        (2 + section.len(), 3, names_at, names.len()), // SHT_STRTAB
    ] {
        put(4, &[name, kind]);
        put(8, &[0, 0, at, size]);
        put(4, &[0, 0]);
        put(8, &[4, 0]);
    }
    file
}

/// A libcuda of NVIDIA's compatibility package, as far as the hook looks at it.
pub(crate) fn compat_libcuda(note: &str) -> Vec<u8> {
    with_note(
        ".note.cuda.fwd_compatibility",
        "NVIDIA Corporation",
        note.as_bytes(),
    )
}
