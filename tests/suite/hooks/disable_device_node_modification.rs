//! `disable-device-node-modification`.

use std::fs;

use crate::common::bundle::Bundle;
use crate::common::machine::has;
use crate::common::outcome::Outcome;
use crate::common::wrapper::{with_mounts, words};

pub(super) const PARAMS: &str = "ResmanDebugLevel: 1\nModifyDeviceFiles: 1\nRegistryDwords: \"\"\n";
pub(super) const SWITCHED: &str =
    "ResmanDebugLevel: 1\nModifyDeviceFiles: 0\nRegistryDwords: \"\"\n";

/// What a container sees that has the kernel's parameters, whose file can only be one of procfs.
pub(super) const IN_CONTAINER: &str = "Linux\n";
/// Lets the container see them.
pub(super) const SEE_PARAMS: &str =
    "mount -t tmpfs tmpfs $root/proc/driver; mkdir $root/proc/driver/nvidia; touch $params;
    mount --bind /proc/sys/kernel/ostype $params";

/// Runs a hook in a mount namespace with a host that has a driver and a container that sees its parameters, as `$params`: as
/// `call` says, then looks.
pub(super) fn with_params(bundle: &Bundle, host: &str, call: &str, look: &str) -> Outcome {
    fs::write(bundle.path().join("params"), host).unwrap();
    let state = bundle.path().join("state");
    fs::write(&state, bundle.state().to_string()).unwrap();
    bundle.directory("proc/driver");
    let mounts = with_mounts(
        bundle,
        &format!(
            "params=$root/proc/driver/nvidia/params; export bundle root host params;
             mount -t tmpfs tmpfs /proc/driver; mkdir /proc/driver/nvidia; cp $bundle/params /proc/driver/nvidia;
             {SEE_PARAMS}"
        ),
    );
    let script = format!("{call}; code=$?; {look}; exit $code");
    // As in a createContainer hook, /proc shows other process numbers.
    let before = [
        mounts,
        words(&["sh", "-c", &script, "sh", "unshare", "--pid", "--fork"]),
    ];
    let hook = "disable-device-node-modification --container-spec";
    bundle.hook_in(&before.concat(), &format!("{hook} {}", state.display()))
}

#[track_caller]
fn assert_ran(ran: &Outcome, stdout: &str, case: &str) {
    let found = (ran.code, ran.stderr.as_str(), ran.stdout.as_str());
    assert_eq!(found, (0, "", stdout), "{case}");
}

#[test]
fn the_container_sees_other_parameters_that_nobody_can_change() {
    const LOOK: &str = "cat $params;
        (echo x >$params) 2>/dev/null || echo not written;
        mount -o remount,bind,rw $params 2>/dev/null; (echo x >$params) 2>/dev/null || echo not written;
        grep -c \" $root/proc/driver/nvidia\" /proc/self/mountinfo; cat /proc/driver/nvidia/params; ls $root";
    if !has(&["unshare", "mount"]) {
        return;
    }
    for call in ["\"$@\"", "\"$@\" && \"$@\""] {
        let bundle = Bundle::new();
        let ran = with_params(&bundle, PARAMS, call, LOOK);
        let expected = format!("{SWITCHED}not written\nnot written\n2\n{PARAMS}proc\n");
        assert_ran(&ran, &expected, call);
    }
}

#[test]
fn parameters_that_need_no_change_are_left_alone() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    for params in [SWITCHED, "", "ModifyDeviceFiles: 11\n"] {
        let bundle = Bundle::new();
        // The state is not even read.
        let ran = with_params(&bundle, params, "rm $bundle/state; \"$@\"", "cat $params");
        assert_ran(&ran, IN_CONTAINER, params);
    }
    let bundle = Bundle::new();
    let call = "rm -r /proc/driver/nvidia; \"$@\"";
    let ran = with_params(&bundle, PARAMS, call, "cat $params");
    assert_ran(&ran, IN_CONTAINER, "no driver on the host");
}

#[test]
fn containers_without_parameters_are_left_alone() {
    if !has(&["unshare", "mount", "mkfifo"]) {
        return;
    }
    for prepare in [
        "umount $params; rm $params",
        "umount $params",
        "umount $params; rm $params; mkdir $params",
        "umount $params; rm $params; mkfifo $params",
        "umount $params; rm $params; ln -s params $params",
        "umount $params; rm $params; ln -s $host/secret $params",
        "umount $params; rm $params; ln -s ../../../../../../../../../../../..$host/secret $params",
        "umount $params; rm $params; ln -s /kernel $params; touch $root/kernel; mount --bind /proc/sys/kernel/ostype $root/kernel",
        "umount $params; cd $root/proc/driver; mv nvidia other; ln -s other nvidia; mount --bind /proc/sys/kernel/ostype other/params",
        "umount $params $root/proc/driver",
        "umount $params $root/proc/driver; rm -r $root/proc; echo >$root/proc",
    ] {
        let bundle = Bundle::new();
        fs::write(bundle.host().join("secret"), "the host's").unwrap();
        let call = format!("{prepare}; before=$(cat /proc/self/mountinfo); \"$@\"");
        let look = "[ \"$before\" = \"$(cat /proc/self/mountinfo)\" ] && echo same";
        let ran = with_params(&bundle, PARAMS, &call, look);
        assert_ran(&ran, "same\n", prepare);
    }
}

/// An image may have brought the variable, and podman 4.3 copies an image's annotations. Guard: `is_restricting`.
#[test]
fn only_the_host_switches_off_what_restricts_a_container() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let apply = "shift 5; set -- unshare --pid --fork $bundle/nvidia-cdi-hook apply --link t::/l \
                 --disable-device-node-modification \"$@\"";
    let annotate =
        "sed -i 's/\"id\"/\"annotations\":{\"nvidia-ctk.hooks\":\"off\"},\"id\"/' $bundle/state";
    let variable = "export NVIDIA_CTK_DISABLE_HOOKS=all";
    let config = "mount -t tmpfs tmpfs /etc; mkdir /etc/nvidia-container-runtime; \
                  echo 'nvidia-ctk.disabled-hooks = [\"all\"]' >/etc/nvidia-container-runtime/config.toml";
    for (prepare, expected) in [
        (variable, SWITCHED),
        (annotate, SWITCHED),
        (config, IN_CONTAINER),
    ] {
        for hook in ["true", apply] {
            let bundle = Bundle::new();
            let call = format!("{prepare}; {hook}; \"$@\"");
            let ran = with_params(&bundle, PARAMS, &call, "cat $params");
            let found = (ran.code, ran.stdout.as_str(), bundle.target("l"));
            assert_eq!(found, (0, expected, String::new()), "{call}: {ran:?}");
        }
    }
}

/// `apply --find-driver` leaves such a container alone but for this. Guard: `restrictions`.
#[test]
fn a_container_without_a_gpu_is_restricted_all_the_same() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    let call = "shift 5; set -- unshare --pid --fork $bundle/nvidia-cdi-hook apply --find-driver --link t::/l \
                --disable-device-node-modification \"$@\"; \"$@\"";
    let ran = with_params(&bundle, PARAMS, call, "cat $params");
    let found = (ran.code, ran.stdout.as_str(), bundle.target("l"));
    assert_eq!(found, (0, SWITCHED, String::new()), "{ran:?}");
}

/// A mount that is made there would be the host's.
#[test]
fn nothing_is_mounted_outside_of_the_containers_namespace() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    // Process 1 of the state is in the same mount namespace.
    let call = "shift 3; before=$(cat /proc/self/mountinfo); \"$@\"";
    let look = "[ \"$before\" = \"$(cat /proc/self/mountinfo)\" ] && echo same";
    let ran = with_params(&bundle, PARAMS, call, look);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "same\n"), "{ran:?}");
    assert!(
        ran.stderr.starts_with("level=warning ")
            && ran.stderr.contains("call it at createContainer"),
        "{ran:?}"
    );
}

#[test]
fn parameters_of_the_host_that_cannot_be_read_are_a_warning() {
    if !has(&["unshare", "mount"]) {
        return;
    }
    let bundle = Bundle::new();
    let odd = "rm /proc/driver/nvidia/params; mkdir /proc/driver/nvidia/params; \"$@\"";
    let ran = with_params(&bundle, PARAMS, odd, "cat $params");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, IN_CONTAINER),
        "{ran:?}"
    );
    let warning = "programs may modify device files: cannot read the host's";
    assert!(ran.stderr.contains(warning), "{ran:?}");
}
