//! What a container asks for by mounts and by annotations, and which of several requests counts.

use serde_json::{Value, json};

use crate::common::container::push;
use crate::common::shim::{Shim, config, got, spec};

pub(super) const MOUNTS: &str = "accept-nvidia-visible-devices-as-volume-mounts = true";
pub(super) const REFUSE: &str = "accept-nvidia-visible-devices-envvar-when-unprivileged = false";
const FOLDER: &str = "/var/run/nvidia-container-devices";
const NAMES: [&str; 8] = ["0", "1", "GPU0", "GPU1", "GPU2", "GPU3", "all", "x.y_z"];

fn shim(settings: &str) -> Shim {
    let shim = Shim::new();
    shim.spec("etc/gpu.json", &spec("nvidia.com/gpu", &NAMES))
        .spec("etc/net.json", &spec("example.com/class", &["device", "0"]));
    shim.settings_with(settings, "");
    shim
}

pub(super) fn with_mounts(variables: &[&str], mounts: &[(&str, &str)]) -> Value {
    let mut config = config(variables);
    for (source, destination) in mounts {
        push(
            &mut config["mounts"],
            json!({"source": source, "destination": destination, "options": ["bind"]}),
        );
    }
    config
}

pub(super) fn with_annotations(variables: &[&str], annotations: &[(&str, &str)]) -> Value {
    let mut config = config(variables);
    for (key, value) in annotations {
        config["annotations"][*key] = json!(value);
    }
    config
}

#[track_caller]
fn gives(shim: &Shim, config: &Value, names: &str) {
    shim.config(config);
    let created = shim.created();
    let expected: Vec<_> = names.split_whitespace().collect();
    assert_eq!(got(&created), expected, "{config}");
}

#[test]
fn mounts() {
    let shim = shim(MOUNTS);
    for (mounts, names) in [
        (&[("/dev/null", "/0")][..], "0"),
        (
            &[("/dev/null", "/GPU0"), ("/dev/null", "/GPU1")],
            "GPU0 GPU1",
        ),
        (&[("/dev/null", "/GPU1"), ("/dev/null", "/GPU1")], "GPU1"),
        (&[("/dev/./null", "//GPU1/")], "GPU1"),
        (&[("/dev/null", "/all")], "all"),
        (&[("/dev/null", "/cdi/nvidia.com/gpu/0")], "0"),
        (&[("/dev/null", "/cdi/nvidia.com/gpu=0")], "0"),
        (&[("/dev/null", "/cdi/example.com/class/device")], "device"),
        (&[("/dev/null", "/nvidia.com/gpu=all")], "all"),
        (&[("/dev/null", "/imex/0")], ""),
        (&[("/dev/null", "")], ""),
        (&[("/dev/null", "/")], ""),
        (&[("/dev/null", "XYZ")], ""),
        (&[("/dev/null", "XYZ/0")], ""),
        (&[("/dev/zero", "/0")], ""),
        (&[("null", "/0")], ""),
    ] {
        let path = |it: &&(&str, &str)| (it.0.to_owned(), format!("{FOLDER}{}", it.1));
        let mounts: Vec<_> = mounts.iter().map(|it| path(&it)).collect();
        let mounts: Vec<_> = mounts
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        gives(&shim, &with_mounts(&[], &mounts), names);
    }
    let elsewhere = with_mounts(&[], &[("/dev/null", "/run/nvidia-container-devices/0")]);
    gives(&shim, &elsewhere, "");
}

/// Mounts are no request unless the admin says so.
#[test]
fn mounts_are_off_by_default() {
    let one = [("/dev/null", "/var/run/nvidia-container-devices/0")];
    gives(&shim(""), &with_mounts(&[], &one), "");
}

/// The table of the toolkit: mounts, variables, and what of them is accepted.
#[test]
fn mounts_before_variables() {
    let asks = |mounts: bool, privileged: bool| {
        let (one, two) = (format!("{FOLDER}/GPU0"), format!("{FOLDER}/GPU1"));
        let all = [("/dev/null", one.as_str()), ("/dev/null", two.as_str())];
        let mut config = with_mounts(
            &["NVIDIA_VISIBLE_DEVICES=GPU2,GPU3"],
            if mounts { &all } else { &[] },
        );
        if privileged {
            config["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]);
        }
        config
    };
    let both = format!("{MOUNTS}\n{REFUSE}");
    for (settings, mounts, privileged, names) in [
        (MOUNTS, true, false, "GPU0 GPU1"),
        (MOUNTS, true, true, "GPU0 GPU1"),
        (both.as_str(), true, false, "GPU0 GPU1"),
        (&both, false, false, ""),
        (&both, false, true, "GPU2 GPU3"),
        (MOUNTS, false, false, "GPU2 GPU3"),
        ("", true, false, "GPU2 GPU3"),
        (REFUSE, true, false, ""),
        (REFUSE, true, true, "GPU2 GPU3"),
    ] {
        gives(&shim(settings), &asks(mounts, privileged), names);
    }
}

#[test]
fn annotations() {
    let shim = shim("");
    for (annotations, names) in [
        (&[("cdi.k8s.io/a", "nvidia.com/gpu=0")][..], "0"),
        (
            &[("cdi.k8s.io/a", "nvidia.com/gpu=0,nvidia.com/gpu=1")],
            "0 1",
        ),
        (
            &[("cdi.k8s.io/a", "nvidia.com/gpu=0, nvidia.com/gpu=1 ")],
            "0 1",
        ),
        (&[("cdi.k8s.io/a", "nvidia.com/gpu=0,,")], "0"),
        (
            &[("cdi.k8s.io/a", "nvidia.com/gpu=0,nvidia.com/gpu=0")],
            "0",
        ),
        (
            &[
                ("cdi.k8s.io/b", "nvidia.com/gpu=0"),
                ("cdi.k8s.io/a", "nvidia.com/gpu=1"),
            ],
            "1 0",
        ),
        (
            &[
                ("cdi.k8s.io/b", "nvidia.com/gpu=0"),
                ("cdi.k8s.io/a", "nvidia.com/gpu=0"),
            ],
            "0",
        ),
        (&[("cdi.k8s.io/", "example.com/class=device")], "device"),
        (&[("cdi.k8s.io/a", "nvidia.com/gpu=x.y_z")], "x_y_z"),
        (&[("cdi.k8s.iox/a", "nvidia.com/gpu=0")], ""),
        (&[("xcdi.k8s.io/a", "nvidia.com/gpu=0")], ""),
        (&[("nvidia.com/gpu", "nvidia.com/gpu=0")], ""),
        (&[("cdi.k8s.io/a", "")], ""),
        (&[("cdi.k8s.io/a", " , ")], ""),
    ] {
        gives(&shim, &with_annotations(&[], annotations), names);
    }
}

/// Annotations come before mounts and variables, whoever asks; an empty one hides nothing.
#[test]
fn annotations_come_first() {
    let shim = shim(&format!("{MOUNTS}\n{REFUSE}"));
    let mut config = with_annotations(
        &["NVIDIA_VISIBLE_DEVICES=GPU1"],
        &[("cdi.k8s.io/a", "nvidia.com/gpu=0")],
    );
    let mount = json!({"source": "/dev/null", "destination": format!("{FOLDER}/GPU0")});
    push(&mut config["mounts"], mount);
    gives(&shim, &config, "0");
    config["annotations"]["cdi.k8s.io/a"] = json!("");
    gives(&shim, &config, "GPU0");
    shim.settings_with("", "");
    gives(&shim, &config, "GPU1");
    // The engine has resolved the annotation already, and said so.
    let void = with_annotations(
        &["NVIDIA_VISIBLE_DEVICES=void"],
        &[("cdi.k8s.io/a", "nvidia.com/gpu=0")],
    );
    gives(&shim, &void, "0");
}

/// `none` and `void` are words, wherever they are said, and hide what other sources ask for.
#[test]
fn none_by_mounts_and_annotations() {
    let shim = shim(MOUNTS);
    let variable = "NVIDIA_VISIBLE_DEVICES=GPU1";
    for word in ["none", "void"] {
        let mount = format!("{FOLDER}/{word}");
        let gpu = format!("{FOLDER}/0");
        let only = with_mounts(&[variable], &[("/dev/null", &mount)]);
        gives(&shim, &only, "");
        let both = with_mounts(&[variable], &[("/dev/null", &gpu), ("/dev/null", &mount)]);
        gives(&shim, &both, "");
        for value in [word, &format!("nvidia.com/gpu=0,{word}")] {
            let config = with_annotations(&[variable], &[("cdi.k8s.io/a", value)]);
            gives(&shim, &config, "");
        }
    }
    let all = [
        ("/dev/null", format!("{FOLDER}/GPU0")),
        ("/dev/null", format!("{FOLDER}/all")),
    ];
    let all: Vec<_> = all.iter().map(|(from, to)| (*from, to.as_str())).collect();
    gives(&shim, &with_mounts(&[], &all), "all");
}

#[test]
fn prefixes_of_annotations() {
    let shim = shim("");
    shim.settings_with("", "annotation-prefixes = [\"one/\", \"two/x-\"]");
    for (key, names) in [
        ("one/a", "0"),
        ("two/x-a", "0"),
        ("two/a", ""),
        ("cdi.k8s.io/a", ""),
    ] {
        let config = with_annotations(&[], &[(key, "nvidia.com/gpu=0")]);
        gives(&shim, &config, names);
    }
    shim.settings_with("", "annotation-prefixes = []");
    let config = with_annotations(&[], &[("cdi.k8s.io/a", "nvidia.com/gpu=0")]);
    gives(&shim, &config, "");
}

/// An annotation that is no CDI name is an error: no container without the GPU that it asks for.
#[test]
fn annotations_that_are_no_names() {
    let shim = shim("");
    for value in [
        "nvidia.com/gpu=0,nvidia.com/gpu=",
        "nvidia.com/gpu",
        "nvidia.com=0",
        "a b/c=d",
        "nvidia.com/gpu=a b",
        "nvidia.com/gpu=0=1",
        "nvidia.com/gpu=nope",
    ] {
        let odd = value.rsplit(',').next().unwrap();
        shim.config(&with_annotations(&[], &[("cdi.k8s.io/a", value)]));
        let message = shim.refused();
        assert!(message.contains(odd), "{value}: {message}");
        let _ = std::fs::remove_file(shim.at("log.json"));
    }
}
