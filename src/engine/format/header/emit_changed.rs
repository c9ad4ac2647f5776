//! The head of an image that exists, with changes.

use crate::format::units::usize_of;
use alloc::string::String;
use alloc::vec::Vec;

use super::RawHeader;
use super::emit::{NO_NAMES_UP_TO, V2_HEADER_LENGTH, V3_HEADER_LENGTH, emit_fields, feature_names, push_extension};
use super::extension::{BACKING_FORMAT, BITMAPS, DATA_FILE_NAME, Extensions, FEATURE_NAMES, RECORD_HEADER, SKIPPED};

/// As [`emit_header`](super::emit::emit_header) has it, with what of the old head is not known kept: bytes of the header, and
/// extensions.
pub(crate) struct ChangedHeader<'a> {
    /// The first cluster, as far as the file has it.
    pub(crate) old: &'a [u8],
    pub(crate) old_header: &'a RawHeader,
    pub(crate) extensions: &'a Extensions,
    /// The backing file's name; empty where there is none.
    pub(crate) name: &'a [u8],
    pub(crate) format: Option<String>,
    pub(crate) data_file_name: Option<String>,
    /// Extensions that replace those of the same type: their data, or `None` to leave them out.
    pub(crate) replaced: &'a [(u32, Option<Vec<u8>>)],
}

/// Where what stands behind the header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Right behind it.
    Compact,
    /// At this byte of the file: an extension that says nothing reaches up to it.
    At(usize),
}

impl ChangedHeader<'_> {
    /// Where the old head ends, in bytes of the file.
    pub(crate) fn used(&self) -> usize {
        // Behind the last one is the record that ends them.
        let records = self.extensions.end().max(usize_of(self.old_header.header_length.into()));
        let extensions = records + usize_of(RECORD_HEADER);
        let name = self.old_header.backing_name().map_or(0, |(offset, length)| offset.0.saturating_add(length));
        extensions.max(usize_of(name)).min(self.old.len())
    }

    /// The bytes of the head; the fields of `header` that say where things are in it are set on the way.
    pub(crate) fn emit(&self, header: &RawHeader, placement: Placement) -> Vec<u8> {
        let mut header = RawHeader { header_length: self.header_length(header), ..header.clone() };
        let mut extensions = Vec::new();
        if let Placement::At(place) = placement {
            let data = place.saturating_sub(self.first_extension(&header));
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

    /// Where the header of the first extension ends, which must not be torn from the header's fields.
    pub(crate) fn first_extension(&self, header: &RawHeader) -> usize {
        usize_of(u64::from(self.header_length(header)) + RECORD_HEADER)
    }

    /// With those fields that are not known.
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
                // They are about version 3.
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
        // The end.
        extensions.extend_from_slice(&[0; 8]);
    }
}
