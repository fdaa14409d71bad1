use serde_json::{Value as Tree, json};

use super::*;

/// Builds the tree that a DOM parser would return.
fn tree(value: Value<'_>) -> Tree {
    if value.is_object() {
        return value
            .members()
            .map(|(name, value)| (name.into_owned(), tree(value)))
            .collect();
    }
    if value.is_array() {
        return value.items().map(tree).collect();
    }
    match value.text() {
        Some(text) => Tree::from(text),
        None => serde_json::from_slice(value.raw()).unwrap(),
    }
}

/// Asserts that the text at the place of each value is that value.
fn assert_places(value: Value<'_>) {
    let again = Value::of(value.raw()).unwrap();
    assert_eq!(tree(again), tree(value));
    assert_eq!(value.around(value.range()), value.raw());
    value.items().for_each(assert_places);
    value.named().for_each(|(name, value)| {
        assert_places(name);
        assert_places(value);
    });
}

#[test]
fn what_is_json_is_that_for_another_reader() {
    for text in [
        "",
        " ",
        "null",
        " true\n",
        "false",
        "nul",
        "nulll",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.5e",
        "1.5e+",
        "1.5E-07",
        "1e3",
        "9007199254740993",
        "{}",
        "{ }",
        "[\t]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\" : [ 1 , {\"b\":null} ] , \"a\":2}",
        "[}",
        "{]",
        "[[]",
        "[]]",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u00e9 \\ud83d\\ude00 \\/\\b\\f\\n\\r\\t\\\\\\\"\"",
        "\"a\nb\"",
        "\"\u{7f}é\"",
        "\u{feff}{}",
        "[1] // x",
    ] {
        let expected = serde_json::from_str::<Tree>(text).ok();
        let found = Value::of(text.as_bytes());
        assert_eq!(found.map(tree), expected, "{text}");
        found.into_iter().for_each(assert_places);
    }
}

#[test]
fn damaged_documents_are_json_for_both_or_none() {
    let text =
        r#"{"a":[1,-2.5e+3,"\u00e9\"x",{"b":null,"c":[[],{}]}],"d": true , "e":"\ud83d\ude00"}"#;
    let bytes = b"{}[],:\"\\ -.019eEunx\n";
    for at in 0..text.len() {
        for byte in bytes {
            let mut damaged = text.as_bytes().to_vec();
            damaged[at] = *byte;
            assert_same(&damaged);
            damaged.insert(at, *byte);
            assert_same(&damaged);
            damaged.truncate(at);
            assert_same(&damaged);
        }
    }
}

/// `serde_json` rejects some valid JSON: numbers out of range, and lone surrogates.
fn assert_same(text: &[u8]) {
    let found = Value::of(text);
    match serde_json::from_slice::<Tree>(text) {
        Ok(expected) => assert_eq!(found.map(tree), Some(expected)),
        Err(err) => {
            let message = err.to_string();
            let is_json = ["surrogate", "hex escape", "out of range"]
                .iter()
                .any(|it| message.contains(it));
            assert!(found.is_none() || is_json, "{text:?}: {err}");
        }
    }
}

#[test]
fn strings_are_resolved() {
    for (text, expected) in [
        (&br#""plain""#[..], "plain"),
        (br#""\ud800""#, "\u{fffd}"),
        (br#""\udc00\ud800x""#, "\u{fffd}\u{fffd}x"),
        (br#""\ud800\u0041""#, "\u{fffd}A"),
        (br#""\ud83d\ude00""#, "\u{1f600}"),
        (br#""\uD83D\n""#, "\u{fffd}\n"),
        (b"\"a\xffb\"", "a\u{fffd}b"),
        (b"\"\\ta\xffb\"", "\ta\u{fffd}b"),
        (br#""\u0000\/""#, "\0/"),
    ] {
        assert_eq!(Value::of(text).unwrap().text().unwrap(), expected);
    }
    assert!(Value::of(b"1").unwrap().text().is_none());
}

#[test]
fn values_are_found_by_their_names() {
    let text = br#"{"a":{"b":1},"a":{"b":[2],"\u0062":-3},"c":[]}"#;
    let value = Value::of(text).unwrap();
    assert_eq!(value.at(&["a", "b"]).unwrap().number(), Some(-3));
    assert_eq!(tree(value.at(&[]).unwrap()), tree(value));
    assert!(value.at(&["a", "x"]).is_none());
    assert!(value.at(&["c", "x"]).is_none());
    assert!(value.member("A").is_none());
    assert_eq!(value.items().count(), 0);
    assert_eq!(value.member("c").unwrap().members().count(), 0);
    assert_eq!(tree(value.member("a").unwrap()), json!({"b": -3}));
}

#[test]
fn whole_numbers_only() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-7", Some(-7)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("1e3", None),
        ("1.0", None),
        ("\"1\"", None),
        ("null", None),
    ] {
        assert_eq!(Value::of(text.as_bytes()).unwrap().number(), expected);
    }
}

#[test]
fn depth_does_no_harm() {
    let depth = 100_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let text = format!(
        "{{\"x\":{deep},\"y\":{}1{}}}",
        "{\"a\":".repeat(depth),
        "}".repeat(depth)
    );
    let value = Value::of(text.as_bytes()).unwrap();
    assert_eq!(value.member("x").unwrap().raw(), deep.as_bytes());
    assert!(Value::of(text.trim_end_matches('}').as_bytes()).is_none());
    assert!(Value::of("[".repeat(depth).as_bytes()).is_none());
}
