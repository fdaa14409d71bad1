//! A container that asks for nothing costs nothing, and loses nothing.

use std::fs;

use serde_json::json;

use crate::common::container::push;
use crate::common::machine::has;
use crate::common::shim::{Shim, config, spec};
use crate::common::tree::snapshot;
use crate::common::wrapper::words;

/// What no program would write.
const ODD: &str = "\t{ \"x-unknown\" : [1e3, 9007199254740993, -0, 1.50, {\"a\":{}, \"a\": null}],\n\n \
    \"escapes\":\"\\u003c\\/\\ud800 \\u00e9\\b\u{2028}<>&\",\r\n \"process\": {\"terminal\":false ,\"env\": [ \"A=\", \"NOEQ\" ] },\
    \"mounts\":null, \"annotations\" : { }, \"hooks\":{}}  \n ";

#[test]
fn config_json_stays_as_it_is() {
    let shim = Shim::new();
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"x\":[{}1]}}", "123456789,".repeat(500_000));
    for text in [
        ODD,
        "{}",
        " {}\n",
        &deep,
        &long,
        "{\"process\":{\"env\":null}}",
    ] {
        shim.file("bundle/config.json", text);
        let before = snapshot(&shim.at("bundle"));
        let outcome = shim.create();
        let start = &text[..text.len().min(100)];
        assert!(outcome.success(), "{start}: {outcome:?}");
        outcome.silent();
        assert_eq!(snapshot(&shim.at("bundle")), before, "{start}");
        assert!(shim.last().bytes == Some(text.into()), "{start}");
        assert!(!shim.at("log.json").exists(), "{start}");
    }
}

#[test]
fn a_bundle_that_is_read_only() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let shim = Shim::new();
    let bundle = shim.inside("bundle");
    let script = format!(
        "set -e; mount --bind '{bundle}' '{bundle}'; mount -o remount,bind,ro '{bundle}'; exec \"$@\""
    );
    let before = words(&[
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        &script,
        "sh",
    ]);
    for variables in [&[][..], &["NVIDIA_VISIBLE_DEVICES=void"]] {
        shim.variables(variables);
        let outcome = shim.create_in(&before);
        assert!(outcome.success(), "{outcome:?}");
        outcome.silent();
        assert_eq!(shim.last().bytes, Some(shim.text().into()));
    }
}

/// Nothing that a container without a request does not need may stop it.
#[test]
fn specs_do_not_matter() {
    let shim = Shim::new();
    shim.file("etc/broken.json", "{")
        .spec("etc/one.json", &spec("nvidia.com/gpu", &["0"]))
        .spec("etc/two.json", &spec("nvidia.com/gpu", &["0"]));
    shim.created();
    fs::remove_dir_all(shim.at("etc")).unwrap();
    fs::remove_dir_all(shim.at("run")).unwrap();
    shim.created();
    assert_eq!(shim.log("warning"), [""; 0]);
}

/// docker's `--gpus` puts this hook in; what it asks for is served here.
#[test]
fn the_hook_of_nvidia_is_cut_out() {
    for path in [
        "/usr/bin/nvidia-container-runtime-hook",
        "nvidia-container-runtime-hook",
        "/usr/bin/nvidia-container-toolkit",
    ] {
        for others in [0, 1, 2] {
            for asks in [true, false] {
                let shim = Shim::new();
                shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &["0"]));
                let mut config = config(if asks {
                    &["NVIDIA_VISIBLE_DEVICES=0"]
                } else {
                    &[]
                });
                let other = |number| json!({"path": format!("/bin/{number}"), "args": ["a", "b"]});
                for number in 0..others {
                    push(&mut config["hooks"]["prestart"], other(number));
                    if number == 0 {
                        let hook =
                            json!({"path": path, "args": [path, "prestart"], "env": ["A=1"]});
                        push(&mut config["hooks"]["prestart"], hook);
                    }
                }
                if others == 0 {
                    push(&mut config["hooks"]["prestart"], json!({"path": path}));
                }
                push(&mut config["hooks"]["poststop"], json!({"path": path}));
                shim.config(&config);
                let created = shim.created();
                let left = created["hooks"]["prestart"].as_array();
                let expected: Vec<_> = (0..others).map(other).collect();
                assert_eq!(left.map_or(&[][..], Vec::as_slice), expected, "{created}");
                assert_eq!(created["hooks"]["poststop"], config["hooks"]["poststop"]);
            }
        }
    }
}

/// All but the hook stays byte for byte.
#[test]
fn nothing_but_the_hook_is_cut_out() {
    let shim = Shim::new();
    let before = "{ \"hooks\" : {\"prestart\": [";
    let hook = "{\"path\": \"/usr/bin/nvidia-container-runtime-hook\", \"args\":[\"]}\"]}";
    let other = "{\"path\":\"\\/bin\\/x\",  \"timeout\":1e1}";
    let after = " ]},\n \"x\":9007199254740993, \"y\" :\"\\ud800\"}\n\n";
    for (list, left) in [
        (format!("{hook} , {other}"), vec![other]),
        (format!("{other},{hook}"), vec![other]),
        (format!("{other},\n{hook},{other}"), vec![other, other]),
        (hook.to_owned(), vec![]),
        (format!("{hook},{hook}"), vec![]),
    ] {
        shim.file("bundle/config.json", &format!("{before}{list}{after}"));
        let outcome = shim.create();
        assert!(outcome.success(), "{outcome:?}");
        let text = shim.text();
        let inside = text.strip_prefix(before);
        let inside = inside.and_then(|text| text.strip_suffix(after.trim_start_matches(' ')));
        let inside = inside.unwrap_or_else(|| panic!("{list}: {text}"));
        let squeezed: String = inside.split_whitespace().collect();
        let expected: String = left.join(",").split_whitespace().collect();
        assert_eq!(squeezed, expected, "{text}");
        assert_eq!(inside.matches(other).count(), left.len(), "{text}");
    }
}
