//! `nvidia-ctk cdi`: the real binary on prepared trees.

mod check;
mod hostile;
mod list;
mod transform;

/// A spec with one device.
fn spec(kind: &str, device: &str) -> String {
    format!(
        "cdiVersion: 0.5.0\nkind: {kind}\ndevices:\n- name: {device}\n  containerEdits: {{env: [A=b]}}\n"
    )
}
