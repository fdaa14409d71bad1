use serde_json::json;

use super::*;

fn set(text: &str, path: &[&str], value: &Value) -> String {
    let mut document = Document::parse(text).unwrap();
    document.set(path, value).unwrap();
    document.into_text()
}

fn remove(text: &str, path: &[&str]) -> String {
    let mut document = Document::parse(text).unwrap();
    document.remove(path).unwrap();
    document.into_text()
}

/// Each text before and after `a.b = {"c": true}`.
const TEXTS: &[(&str, &str)] = &[
    (
        "{}",
        "{\n    \"a\": {\n        \"b\": {\n            \"c\": true\n        }\n    }\n}",
    ),
    (
        "{\n  \"x\": 1e3\n}\n",
        "{\n  \"x\": 1e3,\n  \"a\": {\n    \"b\": {\n      \"c\": true\n    }\n  }\n}\n",
    ),
    (
        "{\r\n\t\"x\": \"<&>\"\r\n}",
        "{\r\n\t\"x\": \"<&>\",\r\n\t\"a\": {\r\n\t\t\"b\": {\r\n\t\t\t\"c\": true\r\n\t\t}\r\n\t}\r\n}",
    ),
    (
        "{\"z\":12345678901234567890}",
        "{\"z\":12345678901234567890,\"a\":{\"b\":{\"c\":true}}}",
    ),
    (
        "{\"z\": [1, 2]}\n",
        "{\"z\": [1, 2], \"a\": {\"b\": {\"c\": true}}}\n",
    ),
    (
        "{\n  \"a\": {\"x\": \"}\\\"\"}\n}\n",
        "{\n  \"a\": {\"x\": \"}\\\"\", \"b\": {\"c\": true}}\n}\n",
    ),
    (
        "{\n  \"a\": {},\n  \"x\": null\n}\n",
        "{\n  \"a\": {\n    \"b\": {\n      \"c\": true\n    }\n  },\n  \"x\": null\n}\n",
    ),
    ("{\"a\":{}}", "{\"a\":{\"b\":{\"c\":true}}}"),
    (
        "\u{feff}{\"a\":{\"x\":1}}",
        "\u{feff}{\"a\":{\"x\":1,\"b\":{\"c\":true}}}",
    ),
];

#[test]
fn members_are_added_in_the_style_of_the_document() {
    for (before, after) in TEXTS {
        assert_eq!(set(before, &["a", "b"], &json!({"c": true})), *after);
    }
}

#[test]
fn what_is_added_last_is_taken_out_without_a_trace() {
    for (before, after) in TEXTS {
        let path: &[&str] = if before.contains("\"a\"") {
            &["a", "b"]
        } else {
            &["a"]
        };
        assert_eq!(remove(after, path), *before);
    }
    assert_eq!(remove("{\"a\": 1, \"b\": 2}", &["a"]), "{\"b\": 2}");
    assert_eq!(remove("{\n  \"a\": 1\n}", &["a"]), "{}");
    assert_eq!(remove("{\"a\": 1}", &["b", "c"]), "{\"a\": 1}");
}

#[test]
fn a_blank_document_is_an_empty_object() {
    for (text, mark) in [("", ""), (" \n\t\n", ""), ("\u{feff}", "\u{feff}")] {
        let expected = format!("{mark}{{\n    \"a\": 1\n}}\n");
        assert_eq!(set(text, &["a"], &json!(1)), expected);
    }
}

#[test]
fn only_a_changed_value_is_written() {
    let text = "{\"a\": {\"b\" :\t\"\\u0041\" }}";
    assert_eq!(set(text, &["a", "b"], &json!("A")), text);
    assert_eq!(
        set(text, &["a", "b"], &json!("B")),
        "{\"a\": {\"b\" :\t\"B\" }}"
    );
}

#[test]
fn errors_have_a_place() {
    for (text, error) in [
        ("[]", "1:1: the document is not an object"),
        ("\n null", "2:2: the document is not an object"),
        ("{\n // x\n}", "2:2: comments are not JSON"),
        ("{\n # x\n}", "2:2: comments are not JSON"),
        (
            "{\"é\": 1, /* x */ \"b\": 2}",
            "1:10: comments are not JSON",
        ),
        ("{\"a\":1} xx", "1:9: trailing characters"),
        ("{\"a\":1,}", "1:8: key must be a string"),
        ("{\"a\":", "1:5: EOF while parsing a value"),
        ("{\"a\": [1,\n2", "2:1: EOF while parsing a list"),
    ] {
        let found = Document::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
    }
    for (text, error) in [
        ("{\n  \"a\": null}", "2:8: a is not an object"),
        ("{\"a\": []}", "1:7: a is not an object"),
        ("{\"a\": 1, \"a\": 2}", "1:10: \"a\" occurs twice"),
        ("{\"a\": {\"b\": 1}}", "1:13: a.b is not an object"),
    ] {
        let mut document = Document::parse(text).unwrap();
        let found = document.set(&["a", "b", "c"], &json!(1)).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
        assert_eq!(document.into_text(), text);
    }
}
