//! Serialises the header of a new image, with its extensions and the name of the backing file.

use alloc::vec::Vec;

use super::RawHeader;
use super::extension::{BACKING_FORMAT, CRYPTO_HEADER, CryptoHeader, DATA_FILE_NAME, FEATURE_NAMES};
use super::feature::FEATURE_NAME_TABLE;
use crate::format::probe::MAGIC;

/// The length of the header that QEMU writes, with the compression type and its padding.
pub(in crate::format) const V3_HEADER_LENGTH: u32 = 112;
pub(in crate::format) const V2_HEADER_LENGTH: u32 = 72;
/// The largest cluster size for which QEMU omits the feature names, to leave room for other extensions.
pub(in crate::format) const NO_NAMES_UP_TO: u64 = 4096;

/// The data after the header fields: the extensions, and the name of the backing file.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderTail<'a> {
    pub(crate) backing_format: Option<&'a str>,
    pub(crate) data_file_name: Option<&'a str>,
    pub(crate) crypto_header: Option<CryptoHeader>,
    pub(crate) backing_name: Option<&'a str>,
}

/// Serialises the header, and sets the fields of `header` that contain its length and the offset of the name.
pub(crate) fn emit_header(header: &mut RawHeader, tail: &HeaderTail<'_>) -> Vec<u8> {
    header.header_length = if header.version >= 3 { V3_HEADER_LENGTH } else { V2_HEADER_LENGTH };
    let mut extensions = Vec::new();
    if let Some(format) = tail.backing_format {
        push_extension(&mut extensions, BACKING_FORMAT, format.as_bytes());
    }
    if let Some(name) = tail.data_file_name {
        push_extension(&mut extensions, DATA_FILE_NAME, name.as_bytes());
    }
    if let Some(CryptoHeader { offset, length }) = tail.crypto_header {
        push_extension(&mut extensions, CRYPTO_HEADER, &[offset.to_be_bytes(), length.to_be_bytes()].concat());
    }
    if header.version >= 3 && 1u64 << header.cluster_bits > NO_NAMES_UP_TO {
        push_extension(&mut extensions, FEATURE_NAMES, &feature_names());
    }
    // The end marker.
    extensions.extend_from_slice(&[0; 8]);
    let name = tail.backing_name.unwrap_or_default().as_bytes();
    if !name.is_empty() {
        header.backing_file_offset = u64::from(header.header_length) + extensions.len() as u64;
        header.backing_file_size = u32::try_from(name.len()).unwrap_or(u32::MAX);
    }
    let mut bytes = emit_fields(header);
    bytes.extend_from_slice(&extensions);
    bytes.extend_from_slice(name);
    bytes
}

pub(in crate::format) fn emit_fields(header: &RawHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |field: &[u8]| bytes.extend_from_slice(field);
    put(&MAGIC.to_be_bytes());
    put(&header.version.to_be_bytes());
    put(&header.backing_file_offset.to_be_bytes());
    put(&header.backing_file_size.to_be_bytes());
    put(&header.cluster_bits.to_be_bytes());
    put(&header.size.to_be_bytes());
    put(&header.crypt_method.to_be_bytes());
    put(&header.l1_size.to_be_bytes());
    put(&header.l1_table_offset.to_be_bytes());
    put(&header.refcount_table_offset.to_be_bytes());
    put(&header.refcount_table_clusters.to_be_bytes());
    put(&header.nb_snapshots.to_be_bytes());
    put(&header.snapshots_offset.to_be_bytes());
    if header.version >= 3 {
        put(&header.incompatible_features.to_be_bytes());
        put(&header.compatible_features.to_be_bytes());
        put(&header.autoclear_features.to_be_bytes());
        put(&header.refcount_order.to_be_bytes());
        put(&header.header_length.to_be_bytes());
        put(&[header.compression_type, 0, 0, 0, 0, 0, 0, 0]);
    }
    bytes
}

pub(in crate::format) fn push_extension(bytes: &mut Vec<u8>, kind: u32, data: &[u8]) {
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

pub(in crate::format) fn feature_names() -> Vec<u8> {
    const NAME_BYTES: usize = 46;
    let mut bytes = Vec::new();
    for (kind, bit, name) in FEATURE_NAME_TABLE {
        let end = bytes.len() + 2 + NAME_BYTES;
        bytes.extend_from_slice(&[kind as u8, bit]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(end, 0);
    }
    bytes
}
