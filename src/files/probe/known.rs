//! Types that can be read: the information in their first blocks.

use super::{At, Recognised, Type};

/// Recognises the types that this crate reads.
pub(super) fn recognise(device: &At<'_>) -> Option<Recognised> {
    // Containers first: their content may look like something else. FAT last, because its magic bytes are the weakest.
    [luks, lvm, btrfs, xfs, ext, hfsplus, apfs, ntfs, exfat, udf, iso, fat].into_iter().find_map(|one| one(device))
}

fn luks(device: &At<'_>) -> Option<Recognised> {
    let version = u16::from_be_bytes(device.bytes(6)?);
    if !device.is(0, b"LUKS\xba\xbe") {
        return None;
    }
    let kind = match version {
        1 => Type::Luks1,
        2 => Type::Luks2,
        _ => return None,
    };
    let mut recognised = Recognised::new(kind);
    // The identifier is text.
    let uuid: [u8; 40] = device.bytes(168)?;
    recognised.uuid = std::str::from_utf8(super::until_nul(&uuid)).ok().filter(|text| !text.is_empty()).map(Into::into);
    Some(if version == 2 { recognised.label(&device.bytes::<48>(24)?) } else { recognised })
}

fn lvm(device: &At<'_>) -> Option<Recognised> {
    let label = (0..4).map(|sector| sector * 512).find(|at| device.is(*at, b"LABELONE"))?;
    if !device.is(label + 24, b"LVM2 001") {
        return None;
    }
    let header = label + u64::from(device.u32(label + 20)?);
    let mut recognised = Recognised::new(Type::Lvm);
    recognised.uuid = crate::disk::lvm_id(&device.bytes::<32>(header)?);
    recognised.size = device.u64(header + 32);
    Some(recognised)
}

fn btrfs(device: &At<'_>) -> Option<Recognised> {
    const SUPERBLOCK: u64 = 64 << 10;
    if !device.is(SUPERBLOCK + 64, b"_BHRfS_M") {
        return None;
    }
    let total = device.u64(SUPERBLOCK + 112)?;
    let used = device.u64(SUPERBLOCK + 120)?;
    Some(
        Recognised::new(Type::Btrfs)
            .uuid(device.bytes(SUPERBLOCK + 32)?)
            .label(&device.bytes::<256>(SUPERBLOCK + 299)?)
            .sizes(total, Some(total.saturating_sub(used))),
    )
}

fn xfs(device: &At<'_>) -> Option<Recognised> {
    if !device.is(0, b"XFSB") {
        return None;
    }
    let block = u64::from(device.u32_be(4)?);
    let (blocks, free) = (device.u64_be(8)?, device.u64_be(144)?);
    Some(
        Recognised::new(Type::Xfs)
            .uuid(device.bytes(32)?)
            .label(&device.bytes::<12>(108)?)
            .sizes(blocks.saturating_mul(block), Some(free.saturating_mul(block))),
    )
}

fn ext(device: &At<'_>) -> Option<Recognised> {
    const SUPERBLOCK: u64 = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    // The features of ext3 that matter: file types, recovery, and one of block groups; then sparse superblocks and
    // large files.
    const INCOMPATIBLE_EXT3: u32 = 0x16;
    const READ_ONLY_EXT3: u32 = 0x7;
    const SIXTY_FOUR_BIT: u32 = 0x80;
    if device.u16(SUPERBLOCK + 56)? != 0xEF53 {
        return None;
    }
    let [compatible, incompatible, read_only] = [92, 96, 100].map(|at| device.u32(SUPERBLOCK + at));
    let (compatible, incompatible, read_only) = (compatible?, incompatible?, read_only?);
    let kind = if incompatible & JOURNAL_DEVICE != 0 {
        Type::ExtJournal
    } else if incompatible & !INCOMPATIBLE_EXT3 != 0 || read_only & !READ_ONLY_EXT3 != 0 {
        Type::Ext4
    } else if compatible & HAS_JOURNAL != 0 {
        Type::Ext3
    } else {
        Type::Ext2
    };
    let high = |at| if incompatible & SIXTY_FOUR_BIT == 0 { Some(0) } else { device.u32(SUPERBLOCK + at) };
    let number = |low, high_at| Some(u64::from(device.u32(SUPERBLOCK + low)?) | u64::from(high(high_at)?) << 32);
    let block = 1024_u64.checked_shl(device.u32(SUPERBLOCK + 24)?).filter(|block| *block <= 65536)?;
    let (blocks, free) = (number(4, 0x150)?, number(12, 0x158)?);
    Some(
        Recognised::new(kind)
            .uuid(device.bytes(SUPERBLOCK + 104)?)
            .label(&device.bytes::<16>(SUPERBLOCK + 120)?)
            .sizes(blocks.saturating_mul(block), Some(free.saturating_mul(block))),
    )
}

fn hfsplus(device: &At<'_>) -> Option<Recognised> {
    const HEADER: u64 = 1024;
    if !device.is(HEADER, b"H+\0\x04") && !device.is(HEADER, b"HX\0\x05") {
        return None;
    }
    let [block, blocks, free] = [40, 44, 48].map(|at| device.u32_be(HEADER + at).map(u64::from));
    let (block, blocks, free) = (block?, blocks?, free?);
    Some(Recognised::new(Type::HfsPlus).sizes(blocks * block, Some(free * block)))
}

fn apfs(device: &At<'_>) -> Option<Recognised> {
    if !device.is(32, b"NXSB") {
        return None;
    }
    let size = u64::from(device.u32(36)?).saturating_mul(device.u64(40)?);
    Some(Recognised::new(Type::Apfs).uuid(device.bytes(72)?).sizes(size, None))
}

fn ntfs(device: &At<'_>) -> Option<Recognised> {
    if !device.is(3, b"NTFS    ") {
        return None;
    }
    let sector = u64::from(device.u16(11)?);
    let size = device.u64(40)?.saturating_mul(sector);
    let mut recognised = Recognised::new(Type::Ntfs).sizes(size, None);
    recognised.uuid = Some(format!("{:016X}", device.u64(72)?));
    recognised.label = ntfs_label(device, sector);
    Some(recognised)
}

/// Reads the label from the record of the file `$Volume`.
fn ntfs_label(device: &At<'_>, sector: u64) -> Option<String> {
    const VOLUME: u64 = 3;
    const VOLUME_NAME: u32 = 0x60;
    let cluster = sector * u64::from(device.u8(13)?);
    let record_size = match device.u8(64)?.cast_signed() {
        clusters @ 1.. => u64::from(clusters.unsigned_abs()) * cluster,
        power @ -12..=-1 => 1 << power.unsigned_abs(),
        _ => return None,
    };
    let record = device.u64(48)?.checked_mul(cluster)?.checked_add(VOLUME * record_size)?;
    if !device.is(record, b"FILE") {
        return None;
    }
    let mut at = record + u64::from(device.u16(record + 20)?);
    while at + 24 <= record + record_size {
        let (kind, length) = (device.u32(at)?, u64::from(device.u32(at + 4)?));
        if kind == VOLUME_NAME {
            let (size, offset) = (device.u32(at + 16)?, u64::from(device.u16(at + 20)?));
            let mut name = vec![0; usize::try_from(size.min(256)).ok()?];
            device.0.read_at(at + offset, &mut name).ok()?;
            return utf16(&name, u16::from_le_bytes);
        }
        at += if length < 16 { return None } else { length };
    }
    None
}

fn exfat(device: &At<'_>) -> Option<Recognised> {
    if !device.is(3, b"EXFAT   ") {
        return None;
    }
    let sector_shift = device.u8(108).filter(|shift| (9..=12).contains(shift))?;
    let mut recognised = Recognised::new(Type::ExFat).sizes(device.u64(72)?.checked_shl(sector_shift.into())?, None);
    recognised.uuid = Some(serial(device.u32(100)?));
    recognised.label = exfat_label(device, sector_shift);
    Some(recognised)
}

/// Reads the label from the first entries of the root directory.
fn exfat_label(device: &At<'_>, sector_shift: u8) -> Option<String> {
    const LABEL: u8 = 0x83;
    let cluster_shift = device.u8(109).filter(|shift| *shift <= 25)?;
    let cluster = u64::from(device.u32(96)?.checked_sub(2)?);
    let root = (u64::from(device.u32(88)?) + (cluster << cluster_shift)) << sector_shift;
    let entry = (0..16).map(|index| root + index * 32).find(|at| device.u8(*at) == Some(LABEL))?;
    let length = usize::from(device.u8(entry + 1)?.min(11));
    utf16(&device.bytes::<22>(entry + 2)?[..length * 2], u16::from_le_bytes)
}

fn fat(device: &At<'_>) -> Option<Recognised> {
    let sector = u64::from(device.u16(11)?);
    let per_cluster = device.u8(13)?;
    let reserved = u64::from(device.u16(14)?);
    let tables = u64::from(device.u8(16)?);
    let plausible = matches!(device.u8(0)?, 0xEB | 0xE9)
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&tables)
        && (device.u8(21)? == 0xF0 || device.u8(21)? >= 0xF8)
        && device.is(510, &[0x55, 0xAA]);
    if !plausible {
        return None;
    }
    let either = |small: u64, large: u64| match device.u16(small)? {
        0 => device.u32(large),
        number => Some(u32::from(number)),
    };
    let (sectors, table) = (u64::from(either(19, 32)?), u64::from(either(22, 36)?));
    let root = (u64::from(device.u16(17)?) * 32).div_ceil(sector);
    let clusters = sectors.checked_sub(reserved + tables * table + root)? / u64::from(per_cluster);
    let kind = match clusters {
        ..4085 => Type::Fat12,
        4085..65525 => Type::Fat16,
        _ => Type::Fat32,
    };
    let names = if kind == Type::Fat32 { 66 } else { 38 };
    let mut recognised = Recognised::new(kind).sizes(sectors * sector, None);
    // Both are there only if the signature says so.
    if matches!(device.u8(names)?, 0x28 | 0x29) {
        recognised.uuid = Some(serial(device.u32(names + 1)?));
        let label = device.bytes::<11>(names + 5)?;
        if &label != b"NO NAME    " {
            recognised = recognised.label(&label);
        }
    }
    Some(recognised)
}

/// The first descriptor of ISO 9660 and of UDF.
const DESCRIPTORS: u64 = 32 << 10;
const DESCRIPTOR: u64 = 2048;

fn udf(device: &At<'_>) -> Option<Recognised> {
    let mut descriptors = (0..16).map(|index| DESCRIPTORS + index * DESCRIPTOR);
    descriptors.find(|at| device.is(at + 1, b"NSR02") || device.is(at + 1, b"NSR03"))?;
    let mut recognised = Recognised::new(Type::Udf);
    recognised.label = [2048, 512, 4096, 1024].into_iter().find_map(|block| udf_label(device, block));
    Some(recognised)
}

/// Reads the volume identifier from the primary volume descriptor that the anchor points to.
fn udf_label(device: &At<'_>, block: u64) -> Option<String> {
    const ANCHOR: u16 = 2;
    const PRIMARY: u16 = 1;
    let anchor = 256 * block;
    if device.u16(anchor)? != ANCHOR || u64::from(device.u32(anchor + 12)?) != 256 {
        return None;
    }
    let (length, first) = (u64::from(device.u32(anchor + 16)?), u64::from(device.u32(anchor + 20)?));
    let at = (first..first + (length / block).min(64))
        .map(|number| number * block)
        .find(|at| device.u16(*at) == Some(PRIMARY))?;
    let name = device.bytes::<32>(at + 24)?;
    let length = usize::from(name[31]).clamp(1, 31);
    match name[0] {
        8 => Some(name[1..length].iter().map(|byte| char::from(*byte)).collect()),
        16 => utf16(&name[1..length], u16::from_be_bytes),
        _ => None,
    }
}

fn iso(device: &At<'_>) -> Option<Recognised> {
    const PRIMARY: u8 = 1;
    let at = (0..16)
        .map(|index| DESCRIPTORS + index * DESCRIPTOR)
        .take_while(|at| device.is(at + 1, b"CD001"))
        .find(|at| device.u8(*at) == Some(PRIMARY))?;
    let size = u64::from(device.u32(at + 80)?) * u64::from(device.u16(at + 128)?);
    let mut recognised = Recognised::new(Type::Iso9660).sizes(size, Some(0)).label(&device.bytes::<32>(at + 40)?);
    let date = device.bytes::<16>(at + 813)?;
    if date.iter().all(u8::is_ascii_digit) && date.iter().any(|digit| *digit != b'0') {
        let digits = |from: usize, to: usize| String::from_utf8_lossy(&date[from..to]).into_owned();
        let rest = (4..16).step_by(2).map(|at| digits(at, at + 2));
        recognised.uuid = Some(std::iter::once(digits(0, 4)).chain(rest).collect::<Vec<_>>().join("-"));
    }
    Some(recognised)
}

/// Formats a serial number as Windows shows it.
fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty()).then_some(text)
}
