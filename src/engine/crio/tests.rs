use super::*;
use crate::engine::configuration::tests::data;
use crate::engine::configuration::undo;

fn handler(is_default: bool) -> Handler {
    Handler {
        name: "test".into(),
        path: "/usr/bin/test".into(),
        is_default,
        cdi: false,
    }
}

/// The document that is added beside `main`.
fn drop_in(main: &str, is_default: bool) -> String {
    let mut merged = Merged::default();
    merged.read(main).unwrap();
    let base = Base::Followed(merged.base().unwrap_or_default());
    let conf = CrioConf { base };
    let added = conf.add("", &handler(is_default)).unwrap();
    assert_eq!(conf.add(&added, &handler(is_default)).unwrap(), added);
    assert_eq!(undo(&conf, &added, Some(""), "test").unwrap(), "");
    added
}

const RUNC: &str = "[crio.runtime.runtimes.runc]\nruntime_path = \"/usr/bin/runc\"\nruntime_type = \"runcoci\"\nrunc_option = \"option\"\n";
const DEFAULT: &str = "[crio]\n[crio.runtime]\ndefault_runtime = \"default\"\n[crio.runtime.runtimes.default]\nruntime_path = \"/usr/bin/default\"\nruntime_type = \"defaultoci\"\ndefault_option = \"option\"\n";

#[test]
fn settings_come_from_the_default_runtime_or_a_usual_one() {
    let test = "runtime_path = \"/usr/bin/test\"\nruntime_type = \"oci\"";
    let header = "[crio.runtime.runtimes.test]";
    let vm = RUNC.replace("runcoci", "vm");
    for (main, settings) in [
        ("", ""),
        (RUNC, "runc_option = \"option\"\n"),
        (DEFAULT, "default_option = \"option\"\n"),
        (&format!("{DEFAULT}{RUNC}"), "default_option = \"option\"\n"),
        (&vm, ""),
        (
            "[crio.runtime]\ndefault_runtime = \"test\"\n[crio.runtime.runtimes.test]\nruntime_path = \"/usr/bin/test\"\nruntime_type = \"oci\"\n",
            "",
        ),
    ] {
        let expected = format!("{header}\n{settings}{test}");
        assert_eq!(data(&drop_in(main, false)), data(&expected));
        let expected = format!("[crio.runtime]\ndefault_runtime = \"test\"\n{expected}");
        assert_eq!(data(&drop_in(main, true)), data(&expected));
    }
}

#[test]
fn the_file_itself_keeps_its_other_runtimes() {
    let conf = CrioConf { base: Base::Own };
    let before = format!("# mine\n{DEFAULT}# more\n{RUNC}");
    let after = conf.add(&before, &handler(true)).unwrap();
    assert_eq!(
        after,
        format!(
            "{}\n[crio.runtime.runtimes.test]\nruntime_path = \"/usr/bin/test\"\nruntime_type = \"oci\"\ndefault_option = \"option\"\n",
            before.replace("\"default\"", "\"test\"")
        )
    );
    assert_eq!(conf.add(&after, &handler(true)).unwrap(), after);
    assert_eq!(undo(&conf, &after, Some(&before), "test").unwrap(), before);
    let edited = format!("{after}x = 1 # mine\n");
    let undone = undo(&conf, &edited, Some(&before), "test").unwrap();
    assert_eq!(undone, before);
}

#[test]
fn it_is_no_longer_the_default_if_that_is_not_asked_for() {
    let conf = CrioConf { base: Base::Own };
    let before = "[crio.runtime]\ndefault_runtime = \"test\"\n\n[crio.runtime.runtimes.test]\nruntime_path = \"/usr/bin/test\"\nruntime_type = \"oci\"\n";
    assert_eq!(conf.add(before, &handler(true)).unwrap(), before);
    assert_eq!(
        conf.add(before, &handler(false)).unwrap(),
        "[crio.runtime]\n\n[crio.runtime.runtimes.test]\nruntime_path = \"/usr/bin/test\"\nruntime_type = \"oci\"\n"
    );
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    let conf = CrioConf { base: Base::Own };
    for (text, error) in [
        ("[crio]\nruntime = 1\n", "2:11: crio.runtime is not a table"),
        ("x\n", "1:2: key with no value, expected `=`"),
    ] {
        let found = conf.add(text, &handler(false)).unwrap_err();
        assert_eq!(found.to_string(), error);
    }
}
