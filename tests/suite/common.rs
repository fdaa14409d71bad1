//! What tests share: the machine, trees, bundles and hosts, the outcome of a program, real containers.

pub(crate) mod bundle;
pub(crate) mod cdi_spec;
pub(crate) mod command_line;
pub(crate) mod container;
pub(crate) mod elf;
pub(crate) mod engine;
pub(crate) mod gpu_host;
pub(crate) mod healthy;
pub(crate) mod host;
pub(crate) mod machine;
pub(crate) mod nvidia_host;
pub(crate) mod outcome;
pub(crate) mod random;
pub(crate) mod shim;
pub(crate) mod source;
pub(crate) mod syslog;
pub(crate) mod tree;
pub(crate) mod wrapper;
pub(crate) mod written;
