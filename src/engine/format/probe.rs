//! Detects the format of a file by its first bytes.

use super::bytes::Record;
use crate::error::FileFormat;
use crate::field;

/// "QFI\xfb", in all versions of qcow and qcow2.
pub(crate) const MAGIC: u32 = 0x5146_49fb;

/// The number of bytes that [`format_of`] needs.
pub(crate) const PROBE_BYTES: usize = 512;

/// The magic numbers of other formats, with their offsets.
const SIGNATURES: [(usize, &[u8], FileFormat); 15] = [
    (0, b"QED\0", FileFormat::Qed),
    (0, b"KDMV", FileFormat::Vmdk),
    (0, b"COWD", FileFormat::Vmdk),
    (0, b"# Disk DescriptorFile", FileFormat::Vmdk),
    (0x40, b"\x7f\x10\xda\xbe", FileFormat::Vdi),
    (0, b"vhdxfile", FileFormat::Vhdx),
    (0, b"conectix", FileFormat::Vpc),
    (0, b"LUKS\xba\xbe", FileFormat::Luks),
    (0, b"WithoutFreeSpace", FileFormat::Parallels),
    (0, b"WithouFreSpacExt", FileFormat::Parallels),
    (0, b"\x1f\x8b", FileFormat::Gzip),
    (0, b"\xfd7zXZ\0", FileFormat::Xz),
    (0, b"\x28\xb5\x2f\xfd", FileFormat::Zstd),
    (0, b"PK\x03\x04", FileFormat::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", FileFormat::SevenZip),
];

/// Returns the apparent format of the file that begins with `bytes`.
pub(crate) fn format_of(bytes: &[u8]) -> FileFormat {
    if bytes.is_empty() {
        return FileFormat::Empty;
    }
    let record = Record(bytes);
    if record.u32(field::MAGIC) == Some(MAGIC) {
        return match record.u32(field::VERSION) {
            Some(1) => FileFormat::Qcow1,
            _ => FileFormat::Qcow2,
        };
    }
    SIGNATURES
        .iter()
        .find(|(at, signature, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature)))
        .map_or(FileFormat::Unknown, |(_, _, format)| *format)
}
