//! Any bytes are an OCI state or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::oci::State;

fuzz_target!(|bytes: &[u8]| {
    let _ = State::read(bytes);
});
