//! What is asked of an image to be created.

use super::host::HostCreateOptions;
use crate::format::header::CompressionType;
use crate::image::backing::BackingFormat;
use crate::image::create::{CreateOptions, Preallocation};

/// What the host asks for, of an image with a data file or without.
pub(crate) fn create_options(host: &HostCreateOptions, data_file: bool) -> CreateOptions {
    let mut options = CreateOptions::new(host.size())
        .version(host.version())
        .cluster_size(host.cluster_size())
        .refcount_bits(host.refcount_bits())
        .lazy_refcounts(host.lazy_refcounts())
        .extended_l2(host.extended_l2())
        .compression(if host.zstd() { CompressionType::Zstd } else { CompressionType::Deflate })
        .preallocation(preallocation(&host.preallocation()));
    if let Some(name) = host.backing_name() {
        options =
            options.backing_file(name, if host.backing_is_raw() { BackingFormat::Raw } else { BackingFormat::Qcow2 });
    }
    if data_file {
        options = options.data_file(host.data_file_name(), host.data_file_raw());
    }
    options
}

/// What is to be allocated at once, by its name.
pub(crate) fn preallocation(name: &str) -> Preallocation {
    match name {
        "metadata" => Preallocation::Metadata,
        "full" => Preallocation::Full,
        _ => Preallocation::Off,
    }
}
