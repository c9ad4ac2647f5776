//! Interoperability: images that QEMU made, or that QEMU reads too, and both sides compared.

mod chains;
mod compressed;
mod damaged;
mod data_files;
mod encrypted;
mod encrypted_chains;
mod headers;
mod host_offset;
mod locate;
mod matrix;
mod refused;
mod sizes;
mod snapshots;
mod vm_state;
