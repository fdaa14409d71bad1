//! Data for the caller: the only module that writes to standard output.

use std::io::{self, Write};

use serde_json::Value;

use crate::diagnostics::Reader;
use crate::printable::{escape_all_but, is_escaped};

/// The version of all JSON documents. It grows when a field is removed or changes its meaning, not when one is added. The schemas
/// are in `packaging/schemas`.
const SCHEMA_VERSION: u32 = 1;

/// Who reads standard output.
pub(crate) fn reader() -> Reader {
    Reader::of(&io::stdout())
}

/// Writes data to standard output. A reader that has gone away is not an error.
pub(crate) fn output(data: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(data.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a document that may come from somebody else to standard output: escaped by [`crate::printable::escape`] to a terminal,
/// byte for byte to anything else.
pub(crate) fn output_document(text: &str) -> io::Result<()> {
    if reader() != Reader::Program {
        return output(&escape_all_but(text, &['\n', '\t', '\'', '"', '\\']));
    }
    output(text)
}

/// Writes a JSON object to standard output, behind `schemaVersion`. What [`crate::printable::escape`] would escape is written as
/// `\u` and a number, which means the same to a program.
pub(crate) fn output_json(document: &Value) -> io::Result<()> {
    // serde_json sorts the members; a reader wants the version before all others.
    let first = format!("{{\n  \"schemaVersion\": {SCHEMA_VERSION},\n");
    let document = format!("{document:#}\n").replacen("{\n", &first, 1);
    let mut text = String::new();
    for c in document.chars() {
        if c.is_ascii() && c != '\x7f' || !is_escaped(c) {
            text.push(c);
        } else {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    output(&text)
}
