//! Links in volumes and to them, and what a cache on one needs.

use super::*;

/// Where nothing has to be changed nothing is refused.
#[test]
fn a_link_that_is_there_in_a_volume_is_no_warning() {
    let line = "create-symlinks --link missing::/vol/libstale.so.1";
    for ran in untouched(VOLUME, line, |_| ()) {
        ran.silent();
    }
    let line = "create-symlinks --link other::/vol/libstale.so.1";
    for ran in untouched(VOLUME, line, |_| ()) {
        ran.warns(&[NOT_OWN]);
    }
}

/// A link is the container's own wherever it leads: another takes its place. Guard: `MountId::of_name` follows no link.
#[test]
fn a_link_to_a_volume_is_replaced() {
    let target = "../vol/ld.so.cache";
    for line in [UPDATE, "create-symlinks --link x::/etc/ld.so.cache"] {
        for ran in untouched(VOLUME, line, |bundle| {
            bundle.link("etc/ld.so.cache", target);
        }) {
            ran.silent();
        }
    }
}

/// Where nothing is mounted over the cache, nothing has to be. Guard: `is_cache_on_other_mount`.
#[test]
fn only_for_a_cache_of_others_a_hook_keeps_the_right_to_mount() {
    if !has(&["unshare", "mount", "strace"]) {
        return;
    }
    for (mounts, threads) in [
        ("true", 0),
        ("mount --bind $host/ld.so.cache $root/etc/ld.so.cache", 1),
    ] {
        let bundle = image();
        bundle.file("etc/ld.so.cache", "old");
        let trace = trace(&bundle, mounts);
        assert_eq!(trace.matches("CLONE_THREAD").count(), threads, "{trace}");
    }
}
