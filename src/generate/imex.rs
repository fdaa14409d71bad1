//! IMEX channels, through which GPUs of several nodes share memory.

use anyhow::{Result, anyhow, ensure};

use super::part::Part;
use super::{ALL, Device, Notes, Parts, Source, path_text};
use crate::cdi::DeviceNode;

const DIRECTORY: &str = "nvidia-caps-imex-channels";
/// The highest channel number.
const MAX_CHANNEL: u32 = 0xf_ffff;

/// Returns the requested channels, or all existing ones that are usable. Fails for a requested one that is not.
pub(super) fn parts(source: &Source<'_>, notes: &mut Notes) -> Result<Parts> {
    let are_all = source.options.ids.iter().any(|it| it == ALL);
    let mut channels = Vec::new();
    for id in &source.options.ids {
        if id == ALL {
            let found = source.dev.nodes(DIRECTORY, "channel");
            let numbers = found.iter().filter_map(|it| channel(it.name()).ok());
            channels.extend(numbers);
        } else {
            channels.push(channel(id)?);
        }
    }
    channels.sort_unstable();
    channels.dedup();
    let devices = channels.into_iter().filter_map(|channel| {
        let device = device(source, channel);
        if let (true, Err(err)) = (are_all, &device) {
            notes.error(err.to_string());
            return None;
        }
        Some(device)
    });
    Ok(Parts {
        common: Part::default(),
        devices: devices.collect::<Result<_>>()?,
    })
}

fn channel(text: &str) -> Result<u32> {
    let number = text.strip_prefix("channel").unwrap_or(text);
    let number: u32 = number
        .parse()
        .map_err(|_| anyhow!("\"{text}\" is neither an IMEX channel nor its number"))?;
    ensure!(
        number <= MAX_CHANNEL,
        "IMEX channel {number}: channels are numbered from 0 to {MAX_CHANNEL}"
    );
    Ok(number)
}

/// Returns a device without numbers: the runtime uses those of the node.
fn device(source: &Source<'_>, channel: u32) -> Result<Device> {
    let node = source.node(format!("{DIRECTORY}/channel{channel}"));
    let node = node.map_err(|why| anyhow!("IMEX channel {channel}: {why}"))?;
    let mut part = Part::default();
    part.edits.device_nodes.push(DeviceNode {
        path: path_text(&node.inside),
        host_path: Some(path_text(&node.on_host)),
        ..DeviceNode::default()
    });
    Ok(Device {
        names: vec![channel.to_string()],
        part,
        is_coherent: None,
    })
}
