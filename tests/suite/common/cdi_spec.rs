//! The CDI specs of the fixtures, and what a container that gets a device of theirs has to show.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::container::{Container, push};
use super::machine::fixture;

/// The program's own reader: there is no other of YAML among what it depends on.
#[path = "../../../src/cdi/yaml.rs"]
mod yaml;

/// A spec, as a file.
pub(crate) struct Spec {
    /// The file's name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) text: String,
    /// What it says.
    pub(crate) value: Value,
}

impl Spec {
    /// One that a generator printed, in YAML or in JSON.
    #[track_caller]
    pub(crate) fn printed(text: &str) -> Self {
        Self {
            name: "printed.yaml".to_owned(),
            value: yaml::parse(text).expect("a spec"),
            text: text.to_owned(),
        }
    }

    /// All of the fixtures, which the toolkit's generator wrote.
    pub(crate) fn all() -> Vec<Self> {
        let names = fs::read_dir(fixture("cdi")).expect("fixtures");
        let names = names.map(|entry| entry.expect("a readable folder").file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names.iter().map(|name| Self::named(name)).collect()
    }

    /// One of them.
    pub(crate) fn named(name: &str) -> Self {
        let text = fs::read_to_string(fixture("cdi").join(name)).expect("a readable spec");
        Self {
            name: name.to_owned(),
            // JSON is YAML, too.
            value: yaml::parse(&text).expect("a spec"),
            text,
        }
    }

    /// Another one made of it.
    fn changed(&self, how: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = self.value.clone();
        change(&mut value);
        Self {
            name: format!("{how}-{}.json", self.name),
            text: value.to_string(),
            value,
        }
    }

    /// The same without hooks.
    pub(crate) fn without_hooks(&self) -> Self {
        self.changed("without-hooks", |spec| {
            each_edits(spec, |edits| edits["hooks"] = json!([]));
        })
    }

    /// The same for engines that know no version of the format above 0.6.0, as the toolkit writes it for them
    /// (`--feature-flag=no-additional-gids-for-device-nodes`).
    pub(crate) fn without_groups(&self) -> Self {
        self.changed("without-groups", |spec| {
            spec["cdiVersion"] = json!("0.5.0");
            each_edits(spec, |edits| {
                if let Some(edits) = edits.as_object_mut() {
                    edits.remove("additionalGids");
                }
            });
        })
    }

    /// The same with one call of `apply` in place of all hooks that there are for every device.
    pub(crate) fn with_apply(&self) -> Self {
        self.changed("with-apply", |spec| {
            let mut words = vec![json!("nvidia-cdi-hook"), json!("apply")];
            for hook in items(&spec["containerEdits"]["hooks"]) {
                let is_word = |it: &&Value| {
                    !["nvidia-cdi-hook", "nvidia-ctk", "hook"]
                        .map(Value::from)
                        .contains(it)
                };
                let all: Vec<_> = items(&hook["args"]).iter().filter(is_word).collect();
                let (name, options) = all.split_first().expect("a hook");
                if options.is_empty() {
                    words.push(json!(format!("--{}", name.as_str().expect("a name"))));
                }
                words.extend(options.iter().copied().cloned());
            }
            spec["containerEdits"]["hooks"] = json!([{
                "hookName": "createContainer",
                "path": "/usr/bin/nvidia-cdi-hook",
                "args": words,
                "env": ["NVIDIA_CTK_DEBUG=false"],
            }]);
        })
    }

    /// The same with a hook more.
    pub(crate) fn with_hook(&self, arguments: &[&str]) -> Self {
        self.changed("with-hook", |spec| {
            let words = [&["nvidia-cdi-hook"], arguments].concat();
            let hook = json!({
                "hookName": "createContainer",
                "path": "/usr/bin/nvidia-cdi-hook",
                "args": words,
            });
            push(&mut spec["containerEdits"]["hooks"], hook);
        })
    }

    /// The names of its devices.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &str> {
        texts(&self.value["devices"], "name")
    }

    /// What a container with this device gets: first what all get.
    pub(crate) fn edits(&self, device: &str) -> [&Value; 2] {
        let mut devices = items(&self.value["devices"]).iter();
        let device = devices.find(|it| it["name"] == device).expect("a device");
        [&self.value["containerEdits"], &device["containerEdits"]]
    }

    /// All edits in it.
    pub(crate) fn all_edits(&self) -> impl Iterator<Item = &Value> {
        let devices = items(&self.value["devices"]).iter();
        let devices = devices.map(|device| &device["containerEdits"]);
        std::iter::once(&self.value["containerEdits"]).chain(devices)
    }

    /// What it mounts.
    pub(crate) fn host_paths(&self) -> impl Iterator<Item = &str> {
        texts(&self.value["containerEdits"]["mounts"], "hostPath")
    }

    /// Target and path of each link that its hooks make for all devices.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        links(&self.value["containerEdits"])
    }

    /// The SONAME of a library that it mounts: the name of the link that leads to it, or what such libraries have.
    pub(crate) fn soname(&self, library: &str) -> String {
        let file = name(library);
        let (stem, version) = file.split_once(".so").expect("a library");
        let link = links(&self.value["containerEdits"]).find_map(|(target, link)| {
            let is_soname = target == file && name(link).split_once(".so")?.0 == stem;
            is_soname.then(|| name(link).to_owned())
        });
        // 1.1.17 is 1 to programs, 570.124.06 is for this driver only.
        let first = version.split('.').nth(1).unwrap_or_default();
        link.unwrap_or_else(|| match first.len() {
            1 => format!("{stem}.so.{first}"),
            _ => file.to_owned(),
        })
    }

    /// What [`LOOK`] shows in a container with this device.
    pub(crate) fn expected(&self, device: &str) -> Expected {
        let edits = self.edits(device);
        let mut by_hooks = vec![
            "loaded libcuda.so.1, cuInit = 100\n".to_owned(),
            "loaded libnvidia-ml.so.1, cuInit = 100\n".to_owned(),
            // In a folder that only the cache knows.
            "loaded libvdpau_nvidia.so.1, cuInit = 100\n".to_owned(),
        ];
        by_hooks.extend(
            edits
                .into_iter()
                .flat_map(links)
                .map(|(target, link)| format!("'{link}' -> '{target}'\n")),
        );
        let folders: Vec<_> = arguments(edits[0], "update-ldcache", "--folder").collect();
        assert!(!folders.is_empty());
        let in_cache = |path: &&str| {
            let folder = Path::new(path).parent().and_then(Path::to_str);
            folder.is_some_and(|it| folders.contains(&it))
        };
        by_hooks.extend(
            self.host_paths()
                .filter(in_cache)
                .map(|path| format!("\t{} (libc6", self.soname(path))),
        );
        let nodes: Vec<_> = edits.into_iter().flat_map(Node::all).collect();
        let gpus = nodes.iter().filter(|node| node.is_gpu());
        let mask = gpus.fold(0, |mask, gpu| mask | 1 << gpu.minor);
        by_hooks.push(format!("\"EGLVisibleDGPUDevices\",{mask:#x}]"));
        let mut by_engine: Vec<_> = nodes
            .iter()
            .map(
                |Node {
                     path,
                     major,
                     minor,
                     mode,
                     gid,
                 }| { format!("{path} {major:x}:{minor:x} {mode:o} {gid}\n") },
            )
            .collect();
        by_engine.push("NVIDIA_VISIBLE_DEVICES=void\n".to_owned());
        by_engine.push("\tlibc.so.6 (libc6".to_owned());
        Expected {
            by_engine,
            by_hooks,
        }
    }
}

/// A shell command for containers that shows what hooks and engines did.
pub(crate) const LOOK: &str = "
    for library in libcuda libnvidia-ml libvdpau_nvidia; do probe $library.so.1; done
    ldconfig -p
    busybox find /dev /etc /usr -type l -exec stat -c %N {} +
    busybox find /dev -type c -exec stat -c '%n %t:%T %a %g' {} +
    busybox find /dev/dri /usr -type l | while read -r link; do [ -e \"$link\" ] || echo \"dangling: $link\"; done
    cat /etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf
    env
    [ ! -e /proc/driver/nvidia ] || cat /proc/driver/nvidia/params
    echo looked";

/// Parts of what [`LOOK`] shows.
pub(crate) struct Expected {
    by_engine: Vec<String>,
    by_hooks: Vec<String>,
}

impl Expected {
    /// The hooks have done their work.
    #[track_caller]
    pub(crate) fn with_hooks(&self, text: &str, case: &str) {
        let all = self.by_engine.iter().chain(&self.by_hooks);
        let missing: Vec<_> = all.filter(|part| !text.contains(*part)).collect();
        assert!(
            missing.is_empty(),
            "{case}: {missing:?} are missing in: {text}"
        );
        for part in ["dangling", "ModifyDeviceFiles: 1"] {
            assert!(!text.contains(part), "{case}: {text}");
        }
    }

    /// No hook has, and so nothing of it is there.
    #[track_caller]
    pub(crate) fn without_hooks(&self, text: &str, case: &str) {
        let mut all = self.by_engine.iter();
        assert!(all.all(|part| text.contains(part)), "{case}: {text}");
        let there: Vec<_> = self
            .by_hooks
            .iter()
            .filter(|part| text.contains(*part))
            .collect();
        assert!(there.is_empty(), "{case}: nobody made {there:?}: {text}");
    }
}

/// A device node of a spec.
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) mode: u32,
    pub(crate) gid: u32,
}

impl Node {
    /// All of these edits.
    pub(crate) fn all(edits: &Value) -> Vec<Self> {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let small = |value: &Value| u32::try_from(number(value)).expect("a small number");
        let nodes = items(&edits["deviceNodes"]).iter();
        nodes
            .map(|node| Self {
                path: node["path"].as_str().expect("a path").to_owned(),
                major: number(&node["major"]),
                minor: number(&node["minor"]),
                mode: small(&node["fileMode"]),
                gid: small(&node["gid"]),
            })
            .collect()
    }

    fn is_gpu(&self) -> bool {
        let number = self.path.strip_prefix("/dev/nvidia");
        number.is_some_and(|it| it.parse::<u8>().is_ok())
    }
}

/// Target and path of each link that hooks of these edits make.
fn links(edits: &Value) -> impl Iterator<Item = (&str, &str)> {
    arguments(edits, "create-symlinks", "--link").filter_map(|link| link.split_once("::"))
}

/// The values of an option of hooks.
fn arguments<'e>(
    edits: &'e Value,
    hook: &'e str,
    option: &'e str,
) -> impl Iterator<Item = &'e str> {
    let hooks = items(&edits["hooks"]).iter();
    let hooks = hooks.filter(move |it| items(&it["args"]).contains(&json!(hook)));
    hooks.flat_map(move |hook| {
        let pairs = items(&hook["args"]).windows(2);
        pairs.filter_map(move |pair| (pair[0] == option).then(|| pair[1].as_str())?)
    })
}

/// Does to a container what an engine would do.
pub(crate) fn with_edits(mut container: Container, edits: &Value) -> Container {
    let config = &mut container.config;
    for variable in items(&edits["env"]) {
        push(&mut config["process"]["env"], variable.clone());
    }
    for node in Node::all(edits) {
        let node = json!({"path": node.path, "type": "c", "major": node.major, "minor": node.minor,
            "fileMode": node.mode, "uid": 0, "gid": node.gid});
        push(&mut config["linux"]["devices"], node);
    }
    for mount in items(&edits["mounts"]) {
        let (source, destination) = (&mount["hostPath"], &mount["containerPath"]);
        let mount = json!({"source": source, "destination": destination, "type": "bind", "options": mount["options"]});
        push(&mut config["mounts"], mount);
    }
    for hook in items(&edits["hooks"]) {
        let stage = hook["hookName"].as_str().expect("a stage");
        let hook = json!({"path": hook["path"], "args": hook["args"], "env": hook["env"]});
        push(&mut config["hooks"][stage], hook);
    }
    for group in items(&edits["additionalGids"]) {
        push(
            &mut config["process"]["user"]["additionalGids"],
            group.clone(),
        );
    }
    container
}

fn each_edits(spec: &mut Value, change: impl Fn(&mut Value)) {
    change(&mut spec["containerEdits"]);
    for device in spec["devices"].as_array_mut().expect("devices") {
        change(&mut device["containerEdits"]);
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn texts<'l>(list: &'l Value, key: &str) -> impl Iterator<Item = &'l str> {
    items(list).iter().filter_map(move |it| it[key].as_str())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
