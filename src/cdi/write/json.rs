//! JSON on one line, as Go's encoding/json writes it.

use serde_json::Value;

use super::Node;

/// Returns the text of the document.
pub(super) fn print(tree: &Node<'_>) -> String {
    let mut text = String::new();
    push(&mut text, tree);
    text
}

fn push(out: &mut String, node: &Node<'_>) {
    match node {
        Node::Text(text) => push_text(out, text),
        Node::Bare(text) => out.push_str(text),
        Node::List(items) => push_all(out, ['[', ']'], items, push),
        Node::Members(members) => push_all(out, ['{', '}'], members, |out, (name, value)| {
            push_text(out, name);
            out.push(':');
            push(out, value);
        }),
    }
}

fn push_all<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    push: impl Fn(&mut String, &T),
) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(close);
}

/// Escapes a string as Go does, including characters that are special in HTML and JavaScript.
fn push_text(out: &mut String, text: &str) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(c),
        }
    }
}
