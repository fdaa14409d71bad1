//! Any text is a list of `nvidia-smi -L`; what is found in it can be a part of names, and nothing is found that is there twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::cdi::is_device_name;
use nvidia_ctk::driver::smi::List;

/// More MIG devices than a GPU has.
const COUNTS: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (list, twice) = (List::parse(&text), List::parse(&format!("{text}\n{text}")));
    assert_eq!(list.is_empty(), twice.is_empty());
    for uuid in text.split(['(', ')', ' ', '\n', '\r']) {
        let Some(gpu) = list.find(uuid) else { continue };
        assert!(gpu.uuid == uuid && is_device_name(uuid));
        assert!(twice.find(uuid).is_none());
        for count in 0..COUNTS {
            let mig = gpu.mig_uuids(count).unwrap_or_default();
            assert!(mig.iter().all(|it| is_device_name(it)));
            assert!(mig.is_empty() || mig.len() == count);
        }
    }
});
