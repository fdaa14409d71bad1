//! YAML in block style, indented as go-yaml does.

use super::Node;
use super::scalar::scalar;

const INDENT: usize = 4;
/// The width of the dash and the blank before an item.
const DASH: usize = 2;
/// The maximum length of a key on one line with its value.
const MAX_KEY: usize = 128;

/// Returns the text of the document.
pub(super) fn print(tree: &Node<'_>) -> String {
    let mut text = "---\n".to_owned();
    push(&mut text, tree, 0);
    text
}

/// Writes a value at a position that is indented already.
fn push(out: &mut String, node: &Node<'_>, indent: usize) {
    match node {
        Node::Text(text) => push_line(out, &scalar(text)),
        Node::Bare(text) => push_line(out, text),
        Node::List(items) if items.is_empty() => push_line(out, "[]"),
        Node::Members(members) if members.is_empty() => push_line(out, "{}"),
        Node::List(items) => {
            for (i, item) in items.iter().enumerate() {
                push_indent(out, if i > 0 { indent } else { 0 });
                out.push_str("- ");
                push(out, item, indent + DASH);
            }
        }
        Node::Members(members) => {
            for (i, (key, value)) in members.iter().enumerate() {
                push_indent(out, if i > 0 { indent } else { 0 });
                push_key(out, &scalar(key), indent);
                push_value(out, value, indent);
            }
        }
    }
}

fn push_key(out: &mut String, key: &str, indent: usize) {
    if key.len() > MAX_KEY {
        out.push_str("? ");
        push_line(out, key);
        push_indent(out, indent);
    } else {
        out.push_str(key);
    }
    out.push(':');
}

/// Writes a value after its key: on the same line, or below at the next multiple of the indent.
fn push_value(out: &mut String, value: &Node<'_>, indent: usize) {
    if matches!(value, Node::List(_) | Node::Members(_)) && !value.is_empty() {
        let indent = (indent / INDENT + 1) * INDENT;
        out.push('\n');
        push_indent(out, indent);
        push(out, value, indent);
    } else {
        out.push(' ');
        push(out, value, indent);
    }
}

fn push_indent(out: &mut String, width: usize) {
    out.extend(std::iter::repeat_n(' ', width));
}

fn push_line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
