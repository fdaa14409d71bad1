use super::*;

fn edit(text: &str, change: impl Fn(&mut Document)) -> String {
    let mut document = Document::parse(text).unwrap();
    change(&mut document);
    document.into_text()
}

#[test]
fn a_document_that_is_not_changed_stays_byte_for_byte() {
    for text in [
        "",
        "\n",
        "# only a comment",
        "\u{feff}a = 1\r\n",
        "a = 1 # x\r\n\r\n[b]\r\nc = '''\r\nx\r\n'''\n[ d . \"e.f\" ]\nx = [ # y\n  1, 2,\n] \n\t\n# end",
        "[b.c]\nx=1\n[a]\n[b.d]\ny = 1979-05-27\n[[e]]\n[b]\nz = 0o17\n",
        "a.b = {c = 1_000, d.e = inf}\n",
        "['a'.x]\n[\"a\".y]\n[ a . z ]\n['a'.y.z]\nx = '''\r\n\n'''\n",
    ] {
        assert_eq!(edit(text, |_| ()), text);
    }
}

#[test]
fn a_key_changes_its_line_only() {
    for (before, after) in [
        ("", "k = \"v\"\n"),
        ("# x\n\n# y", "# x\n\n# y\nk = \"v\""),
        ("a = 1", "a = 1\nk = \"v\""),
        ("a = 1\r\n[t]\r\n", "a = 1\r\nk = \"v\"\r\n[t]\r\n"),
        ("  a = 1 # x\n", "  a = 1 # x\n  k = \"v\"\n"),
        ("# c\nk = 'w' # x\na = 1\n", "# c\nk = \"v\" # x\na = 1\n"),
        ("k = 'v' # x\n", "k = 'v' # x\n"),
        (
            "# file\n\n# more\n\n# table\n[t]\n",
            "# file\n\n# more\n\nk = \"v\"\n# table\n[t]\n",
        ),
        ("# table\n[t]\n", "k = \"v\"\n# table\n[t]\n"),
        ("\n# file\r\n\r\n[t]", "\n# file\r\n\r\nk = \"v\"\r\n[t]"),
    ] {
        assert_eq!(edit(before, |it| it.set(&["k"], "v").unwrap()), after);
    }
}

#[test]
fn the_comments_of_the_file_outlive_its_first_key() {
    let removed = edit("# file\n\n# key\nk = 1\na = 1\n", |it| {
        it.remove(&["k"]).unwrap();
    });
    assert_eq!(removed, "# file\n\na = 1\n");
}

#[test]
fn tables_are_made_on_the_way() {
    let set = |text| {
        edit(text, |it| {
            it.set(&["a", "b.c", "k"], true).unwrap();
        })
    };
    assert_eq!(set(""), "[a.\"b.c\"]\nk = true\n");
    let table = |it: &mut Document| it.set_table(&["t"], copy(&Table::new(), None)).unwrap();
    assert_eq!(edit("", table), "[t]\n");
    assert_eq!(edit("# c\n", table), "# c\n\n[t]\n");
    assert_eq!(set("[a]\nx = 1\n"), "[a]\nx = 1\n\n[a.\"b.c\"]\nk = true\n");
    assert_eq!(
        set("[a.'b.c'.d]\nx = 1\n"),
        "[a.'b.c']\nk = true\n[a.'b.c'.d]\nx = 1\n"
    );
    assert_eq!(
        set("a = {x = 1}\n"),
        "a = {x = 1, \"b.c\" = { k = true } }\n"
    );
    assert_eq!(set("a.x = 1\n"), "a.x = 1\n\n[a.\"b.c\"]\nk = true\n");
    assert_eq!(
        edit(&set("[a]\nx = 1\n"), |it| it
            .remove(&["a", "b.c", "k"])
            .unwrap()),
        "[a]\nx = 1\n"
    );
}

#[test]
fn arrays_grow_in_their_style() {
    for (before, after) in [
        ("", "x = [\"c\"]\n"),
        ("x = []\n", "x = [\"c\"]\n"),
        ("x = ['a']\n", "x = ['a', \"c\"]\n"),
        ("x = ['a','b']\n", "x = ['a','b',\"c\"]\n"),
        ("x = ['c'] # y\n", "x = ['c'] # y\n"),
        (
            "x = [\n  'a', # y\n  'b',\n]\n",
            "x = [\n  'a', # y\n  'b',\n  \"c\",\n]\n",
        ),
        ("x = [\n  'a'\n]\n", "x = [\n  'a',\n  \"c\"\n]\n"),
    ] {
        let grown = edit(before, |it| it.add_string(&["x"], "c").unwrap());
        assert_eq!(grown, after);
        if before.contains("'b'") {
            let shrunk = edit(after, |it| it.remove_string(&["x"], "c").unwrap());
            assert_eq!(shrunk, before);
        }
    }
}

#[test]
fn errors_have_a_place() {
    for (text, error) in [
        ("a = 1\na = 2\n", "2:1: duplicate key"),
        (
            "a = \n",
            "1:5: string values must be quoted, expected literal string",
        ),
        ("# file\n\n# x\na = 1\na = 2\n", "5:1: duplicate key"),
        ("\u{feff}[a\n", "1:3: unclosed table, expected `]`"),
    ] {
        let found = Document::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(found.to_string(), error);
    }
    let mut document = Document::parse("x = 1\n[a]\nb = 'c'\n").unwrap();
    let error = document.set(&["a", "b", "c"], 1).unwrap_err();
    assert_eq!(error.to_string(), "3:5: a.b is not a table");
    let error = document.add_string(&["x"], "c").unwrap_err();
    assert_eq!(error.to_string(), "1:5: x is not an array");
}
