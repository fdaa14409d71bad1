//! The devices that a container requests.
//!
//! In descending order of precedence: annotations, mounts, swarm variables, `NVIDIA_VISIBLE_DEVICES`. The documentation of the
//! toolkit's runtime defines the values.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use super::settings::Settings;
use crate::cdi::{is_device_name, is_kind_part};
use crate::document::json::scan::Value;

const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";
const CHANNELS: &str = "NVIDIA_IMEX_CHANNELS";
/// Variables that request other nodes with the value `enabled`, and the generator's modes for them.
const BESIDE: [(&str, &str); 4] = [
    ("NVIDIA_GDS", "gds"),
    ("NVIDIA_MOFED", "mofed"),
    ("NVIDIA_GDRCOPY", "gdrcopy"),
    ("NVIDIA_NVSWITCH", "nvswitch"),
];
const ENABLED: &str = "enabled";
/// The prefix of mount destinations that name devices.
const MOUNTS: &str = "/var/run/nvidia-container-devices";
/// The subdirectory for mounts that name IMEX channels.
const IMEX: &str = "imex";
const NULL: &str = "/dev/null";
const ALL: &str = "all";
const NONE: &str = "none";
const VOID: &str = "void";
const PRIVILEGE: &str = "CAP_SYS_ADMIN";

/// The request of a container.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Request {
    /// The devices, each of them once.
    pub devices: Vec<Device>,
    /// IMEX channels.
    pub channels: Vec<String>,
    /// Generator modes for nodes other than GPUs.
    pub beside: Vec<&'static str>,
    /// Variables that request devices but are ignored in an unprivileged container.
    pub ignored: Vec<String>,
}

/// The name of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `vendor/class=name`
    Qualified(String),
    /// An index, a UUID, or `all`.
    Plain(String),
}

/// The parts of a config.json that can contain a request.
struct Container<'t> {
    variables: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    is_privileged: bool,
    mounts: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    annotations: Vec<(Cow<'t, str>, Cow<'t, str>)>,
}

impl Request {
    /// Reads the request from a config.json. Fails for an invalid device name.
    pub fn of(config: Value<'_>, settings: &Settings) -> Result<Self, String> {
        let container = Container::of(config);
        let mut request = Self::default();
        let by_annotations = container.by_annotations(settings);
        let by_mounts = container.by_mounts(settings);
        let names = if !by_annotations.is_empty() {
            counted(by_annotations)
        } else if !by_mounts.is_empty() {
            counted(by_mounts)
        } else {
            container.by_variables(settings, &mut request.ignored)
        };
        for name in names {
            let device = Device::parse(&name)?;
            if !request.devices.contains(&device) {
                request.devices.push(device);
            }
        }
        if request.devices.is_empty() {
            return Ok(request);
        }
        if settings.gives_channels {
            request.channels = container.channels(settings);
        }
        // Variables may come from the image, whatever requested the devices.
        if container.variables_count(settings) {
            let is_enabled = |name| container.variable(name) == Some(ENABLED);
            let beside = BESIDE.iter().filter(|(name, _)| is_enabled(name));
            request.beside = beside.map(|(_, mode)| *mode).collect();
        }
        Ok(request)
    }
}

impl<'t> Container<'t> {
    fn of(config: Value<'t>) -> Self {
        let list = |path: &[&str]| config.at(path).into_iter().flat_map(Value::items);
        let member =
            |value: Value<'t>, name| value.member(name).and_then(Value::text).unwrap_or_default();
        let variables = list(&["process", "env"]).filter_map(Value::text);
        let capabilities = list(&["process", "capabilities", "bounding"]);
        let old = list(&["process", "capabilities"]);
        let mut capabilities = capabilities.chain(old).filter_map(Value::text);
        let annotations = config
            .at(&["annotations"])
            .into_iter()
            .flat_map(Value::members);
        Self {
            is_privileged: capabilities.any(|it| it == PRIVILEGE),
            variables: variables.filter_map(split).collect(),
            mounts: list(&["mounts"])
                .map(|it| (member(it, "source"), member(it, "destination")))
                .collect(),
            annotations: annotations
                .filter_map(|(key, value)| Some((key, value.text()?)))
                .collect(),
        }
    }

    /// Returns the last value of a variable.
    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables.iter().rev();
        variables
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_ref())
    }

    fn by_annotations(&self, settings: &Settings) -> Vec<String> {
        let is_meant = |key: &str| {
            settings
                .annotation_prefixes
                .iter()
                .any(|it| !it.is_empty() && key.starts_with(it))
        };
        let mut annotations: Vec<_> = self
            .annotations
            .iter()
            .filter(|(key, _)| is_meant(key))
            .collect();
        annotations.sort();
        let values = annotations.iter().flat_map(|(_, value)| split_list(value));
        values.map(str::to_owned).collect()
    }

    fn by_mounts(&self, settings: &Settings) -> Vec<String> {
        let names = self.mounted(settings);
        let names = names.filter_map(|name| match name.split_once('/') {
            Some((IMEX, _)) => None,
            Some(("cdi", rest)) => qualified(rest),
            _ => Some(name),
        });
        names.collect()
    }

    /// Returns the names in mounts, if the settings accept them.
    fn mounted(&self, settings: &Settings) -> impl Iterator<Item = String> {
        let mounts = self.mounts.iter().filter(|_| settings.accepts_mounts);
        let mounts = mounts.filter(|(source, _)| clean(source) == Path::new(NULL));
        let names = mounts.filter_map(|(_, destination)| {
            let name = clean(destination);
            Some(name.strip_prefix(MOUNTS).ok()?.to_str()?.to_owned())
        });
        names.filter(|it| !it.is_empty())
    }

    /// Returns the IMEX channels: those of mounts, else those of the variable.
    fn channels(&self, settings: &Settings) -> Vec<String> {
        let names = self.mounted(settings);
        let channels = names.filter_map(|name| match name.split_once('/') {
            Some((IMEX, channel)) => Some(channel.to_owned()),
            _ => None,
        });
        let mut channels: Vec<_> = channels.collect();
        if channels.is_empty() && self.variables_count(settings) {
            channels = values(self.variable(CHANNELS).unwrap_or_default());
        }
        channels.retain(|it| it != ALL);
        channels
    }

    fn by_variables(&self, settings: &Settings, ignored: &mut Vec<String>) -> Vec<String> {
        let swarm = settings
            .swarm
            .iter()
            .filter(|it| self.variable(it).is_some());
        let mut names: Vec<_> = swarm.map(String::as_str).collect();
        if names.is_empty() {
            names.push(VISIBLE);
        }
        let value = |name: &&str| match self.variable(name) {
            Some(value) => value,
            None if *name == VISIBLE && self.is_legacy() => ALL,
            None => "",
        };
        let list: Vec<_> = names.iter().map(value).collect();
        let values = values(&list.join(","));
        if values.is_empty() || self.variables_count(settings) {
            return values;
        }
        ignored.extend(names.into_iter().map(str::to_owned));
        Vec::new()
    }

    fn variables_count(&self, settings: &Settings) -> bool {
        self.is_privileged || settings.accepts_variables
    }

    /// Whether the image is one of CUDA before 9.1, which requests all GPUs implicitly.
    fn is_legacy(&self) -> bool {
        let has = |name| self.variable(name).is_some_and(|value| !value.is_empty());
        has("CUDA_VERSION") && !has("NVIDIA_REQUIRE_CUDA")
    }
}

impl Device {
    fn parse(name: &str) -> Result<Self, String> {
        if !name.contains(['/', '=']) || name.starts_with("MIG-GPU-") {
            return Ok(Self::Plain(name.to_owned()));
        }
        let parts = || {
            let (kind, device) = name.split_once('=')?;
            let (vendor, class) = kind.split_once('/')?;
            (is_kind_part(vendor) && is_kind_part(class) && is_device_name(device)).then_some(())
        };
        parts().ok_or_else(|| {
            format!("the container requests \"{name}\", which is not a valid device name")
        })?;
        Ok(Self::Qualified(name.to_owned()))
    }
}

fn split(variable: Cow<'_, str>) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    Some(match variable {
        Cow::Borrowed(text) => text
            .split_once('=')
            .map(|(name, value)| (name.into(), value.into()))?,
        Cow::Owned(text) => text
            .split_once('=')
            .map(|(name, value)| (name.to_owned().into(), value.to_owned().into()))?,
    })
}

fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn values(text: &str) -> Vec<String> {
    counted(split_list(text).map(str::to_owned).collect())
}

/// Evaluates the special items of a list: the first `all` or `none` replaces the list, and `void` empties it.
fn counted(items: Vec<String>) -> Vec<String> {
    if items.iter().any(|it| it == VOID) {
        return Vec::new();
    }
    let mut words = items.iter().filter(|it| [ALL, NONE].contains(&it.as_str()));
    match words.next() {
        Some(word) if word == NONE => Vec::new(),
        Some(word) => vec![word.clone()],
        None => items,
    }
}

/// Converts `V/C/N` to `V/C=N`, which it accepts as well.
fn qualified(name: &str) -> Option<String> {
    let (vendor, rest) = name.split_once('/')?;
    let (class, device) = rest.split_once(['/', '='])?;
    Some(format!("{vendor}/{class}={device}"))
}

/// Removes empty components, `.` and `..` from a path.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_an_unprivileged_container_ask_for_nothing_beside() {
        let text = br#"{"annotations":{"cdi.k8s.io/a":"nvidia.com/gpu=0"},
            "process":{"env":["NVIDIA_GDRCOPY=enabled","NVIDIA_IMEX_CHANNELS=0"]}}"#;
        let config = Value::of(text).unwrap();
        let mut settings = Settings::new("/config.toml".into());
        let request = Request::of(config, &settings).unwrap();
        assert_eq!(
            (request.beside, request.channels),
            (vec!["gdrcopy"], vec!["0".to_owned()])
        );
        settings.accepts_variables = false;
        let request = Request::of(config, &settings).unwrap();
        assert_eq!(request.devices.len(), 1);
        assert!(request.beside.is_empty() && request.channels.is_empty());
    }
}
