//! The links that containers get beside the driver's libraries.

use std::path::{Path, PathBuf};

use super::hooks::Link;
use crate::driver::files::{Files, Library};
use crate::driver::place::USUAL_LIBRARY_DIRECTORIES;

/// Where programs look for backends of GBM and of VDPAU: below the library directory of their own library.
const GBM: &str = "gbm/nvidia-drm_gbm.so";
const VDPAU: &str = "libvdpau_nvidia.so";
const ALLOCATOR: &str = "libnvidia-allocator.so";

/// Links for graphics, and those for the libraries: each is one group.
pub(super) fn of(files: &Files, version: &str) -> Vec<Vec<Link>> {
    vec![
        graphics(files, version),
        of_libraries(files.libraries.iter().chain(&files.graphics)),
    ]
}

/// The links that NVIDIA's installer makes for these libraries.
pub(super) fn of_libraries<'l>(libraries: impl IntoIterator<Item = &'l Library>) -> Vec<Link> {
    let mut links = Vec::new();
    for library in libraries {
        for link in of_library(library) {
            if !links.contains(&link) {
                links.push(link);
            }
        }
    }
    links
}

fn graphics(files: &Files, version: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let named = |name: &str| {
        let name = format!("{name}.{version}");
        files.libraries.iter().find(move |it| it.name() == name)
    };
    if let Some(allocator) = named(ALLOCATOR) {
        links.extend(gbm(allocator));
    }
    let producer = "libnvidia-vulkan-producer.so";
    if let Some(library) = named(producer) {
        links.push(Link::new(
            library.name(),
            library.directory().join(producer),
        ));
    }
    let glx = "libglxserver_nvidia.so";
    let modules = files.xorg.iter().map(|it| it.inside.as_path());
    let module = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.starts_with(glx)
            .then(|| Link::new(name, path.with_file_name(glx)))
    };
    links.extend(modules.filter_map(module));
    links.extend(named(VDPAU).and_then(vdpau));
    links
}

/// The backend of GBM is the allocator, where libgbm looks for it: beside the libraries, or below the directories that images have
/// their own libgbm in.
fn gbm(allocator: &Library) -> Vec<Link> {
    let directory = allocator.directory();
    let soname = allocator.soname.as_deref().unwrap_or(allocator.name());
    if is_usual(directory) {
        return vec![Link::new(format!("../{soname}"), directory.join(GBM))];
    }
    let target = directory.join(soname).display().to_string();
    let above = USUAL_LIBRARY_DIRECTORIES
        .iter()
        .filter(|it| directory.starts_with(it));
    let above: Vec<_> = above.take(1).collect();
    let usual: Vec<_> = if above.is_empty() {
        vec![&USUAL_LIBRARY_DIRECTORIES[0], &USUAL_LIBRARY_DIRECTORIES[2]]
    } else {
        above
    };
    usual
        .into_iter()
        .map(|it| Link::new(&target, Path::new(it).join(GBM)))
        .collect()
}

/// libvdpau looks in its own directory, and then asks the loader for this name.
fn vdpau(library: &Library) -> Option<Link> {
    let directory = library.directory();
    let directory = if directory.ends_with("vdpau") {
        directory.parent()?
    } else {
        directory
    };
    if is_usual(directory) {
        return None;
    }
    let target = library.file.inside.strip_prefix(directory).ok()?;
    Some(Link::new(target.to_string_lossy(), directory.join(VDPAU)))
}

fn is_usual(directory: &Path) -> bool {
    USUAL_LIBRARY_DIRECTORIES
        .iter()
        .any(|it| directory == Path::new(it))
        || ["/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu"]
            .iter()
            .any(|it| directory == Path::new(it))
}

fn of_library(library: &Library) -> Vec<Link> {
    let (name, directory) = (library.name(), library.directory());
    let link = |target: &str, link: &str| Link::new(target, directory.join(link));
    let mut links = Vec::new();
    if name.starts_with("libcuda.so.") {
        links.push(link("libcuda.so.1", "libcuda.so"));
    } else if name.starts_with("libGLX_nvidia.so.") {
        links.push(link(name, "libGLX_indirect.so.0"));
    } else if name.starts_with("libnvidia-opticalflow.so.") {
        links.push(link(
            "libnvidia-opticalflow.so.1",
            "libnvidia-opticalflow.so",
        ));
    }
    if let Some(soname) = library.soname.as_deref().filter(|it| *it != name) {
        // Not ldconfig alone: a link that leads to this one has to lead somewhere when ldconfig comes by.
        links.push(link(name, soname));
        if let Some(development) = &library.development_link {
            links.push(link(soname, development));
        }
    } else if let Some(development) = &library.development_link {
        links.push(link(name, development));
    }
    links
}

/// The directories of the libraries, for the cache of the loader.
pub(super) fn folders<'l>(libraries: impl IntoIterator<Item = &'l Library>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for library in libraries {
        let folder = library.directory().to_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}
