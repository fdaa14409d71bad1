//! `cdi generate` on made-up hosts: what it writes, and what it says.

mod golden;

use crate::common::gpu_host::GpuHost;
use crate::common::outcome::Outcome;

/// Runs it on a host, with words that are parted by blanks.
fn generate(host: &GpuHost, options: &str) -> Outcome {
    host.run(&format!("cdi generate --root @ROOT@ {options}"))
}
