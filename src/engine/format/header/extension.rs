//! Header extensions: the records between the header fields and the name of the backing file.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::feature::{self, FeatureBit};
use crate::error::Corrupt;
use crate::format::bytes::Record;

const END: u32 = 0;
pub(crate) const BACKING_FORMAT: u32 = 0xe279_2aca;
pub(crate) const FEATURE_NAMES: u32 = 0x6803_f857;
pub(crate) const BITMAPS: u32 = 0x2385_2875;
pub(crate) const CRYPTO_HEADER: u32 = 0x0537_be77;
pub(crate) const DATA_FILE_NAME: u32 = 0x4441_5441;
/// Padding: "skip". The format doesn't define this type, so programs keep the extension and skip it.
pub(crate) const SKIPPED: u32 = 0x736b_6970;

/// The types that the format defines.
const KNOWN: [u32; 5] = [BACKING_FORMAT, FEATURE_NAMES, BITMAPS, CRYPTO_HEADER, DATA_FILE_NAME];

pub(crate) const RECORD_HEADER: u64 = 8;
const ALIGNMENT: u64 = 8;
/// QEMU's limit on the name of a format.
const MAX_BACKING_FORMAT: usize = 15;
const BITMAPS_LENGTH: usize = 24;
const CRYPTO_HEADER_LENGTH: usize = 16;

/// A header extension, whether or not its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The type.
    pub kind: u32,
    /// The host offset of the data, in bytes.
    pub offset: u64,
    /// The data, without its padding.
    pub data: Vec<u8>,
}

/// Returns whether the format or this crate defines this type of extension.
pub(crate) fn is_known(kind: u32) -> bool {
    kind == END || kind == SKIPPED || KNOWN.contains(&kind)
}

/// All extensions of an image, in file order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    list: Vec<Extension>,
}

/// The contents of the bitmaps extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitmapDirectory {
    pub(crate) bitmaps: u32,
    /// QEMU refuses the image if this is not 0.
    pub(crate) reserved: u32,
    pub(crate) size: u64,
    pub(crate) offset: u64,
}

/// The location of the LUKS header of an encrypted image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CryptoHeader {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl BitmapDirectory {
    /// Returns the data of the extension.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend_from_slice(&self.bitmaps.to_be_bytes());
        data.extend_from_slice(&self.reserved.to_be_bytes());
        data.extend_from_slice(&self.size.to_be_bytes());
        data.extend_from_slice(&self.offset.to_be_bytes());
        data
    }
}

impl Extensions {
    /// Parses the extensions in `area` of the file that begins with `bytes`. Also returns the first corruption.
    ///
    /// Returns `None` if `bytes` end before the extensions do.
    pub(crate) fn parse(bytes: &[u8], area: Range<u64>) -> Option<(Self, Option<Corrupt>)> {
        let record = Record(bytes);
        let mut list = Vec::new();
        let mut at = area.start;
        // The first 8 bytes of a record may reach past the area. Then the bytes of the file after the area are used.
        while at < area.end {
            let kind = record.u32(at)?;
            let length = record.u32(at + 4)?;
            let offset = at + RECORD_HEADER;
            let is_too_long = u64::from(length) > area.end.saturating_sub(offset);
            if kind == END {
                return Some((Self { list }, is_too_long.then_some(Corrupt::ExtensionEnd { offset: at, length })));
            }
            if is_too_long {
                return Some((Self { list }, Some(Corrupt::ExtensionTooLong { offset: at, length })));
            }
            let data = record.slice(offset, u64::from(length))?.to_vec();
            let extension = Extension { kind, offset, data };
            if !extension.has_possible_length() {
                return Some((Self { list }, Some(Corrupt::ExtensionLength { kind, offset, length })));
            }
            list.push(extension);
            at = offset + u64::from(length).next_multiple_of(ALIGNMENT);
        }
        Some((Self { list }, None))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.list.iter()
    }

    /// Returns the host offset of the end of the last extension; 0 without extensions.
    pub(crate) fn end(&self) -> usize {
        let end = |last: &Extension| last.offset + last.data.len() as u64;
        usize::try_from(self.list.last().map_or(0, end)).unwrap_or(0)
    }

    pub(crate) fn into_vec(self) -> Vec<Extension> {
        self.list
    }

    pub(crate) fn backing_format(&self) -> Option<String> {
        self.text(BACKING_FORMAT)
    }

    pub(crate) fn data_file_name(&self) -> Option<String> {
        self.text(DATA_FILE_NAME)
    }

    pub(crate) fn feature_names(&self) -> Vec<FeatureBit> {
        self.find(FEATURE_NAMES).map(feature::parse_table).unwrap_or_default()
    }

    pub(crate) fn bitmap_directory(&self) -> Option<BitmapDirectory> {
        let record = Record(self.find(BITMAPS)?);
        let (bitmaps, reserved) = (record.u32(0)?, record.u32(4)?);
        Some(BitmapDirectory { bitmaps, reserved, size: record.u64(8)?, offset: record.u64(16)? })
    }

    /// Returns the host offset of the extension's data, and the location of the LUKS header.
    pub(crate) fn crypto_header(&self) -> Option<(u64, CryptoHeader)> {
        let extension = self.list.iter().find(|extension| extension.kind == CRYPTO_HEADER)?;
        let record = Record(&extension.data);
        Some((extension.offset, CryptoHeader { offset: record.u64(0)?, length: record.u64(8)? }))
    }

    /// Returns the extensions whose type the format doesn't define.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &Extension> {
        self.list.iter().filter(|extension| !KNOWN.contains(&extension.kind))
    }

    fn find(&self, kind: u32) -> Option<&[u8]> {
        self.list.iter().find(|extension| extension.kind == kind).map(|extension| &*extension.data)
    }

    fn text(&self, kind: u32) -> Option<String> {
        self.find(kind).map(|data| String::from_utf8_lossy(data).into_owned())
    }
}

impl Extension {
    fn has_possible_length(&self) -> bool {
        match self.kind {
            BACKING_FORMAT => self.data.len() <= MAX_BACKING_FORMAT,
            BITMAPS => self.data.len() == BITMAPS_LENGTH,
            CRYPTO_HEADER => self.data.len() == CRYPTO_HEADER_LENGTH,
            _ => true,
        }
    }
}
