//! Recognises the contents of a device, and reads the information in its first blocks.

mod foreign;
mod known;

use std::fmt::Write;

use crate::fs::Usage;
use crate::source::Device;

/// The recognised contents of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// The type of the file system or container.
    pub kind: Type,
    /// The label.
    pub label: Option<String>,
    /// The identifier, in the notation of Linux.
    pub uuid: Option<String>,
    /// Its size in bytes, which may be less than the device's.
    pub size: Option<u64>,
    /// The used and free bytes, if the first blocks contain totals.
    pub usage: Option<Usage>,
}

impl Recognised {
    pub(crate) fn new(kind: Type) -> Self {
        Self { kind, label: None, uuid: None, size: None, usage: None }
    }

    fn label(mut self, bytes: &[u8]) -> Self {
        let text: String =
            String::from_utf8_lossy(until_nul(bytes)).trim().chars().filter(|c| !c.is_control()).collect();
        self.label = (!text.is_empty()).then_some(text);
        self
    }

    fn uuid(mut self, bytes: [u8; 16]) -> Self {
        self.uuid = (bytes != [0; 16]).then(|| uuid(bytes));
        self
    }

    fn sizes(mut self, size: u64, free: Option<u64>) -> Self {
        self.size = Some(size);
        self.usage = free.map(|free| Usage { used: size.saturating_sub(free), free: free.min(size) });
        self
    }
}

/// Recognises the contents of `device`. Returns `None` if they are unknown or empty.
pub fn recognise(device: &dyn Device) -> Option<Recognised> {
    let device = At(device);
    known::recognise(&device).or_else(|| foreign::recognise(&device))
}

/// Reads little-endian numbers at offsets.
pub(crate) struct At<'a>(pub(crate) &'a dyn Device);

impl At<'_> {
    pub(crate) fn bytes<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_at(offset, &mut bytes).ok()?;
        Some(bytes)
    }

    pub(crate) fn is(&self, offset: u64, magic: &[u8]) -> bool {
        let mut bytes = vec![0; magic.len()];
        self.0.read_at(offset, &mut bytes).is_ok() && bytes == magic
    }

    pub(crate) fn u8(&self, offset: u64) -> Option<u8> {
        self.bytes(offset).map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&self, offset: u64) -> Option<u16> {
        self.bytes(offset).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, offset: u64) -> Option<u32> {
        self.bytes(offset).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&self, offset: u64) -> Option<u64> {
        self.bytes(offset).map(u64::from_le_bytes)
    }

    pub(crate) fn u32_be(&self, offset: u64) -> Option<u32> {
        self.bytes(offset).map(u32::from_be_bytes)
    }

    pub(crate) fn u64_be(&self, offset: u64) -> Option<u64> {
        self.bytes(offset).map(u64::from_be_bytes)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident $id:literal $title:literal $support:ident,)*) => {
        /// The type of a device's contents.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Type {
            $(#[doc = concat!("`", $title, "`")] $name,)*
        }

        impl Type {
            /// The name for programs.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// The name for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The support of this crate for the type.
            pub const fn support(self) -> Support {
                match self { $(Self::$name => Support::$support,)* }
            }
        }
    };
}

impl Type {
    /// Whether files can be written.
    pub const fn can_change(self) -> bool {
        matches!(self, Self::Fat12 | Self::Fat16 | Self::Fat32)
    }
}

/// The support of this crate for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Files can be read.
    Files,
    /// It contains other volumes.
    Container,
    /// It is only recognised.
    Name,
}

types! {
    Ext2 "ext2" "ext2" Files,
    Ext3 "ext3" "ext3" Files,
    Ext4 "ext4" "ext4" Files,
    Fat12 "fat12" "FAT12" Files,
    Fat16 "fat16" "FAT16" Files,
    Fat32 "fat32" "FAT32" Files,
    ExFat "exfat" "exFAT" Files,
    Ntfs "ntfs" "NTFS" Files,
    Iso9660 "iso9660" "ISO 9660" Files,
    Udf "udf" "UDF" Files,
    Btrfs "btrfs" "btrfs" Files,
    Xfs "xfs" "XFS" Files,
    HfsPlus "hfsplus" "HFS+" Files,
    Apfs "apfs" "APFS" Name,
    Lvm "lvm2" "LVM2 physical volume" Container,
    Luks1 "luks1" "LUKS1" Container,
    Luks2 "luks2" "LUKS2" Container,
    ExtJournal "ext-journal" "ext journal device" Name,
    SquashFs "squashfs" "SquashFS" Name,
    ReFs "refs" "ReFS" Name,
    BitLocker "bitlocker" "BitLocker" Name,
    Zfs "zfs" "ZFS" Name,
    F2fs "f2fs" "F2FS" Name,
    Jfs "jfs" "JFS" Name,
    ReiserFs "reiserfs" "ReiserFS" Name,
    Reiser4 "reiser4" "Reiser4" Name,
    Nilfs2 "nilfs2" "NILFS2" Name,
    Hfs "hfs" "HFS" Name,
    Ufs "ufs" "UFS" Name,
    Minix "minix" "Minix" Name,
    CramFs "cramfs" "cramfs" Name,
    RomFs "romfs" "romfs" Name,
    Erofs "erofs" "EROFS" Name,
    Bcachefs "bcachefs" "bcachefs" Name,
    Vmfs "vmfs" "VMFS" Name,
    Gfs2 "gfs2" "GFS2" Name,
    Ocfs2 "ocfs2" "OCFS2" Name,
    BeFs "befs" "BFS" Name,
    Swap "swap" "Linux swap" Name,
    Raid "raid" "Linux RAID member" Name,
}
