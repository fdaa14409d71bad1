//! Container edits in any config.json: what comes out is JSON, twice is once, and what no edit is about stays byte for byte. The
//! input is a config.json, a zero byte, and the edits as a JSON spec has them.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::cdi::{ContainerEdits, apply, read};
use nvidia_ctk::document::json::scan::Value;
use nvidia_ctk::rootfs::Root;

const TOUCHED: [&str; 4] = ["process", "linux", "mounts", "hooks"];

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let config = parts.next().unwrap_or_default();
    let spec = [
        br#"{"cdiVersion":"1.1.0","kind":"a.b/cc","devices":[{"name":"0","containerEdits":"#,
        parts.next().unwrap_or_default(),
        b"}]}",
    ]
    .concat();
    if Value::of(config).is_none() {
        assert!(serde_json::from_slice::<serde_json::Value>(config).is_err());
    }
    let edits = read(Path::new("x.json"), &spec).map_or_else(
        |_| ContainerEdits::default(),
        |mut spec| spec.devices.remove(0).container_edits,
    );
    let host = Root::host().expect("the root can be opened");
    let run = |config: &[u8]| apply(config, &[&edits], &host, &mut Vec::new());
    let Ok(Some(result)) = run(config) else {
        return;
    };
    let (before, after) = (
        Value::of(config).expect("what is edited is JSON"),
        Value::of(&result).expect("what was edited is JSON"),
    );
    let untouched = |value: Value<'_>| {
        let members = value.members().filter(|(name, _)| !TOUCHED.contains(&&**name));
        let members = members.map(|(name, value)| (name.into_owned(), value.raw().to_vec()));
        members.collect::<Vec<_>>()
    };
    assert_eq!(untouched(before), untouched(after));
    assert_eq!(run(&result).expect("it can be edited again"), None);
});
