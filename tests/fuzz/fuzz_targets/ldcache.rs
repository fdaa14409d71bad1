//! Any bytes are a cache or an error; a cache that was read can be written and is the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::ldcache::format::LdCache;

fuzz_target!(|bytes: &[u8]| {
    let Ok((cache, behind)) = LdCache::split(bytes) else {
        return;
    };
    assert!(bytes.ends_with(behind));
    for entry in &cache.entries {
        assert!(!entry.to_string().contains('\x1b'));
    }
    // Glibc-hwcaps names have no place in old formats, and an empty cache without a flag no byte order.
    if let Ok(written) = cache.write()
        && !cache.entries.is_empty()
    {
        let again = LdCache::parse(&written).expect("what was written can be read");
        assert_eq!(again.entries, cache.entries);
        assert_eq!(again.endian, cache.endian);
    }
});
