//! `enable-cuda-compat`.

use std::fs;
use std::path::Path;

use crate::common::bundle::Bundle;
use crate::common::elf::{compat_libcuda, library, with_note};
use crate::common::machine::has;
use crate::common::tree::snapshot;
use crate::common::wrapper::{each_kernel_without_landlock, with_umask};

pub(super) const COMPAT: &str = "/usr/local/cuda/compat";
pub(super) const LIBCUDA: &str = "/usr/local/cuda/compat/libcuda.so.575.57.08";
pub(super) const COMPAT_CONF: &str = "/etc/ld.so.conf.d/00-compat-nvidia-ctk.conf";
const NOTE: &str =
    r#"{"Format":1,"CUDA Version":"12.9","Driver":[535,550,560,565,570,575],"Device":[1,2]}"#;
/// A host whose driver is older than the library, and that the note names.
pub(super) const OLDER_HOST: &str = "enable-cuda-compat --host-driver-version=570.211.01";

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
        bundle.cached(),
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
    assert_eq!(bundle.cached(), ["/usr/lib/nvidia/libcuda.so.1"]);
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
            Some("is not a version and is ignored"),
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
