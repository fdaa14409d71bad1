//! `apply`: does everything that a container with GPUs needs, in one call.

use std::cell::OnceCell;
use std::mem::take;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};

use super::chmod::{self, Chmod};
use super::create_symlinks::{self, CreateSymlinks, Link};
use super::disable_device_node_modification::{self, DisableDeviceNodeModification};
use super::disabled::Disabled;
use super::drop_in;
use super::enable_cuda_compat::{self, COMPAT_ROOT, EnableCudaCompat};
use super::update_application_profile::{self, UpdateApplicationProfile};
use super::update_ldcache::{self, Preferred, UpdateLdcache};
use super::{InContainer, name};
use crate::ldcache::Ldconfig;
use crate::oci::State;
use crate::rootfs::ContainerRoot;
use crate::sandbox::Mounts;

/// Do the work of several hooks in one call, in the order in which they depend on each other.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "apply",
    help_triggers("-h", "--help"),
    example = "nvidia-cdi-hook apply --find-driver <state.json\n\
               nvidia-cdi-hook apply --folder /usr/lib64 --chmod 755:/dev/dri <state.json",
    note = "Also accepts: --debug, --quiet, --strict (treat warnings as errors)."
)]
#[expect(clippy::doc_markdown, reason = "help texts have no backticks")]
pub struct Apply {
    /// version of the host's driver, as for enable-cuda-compat
    #[argh(option, arg_name = "version", default = "String::new()")]
    pub host_driver_version: String,
    /// version of CUDA that the host's driver supports, as for enable-cuda-compat
    #[argh(option, arg_name = "version", default = "String::new()")]
    pub host_cuda_version: String,
    /// directory of the compatibility libraries in the container (default: /usr/local/cuda/compat)
    #[argh(option, arg_name = "dir", default = "String::from(COMPAT_ROOT)")]
    pub cuda_compat_container_root: String,
    /// link to create, as TARGET::LINK; may be repeated
    #[argh(option, arg_name = "target::link")]
    pub link: Vec<String>,
    /// link to create if its target exists in the container, as TARGET::LINK; may be repeated
    #[argh(option, arg_name = "target::link")]
    pub link_if_target: Vec<String>,
    /// mode to set and file in the container, as OCTAL:PATH; may be repeated
    #[argh(option, arg_name = "octal:path", from_str_fn(parse_chmod))]
    pub chmod: Vec<chmod::Options>,
    /// library directory in the container, as for update-ldcache; may be repeated
    #[argh(option, arg_name = "dir")]
    pub folder: Vec<String>,
    /// find the driver's libraries in the container, create the links that NVIDIA's installer would make for them, and add them
    /// to ld.so.cache; if config.json gives the container neither an NVIDIA device nor such a library, do no more than
    /// --disable-device-node-modification
    #[argh(switch)]
    pub find_driver: bool,
    /// do the work of the hook of this name
    #[argh(switch)]
    pub disable_device_node_modification: bool,
    /// do the work of the hook of this name
    #[argh(switch)]
    pub update_application_profile: bool,
    /// file that holds the OCI state (default: -, standard input)
    #[argh(option, arg_name = "file")]
    pub container_spec: Option<String>,
}

/// All the work; a part that is absent or empty is left out.
#[derive(Default)]
pub struct Options {
    /// Whether the container's own libcuda is preferred.
    pub cuda_compat: Option<enable_cuda_compat::Options>,
    /// Links to make.
    pub links: Vec<Link>,
    /// Where to look first for the driver's libraries, whose usual links are made.
    pub driver_links: Option<Vec<PathBuf>>,
    /// Modes to set.
    pub modes: Vec<chmod::Options>,
    /// What the loader must find.
    pub ldcache: Option<update_ldcache::Options>,
    /// The parameters of the kernel module that the container sees.
    pub params: Option<Vec<u8>>,
    /// Whether to write a profile that names the GPUs to EGL.
    pub application_profile: bool,
}

impl InContainer for Apply {
    type Options = Options;

    fn container_spec(&self) -> Option<&str> {
        self.container_spec.as_deref()
    }

    fn options(&self, by_config: &Disabled) -> Result<Option<Options>> {
        let (mut links, wrong) = create_symlinks::links("--link", &self.link, false);
        let (more, more_wrong) =
            create_symlinks::links("--link-if-target", &self.link_if_target, true);
        let wrong = wrong + more_wrong;
        ensure!(wrong == 0, "{wrong} links are not of the form TARGET::LINK");
        links.extend(more);
        let cuda_compat = enable_cuda_compat::Options {
            host_driver_version: self.host_driver_version.clone(),
            host_cuda_version: self.host_cuda_version.clone(),
            container_root: self.cuda_compat_container_root.clone().into(),
        };
        let ldcache = update_ldcache::Options {
            folders: drop_in::folders(&self.folder)?,
            find_driver: self.find_driver,
            ..update_ldcache::Options::default()
        };
        let mut options = Options::default();
        if by_config.allows::<EnableCudaCompat>(cuda_compat.has_versions()) {
            options.cuda_compat = Some(cuda_compat);
        }
        if by_config.allows::<CreateSymlinks>(!links.is_empty()) {
            options.links = links;
        }
        if by_config.allows::<CreateSymlinks>(self.find_driver) {
            options.driver_links = Some(Vec::new());
        }
        if by_config.allows::<Chmod>(!self.chmod.is_empty()) {
            options.modes.clone_from(&self.chmod);
        }
        let finds_more =
            !ldcache.folders.is_empty() || options.cuda_compat.is_some() || self.find_driver;
        if by_config.allows::<UpdateLdcache>(finds_more) {
            options.ldcache = Some(ldcache);
        }
        if by_config.allows::<DisableDeviceNodeModification>(self.disable_device_node_modification)
        {
            options.params = disable_device_node_modification::params_for_container();
        }
        options.application_profile =
            by_config.allows::<UpdateApplicationProfile>(self.update_application_profile);
        Ok(Some(options))
    }

    fn allowed(options: Options, by_caller: &Disabled) -> Option<Options> {
        let options = options.without(by_caller);
        (!options.is_nothing()).then_some(options)
    }

    fn learn(&self, options: &mut Options, state: &State) -> bool {
        if !self.find_driver {
            return true;
        }
        if !state.names_driver() {
            log::debug!("config.json names nothing of a driver: nothing is done");
            *options = take(options).restrictions();
            return !options.is_nothing();
        }
        let places = state.driver_places();
        if let Some(ldcache) = &mut options.ldcache {
            ldcache.driver_places.clone_from(&places);
        }
        if let Some(links) = &mut options.driver_links {
            *links = places;
        }
        true
    }

    fn needs_mount(root: &ContainerRoot, options: &Options) -> Mounts {
        needs_mount(root, options)
    }

    fn run(&self, root: &ContainerRoot, options: &Options) -> Result<()> {
        run(root, options)
    }
}

impl Options {
    /// The parts that remain if a variable or an annotation switches hooks off.
    fn without(mut self, disabled: &Disabled) -> Self {
        if !disabled.allows::<Apply>(true) {
            return self.restrictions();
        }
        if !disabled.allows::<EnableCudaCompat>(self.cuda_compat.is_some()) {
            self.cuda_compat = None;
        }
        if !disabled.allows::<CreateSymlinks>(!self.links.is_empty()) {
            self.links.clear();
        }
        if !disabled.allows::<CreateSymlinks>(self.driver_links.is_some()) {
            self.driver_links = None;
        }
        if !disabled.allows::<Chmod>(!self.modes.is_empty()) {
            self.modes.clear();
        }
        if !disabled.allows::<UpdateLdcache>(self.ldcache.is_some()) {
            self.ldcache = None;
        }
        self.application_profile =
            disabled.allows::<UpdateApplicationProfile>(self.application_profile);
        self
    }

    /// The parts that restrict the container: only the host's configuration switches them off.
    fn restrictions(self) -> Self {
        Self {
            params: self.params,
            ..Self::default()
        }
    }

    /// Whether no part is left.
    fn is_nothing(&self) -> bool {
        self.cuda_compat.is_none()
            && self.links.is_empty()
            && self.driver_links.is_none()
            && self.modes.is_empty()
            && self.ldcache.is_none()
            && self.params.is_none()
            && !self.application_profile
    }
}

/// Returns what [`run`] needs of the sandbox.
#[must_use]
pub fn needs_mount(root: &ContainerRoot, options: &Options) -> Mounts {
    let cache = options.ldcache.as_ref();
    let params = options.params.as_ref();
    let needs = [
        cache.map(|_| update_ldcache::needs_mount(root)),
        params.map(|_| disable_device_node_modification::needs_mount(root)),
    ];
    if needs.contains(&Some(Mounts::Needed)) {
        Mounts::Needed
    } else {
        Mounts::None
    }
}

/// Does each part, in an order in which each finds the results that it depends on: the preferred libcuda, links, the SONAME links
/// that these lead to, and then the cache. A part that fails is logged, and the others are still done. Fails if any part failed.
pub fn run(root: &ContainerRoot, options: &Options) -> Result<()> {
    let mut failed = 0;
    let mut part = |hook: &str, result: Result<()>| {
        if let Err(err) = result {
            log::error!("{hook}: {err:#}");
            failed += 1;
        }
    };
    let preferred = match &options.cuda_compat {
        Some(compat) => Preferred::Decided(enable_cuda_compat::run(root, compat)),
        None => Preferred::ByDropIn,
    };
    let ldconfig = OnceCell::new();
    let links = create_symlinks::run_with(&ldconfig, root, &options.links);
    part(name::<CreateSymlinks>(), links);
    if let Some(places) = &options.driver_links {
        create_symlinks::link_driver_libraries(root, places);
    }
    for modes in &options.modes {
        part(name::<Chmod>(), chmod::run(root, modes));
    }
    if let Some(ldcache) = &options.ldcache {
        let ldconfig = ldconfig.get_or_init(|| Ldconfig::new(root));
        let ldcache = update_ldcache::Options {
            preferred,
            ..ldcache.clone()
        };
        let updated = update_ldcache::run_with(ldconfig, root, &ldcache);
        part(name::<UpdateLdcache>(), updated);
    }
    if let Some(params) = &options.params {
        disable_device_node_modification::run(root, params);
    }
    if options.application_profile {
        part(
            name::<UpdateApplicationProfile>(),
            update_application_profile::run(root),
        );
    }
    ensure!(failed == 0, "{failed} parts failed");
    Ok(())
}

/// `OCTAL:PATH`
fn parse_chmod(text: &str) -> Result<chmod::Options, String> {
    let (mode, path) = text
        .split_once(':')
        .filter(|(_, path)| !path.trim().is_empty())
        .ok_or("a mode and a path are written as OCTAL:PATH, such as 755:/dev/dri")?;
    Ok(chmod::Options {
        paths: vec![path.into()],
        mode: chmod::parse_mode(mode)?,
    })
}
