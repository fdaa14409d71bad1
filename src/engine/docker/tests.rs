use super::*;
use crate::engine::configuration::undo;

fn handler(path: &str, is_default: bool, cdi: bool) -> Handler {
    Handler {
        name: "nvidia".into(),
        path: path.into(),
        is_default,
        cdi,
    }
}

fn add(text: &str, handler: &Handler) -> String {
    let added = DaemonJson.add(text, handler).unwrap();
    assert_eq!(DaemonJson.add(&added, handler).unwrap(), added);
    assert_eq!(
        undo(&DaemonJson, &added, Some(text), "nvidia").unwrap(),
        text
    );
    added
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_new_document_is_as_the_toolkit_writes_it() {
    for text in ["", "{}", " \n", "{ }"] {
        assert_eq!(
            json(&add(text, &handler("nvidia-container-runtime", true, true))),
            json!({
                "default-runtime": "nvidia",
                "features": {"cdi": true},
                "runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}},
            })
        );
    }
}

#[test]
fn the_default_changes_only_on_demand() {
    for (before, is_default, after) in [
        (json!({}), false, None),
        (json!({}), true, Some("nvidia")),
        (json!({"default-runtime": "x"}), false, Some("x")),
        (json!({"default-runtime": "x"}), true, Some("nvidia")),
        (json!({"default-runtime": "nvidia"}), false, Some("nvidia")),
    ] {
        let added = json(&add(&before.to_string(), &handler("/p", is_default, false)));
        assert_eq!(added.get("default-runtime").and_then(Value::as_str), after);
    }
}

#[test]
fn runtimes_are_added_to_others() {
    let entry = |path: &str| json!({"path": path, "args": []});
    for (before, after) in [
        (
            json!({}),
            json!({"runtime1": entry("runtime1"), "runtime2": entry("runtime2")}),
        ),
        (
            json!({"runtime1": {"path": "old", "args": []}}),
            json!({"runtime1": entry("runtime1"), "runtime2": entry("runtime2")}),
        ),
        (
            json!({"not-nvidia": {"path": "some-other-path", "args": []}}),
            json!({
                "not-nvidia": entry("some-other-path"),
                "runtime1": entry("runtime1"),
                "runtime2": entry("runtime2"),
            }),
        ),
    ] {
        let mut text = json!({ "runtimes": before }).to_string();
        for name in ["runtime1", "runtime2"] {
            let handler = Handler {
                name: name.into(),
                ..handler(name, false, false)
            };
            text = DaemonJson.add(&text, &handler).unwrap();
        }
        assert_eq!(json(&text), json!({ "runtimes": after }));
    }
}

#[test]
fn everything_else_stays() {
    let before = json!({
        "exec-opts": ["native.cgroupdriver=systemd"],
        "features": {"containerd-snapshotter": true},
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m"},
        "runtimes": {"other": {"path": "/other"}},
        "storage-driver": "overlay2",
    });
    let mut expected = before.clone();
    expected["runtimes"]["nvidia"] = json!({"args": [], "path": "/p"});
    expected["features"]["cdi"] = json!(true);
    let added = add(&before.to_string(), &handler("/p", false, true));
    assert_eq!(json(&added), expected);
}

#[test]
fn an_entry_that_is_there_keeps_its_arguments() {
    let before = r#"{"runtimes": {"nvidia": {"path": "/old", "runtimeArgs": ["--x"]}}}"#;
    let after = r#"{"runtimes": {"nvidia": {"path": "/p", "runtimeArgs": ["--x"]}}}"#;
    assert_eq!(add(before, &handler("/p", false, false)), after);
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    for (text, error) in [
        ("null", "1:1: the document is not an object"),
        ("[]", "1:1: the document is not an object"),
        ("{\"a\": 1} xx", "1:10: trailing characters"),
        ("{\n  // x\n  \"a\": 1\n}", "2:3: comments are not JSON"),
        ("{\"runtimes\": null}", "1:14: runtimes is not an object"),
        ("{\"runtimes\": []}", "1:14: runtimes is not an object"),
        (
            "{\"runtimes\": {\"nvidia\": 1}}",
            "1:25: runtimes.nvidia is not an object",
        ),
        (
            "{\"runtimes\": {},\n \"runtimes\": {}}",
            "2:2: \"runtimes\" occurs twice",
        ),
        (
            "{\"runtimes\": {\"nvidia\": {\"runtimeType\": \"x\"}}}",
            "1:41: the runtime nvidia is a shim (runtimeType), which takes no path; remove it or use another name",
        ),
    ] {
        let found = DaemonJson
            .add(text, &handler("/p", false, true))
            .unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
    }
}

#[test]
fn after_an_edit_only_our_entries_go() {
    let before = r#"{"default-runtime": "crun", "runtimes": {"crun": {"path": "/crun"}}}"#;
    let added = add(before, &handler("/p", true, true));
    let edited = added.replace("/crun\"}", "/other\"}");
    assert_eq!(
        undo(&DaemonJson, &edited, Some(before), "nvidia").unwrap(),
        before.replace("/crun\"}", "/other\"}")
    );
    let without_crun =
        r#"{"default-runtime": "nvidia", "runtimes": {"nvidia": {"path": "/p"}}, "x": 1}"#;
    assert_eq!(
        undo(&DaemonJson, without_crun, Some(before), "nvidia").unwrap(),
        r#"{"runtimes": {}, "x": 1}"#
    );
    let not_ours = r#"{"features": {"cdi": true}, "runtimes": {"nvidia": {"path": "/p", "x": 1}}}"#;
    assert_eq!(
        undo(&DaemonJson, not_ours, None, "nvidia").unwrap(),
        r#"{"features": {"cdi": true}}"#
    );
    assert_eq!(undo(&DaemonJson, before, None, "nvidia").unwrap(), before);
    assert!(DaemonJson.is_blank("{}") && !DaemonJson.is_blank(before));
}
