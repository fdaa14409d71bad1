use super::*;
use crate::engine::configuration::undo;

fn containers(default_dirs: &[&str]) -> ContainersConf {
    ContainersConf {
        hooks_dir: "/hooks".into(),
        default_dirs: default_dirs.iter().map(|&it| it.to_owned()).collect(),
    }
}

#[test]
fn the_directory_of_the_hooks_is_listed() {
    for (defaults, before, after) in [
        (&[][..], "", "[engine]\nhooks_dir = [\"/hooks\"]\n"),
        (
            &["/a", "/hooks"],
            "# mine\n[engine]\nruntime = \"crun\"\n",
            "# mine\n[engine]\nruntime = \"crun\"\nhooks_dir = [\"/a\", \"/hooks\"]\n",
        ),
        (
            &["/a"],
            "[engine]\nhooks_dir = ['/x'] # mine\n",
            "[engine]\nhooks_dir = ['/x', \"/hooks\"] # mine\n",
        ),
        (
            &["/a"],
            "[engine]\nhooks_dir = ['/hooks']\n",
            "[engine]\nhooks_dir = ['/hooks']\n",
        ),
    ] {
        let containers = containers(defaults);
        let handler = Handler::default();
        let added = containers.add(before, &handler).unwrap();
        assert_eq!(added, after);
        assert_eq!(containers.add(&added, &handler).unwrap(), added);
        assert_eq!(
            undo(&containers, &added, Some(before), "x").unwrap(),
            before
        );
        let edited = format!("{added}\n[network]\nx = 1\n");
        let expected = format!("{before}\n[network]\nx = 1\n");
        assert_eq!(
            undo(&containers, &edited, Some(before), "x").unwrap(),
            expected
        );
    }
    let containers = containers(&["/a"]);
    let ours = "x = 1\n[engine]\nhooks_dir = [\"/a\", \"/hooks\"]\n";
    assert_eq!(undo(&containers, ours, None, "x").unwrap(), "x = 1\n");
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    let text = "[engine]\nhooks_dir = 1\n";
    let error = containers(&[]).add(text, &Handler::default()).unwrap_err();
    assert_eq!(error.to_string(), "2:13: engine.hooks_dir is not an array");
}
