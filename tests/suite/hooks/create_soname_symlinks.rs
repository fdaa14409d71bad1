//! `create-soname-symlinks`.

use std::fs;
use std::path::Path;

use crate::common::bundle::Bundle;
use crate::common::elf::library;
use crate::common::tree::snapshot;
use crate::common::wrapper::each_kernel_without_landlock;

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
