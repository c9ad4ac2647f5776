//! Types that are recognised and named, but not read.

use super::{At, Recognised, Type};

/// Recognises a type by the magic bytes at a fixed offset.
pub(super) fn recognise(device: &At<'_>) -> Option<Recognised> {
    raid(device)
        .or_else(|| MAGIC.iter().find(|(_, offset, magic)| device.is(*offset, magic)).map(named))
        .or_else(|| swap(device).or_else(|| zfs(device)))
}

fn named((kind, _, _): &(Type, u64, &[u8])) -> Recognised {
    Recognised::new(*kind)
}

/// The most certain ones first: those with long magic bytes.
const MAGIC: &[(Type, u64, &[u8])] = &[
    (Type::BitLocker, 3, b"-FVE-FS-"),
    (Type::ReFs, 3, b"ReFS\0\0\0\0"),
    (Type::ReiserFs, 65536 + 52, b"ReIsErFs"),
    (Type::ReiserFs, 65536 + 52, b"ReIsEr2Fs"),
    (Type::ReiserFs, 65536 + 52, b"ReIsEr3Fs"),
    (Type::Reiser4, 65536, b"ReIsEr4"),
    (Type::RomFs, 0, b"-rom1fs-"),
    (
        Type::Bcachefs,
        4096 + 24,
        &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef],
    ),
    (Type::Ocfs2, 8192, b"OCFSV2"),
    (Type::Ocfs2, 4096, b"OCFSV2"),
    (Type::Ocfs2, 2048, b"OCFSV2"),
    (Type::Ocfs2, 1024, b"OCFSV2"),
    (Type::SquashFs, 0, b"hsqs"),
    (Type::Jfs, 32768, b"JFS1"),
    (Type::F2fs, 1024, &[0x10, 0x20, 0xf5, 0xf2]),
    (Type::Erofs, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    (Type::CramFs, 0, &[0x45, 0x3d, 0xcd, 0x28]),
    (Type::Gfs2, 65536, &[0x01, 0x16, 0x19, 0x70]),
    (Type::Vmfs, 1 << 20, &[0x0d, 0xd0, 0x01, 0xc0]),
    (Type::Ufs, 65536 + 1372, &[0x19, 0x01, 0x54, 0x19]),
    (Type::Ufs, 8192 + 1372, &[0x54, 0x19, 0x01, 0x00]),
    (Type::BeFs, 512 + 32, b"1SFB"),
    (Type::Nilfs2, 1024 + 6, &[0x34, 0x34]),
    (Type::Hfs, 1024, b"BD"),
    (Type::Minix, 1024 + 16, &[0x7f, 0x13]),
    (Type::Minix, 1024 + 16, &[0x8f, 0x13]),
    (Type::Minix, 1024 + 16, &[0x68, 0x24]),
    (Type::Minix, 1024 + 16, &[0x78, 0x24]),
    (Type::Minix, 1024 + 24, &[0x5a, 0x4d]),
];

/// Swap has its magic bytes at the end of the first page.
fn swap(device: &At<'_>) -> Option<Recognised> {
    let page = [4096, 8192, 16384, 65536]
        .into_iter()
        .find(|page| device.is(page - 10, b"SWAPSPACE2") || device.is(page - 10, b"SWAP-SPACE"))?;
    let recognised = Recognised::new(Type::Swap).uuid(device.bytes(1024 + 12)?).label(&device.bytes::<16>(1024 + 28)?);
    let last = u64::from(device.u32(1024 + 4)?);
    Some(recognised.sizes((last + 1).saturating_mul(page), None))
}

/// A member of an array has its superblock at the start, or near the end.
fn raid(device: &At<'_>) -> Option<Recognised> {
    const MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];
    let size = device.0.size();
    let at_end = [(size & !0xffff).checked_sub(65536), (size & !0xfff).checked_sub(8192)];
    let offset = [Some(4096), Some(0)].into_iter().chain(at_end).flatten().find(|at| device.is(*at, &MAGIC))?;
    let recognised = Recognised::new(Type::Raid);
    if device.u32(offset + 4)? != 1 {
        return Some(recognised);
    }
    Some(recognised.uuid(device.bytes(offset + 16)?).label(&device.bytes::<32>(offset + 32)?))
}

/// ZFS has its magic number in each block of a ring. The first block has one on every pool that was written.
fn zfs(device: &At<'_>) -> Option<Recognised> {
    const MAGIC: u64 = 0x00ba_b10c;
    let ring = (0..128).map(|index| (128 << 10) + index * 1024);
    let found = ring.filter_map(|at| device.u64(at)).any(|number| number == MAGIC || number.swap_bytes() == MAGIC);
    found.then(|| Recognised::new(Type::Zfs))
}
