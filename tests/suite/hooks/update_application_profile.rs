//! `update-application-profile`.

use std::path::Path;

use crate::common::bundle::Bundle;
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::{each_kernel_without_landlock, with_umask};

pub(super) const PROFILE: &str = "/etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf";

#[test]
fn a_profile_names_the_gpus_of_the_container() {
    if !has(&["mknod"]) {
        return;
    }
    let device = |bundle: &Bundle, name: &str, minor: &str| {
        bundle.node(Path::new("dev").join(name), &["c", "195", minor]);
    };
    let profile = |mask: &str| {
        format!(
            "{{\"profiles\":[{{\"name\":\"_container_\",\"settings\":[\"EGLVisibleDGPUDevices\",{mask}]}}],\
             \"rules\":[{{\"pattern\":[],\"profile\":\"_container_\"}}]}}"
        )
    };
    let bundle = Bundle::new();
    for (name, minor) in [("nvidia0", "0"), ("nvidia7", "5"), ("nvidiactl", "255")] {
        device(&bundle, name, minor);
    }
    bundle
        .file("dev/nvidia3", "")
        .link("dev/nvidia4", "nvidia0")
        .directory("dev/nvidia-caps");
    for _ in 0..2 {
        bundle
            .hook_in(&with_umask("077"), "update-application-profile")
            .silent();
        assert_eq!(bundle.text(PROFILE), profile("0x21"));
        assert_eq!(bundle.mode(PROFILE), 0o444);
    }
    // The container is started again with other GPUs.
    device(&bundle, "nvidia63", "63");
    device(&bundle, "nvidia99", "99");
    bundle
        .hook("update-application-profile")
        .warns(&["/dev/nvidia99: its minor number 99 is above 63"]);
    assert_eq!(bundle.text(PROFILE), profile("0x8000000000000021"));

    let without = Bundle::new();
    device(&without, "nvidiactl", "255");
    without.hook("update-application-profile").silent();
    assert!(!without.at("etc").exists());
}

#[test]
fn profiles_and_devices_stay_inside() {
    if !has(&["mknod"]) {
        return;
    }
    each_kernel_without_landlock(|kernel| {
        for link in [
            "etc",
            "etc/nvidia",
            "etc/nvidia/nvidia-application-profiles-rc.d",
            PROFILE,
        ] {
            for out in ["", "/../../../../../../../../../../.."] {
                let bundle = Bundle::new();
                let host = bundle.host();
                let out = format!("{out}{}", host.display());
                let before = snapshot(&host);
                bundle
                    .node("dev/nvidia0", &["c", "195", "0"])
                    .link(link, &out);
                bundle
                    .hook_in(kernel, "update-application-profile")
                    .silent();
                assert_eq!(snapshot(&host), before, "{link} -> {out}");
            }
        }
    });
    let bundle = Bundle::new();
    bundle.link("dev", "/dev");
    bundle.hook("update-application-profile").silent();
}

/// What is no fault of a disk or of privileges is an error. Guard: `is_obstacle`.
#[test]
fn a_profile_that_cannot_be_written_is_an_error() {
    if !has(&["mknod"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle
        .node("dev/nvidia0", &["c", "195", "0"])
        .directory(PROFILE);
    let ran = bundle.hook("update-application-profile");
    ran.fails(&["cannot write /etc/nvidia/", "Is a directory"]);
}
