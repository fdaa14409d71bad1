//! `chmod`.

use crate::common::bundle::Bundle;
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::with_umask;

#[test]
fn chmod_sets_what_it_is_told_whatever_the_umask() {
    let bundle = Bundle::new();
    bundle.file("f", "").directory("d");
    for umask in ["000", "077", "777"] {
        for mode in ["0", "644", "0755", "1777", "2755", "4755", "7777"] {
            let line = format!("chmod --mode {mode} --path /f,/d");
            bundle.hook_in(&with_umask(umask), &line).silent();
            for path in ["f", "d"] {
                let expected = u32::from_str_radix(mode, 8).unwrap();
                assert_eq!(bundle.mode(path), expected, "{path}: {mode}, umask {umask}");
            }
        }
    }
}

#[test]
fn chmod_follows_links_inside_the_root() {
    for target in ["/a/file", "../a/file", "../../../../../../../../../a/file"] {
        let bundle = Bundle::new();
        bundle.file("a/file", "").link("l/link", target);
        bundle.link("m", "/l").set_mode("a/file", 0o600);
        bundle.hook("chmod --mode 751 --path /m/link").silent();
        assert_eq!(bundle.mode("a/file"), 0o751, "{target}");
    }
}

#[test]
fn chmod_skips_what_is_missing() {
    let bundle = Bundle::new();
    bundle
        .link("dangling", "/nowhere")
        .file("f", "")
        .set_mode("f", 0o600);
    let line = "chmod --mode 644 --path /missing --path /a/b,/dangling --path f";
    bundle.hook(line).silent();
    assert_eq!(bundle.mode("f"), 0o644);
    assert_eq!(bundle.names("/"), ["dangling", "f"]);
}

#[test]
fn chmod_writes_nothing_where_the_mode_is_right() {
    let bundle = Bundle::new();
    bundle.file("f", "").set_mode("f", 0o640);
    let before = snapshot(&bundle.root());
    bundle.hook("chmod --mode 640 --path /f").silent();
    assert_eq!(snapshot(&bundle.root()), before);
}

#[test]
fn chmod_goes_on_and_reports_every_path_that_fails() {
    let bundle = Bundle::new();
    bundle
        .link("loop", "loop")
        .file("f", "")
        .set_mode("f", 0o600);
    let long = "x".repeat(256);
    for order in [
        format!("/loop,/f/x,/{long},/f"),
        format!("/f,/{long},/loop,/f/x"),
    ] {
        bundle.set_mode("f", 0o600);
        let ran = bundle.hook(&format!("chmod --mode 644 --path {order}"));
        ran.fails(&["/loop: ", "/f/x: ", &format!("/{long}: ")]);
        ran.fails(&["chmod failed for 3 of 4 paths", " container=\"c1\""]);
        assert_eq!(bundle.mode("f"), 0o644, "{order}");
    }
}

#[test]
fn chmod_of_devices_and_fifos_opens_none() {
    if !has(&["mknod"]) {
        return;
    }
    let bundle = Bundle::new();
    // Nobody has a driver for this number: to open it would fail.
    bundle
        .node("dev/nvidia0", &["c", "249", "77"])
        .node("fifo", &["p"]);
    bundle
        .set_mode("dev/nvidia0", 0o600)
        .set_mode("fifo", 0o600);
    bundle
        .hook("chmod --mode 666 --path /dev/nvidia0,/fifo")
        .silent();
    assert_eq!(
        (bundle.mode("dev/nvidia0"), bundle.mode("fifo")),
        (0o666, 0o666)
    );
}
