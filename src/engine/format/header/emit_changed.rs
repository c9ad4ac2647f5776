//! Serialises a changed header of an existing image.

use crate::format::units::usize_of;
use alloc::string::String;
use alloc::vec::Vec;

use super::RawHeader;
use super::emit::{NO_NAMES_UP_TO, V2_HEADER_LENGTH, V3_HEADER_LENGTH, emit_fields, feature_names, push_extension};
use super::extension::{BACKING_FORMAT, BITMAPS, DATA_FILE_NAME, Extensions, FEATURE_NAMES, RECORD_HEADER, SKIPPED};

/// A changed header. It keeps unknown bytes and unknown extensions of the old header.
pub(crate) struct ChangedHeader<'a> {
    /// The first cluster, or as much of it as the file has.
    pub(crate) old: &'a [u8],
    pub(crate) old_header: &'a RawHeader,
    pub(crate) extensions: &'a Extensions,
    /// The name of the backing file; empty without one.
    pub(crate) name: &'a [u8],
    pub(crate) format: Option<String>,
    pub(crate) data_file_name: Option<String>,
    /// The types of extensions to replace, with their new data, or `None` to remove them.
    pub(crate) replaced: &'a [(u32, Option<Vec<u8>>)],
}

/// The offset of the extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Immediately after the header fields.
    Compact,
    /// At this host offset. A padding extension, which programs skip, fills the gap.
    At(usize),
}

impl ChangedHeader<'_> {
    /// Returns the host offset of the end of the old header, its extensions and the name.
    pub(crate) fn used(&self) -> usize {
        // The end marker follows the last extension.
        let records = self.extensions.end().max(usize_of(self.old_header.header_length.into()));
        let extensions = records + usize_of(RECORD_HEADER);
        let name = self.old_header.backing_name().map_or(0, |(offset, length)| offset.0.saturating_add(length));
        extensions.max(usize_of(name)).min(self.old.len())
    }

    /// Serialises `header`, with the fields for its length and the offset of the name set.
    pub(crate) fn emit(&self, header: &RawHeader, placement: Placement) -> Vec<u8> {
        let mut header = RawHeader { header_length: self.header_length(header), ..header.clone() };
        let mut extensions = Vec::new();
        if let Placement::At(offset) = placement {
            let data = offset.saturating_sub(self.first_extension(&header));
            push_extension(&mut extensions, SKIPPED, &alloc::vec![0; data]);
        }
        self.push_extensions(&header, &mut extensions);
        (header.backing_file_offset, header.backing_file_size) = (0, 0);
        if !self.name.is_empty() {
            header.backing_file_offset = u64::from(header.header_length) + extensions.len() as u64;
            header.backing_file_size = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        }
        let mut bytes = emit_fields(&header);
        if header.version >= 3 {
            let unknown = self.old.get(bytes.len()..usize_of(self.old_header.header_length.into()));
            bytes.extend_from_slice(unknown.unwrap_or_default());
        }
        bytes.extend_from_slice(&extensions);
        bytes.extend_from_slice(self.name);
        bytes
    }

    /// Returns the end of the first extension's record header, which must be written together with the header fields.
    pub(crate) fn first_extension(&self, header: &RawHeader) -> usize {
        usize_of(u64::from(self.header_length(header)) + RECORD_HEADER)
    }

    /// Returns the length of the new header, including unknown fields.
    fn header_length(&self, header: &RawHeader) -> u32 {
        if header.version >= 3 { self.old_header.header_length.max(V3_HEADER_LENGTH) } else { V2_HEADER_LENGTH }
    }

    fn push_extensions(&self, header: &RawHeader, extensions: &mut Vec<u8>) {
        let version_3 = header.version >= 3;
        if let Some(format) = self.format.as_deref().filter(|_| !self.name.is_empty()) {
            push_extension(extensions, BACKING_FORMAT, format.as_bytes());
        }
        if let Some(name) = &self.data_file_name {
            push_extension(extensions, DATA_FILE_NAME, name.as_bytes());
        }
        for extension in self.extensions.iter() {
            match extension.kind {
                BACKING_FORMAT | DATA_FILE_NAME | SKIPPED => {}
                // These extensions exist only in version 3.
                FEATURE_NAMES | BITMAPS if !version_3 => {}
                kind if self.replaced.iter().any(|(replaced, _)| *replaced == kind) => {}
                kind => push_extension(extensions, kind, &extension.data),
            }
        }
        for (kind, data) in self.replaced {
            if let Some(data) = data {
                push_extension(extensions, *kind, data);
            }
        }
        let is_new_version = version_3 && self.old_header.version < 3;
        let has_names = self.extensions.iter().any(|extension| extension.kind == FEATURE_NAMES);
        if is_new_version && !has_names && 1u64 << header.cluster_bits > NO_NAMES_UP_TO {
            push_extension(extensions, FEATURE_NAMES, &feature_names());
        }
        // The end marker.
        extensions.extend_from_slice(&[0; 8]);
    }
}
