//! The hooks that matter to containers with GPUs only, run by hand on bundles; and what the admin can say about hooks.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::bundle;
use crate::common::bundle::{
    Bundle, READ_ONLY, compat_libcuda, each_kernel_without_landlock, has, helper, library,
    with_mounts, with_note, with_umask, without, words,
};
use crate::common::machine::snapshot;
use nvidia_ctk::ldcache::cached_paths;
use nvidia_ctk::rootfs::ContainerRoot;

// enable-cuda-compat

const COMPAT: &str = "/usr/local/cuda/compat";
const LIBCUDA: &str = "/usr/local/cuda/compat/libcuda.so.575.57.08";
const COMPAT_CONF: &str = "/etc/ld.so.conf.d/00-compat-nvidia-ctk.conf";
const NOTE: &str =
    r#"{"Format":1,"CUDA Version":"12.9","Driver":[535,550,560,565,570,575],"Device":[1,2]}"#;
/// A host whose driver is older than the library, and that the note names.
const OLDER_HOST: &str = "enable-cuda-compat --host-driver-version=570.211.01";

fn cached(bundle: &Bundle) -> Vec<String> {
    let root = ContainerRoot::open(&bundle.root()).unwrap();
    let paths = cached_paths(&root);
    paths.iter().map(|it| it.display().to_string()).collect()
}

#[test]
fn a_newer_libcuda_of_the_image_comes_before_the_drivers() {
    let bundle = Bundle::new();
    let mut compat = library("libcuda.so.1");
    compat.extend([0; 64]);
    bundle
        .file("usr/local/cuda/compat/libcuda.so.575.57.08", compat)
        .file(
            "usr/lib/nvidia/libcuda.so.570.211.01",
            library("libcuda.so.1"),
        );
    for run in 0..2 {
        let before = snapshot(&bundle.root());
        bundle.hook_in(&with_umask("077"), OLDER_HOST).silent();
        bundle
            .hook_in(
                &with_umask("077"),
                "update-ldcache --folder /usr/lib/nvidia",
            )
            .silent();
        let after = snapshot(&bundle.root());
        assert_eq!(before == after, run == 1, "run {run}");
    }
    assert_eq!(bundle.text(COMPAT_CONF), format!("{COMPAT}\n"));
    assert_eq!(bundle.mode(COMPAT_CONF), 0o644);
    assert_eq!(
        cached(&bundle),
        [
            "/usr/local/cuda/compat/libcuda.so.1",
            "/usr/lib/nvidia/libcuda.so.1"
        ]
    );
    // The container is started again, on a host that got a newer driver.
    bundle
        .hook("enable-cuda-compat --host-driver-version 580.1.1")
        .silent();
    // The cache of the last start still names the library, which is not the driver's.
    bundle.hook("update-ldcache --find-driver").silent();
    assert_eq!(bundle.text(COMPAT_CONF), "");
    assert_eq!(cached(&bundle), ["/usr/lib/nvidia/libcuda.so.1"]);
}

#[test]
fn a_libcuda_of_the_image_alone_is_no_driver() {
    let bundle = Bundle::new();
    bundle
        .file(LIBCUDA, library("libcuda.so.1"))
        .file("etc/ld.so.conf", format!("{COMPAT}\n"));
    let before = snapshot(&bundle.root());
    for line in ["create-symlinks", "update-ldcache --find-driver"] {
        bundle.hook(line).silent();
        assert_eq!(snapshot(&bundle.root()), before, "{line}");
    }
}

#[test]
fn only_the_owners_note_in_its_section_counts() {
    let host = "enable-cuda-compat --host-driver-version 570.1 --host-cuda-version 12.8";
    for (library, is_used) in [
        (compat_libcuda(NOTE), true),
        (compat_libcuda(&NOTE.replace("570", "571")), false),
        (compat_libcuda(&NOTE.to_lowercase()), true),
        // Without a note nothing is known of CUDA's versions.
        (
            with_note(".note.cuda.fwd_compatibility", "GNU", NOTE.as_bytes()),
            false,
        ),
        (
            with_note(".note.other", "NVIDIA Corporation", NOTE.as_bytes()),
            false,
        ),
        (library("libcuda.so.1"), false),
        (Vec::new(), false),
    ] {
        let bundle = Bundle::new();
        bundle.file(LIBCUDA, &library);
        let ran = bundle.hook(host);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(!bundle.text(COMPAT_CONF).is_empty(), is_used, "{ran:?}");
    }
}

#[test]
fn odd_libraries_never_keep_a_container_from_starting() {
    let good = compat_libcuda(NOTE);
    let table = usize::from_le_bytes(good[40..48].try_into().unwrap());
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file.splice(at..at + bytes.len(), bytes.iter().copied());
        file
    };
    let mut odd = vec![
        changed(40, &[0xff; 8]),              // section headers beyond the end
        changed(60, &[0xff, 0xff]),           // more sections than there can be
        changed(62, &[0xff, 0xff]),           // no section of names
        changed(64, &[0xff; 4]),              // an owner of 4 GiB
        changed(68, &[0xff; 4]),              // a text of 4 GiB
        changed(table + 64, &[0xff; 4]),      // a section's name beyond the end
        changed(table + 64 + 24, &[0xff; 8]), // a section beyond the end
        changed(table + 64 + 32, &[0xff; 8]), // a section without end
        changed(table + 64 + 48, &[0xff; 8]), // aligned to nothing
        changed(table + 64 + 48, &[0; 8]),
        compat_libcuda(""),
        compat_libcuda(&"[".repeat(60_000)),
        compat_libcuda(&format!("{{\"Driver\":[{}1]}}", "1,".repeat(40_000))),
    ];
    odd.extend((0..good.len()).step_by(7).map(|end| good[..end].to_vec()));
    for file in odd {
        let bundle = Bundle::new();
        bundle.file(LIBCUDA, &file);
        let ran =
            bundle.hook("enable-cuda-compat --host-driver-version 570.1 --host-cuda-version 12.8");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.stderr.contains("level=error"), "{ran:?}");
    }
}

#[test]
fn only_one_regular_file_is_a_libcuda() {
    // name, kind, whether there is a warning
    for (names, warning) in [
        (&["libcuda.so.1", "libcuda.so", "libcuda.so.x"][..], None),
        (
            &["libcuda.so.575.1", "libcuda.so.576.1"],
            Some("more than one libcuda.so.VERSION"),
        ),
        (
            &["libcuda.so.1.2.3.4"],
            Some("is not a version, and does not count"),
        ),
    ] {
        let bundle = Bundle::new();
        for name in names {
            bundle.file(Path::new(COMPAT).join(name), "");
        }
        let ran = bundle.hook("enable-cuda-compat --host-driver-version 1");
        match warning {
            Some(part) => ran.warns(&[part]),
            None => ran.silent(),
        }
        assert_eq!(bundle.text(COMPAT_CONF), "", "{names:?}");
    }
    if !has(&["mknod"]) {
        return;
    }
    for kind in [&["p"][..], &["c", "5", "0"], &["b", "1", "0"]] {
        let bundle = Bundle::new();
        bundle.node(LIBCUDA, kind);
        bundle.hook(OLDER_HOST).silent();
        assert_eq!(bundle.text(COMPAT_CONF), "");
    }
}

#[test]
fn a_compat_directory_cannot_write_lines_of_its_own() {
    for name in ["a\nb", "a#b"] {
        let bundle = Bundle::new();
        bundle
            .file(
                Path::new(name).join("libcuda.so.575.57.08"),
                compat_libcuda(NOTE),
            )
            .link(COMPAT, Path::new("/").join(name));
        bundle
            .hook(OLDER_HOST)
            .warns(&["no line of ld.so.conf can hold this path"]);
        assert_eq!(bundle.text(COMPAT_CONF), "");
    }
}

#[test]
fn compat_directories_and_drop_ins_stay_inside() {
    each_kernel_without_landlock(|kernel| {
        for out in ["", "../../../../../../../../../../.."] {
            let bundle = Bundle::new();
            let host = bundle.host();
            let out = format!("{out}{}", host.display());
            fs::write(host.join("libcuda.so.575.57.08"), compat_libcuda(NOTE)).unwrap();
            fs::create_dir(host.join("ld.so.conf.d")).unwrap();
            let before = snapshot(&host);
            bundle.link(COMPAT, &out);
            bundle.hook_in(kernel, OLDER_HOST).silent();
            assert_eq!(bundle.text(COMPAT_CONF), "", "the host's library was read");
            for link in ["etc/ld.so.conf.d", "etc"] {
                let bundle = Bundle::new();
                bundle.file(LIBCUDA, compat_libcuda(NOTE)).link(link, &out);
                let ran = bundle.hook_in(kernel, OLDER_HOST);
                assert_eq!(ran.code, 0, "{ran:?}");
            }
            assert_eq!(snapshot(&host), before);
        }
    });
}

#[test]
fn what_stands_in_the_way_of_a_drop_in_is_a_warning() {
    for path in [
        "etc",
        "etc/ld.so.conf.d",
        "etc/ld.so.conf.d/00-compat-nvidia-ctk.conf/x",
    ] {
        let bundle = Bundle::new();
        bundle.file(LIBCUDA, compat_libcuda(NOTE)).file(path, "");
        bundle
            .hook(OLDER_HOST)
            .warns(&["ld.so.conf.d does not say which libcuda is to be used"]);
    }
}

// disable-device-node-modification

const PARAMS: &str = "ResmanDebugLevel: 1\nModifyDeviceFiles: 1\nRegistryDwords: \"\"\n";
const SWITCHED: &str = "ResmanDebugLevel: 1\nModifyDeviceFiles: 0\nRegistryDwords: \"\"\n";

/// What a container sees that has the kernel's parameters, whose file can only be one of procfs.
const IN_CONTAINER: &str = "Linux\n";
/// Lets the container see them.
const SEE_PARAMS: &str =
    "mount -t tmpfs tmpfs $root/proc/driver; mkdir $root/proc/driver/nvidia; touch $params;
    mount --bind /proc/sys/kernel/ostype $params";

/// Runs a hook in a mount namespace with a host that has a driver and a container that sees its parameters, as `$params`: as
/// `call` says, then looks.
fn with_params(bundle: &Bundle, host: &str, call: &str, look: &str) -> bundle::Ran {
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
fn assert_ran(ran: &bundle::Ran, stdout: &str, case: &str) {
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

// update-application-profile

const PROFILE: &str = "/etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf";

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
    bundle
        .link("dev", "/dev")
        .hook("update-application-profile")
        .silent();
}

// create-soname-symlinks

#[test]
fn soname_links_are_made_in_the_named_folders_alone() {
    let bundle = Bundle::new();
    for folder in ["usr/lib/drv", "usr/lib"] {
        bundle.file(
            Path::new(folder).join("libcuda.so.1.2"),
            library("libcuda.so.1"),
        );
    }
    bundle.link("usr/lib/drv/libgone.so.1", "libgone.so.1.0");
    for line in [
        "create-soname-symlinks --ldconfig-path /sbin/ldconfig --folder /usr/lib/drv,/missing",
        "create-soname-symlinks --folder /usr/lib/drv",
        "create-soname-symlinks",
    ] {
        bundle.hook(line).silent();
        assert_eq!(bundle.target("usr/lib/drv/libcuda.so.1"), "libcuda.so.1.2");
        assert_eq!(bundle.target("usr/lib/libcuda.so.1"), "", "{line}");
        assert!(!bundle.at("etc").exists(), "{line}");
    }
    bundle
        .hook("create-soname-symlinks --folder relative")
        .fails(&["not an absolute path"]);
}

#[test]
fn folders_of_soname_links_stay_inside() {
    each_kernel_without_landlock(|kernel| {
        let bundle = Bundle::new();
        let host = bundle.host();
        fs::write(host.join("libcuda.so.1.2"), library("libcuda.so.1")).unwrap();
        let before = snapshot(&host);
        bundle
            .link("a", &host)
            .link("b", "../../../../../../../../..")
            .link("c", "/proc/self/root");
        for link in ["a", "b", "c"] {
            let line = format!(
                "create-soname-symlinks --folder /{link},/{link}{}",
                host.display()
            );
            bundle.hook_in(kernel, &line).silent();
        }
        assert_eq!(snapshot(&host), before);
    });
}

// apply

const APPLY: &str = "apply --host-driver-version 570.211.01 --link libcuda.so.1::/usr/lib/nvidia/libcuda.so
    --chmod 755:/dev/nvidia-caps --chmod=0700:/missing --folder /usr/lib/nvidia --disable-device-node-modification
    --update-application-profile";

fn gpu_container() -> Bundle {
    let bundle = Bundle::new();
    let mut compat = library("libcuda.so.1");
    compat.extend([0; 64]);
    bundle
        .file(LIBCUDA, compat)
        .file(
            "usr/lib/nvidia/libcuda.so.570.211.01",
            library("libcuda.so.1"),
        )
        .directory("dev/nvidia-caps")
        .set_mode("dev/nvidia-caps", 0o700)
        .node("dev/nvidia0", &["c", "195", "0"]);
    bundle
}

/// Everything below a root that hooks make, without times and inodes.
fn content(bundle: &Bundle) -> Vec<(String, u32, Vec<u8>)> {
    let paths = snapshot(&bundle.root()).into_keys();
    paths
        .map(|path| {
            let shown = path.strip_prefix(bundle.root()).unwrap();
            let bytes = match fs::read_link(&path) {
                Ok(target) => target.into_os_string().into_encoded_bytes(),
                Err(_) if path.is_file() => fs::read(&path).unwrap(),
                Err(_) => Vec::new(),
            };
            (shown.display().to_string(), bundle.mode(shown), bytes)
        })
        .collect()
}

#[test]
fn one_call_does_what_the_hooks_do_one_by_one() {
    if !has(&["mknod"]) {
        return;
    }
    let one = gpu_container();
    one.hook(APPLY).silent();
    let before = snapshot(&one.root());
    one.hook(APPLY).silent();
    assert_eq!(
        snapshot(&one.root()),
        before,
        "a second run changed something"
    );

    let six = gpu_container();
    for line in [
        OLDER_HOST,
        "create-soname-symlinks --folder /usr/lib/nvidia",
        "create-symlinks --link libcuda.so.1::/usr/lib/nvidia/libcuda.so",
        "chmod --mode 755 --path /dev/nvidia-caps",
        "update-ldcache --folder /usr/lib/nvidia",
        "update-application-profile",
    ] {
        six.hook(line).silent();
    }
    assert_eq!(content(&one), content(&six));
    assert_eq!(
        cached(&one),
        [
            "/usr/local/cuda/compat/libcuda.so.1",
            "/usr/lib/nvidia/libcuda.so.1",
            "/usr/lib/nvidia/libcuda.so"
        ]
    );
}

#[test]
fn a_part_that_fails_does_not_keep_the_others_from_being_done() {
    if !has(&["mknod"]) {
        return;
    }
    let bundle = gpu_container();
    bundle
        .directory("usr/lib/nvidia/libcuda.so")
        .link("loop", "loop");
    let ran = bundle.hook(&format!("{APPLY} --chmod 755:/loop"));
    ran.fails(&[
        "/usr/lib/nvidia/libcuda.so -> libcuda.so.1: cannot make the link",
        "create-symlinks: 1 links could not be made",
        "/loop: cannot set the mode",
        "chmod: chmod failed",
        "2 parts failed",
    ]);
    assert_eq!(cached(&bundle).len(), 2);
    assert!(!bundle.text(PROFILE).is_empty());
    for (option, part) in [
        ("--link a", "--link a: not of the form TARGET::LINK"),
        ("--folder a", "not an absolute path"),
        ("--chmod 755", "OCTAL:PATH"),
        ("--chmod 9:/a", "a mode is octal"),
        ("--chmod 755:", "OCTAL:PATH"),
    ] {
        Bundle::new()
            .hook(&format!("apply {option}"))
            .fails(&[part]);
    }
    Bundle::new().hook("apply").silent();
}

/// As crun up to 1.25 calls the hooks of a container with a read-only root.
#[test]
fn a_read_only_root_gets_the_cache_and_the_parameters_mounted() {
    if !has(&["unshare", "mount", "mknod"]) {
        return;
    }
    let bundle = gpu_container();
    bundle.file("etc/ld.so.cache", "old");
    let call = format!(
        "{READ_ONLY}; {SEE_PARAMS};
         shift 5; set -- unshare --pid --fork \"$bundle/nvidia-cdi-hook\" {} \"$@\"; \"$@\"",
        APPLY.replace('\n', " ")
    );
    let look = "cat $params; $bundle/nvidia-ctk system print-ldcache --root $root";
    let ran = with_params(&bundle, PARAMS, &call, look);
    for part in [
        "ld.so.conf.d does not say which libcuda is to be used",
        "the mode is not set",
        "10-container.conf: not written",
        "ld.so.conf.d is not changed",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    let paths: Vec<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .collect();
    assert!(ran.stdout.starts_with(SWITCHED), "{ran:?}");
    assert_eq!(
        paths.iter().map(|(_, path)| *path).collect::<Vec<_>>(),
        // libcuda.so.1, and libcuda.so, which no link leads to.
        [LIBCUDA, "/usr/lib/nvidia/libcuda.so.570.211.01"].repeat(2),
        "{ran:?}"
    );
}

/// Under a seccomp filter.
#[test]
fn where_nothing_can_be_mounted_the_container_starts() {
    if !has(&["unshare", "mount", "gcc"]) {
        return;
    }
    let bundle = Bundle::new();
    bundle.file("etc/ld.so.cache", "old");
    let without: Vec<_> = without(&["fsopen", "mount"])
        .iter()
        .map(|word| word.display().to_string())
        .collect();
    let call = format!(
        "{READ_ONLY}; {SEE_PARAMS};
         shift 3; unshare --pid --fork {} \"$@\" && unshare --pid --fork {} $bundle/nvidia-ctk-ldcache <$bundle/state",
        without.join(" "),
        without.join(" ")
    );
    let ran = with_params(&bundle, PARAMS, &call, "cat $params $root/etc/ld.so.cache");
    assert_eq!(
        (ran.code, ran.stdout),
        (0, format!("{IN_CONTAINER}old")),
        "{}",
        ran.stderr
    );
    for part in [
        "/proc/driver/nvidia/params: programs may modify device files: cannot mount: Function not implemented",
        "/etc/ld.so.cache: cannot mount a new one over it: Function not implemented",
        "the cache is not updated: cannot write /etc/ld.so.cache: Read-only file system",
    ] {
        assert!(
            ran.stderr.contains(&format!("level=warning msg=\"{part}")),
            "{part}: {}",
            ran.stderr
        );
    }
}

// Races.

/// Swaps two names in the root all the time.
struct Attacker(Child);

impl Attacker {
    fn start(bundle: &Bundle, one: &str, other: &str) -> Self {
        let mut attacker = Command::new(helper("exchange.c"))
            .arg(bundle.at(one))
            .arg(bundle.at(other))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let stdout = attacker.stdout.as_mut().unwrap();
        stdout.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\n");
        Self(attacker)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CVE-2026-24260 is about enable-cuda-compat, too. The guard is `ContainerRoot`.
#[test]
fn a_folder_turns_into_a_link_to_the_host_while_hooks_run() {
    const RUNS: usize = 20;
    if !has(&["gcc", "mknod"]) {
        return;
    }
    each_kernel_without_landlock(|kernel| {
        for (folder, hook) in [
            ("usr/local/cuda", OLDER_HOST),
            ("usr/local/cuda/compat", OLDER_HOST),
            ("etc", OLDER_HOST),
            ("etc/ld.so.conf.d", OLDER_HOST),
            ("etc/nvidia", "update-application-profile"),
            ("dev", "update-application-profile"),
            (
                "usr/lib/nvidia",
                "create-soname-symlinks --folder /usr/lib/nvidia",
            ),
            ("usr/lib/nvidia", APPLY),
        ] {
            let bundle = gpu_container();
            let host = bundle.host();
            for path in [
                "compat/libcuda.so.575.57.08",
                "libcuda.so.575.57.08",
                "lib.so.1.2",
            ] {
                fs::create_dir_all(host.join(path).parent().unwrap()).unwrap();
                fs::write(host.join(path), library("lib.so.1")).unwrap();
            }
            bundle.directory(folder).link("swapped", &host);
            let before = snapshot(&host);
            let attacker = Attacker::start(&bundle, folder, "swapped");
            for run in 0..RUNS {
                let ran = bundle.hook_in(kernel, hook);
                assert_eq!(ran.code, 0, "{hook}, {folder}, run {run}: {ran:?}");
            }
            drop(attacker);
            assert_eq!(
                snapshot(&host),
                before,
                "{hook}, {folder}: something got out"
            );
            assert!(!bundle.text(COMPAT_CONF).contains(host.to_str().unwrap()));
        }
    });
}

// What the admin switched off.

#[test]
fn hooks_that_are_switched_off_do_nothing() {
    for (disabled, hook, is_off) in [
        ("chmod", "chmod --mode 644 --path /f", true),
        ("create-symlinks, chmod", "chmod --mode 644 --path /f", true),
        ("all", "chmod --mode 644 --path /f", true),
        ("", "chmod --mode 644 --path /f", false),
        ("chmo,CHMOD,chmod x", "chmod --mode 644 --path /f", false),
        ("chmod", "apply --chmod 644:/f", true),
        ("apply", "apply --chmod 644:/f", true),
        (
            "create-symlinks",
            "apply --chmod 644:/f --link t::/l",
            false,
        ),
    ] {
        let bundle = Bundle::new();
        bundle.file("f", "").set_mode("f", 0o600);
        let variable = format!("NVIDIA_CTK_DISABLE_HOOKS={disabled}");
        let ran = bundle.hook_in(&words(&["env", &variable]), hook);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(bundle.mode("f") == 0o600, is_off, "{disabled}: {hook}");
        assert_eq!(bundle.target("l"), "");
        let told = ran
            .stderr
            .contains("is switched off by NVIDIA_CTK_DISABLE_HOOKS");
        assert_eq!(told, is_off || hook.contains("t::/l"), "{ran:?}");
    }
}

#[test]
fn the_hosts_configuration_switches_hooks_off() {
    const CONFIG: &str = "/etc/nvidia-container-runtime/config.toml";
    if !has(&["unshare", "mount"]) {
        return;
    }
    for (config, is_off, said) in [
        (
            "[nvidia-ctk]\ndisabled-hooks = [\"chmod\"]\n",
            true,
            "level=info msg=\"chmod is switched off by /etc/nvidia",
        ),
        (
            "nvidia-ctk.disabled-hooks = [\"all\"]\n",
            true,
            "level=info ",
        ),
        ("[nvidia-ctk]\ndisabled-hooks = [\"apply\", 7]\n", false, ""),
        ("[nvidia-ctk]\n#disabled-hooks = [\"chmod\"]\n", false, ""),
        ("[other]\ndisabled-hooks = [\"chmod\"]\n", false, ""),
        (
            "[nvidia-ctk]\ndisabled-hooks = \"chmod\"\n",
            false,
            "level=warning ",
        ),
        (
            "[nvidia-ctk\ndisabled-hooks = [\"chmod\"]\n",
            false,
            "level=warning ",
        ),
        // What is not asked for is not even parsed.
        ("[nvidia-ctk\n", false, ""),
    ] {
        let bundle = Bundle::new();
        bundle.file("f", "").set_mode("f", 0o600);
        fs::write(bundle.path().join("config.toml"), config).unwrap();
        let mounts = with_mounts(
            &bundle,
            &format!(
                "mount -t tmpfs tmpfs /etc; mkdir -p {CONFIG}; rmdir {CONFIG}; cp $bundle/config.toml {CONFIG}"
            ),
        );
        let ran = bundle.hook_in(&mounts, "chmod --mode 644 --path /f");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(bundle.mode("f") == 0o600, is_off, "{config}");
        assert!(
            ran.stderr.contains(said) && ran.stderr.is_empty() == said.is_empty(),
            "{ran:?}"
        );
    }
}

/// Guard: the mark depends on `Found::is_complete` alone. What another part of apply warns of at each start must not make each start a slow one.
#[test]
fn a_warning_of_another_part_leaves_the_cache_its_mark() {
    let marked = |line: &str, is_odd: bool| {
        let bundle = Bundle::new();
        bundle.file("opt/lib/libx.so.1.2", library("libx.so.1"));
        if is_odd {
            for name in ["libcuda.so.575.1", "libcuda.so.576.1"] {
                bundle.file(Path::new(COMPAT).join(name), "");
            }
        }
        let ran = bundle.hook(line);
        assert_eq!((ran.code, ran.stderr.is_empty()), (0, !is_odd), "{ran:?}");
        let mut mark = [0; 8];
        rustix::fs::getxattr(bundle.at("etc/ld.so.cache"), "user.nvidia-ctk", &mut mark)
    };
    // As on any file system that can hold one.
    let plain = marked("update-ldcache --folder /opt/lib", false);
    let odd = marked("apply --host-driver-version 570.1 --folder /opt/lib", true);
    assert_eq!(odd, plain);
}
