//! The links beside the driver's libraries in containers.

use std::path::{Path, PathBuf};

use super::hooks::Link;
use crate::driver::files::{Files, Library};
use crate::driver::place::USUAL_LIBRARY_DIRECTORIES;

/// The paths where libgbm and libvdpau look for backends, relative to their own directory.
const GBM: &str = "gbm/nvidia-drm_gbm.so";
const VDPAU: &str = "libvdpau_nvidia.so";
const ALLOCATOR: &str = "libnvidia-allocator.so";

/// Returns two groups of links: for graphics, and for the libraries.
pub(super) fn of(files: &Files, version: &str) -> Vec<Vec<Link>> {
    vec![
        graphics(files, version),
        of_libraries(files.libraries.iter().chain(&files.graphics)),
    ]
}

/// Returns the links that NVIDIA's installer creates for these libraries.
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

/// Links the GBM backend, which is the allocator, where libgbm looks for it: beside the libraries, or below the directories where
/// images have libgbm.
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

/// Links the VDPAU library: libvdpau looks in its own directory, then asks the loader for this name.
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
        // Not left to ldconfig: a link that leads to this one must be valid when ldconfig runs.
        links.push(link(name, soname));
        if let Some(development) = &library.development_link {
            links.push(link(soname, development));
        }
    } else if let Some(development) = &library.development_link {
        links.push(link(name, development));
    }
    links
}

/// Returns the directories of the libraries, for the loader's cache.
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
