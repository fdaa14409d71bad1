//! Any bytes are a CDI spec or an error; a spec that was read can be written and is the same again, and stays a valid one without
//! what it says twice.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::cdi::{Format, check, read, simplify, to_text};

const FORMATS: [(&str, Format); 2] = [("x.yaml", Format::Yaml), ("x.json", Format::Json)];

fuzz_target!(|bytes: &[u8]| {
    for (name, _) in FORMATS {
        let Ok(mut spec) = read(Path::new(name), bytes) else {
            continue;
        };
        for (name, format) in FORMATS {
            let text = to_text(&spec, format);
            let again = read(Path::new(name), text.as_bytes()).expect("what was written can be read");
            assert_eq!(again, spec);
        }
        simplify(&mut spec);
        check(&spec).expect("it is valid still");
        let simple = spec.clone();
        simplify(&mut spec);
        assert_eq!(spec, simple);
    }
});
